"""Everything that runs on an Ascend, compiled for one without having it: no kernel is run.

The graphs are those after MindSpore's front end: types, differentiation, what is chosen by SoC.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ascend import ir, kernels, stubs, worker

TOP = Path(__file__).parents[2]
SOCS = ["ascend910", "ascend910b"]
CHECK = {"ascend910": "NPUGetFloatStatusV2", "ascend910b": "AllFinite"}
CLEAR = "NPUClearFloatStatusV2"
CONVOLUTIONS = ("Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "Conv2DTranspose")
MODELS = list(worker.SMALL)
DPIR = ["dpir-blur", "dpir-downsample", "dpir-mask"]
SOLVERS = [f"solver-{k}-{s}" for k in worker.OPERATORS for s in ("small", "large")]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(stubs.missing_tools()), reason=stubs.missing_tools() or "-"),
]


@functools.cache
def _of(soc: str) -> list[str]:
    """The cases of a SoC in every run of the tests: each kind of graph, for one SoC or both."""
    both = ["step-edsr-O2", "ranks-O2", "sink", "scale-none"]
    if soc == "ascend910":
        steps = [f"step-{model}-O2" for model in MODELS]
        engines = [f"engine-{model}" for model in ("edsr", "dncnn_s25", "noise2noise_mri")]
        broken = [name for name in worker.cases() if name.startswith("broken")]
        return [*dict.fromkeys([*both, *steps, *engines, "noise", "refused", *broken])]
    steps = [f"step-{m}-{level}" for m, level in (("edsr", "O0"), ("edsr", "bfloat16"))]
    options = [name for name in worker.cases() if name.startswith(("loss", "optimizer"))]
    return [
        *both,
        *steps,
        "ranks-O0",
        *options,
        "options",
        "validation-edsr",
        *SOLVERS[:2],
        *DPIR[:2],
    ]


@functools.cache
def _rest(soc: str) -> list[str]:
    """The other cases of a SoC, for ``--long``.

    Every network's step at O2 and its engine, every kind of run and of solver are compiled for
    both. What is alike on both, since no SoC is asked there, is compiled for one: O0, losses,
    optimizers, what is broken, the cells that validate.
    """
    one_alone = ("-O0", "broken", "refused", "noise") if soc == "ascend910b" else _ON_910B_ALONE
    left = [name for name in worker.cases() if name not in _of(soc)]
    return [
        name for name in left if not name.startswith(one_alone) and not name.endswith(one_alone)
    ]


_ON_910B_ALONE = ("bfloat16", "loss", "optimizer", "options", "validation", "scale-fixed", "-large")


@pytest.fixture(scope="module")
def compiled(request, tmp_path_factory):
    """What both SoCs' processes found, by SoC."""
    folder = tmp_path_factory.mktemp("ascend")
    environment = {
        **os.environ,
        **stubs.build(folder / "stubs"),
        "GLOG_v": "3",
        "PYTHONPATH": str(TOP),
    }
    everything = any(item.get_closest_marker("long") for item in request.session.items)
    return Compiled(folder, environment, everything)


