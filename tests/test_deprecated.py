"""Nothing on the way of a training or of a picture is what MindSpore has marked as deprecated."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]
MARKED = re.compile(r"deprecat|will be removed|no longer supported", re.IGNORECASE)
BY_MINDSPORE = ("'FusedSparseAdam' is deprecated",)  # nn.Adam makes one for sparse gradients


@pytest.mark.slow
def test_mindspore_logs_and_warns_of_nothing_old(tiny, pictures, tmp_path):
    """train, resume, eval, export and infer in one process, with its warnings switched on."""
    script = TOP / "tests" / "fixtures" / "whole_path.py"
    done = subprocess.run(
        [sys.executable, str(script), tiny, str(pictures), str(tmp_path)],
        env={**os.environ, "GLOG_v": "2", "PYTHONPATH": str(TOP)},
        cwd=TOP,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "[WARNING]" in said  # they are switched on
    marked = [line for line in said.splitlines() if MARKED.search(line)]
    assert [line for line in marked if not any(name in line for name in BY_MINDSPORE)] == []


def _calls(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}", node


@pytest.mark.parametrize("folder", ["ms_restore", "benchmarks", "examples"])
def test_what_mindspore_deprecates_without_a_word(folder):
    """What the docstrings of MindSpore 2.10 say "will be deprecated" of, but no log line does.

    set_auto_parallel_context stays in one place: its successor knows no data parallelism, and
    without it the all-reduces are not fused.
    """
    found = []
    for path in sorted((TOP / folder).rglob("*.py")):
        for name, node in _calls(path):
            old = name in ("ms.hal", "mindspore.hal", "ms.Profiler", "profiler.Profiler")
            old |= name == "set_auto_parallel_context" and path.name != "parallel.py"
            if name == "set_context" and "acl" not in ast.dump(node.func):
                old |= {keyword.arg for keyword in node.keywords} != {"mode"}
            if old:
                found.append(f"{path.relative_to(TOP)}:{node.lineno}: {name}")
    assert not found


def test_the_marks_are_those_of_the_installed_mindspore():
    import mindspore as ms
    from mindspore.parallel.auto_parallel import AutoParallel

    assert "deprecated" in ms.hal.is_available.__doc__
    assert "deprecated" in ms.set_auto_parallel_context.__doc__
    assert "deprecated" not in ms.device_context.ascend.is_available.__doc__
    assert "deprecated" not in ms.set_device.__doc__
    modes = "semi_auto', 'sharding_propagation', 'recursive_programming"
    with pytest.raises(ValueError, match=modes):
        AutoParallel(ms.nn.ReLU(), parallel_mode="data_parallel")
