"""CONTRIBUTING.md is true: each of its guides, followed to the letter in a copy, adds the part."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

TOP = Path(__file__).parents[1]
GUIDES = ["A network", "A degradation", "A loss", "A schedule", "An optimizer", "A solver"]
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)
BLOCK = re.compile(r"```yaml\n# (\S+)\n(.*?)```", re.DOTALL)


def guide(heading: str) -> str:
    text = (TOP / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.split(r"^### ", text.split(f"### {heading}\n")[1], flags=re.MULTILINE)[0]


def follow(copy: Path, heading: str) -> str:
    """Do what the guide says; return the name under which the part is registered."""
    text, registered = guide(heading), ""
    blocks = dict(BLOCK.findall(text))
    for path, what in ROW.findall(text):
        target = copy / path
        example = re.search(r"`(examples/[^`]+)`", what)
        line = re.search(r'under `("\w+")`: `("(\w+)": .+)`', what)
        target.parent.mkdir(parents=True, exist_ok=True)
        if line:
            kind, entry, registered = line.groups()
            before = target.read_text(encoding="utf-8")
            assert before.count(f"{kind}: {{\n") == 1
            after = before.replace(f"{kind}: {{\n", f"{kind}: {{\n        {entry}\n")
            target.write_text(after, encoding="utf-8")
        elif example:
            assert not target.exists()
            shutil.copy(TOP / example.group(1), target)
        else:
            target.write_text(blocks.pop(path, "The card.\n"), encoding="utf-8")
    assert not blocks
    return registered


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> tuple[Path, list[str]]:
    """A copy of the repository with every part added, and the parts' names."""
    copy = tmp_path_factory.mktemp("contributing") / "copy"
    for folder in ("ms_restore", "models", "tests", "examples"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(TOP / folder, copy / folder, ignore=ignored)
    return copy, [follow(copy, heading) for heading in GUIDES]


def test_the_tests_find_the_new_parts(grown):
    copy, names = grown
    assert names == ["gated", "speckle", "cauchy", "warm_restarts", "rms_prop", "plug_and_play"]
    chosen = " or ".join(f"[{name}" for name in names) + " or gated or imports_point_down"
    files = ["test_contracts.py", "test_recipe.py", "test_imports.py", "deploy/test_onnx.py"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-k",
            chosen,
            *(f"tests/{file}" for file in files),
        ],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-1500:]
    said = subprocess.run(
        [sys.executable, "-m", "ms_restore", "models"],
        cwd=copy,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "gated_speckle" in said.stdout