class Compiled:
    """Compiles the cases of both SoCs beside each other, with the long ones where those are run."""

    def __init__(self, folder: Path, environment: dict[str, str], everything: bool) -> None:
        self._folder, self._environment = folder, environment
        self._reports = self._compile(
            {soc: _of(soc) + (_rest(soc) if everything else []) for soc in SOCS}
        )

    def _compile(self, wanted: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
        running = []
        for soc in SOCS:
            (self._folder / soc).mkdir(exist_ok=True)
            with self._log(soc).open("w") as log:
                command = [sys.executable, str(TOP / "tests" / "ascend" / "worker.py"), soc]
                command += [str(self._folder / soc), *wanted[soc]]
                running.append(
                    subprocess.Popen(
                        command, cwd=TOP, env=self._environment, stdout=log, stderr=log
                    )
                )
        try:
            codes = [process.wait(timeout=900) for process in running]
        finally:
            for process in running:
                process.kill()
        said = "\n".join(self._log(soc).read_text()[-2000:] for soc in SOCS)
        assert codes == [0, 0], said
        reports = {soc: self._folder / soc / "report.json" for soc in SOCS}
        return {soc: json.loads(path.read_text(encoding="utf-8")) for soc, path in reports.items()}

    def _log(self, soc: str) -> Path:
        return self._folder / f"{soc}.log"

    def report(self, soc: str, case: str) -> Any:
        return self._reports[soc][case]

    def graphs(self, soc: str, case: str) -> list[ir.Graph]:
        found = self.report(soc, case)
        assert "error" not in found, found["error"]
        paths = sorted((self._folder / soc / case).glob("*.ir"), key=lambda path: int(path.stem))
        return [ir.Graph(path) for path in paths]

    def graph(self, soc: str, case: str) -> ir.Graph:
        (only,) = self.graphs(soc, case)
        assert only.operators, case
        return only


ALL = [(soc, case) for soc in SOCS for case in [*_of(soc), *_rest(soc)]]
SOUND = [(soc, case) for soc, case in ALL if not case.startswith(("broken", "refused"))]
STEPS = [
    (s, c)
    for s, c in SOUND
    if not c.startswith(("engine", "validation", "solver", "dpir", "noise"))
]


def _of_both(cases):
    marked = [
        pytest.param(s, c, id=f"{s}-{c}", marks=[pytest.mark.long] if c in _rest(s) else [])
        for s, c in cases
    ]
    return pytest.mark.parametrize(("soc", "case"), marked)


@_of_both(SOUND)
def test_it_compiles_and_stays_on_the_fast_processors(compiled, soc, case):
    """No operator of the slow processors, none that MindSpore does not know, no call of Python."""
    assert compiled.report(soc, "target") == "Ascend"
    graphs = compiled.graphs(soc, case)
    assert len(graphs) == {"sink": 2, "engine-dncnn_s25": 2}.get(case, 1)
    for graph in graphs:
        assert graph.operators
        assert not graph.on_the_host() - kernels.BESIDE
        assert not kernels.slow(graph.names())
        assert not kernels.unknown(graph.names())


@_of_both(STEPS)
def test_the_overflow_check_is_that_of_the_soc(compiled, soc, case):
    for graph in compiled.graphs(soc, case):
        others = set(CHECK.values()) - {CHECK[soc]}
        assert len(graph.named(CHECK[soc])) == 1
        assert not graph.named(*others)
        for scalar in graph.named("IsFinite"):  # of the loss scale, none of the gradients
            assert scalar.types[0] == "(<Tensor[Float32], ()>"
        if soc == "ascend910":  # cleared before the forward pass, and after it is read
            assert graph.order(CLEAR, CHECK[soc]) == [CLEAR, CHECK[soc], CLEAR]
            first = graph.named("Conv2D")[0]
            assert graph.depends(first, CLEAR)
        else:
            assert not graph.named(CLEAR)


@_of_both([(s, c) for s, c in STEPS if c.startswith("ranks")])
def test_ranks_agree_on_overflow(compiled, soc, case):
    assert compiled.graph(soc, case).agreed_on(CHECK[soc])


@_of_both([pair for pair in STEPS if pair[1].startswith("step")])
def test_types_of_numbers(compiled, soc, case):
    """O2: convolutions in half precision; weights, loss and update in float32."""
    graph = compiled.graph(soc, case)
    level = case.rsplit("-", 1)[1]
    half = {"O0": "Float32", "O2": "Float16", "bfloat16": "BFloat16"}[level]
    assert graph.types(*CONVOLUTIONS) == {half}
    others = {"Float16", "BFloat16"} - {half}
    assert not graph.all_types() & others
    assert graph.types("Adam") <= {"Float32"}
    assert graph.types("BatchNorm", "BatchNormGrad") <= {"Float32"}
    assert "Float32" in graph.types("ReduceMean", "SumExt")
    for operator in graph.named("MatMulExt"):  # the Fourier transforms, of MRI alone
        if "MeasuredFrequencies" in operator.place:
            assert "Float16" not in "".join(operator.types)


def test_bfloat16_is_refused_where_there_is_none(compiled):
    said = compiled.report("ascend910", "refused")["returned"]
    assert said.startswith("train.amp_dtype bfloat16")
    assert "not on an Ascend 910 of the first generation" in said


@_of_both([(s, c) for s, c in SOUND if c.startswith(("engine", "validation", "solver", "dpir"))])
def test_what_restores_is_float32(compiled, soc, case):
    for graph in compiled.graphs(soc, case):
        assert not graph.all_types() & {"Float16", "BFloat16"}


@pytest.mark.parametrize("soc", SOCS)
def test_chunks_are_compiled_once_and_the_rest_once(compiled, soc):
    """250 steps: callbacks after 100, 200 and 250; the second chunk is not compiled again."""
    assert compiled.report(soc, "sink")["returned"] == [100, 200, 250]
    assert compiled.report(soc, "sink")["graphs"] == 2


def test_kernels_of_the_networks(compiled):
    """Leaky ReLU is one kernel, forward and backward; so is the solvers' noise."""
    step = compiled.graph("ascend910", "step-noise2noise_gaussian-O2").names()
    assert {"LeakyReLUExt", "LeakyReLUGradExt"} <= step
    assert "NormalFloatFloat" in compiled.graph("ascend910", "noise").names()


@_of_both([(s, c) for s, c in SOUND if c.startswith("solver")])
def test_large_blurs_are_matrix_products(compiled, soc, case):
    names = compiled.graph(soc, case).names()
    assert ("MatMulExt" in names) == case.endswith("large")


def test_the_checks_find_faults(compiled):
    """Each in a cell that has it."""

    def found(case):
        return compiled.graph("ascend910", case)

    assert kernels.slow(found("broken-aicpu").names()) == {"StandardNormal"}
    assert found("broken-callback").on_the_host() == {"Print"}
    assert found("broken-cpu").on_the_host() == {"Exp"}
    alone = found("broken-ranks")
    assert alone.named("AllReduce")
    assert not alone.agreed_on(CHECK["ascend910"])
    assert kernels.unknown({"Conv2D", "NoSuchOperator"}) == {"NoSuchOperator"}
    assert kernels.slow({"Conv2D", "RFFT2", "IRFFT2"}) == {"RFFT2", "IRFFT2"}


def test_a_symbol_that_the_stubs_lack_is_named(tmp_path, monkeypatch):
    complete = stubs.asked(_lib())
    lacking = [name for name in complete if not name.startswith("_ZN2ge")]
    assert 0 < len(lacking) < len(complete)
    monkeypatch.setattr(stubs, "asked", lambda lib: lacking)
    left_out = re.compile(r"2\.\d+.* wants more than the stubs have: .*_ZN2ge", re.DOTALL)
    with pytest.raises(RuntimeError, match=left_out):
        stubs.build(tmp_path)


def _lib() -> Path:
    import mindspore

    return Path(mindspore.__file__).parent / "lib"
