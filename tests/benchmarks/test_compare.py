"""The guard against regressions sees a fallen ratio, and nothing but ratios."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "compare.py"


def _compared(tmp_path, new, *options):
    stored = {"edsr": {"ratio": 0.8, "ours (s)": {"median": 1.0}}, "sid": {"ratio": 0.6}}
    files = []
    for name, figures in (("new", new), ("stored", stored)):
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps({"figures": figures}))
    command = [sys.executable, _SCRIPT, *files, *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("edsr", "options", "code"),
    [(0.73, (), 0), (0.71, (), 1), (0.71, ("--tolerance", "0.2"), 0), (1.5, (), 0)],
)
def test_a_ratio_may_fall_by_the_tolerance(tmp_path, edsr, options, code):
    new = {"edsr": {"ratio": edsr, "ours (s)": {"median": 99.0}}, "sid": {"ratio": 0.6}}
    done = _compared(tmp_path, new, *options)
    assert done.returncode == code, done.stderr
    assert ("worse" in done.stdout) == bool(code)


def test_a_missing_ratio_is_worse(tmp_path):
    done = _compared(tmp_path, {"edsr": {"ratio": 0.8}})
    assert done.returncode == 1
    assert "missing" in done.stdout
