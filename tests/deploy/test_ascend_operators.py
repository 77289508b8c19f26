"""Every operator of every network is documented for Ascend, and the page says so."""

import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.mark.long
def test_the_page_holds_what_the_networks_use():
    """In a process of its own: MindSpore reads where it dumps graphs when it is loaded."""
    done = subprocess.run(
        [sys.executable, "benchmarks/operators.py"],
        cwd=TOP,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-500:]
    rows = [line for line in done.stdout.splitlines() if line.startswith("|")]
    page = (TOP / "docs" / "ascend.md").read_text(encoding="utf-8")
    table = page.split("<!-- operators -->")[1].split("<!-- /operators -->")[0]
    assert rows == table.split("\n")[1:-1], "python benchmarks/operators.py --write docs/ascend.md"
    names = {row.split(" | ")[0].removeprefix("| ") for row in rows}
    assert {"Conv2D", "Conv2DBackpropFilter", "Adam", "MaxPoolGrad", "Conv2DTranspose"} <= names


def test_where_an_operator_is_documented(monkeypatch):
    monkeypatch.syspath_prepend(TOP / "benchmarks")
    import operators

    expected = {
        "Conv2D": "`ops.Conv2D`",
        "Maximum": "`ops.maximum`",  # its docstring refers there
        "MatMulExt": "called by `mint.matmul`",
        "BiasAddGrad": "gradient of `ops.BiasAdd`",
        "NoSuchOperator": None,
        "InstanceNorm": None,  # for others than Ascend
    }
    assert {name: operators.documented(name) for name in expected} == expected
