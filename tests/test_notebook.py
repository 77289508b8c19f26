"""The notebook runs from top to bottom, on a small square, and every task gains."""

import json
import os
import re

import pytest

from tests.conftest import TOP

NOTEBOOK = TOP / "examples" / "five_tasks.ipynb"


def test_no_output_is_kept():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        assert not cell.get("outputs") and not cell.get("execution_count")


@pytest.mark.long
def test_every_task_gains(tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("SIDE", "64")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(output.get("text", "") for output in outputs)
    gains = re.findall(r"^(.+): ([\d.]+) -> ([\d.]+) dB", said, re.MULTILINE)
    assert [task for task, _, _ in gains] == ["enlarge", "denoise", "deblur", "fill in", "demosaic"]
    for task, before, after in gains:
        assert float(after) > float(before) + 0.5, task
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
