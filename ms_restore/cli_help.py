"""What --help ends with, the keys of a recipe with their meaning, and completion by the Tab key."""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
from typing import Any

from ms_restore.errors import InputError

WITHOUT_RECIPE = (
    "models", "weights", "launch", "rank-table", "completion", "doctor", "report", "demo",
)  # fmt: skip
"""Verbs that take no keys of a recipe."""

EXAMPLES = {
    "train": (
        "ms-restore train --model edsr_quickstart --device_target CPU",
        "ms-restore train --model edsr_x4 --data_dir photos --train.lr 2e-4",
    ),
    "prepare": (
        "ms-restore prepare --model edsr_baseline_x2 --source photos --output set",
        "ms-restore prepare --model sid_sony --source Sony --output set --limit 10",
    ),
    "eval": (
        "ms-restore eval --model edsr_small_x2 --data_dir set5",
        "ms-restore eval --checkpoint runs/mine --data_dir photos --engine mindspore",
    ),
    "infer": (
        "ms-restore infer --model edsr_small_x2 --input photo.jpg --output photo_x2.png",
        "ms-restore infer --checkpoint runs/mine --input photos --output out --recursive",
    ),
    "restore": (
        "ms-restore restore --task deblur --kernel motion:15:30 --input a.png --output b.png",
        "ms-restore restore --task inpaint --mask mask.png --input a.png --output b.png",
    ),
    "export": (
        "ms-restore export --checkpoint runs/mine --file_name mine.mindir",
        "ms-restore export --checkpoint runs/mine --file_name mine.onnx",
    ),
    "report": ("ms-restore report runs/mine", "ms-restore report runs/mine/eval"),
    "demo": (
        "ms-restore demo --open",
        "ms-restore demo --checkpoint runs/mine --output_dir restored --port 8601",
    ),
    "convert": (
        "ms-restore convert --source dncnn.pth --model dncnn_s25 --output dncnn.ckpt",
        "ms-restore convert --source runs/mine/best.ckpt --to torch --output mine.safetensors",
    ),
    "benchmark": (
        "ms-restore benchmark --model edsr_quickstart --engines all",
        "ms-restore benchmark --model sid_sony --device_target Ascend --output sid.json",
    ),
    "launch": (
        "ms-restore launch --rank_table rank_table.json --model edsr --data_dir div2k",
        "ms-restore launch --workers 2 --model edsr_quickstart --device_target CPU",
    ),
    "rank-table": (
        "ms-restore rank-table --devices 0-7",
        "ms-restore rank-table --devices 0,2 --output table.json --server_id 10.0.0.2",
    ),
    "models": ("ms-restore models --weights here", "ms-restore models --model edsr_x4"),
    "weights": ("ms-restore weights", "ms-restore weights --download edsr_baseline_x2"),
    "doctor": (
        "ms-restore doctor",
        "ms-restore doctor --data_dir photos --checkpoint runs/mine",
    ),
    "completion": (
        "ms-restore completion bash > ~/.local/share/bash-completion/completions/ms-restore",
        "ms-restore completion zsh > ~/.zfunc/_ms-restore",
    ),
}


def epilog(verb: str, *paragraphs: str) -> str:
    """Return what a verb's help ends with: the paragraphs, and two examples."""
    wrapped = [textwrap.fill(text, 80) for text in paragraphs]
    examples = "\n  ".join(("examples:", *EXAMPLES[verb]))
    return "\n\n".join([*wrapped, examples])


class RecipeHelp(argparse.Action):
    """The option ``--help-recipe``: prints every key that any recipe has, and ends."""

    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print the keys."""
        print(recipe_keys())
        parser.exit()


def recipe_keys() -> str:
    """Return the keys of a recipe's sections with their defaults and meaning, as text.

    Those of a part are its own: ``ms-restore models --model M`` prints them for a model.
    """
    from ms_restore import registry
    from ms_restore.settings import Recipe, descriptions

    blocks = []
    for field in dataclasses.fields(Recipe):
        section = field.default_factory
        if isinstance(section, type) and dataclasses.is_dataclass(section):
            documented, made = descriptions(section), section()
            for inner in dataclasses.fields(section):
                default = getattr(made, inner.name)
                entry = f"--{field.name}.{inner.name} ({_shown(default)})"
                blocks.append((entry, documented[inner.name]))
        elif field.name in ("network", "degradation", "solver"):
            names = ", ".join(registry.REGISTRY[field.name])  # type: ignore[index]
            text = f"{descriptions(Recipe)[field.name]} One of {names}, or package.module:Class."
            blocks.append((f"--{field.name}.name, --{field.name}.KEY", text))
        elif field.name == "seed":
            blocks.append(("--seed (0)", descriptions(Recipe)["seed"]))
    indent = " " * 4
    return "\n".join(
        f"{entry}\n{textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent)}"
        for entry, text in blocks
    )


def _shown(default: Any) -> str:
    if isinstance(default, dict):
        return ", ".join(str(value) for value in default.values())
    return "none" if default is None else str(default).lower()


def completion(
    shell: str, parser: argparse.ArgumentParser, verbs: dict[str, argparse.ArgumentParser]
) -> str:
    """Return the script by which a shell completes verbs, options, recipe keys and models.

    The parser is changed for it.

    Raises InputError where the package shtab, which writes it, is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise InputError("completion needs the package shtab: pip install shtab") from None
    from ms_restore import recipe

    for name, verb in verbs.items():
        for action in verb._actions:
            if action.dest == "model":
                action.choices = list(recipe.files())
            elif action.dest in (
                "checkpoint",
                "input",
                "output",
                "data_dir",
                "source",
                "resume",
                "folder",
            ):
                action.complete = shtab.FILE  # type: ignore[attr-defined]
        if name not in WITHOUT_RECIPE or name == "launch":
            for key in recipe.all_keys():
                verb.add_argument(f"--{key}", help="key of the recipe")
    return str(shtab.complete(parser, shell))
