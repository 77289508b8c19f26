"""What helps at the terminal: examples, the recipe's keys, completion by a real shell."""

import dataclasses
import shlex
import shutil
import subprocess

import pytest

from ms_restore import cli, cli_help, recipe
from ms_restore.settings import TrainSettings

PARSER, VERBS = cli._parser()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_ends_with_two_examples_that_parse(verb):
    shown = VERBS[verb].format_help()
    examples = cli_help.EXAMPLES[verb]
    assert len(examples) == 2
    assert shown.rstrip().endswith("\n".join(f"  {line}" for line in examples).strip())
    for line in examples:
        words = shlex.split(line.partition(" > ")[0])
        assert words[:2] == ["ms-restore", verb]
        options, rest = PARSER.parse_known_args(words[1:])
        if verb != "launch":
            assert all(word[2:] in recipe.all_keys() for word in rest if word.startswith("--"))
        model = getattr(options, "model", None)
        assert model is None or model in recipe.files()


def test_help_fits_a_terminal():
    for verb in VERBS.values():
        lines = verb.format_help().splitlines()
        assert max(len(line) for line in lines if "ms-restore completion" not in line) <= 88


def test_the_keys_of_a_recipe_with_their_meaning(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "--help-recipe"])
    assert not ended.value.code
    shown = capsys.readouterr().out
    for field in dataclasses.fields(TrainSettings):
        assert f"--train.{field.name} (" in shown
    assert "--train.lr (0.0001)\n    Learning rate at the start of the schedule." in shown
    assert "--degradation.name" in shown and "gaussian" in shown


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("ms-restore inf", {"infer"}),
        ("ms-restore train --train.l", {"--train.lr", "--train.loss", "--train.loss_scale"}),
        ("ms-restore train --model edsr_small", {"edsr_small_x2"}),
    ],
)
def test_bash_completes(typed, offered, tmp_path):
    pytest.importorskip("shtab", reason="shtab is optional")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    script = tmp_path / "completion"
    script.write_text(cli_help.completion("bash", *cli._parser()), encoding="utf-8")
    words = typed.split()
    asked = f"""
        complete() {{ :; }}; source {script}; unset -f complete
        COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
        _shtab_ms_restore; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([bash, "-c", asked], capture_output=True, text=True)
    found = {word.strip() for word in done.stdout.split()}
    assert offered <= found, done.stderr
    assert all(word.startswith(words[-1]) for word in found)


def test_completion_without_its_package_is_one_line(monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as ended:
        cli.main(["completion", "bash"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
