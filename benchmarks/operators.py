"""List the operators of every network, and whether MindSpore documents them for Ascend.

    python benchmarks/operators.py [--write docs/ascend.md]

Of each network, at a reduced size: the primitives of its exported MINDIR, and of its training step
at O2 with dynamic loss scale, moving average and clipping, from the graph that MindSpore dumps when
it is validated, before the device's own passes. They are looked up in the docstrings of the
installed MindSpore ("Supported Platforms"); one that is documented nowhere ends it with code 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
import numpy as np
import yaml

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.contracts import Foldable, Geometry
from ms_restore.inference.any_size import AnySize, placeholder
from ms_restore.training.step_builder import build_step

_TOP = Path(__file__).parents[1]
_TRAINING = {"amp_level": "O2", "loss_scale": "dynamic", "ema_decay": 0.99, "clip_norm": 1.0}
_STRUCTURE = {  # of the graph itself: they say what is computed when, and are no kernels
    *("Constant", "MakeTuple", "TupleGetItem", "Load", "UpdateState", "Depend", "Return"),
    *("make_tuple", "getattr", "Partial", "Switch", "call"),
}
_MODULES = ["ops", "ops.operations", "ops.auto_generate", "ops.operations._grad_ops"]
_MODULES += ["ops.operations._inner_ops", "ops.operations._scalar_ops"]
_MODULES += ["ops.operations._sequence_ops", "ops.functional"]
_BY_WAY_OF = {  # primitives without a docstring of their own, and the function that calls them
    **{"EqScalar": "ops.equal", "LessScalar": "ops.less", "Muls": "ops.mul", "Divs": "ops.div"},
    **{"MatMulExt": "mint.matmul", "SumExt": "mint.sum", "SplitWithSize": "mint.split"},
    **{"RemainderTensorScalar": "mint.remainder", "SubScalar": "ops.sub"},
}
_FORWARD = {"ReluGrad": "ReLU"}  # of a gradient, where its name is not the forward's and Grad
_BEGIN, _END = "<!-- operators -->", "<!-- /operators -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="operators_") as folder:
        dumps = Path(folder) / "graphs"
        os.environ["MS_DEV_SAVE_GRAPHS"] = "1"  # read at the first graph
        os.environ["MS_DEV_SAVE_GRAPHS_PATH"] = str(dumps)
        os.environ["MS_DEV_DUMP_IR_PASSES"] = "validate"
        runtime.start("CPU")
        used: dict[str, tuple[set[str], set[str]]] = {
            name: (set(), set()) for name in registry.REGISTRY["network"]
        }
        for model, sizes in _reduced().items():
            inference, trained = used[recipes.load(model).network["name"]]
            inference |= forward(model, sizes)
            trained |= training(model, sizes, dumps)
    lines, unknown = table(used)
    if options.write is None:
        print("\n".join(lines))
    else:
        page = options.write.read_text(encoding="utf-8")
        before, after = page.split(_BEGIN)[0], page.split(_END)[1]
        text = "\n".join([before + _BEGIN, *lines, _END + after])
        options.write.write_text(text, encoding="utf-8")
    if unknown:
        raise SystemExit(f"not documented for Ascend: {', '.join(unknown)}")


def forward(model: str, sizes: dict[str, Any]) -> set[str]:
    """The primitives of the exported network."""
    from mindspore.train.mind_ir_pb2 import ModelProto

    cell = _built(model, sizes)[0].set_train(False)
    cell = cell.folded() if isinstance(cell, Foldable) else cell
    example = placeholder(Geometry.of(cell).input_channels)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.mindir"
        ms.export(AnySize(cell), example, file_name=str(path), file_format="MINDIR")
        written = ModelProto()
        written.ParseFromString(path.read_bytes())
    nodes = [*written.graph.node, *(node for part in written.functions for node in part.node)]
    kinds = {primitive.name: primitive.op_type for primitive in written.primitives}
    return {
        kinds.get(node.op_type.removeprefix("REF::"), node.op_type) for node in nodes
    } - _STRUCTURE


def training(model: str, sizes: dict[str, Any], dumps: Path) -> set[str]:
    """The primitives of its training step, forward and backward, which is dumped there."""
    cell, recipe = _built(model, sizes)
    step = build_step(cell, recipe).set_train()
    geometry = Geometry.of(cell)
    side = geometry.side or 2 * geometry.size_multiple
    large = geometry.scale * side
    y = ms.Tensor(np.zeros((1, geometry.input_channels, side, side), np.float32))
    x = np.zeros((1, geometry.output_channels, large, large), np.float32)
    shutil.rmtree(dumps, ignore_errors=True)
    step(y, ms.Tensor(x))
    found: set[str] = set()
    for dump in dumps.rglob("*_validate_*.ir"):
        text = dump.read_text(encoding="utf-8", errors="replace")
        found |= set(re.findall(r"^ +%\d+\([^=]*\) = (\w+)\(", text, re.MULTILINE))
    if not found:
        raise SystemExit(f"{model}: MindSpore dumped no training graph")
    return {name.removeprefix("PrimFunc_").removeprefix("S_Prim_") for name in found} - _STRUCTURE


def _reduced() -> dict[str, dict[str, Any]]:
    """The models that stand for the networks' forms, and their smallest settings."""
    return {
        model: sizes
        for path in sorted(_TOP.glob("models/*/reduced.yml"))
        for model, sizes in yaml.safe_load(path.read_text(encoding="utf-8")).items()
    }


