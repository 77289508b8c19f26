"""The benchmarks use the package as it is: each is imported."""

import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_it_is_imported(name, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    if name == "plot_schedules":
        pytest.importorskip("matplotlib", reason="matplotlib is optional")
    if name.startswith("torch"):
        pytest.importorskip("torch", reason="PyTorch is optional")
    assert importlib.import_module(name).__doc__