def _built(model: str, sizes: dict[str, Any]) -> tuple[Any, recipes.Recipe]:
    settings = {f"network.{key}": value for key, value in sizes.items()}
    settings |= {f"train.{key}": value for key, value in _TRAINING.items()}
    if "side" in sizes:
        settings["data.patch_size"] = sizes["side"]
    recipe = recipes.load(model, settings)
    return registry.build("network", recipe.network), recipe


def documented(name: str) -> Optional[str]:
    """Where MindSpore documents the primitive for Ascend; None: nowhere."""
    return next((where for text, where in _pages(name) if "Ascend" in _platforms(text)), None)


def _pages(name: str) -> Iterator[tuple[str, str]]:
    """Docstrings and their names: its own, what that refers to, its function's, its forward's."""
    yield from _own(name, "")
    if name in _BY_WAY_OF:
        yield _doc_of(_BY_WAY_OF[name]), f"called by `{_BY_WAY_OF[name]}`"
    for ending in ("Grad", "Backward", "BackpropInput", "BackpropFilter"):
        if name.endswith(ending):
            forward = _FORWARD.get(name, name[: -len(ending)])
            yield from _own(forward, "gradient of ")


def _own(name: str, kind: str) -> Iterator[tuple[str, str]]:
    text = _found(name).__doc__ or ""
    yield text, f"{kind}`ops.{name}`"
    for target in re.findall(
        r"refer to :(?:func|class):`mindspore\.([\w.]+)`", text, re.IGNORECASE
    ):
        yield _doc_of(target), f"{kind}`{target}`"


def _doc_of(path: str) -> str:
    module, _, attribute = path.rpartition(".")
    try:
        return getattr(importlib.import_module(f"mindspore.{module}"), attribute).__doc__ or ""
    except (ImportError, AttributeError):
        return ""


def _found(name: str) -> Any:
    for module in _MODULES:
        found = getattr(importlib.import_module(f"mindspore.{module}"), name, None)
        if found is not None:
            return found
    return None


def _platforms(text: str) -> str:
    match = re.search(r"Supported Platforms:\s*\n\s*(.*)", text)
    return match.group(1) if match else ""


def table(used: dict[str, tuple[set[str], set[str]]]) -> tuple[list[str], list[str]]:
    """A line an operator: who uses it, and where it is documented; and those that are not."""
    names = sorted({name for pair in used.values() for one in pair for name in one}, key=str.lower)
    lines = ["| operator | forward | training | documented for Ascend |", "|---|---|---|---|"]
    unknown = []
    for name in names:
        users = [", ".join(n for n, pair in used.items() if name in pair[i]) for i in (0, 1)]
        users = ["all" if one == ", ".join(used) else one or "-" for one in users]
        where = documented(name)
        if where is None:
            unknown.append(name)
        lines.append(f"| {name} | {users[0]} | {users[1]} | {where or 'no'} |")
    return lines, unknown


if __name__ == "__main__":
    main()
