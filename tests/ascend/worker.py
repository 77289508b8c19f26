"""What tests/ascend/test_compile.py starts: compiles graphs for one SoC, and keeps their dumps.

    python tests/ascend/worker.py SOC FOLDER [CASE ...]

Each case is a name and a function that compiles; its dumps go into FOLDER/CASE, and what it returns
into FOLDER/report.json, beside the error of one that fails. The environment is that of ``stubs``.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Callable

import yaml

from ms_restore import recipe as recipes
from ms_restore import registry

TOP = Path(__file__).parents[2]
SMALL: dict[str, dict[str, Any]] = {
    model: settings
    for path in sorted((TOP / "models").glob("*/reduced.yml"))
    for model, settings in yaml.safe_load(path.read_text(encoding="utf-8")).items()
}
ALL_OPTIONS = {"accumulate": 2, "clip_norm": 1.0, "ema_decay": 0.99}
LOSSES = [
    "mse",
    "sum_squared",
    "masked_mse",
    "annealed_l0",
    "charbonnier",
    "psnr",
]  # l1 is the default
IN_BFLOAT16 = ["edsr", "sid_sony", "noise2noise_mri"]  # plain, with Bayer planes, with transforms
OPERATORS = ["blur", "downsample", "mask", "mosaic"]
OPTIMIZERS = {"sgd": {}, "adam": {"beta1_end": 0.5}, "adam_w": {}}


def recipe_of(model: str, **train: Any) -> recipes.Recipe:
    """A shipped model's recipe with its network as small as it goes."""
    sizes = SMALL[model]
    settings = {f"network.{key}": value for key, value in sizes.items()}
    settings |= {"data.patch_size": sizes["side"]} if "side" in sizes else {}
    settings |= {f"train.{key}": value for key, value in train.items()}
    return recipes.load(model, settings)


def sample(network: Any, accumulate: int = 1) -> tuple[Any, Any]:
    """A batch (y, x) of zeros of the smallest size."""
    import mindspore as ms
    import numpy as np

    from ms_restore.contracts import Geometry

    geometry = Geometry.of(network)
    side = geometry.side or 2 * geometry.size_multiple
    large = geometry.scale * side
    y = np.zeros((accumulate, geometry.input_channels, side, side), np.float32)
    x = np.zeros((accumulate, geometry.output_channels, large, large), np.float32)
    return ms.Tensor(y), ms.Tensor(x)


def step(model: str, ranks: int = 1, alone: bool = False, **train: Any) -> None:
    """Compile the training step of a recipe.

    With two ranks this is the first, and the second does not exist, since nothing is sent. With
    ``alone`` it keeps its overflow to itself, as it must not.
    """
    from mindspore import nn

    from ms_restore import parallel
    from ms_restore.training.step_builder import build_step

    recipe = recipe_of(model, **train)
    network = registry.build("network", recipe.network)
    before, parallel._ranks = parallel._ranks, parallel.Ranks(0, ranks)
    try:
        cell = build_step(network, recipe).set_train()
    finally:
        parallel._ranks = before
    if alone:
        cell.sum = nn.Identity()
    cell(*sample(network, recipe.train.accumulate))


def refused() -> str:
    """Build a step in bfloat16; what is said against it."""
    from ms_restore.errors import InputError

    try:
        step("edsr", amp_level="O2", amp_dtype="bfloat16")
    except InputError as error:
        return str(error)
    return ""


def engine(model: str) -> None:
    """Compile what the engine runs, folded where the network folds, for any size."""
    from ms_restore.contracts import Foldable
    from ms_restore.inference.any_size import AnySize

    recipe = recipe_of(model)
    network = registry.build("network", recipe.network).set_train(False)
    for cell in [network, *([network.folded()] if isinstance(network, Foldable) else [])]:
        AnySize(cell).set_train(False)(sample(cell)[0])


def validation(model: str) -> None:
    """Compile what validates a run at O2: float32, beside a network that trains in float16."""
    from ms_restore.inference.any_size import AnySize
    from ms_restore.training.state import RunState
    from ms_restore.training.step_builder import build_step

    recipe = recipe_of(model, amp_level="O2")
    network, second = (registry.build("network", recipe.network) for _ in range(2))
    state = RunState(network, build_step(network, recipe), second, recipe)
    AnySize(state.validated).set_train(False)(sample(second)[0])


def sink(model: str = "edsr") -> list[int]:
    """Compile a run of 250 steps by data sink; the steps at which callbacks were called."""
    from mindspore.train import Callback

    from ms_restore.contracts import Geometry
    from ms_restore.training import callbacks, trainer
    from ms_restore.training.run_data import open_data
    from ms_restore.training.step_builder import build_step

    recipe = recipe_of(model, steps=250, batch_size=1)
    recipe.data.patch_size = 16
    network = registry.build("network", recipe.network)
    degradation = registry.build("degradation", recipe.degradation)
    batches, _ = open_data(recipe, Geometry.of(network), degradation, 250)
    steps, seen = callbacks.Steps(0, 250), []

    class Seen(Callback):
        def on_train_step_end(self, run_context: Any) -> None:
            seen.append(steps.now(run_context))

    trainer.fit(build_step(network, recipe), batches, 1, steps, [Seen()], trainer.SINK_STEPS)
    return seen


def solver(kind: str, large: bool, blind: bool) -> None:
    """Compile an iteration of the solver; ``large`` is a kernel that transforms are for."""
    import numpy as np

    from ms_restore.degradations import bayer_mosaic, kernels, operators
    from ms_restore.inference.loaded_network import LoadedNetwork
    from ms_restore.solvers.dmsp import DMSP
    from ms_restore.solvers.priors import DenoiserPrior

    recipe = recipes.load("dmsp_dae", {"network.layers": 2, "network.filters": 4})
    network = registry.build("network", recipe.network)
    kernel = kernels.load("disk:6" if large else "gaussian:0.5")
    rows, columns = (side - k + 1 for side, k in zip((32, 30), kernel.shape))
    mask = np.random.default_rng(0).random((rows, columns)) > 0.5
    operator = {
        "blur": lambda: operators.Blur(kernel),
        "downsample": lambda: operators.BlurDownsample(kernel, 2),
        "mask": lambda: operators.Mask(mask, kernel),
        "mosaic": lambda: bayer_mosaic.BayerMosaic(kernel=kernel),
    }[kind]()
    y = operator.forward(np.zeros((1, 3, 32, 30), np.float32))
    dmsp = DMSP(DenoiserPrior(LoadedNetwork.of(network, recipe)))
    descent = dmsp.descent(y, operator, sigma_255=None if blind else 2.0)
    descent._iterate(descent._x, descent._v, descent._y, descent._x)


def dpir(kind: str) -> None:
    """Compile an iteration of the other solver, which turns the image on its side."""
    import numpy as np

    from ms_restore.degradations import kernels, operators
    from ms_restore.inference.loaded_network import LoadedNetwork
    from ms_restore.solvers.dpir import DPIR
    from ms_restore.solvers.priors import DenoiserPrior

    recipe = recipes.load("ffdnet_gray", {"network.layers": 3, "network.filters": 4})
    network = registry.build("network", recipe.network)
    kernel = kernels.load("gaussian:0.5")
    mask = np.random.default_rng(0).random((32, 29)) > 0.5
    operator = {
        "blur": lambda: operators.Blur(kernel),
        "downsample": lambda: operators.BlurDownsample(kernel, 2),
        "mask": lambda: operators.Mask(mask),
    }[kind]()
    y = operator.forward(np.zeros((1, 3, 32, 29), np.float32))
    solver = DPIR(DenoiserPrior(LoadedNetwork.of(network, recipe)), iterations=3)
    steps = solver._steps(operator, y, operator.start(y))
    steps.advance(2, 0.1, 0.1)


def noise() -> None:
    """Compile the solver's noise in a graph, in which it is called operation by operation."""
    from mindspore import mint, nn

    from ms_restore.solvers.device_noise import device_noise

    made = device_noise((1, 3, 8, 8), 0.1, 0)

    class Noise(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.generator = made._generator

        def construct(self) -> Any:
            return mint.normal(0.0, 0.1, (1, 3, 8, 8), self.generator)

    made()  # operation by operation, as the solver does
    Noise()()


def broken(kind: str) -> None:
    """Compile a cell with a fault, which a check must find."""
    import mindspore as ms
    from mindspore import nn, ops

    class Broken(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.normal, self.print = ops.StandardNormal(1, 1), ops.Print()
            self.relu = ops.ReLU()
            self.beside = ops.Exp().set_device("CPU")

        def construct(self, x: ms.Tensor) -> ms.Tensor:
            if kind == "aicpu":
                x = x + self.normal(x.shape)
            elif kind == "callback":
                self.print(x)
            elif kind == "cpu":
                x = self.beside(x)
            return self.relu(x)

    Broken()(ms.Tensor([1.0, 2.0]))


def cases() -> dict[str, Callable[[], Any]]:
    """All of them, by name."""
    made: dict[str, Callable[[], Any]] = {}
    for model in SMALL:
        for level in ("O0", "O2"):
            made[f"step-{model}-{level}"] = functools.partial(step, model, amp_level=level)
        made[f"engine-{model}"] = functools.partial(engine, model)
    for model in IN_BFLOAT16:
        made[f"step-{model}-bfloat16"] = functools.partial(
            step, model, amp_level="O2", amp_dtype="bfloat16"
        )
        made[f"validation-{model}"] = functools.partial(validation, model)
    small = functools.partial(step, "edsr", amp_level="O2")
    made["options"] = functools.partial(small, **ALL_OPTIONS)
    for loss in LOSSES:
        made[f"loss-{loss}"] = functools.partial(small, loss={"name": loss})
    for name, settings in OPTIMIZERS.items():
        made[f"optimizer-{name}"] = functools.partial(small, optimizer={"name": name, **settings})
    for scale in ("none", "fixed"):
        made[f"scale-{scale}"] = functools.partial(small, loss_scale=scale)
    made["sink"] = sink
    for kind in OPERATORS:
        for large in (False, True):
            name = f"solver-{kind}-{'large' if large else 'small'}"
            made[name] = functools.partial(solver, kind, large, blind=large)
    for kind in ("blur", "downsample", "mask"):
        made[f"dpir-{kind}"] = functools.partial(dpir, kind)
    made["noise"] = noise
    made["refused"] = refused
    for kind in ("aicpu", "callback", "cpu"):
        made[f"broken-{kind}"] = functools.partial(broken, kind)
    made["ranks-O2"] = functools.partial(step, "edsr", 2, amp_level="O2")
    made["ranks-O0"] = functools.partial(step, "edsr", 2, **ALL_OPTIONS)
    made["broken-ranks"] = functools.partial(step, "edsr", 2, True, amp_level="O2")
    return made


def yield_to_this_thread() -> None:
    """Let this process's other threads run where nothing else does.

    Two of the plugin's wait for an Ascend's reports, and without one they ask without a rest.
    """
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != threading.get_native_id():
            os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))


def main() -> None:
    soc, folder, *wanted = sys.argv[1:]
    dumps = Path(folder) / "dumps"
    os.environ["MS_DEV_SAVE_GRAPHS"] = "1"  # all three are read when MindSpore is loaded
    os.environ["MS_DEV_DUMP_IR_PASSES"] = "validate"
    os.environ["MS_DEV_SAVE_GRAPHS_PATH"] = str(dumps)
    import mindspore as ms

    ms.set_device("Ascend")
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.Tensor([1.0]) + 1  # loads the plugin, which reads the SoC's name
    ctypes.CDLL(os.environ["STUBS"]).choose_soc(soc.encode())
    report: dict[str, Any] = {"target": ms.get_context("device_target")}
    for name, case in cases().items():
        if wanted and name not in wanted:
            continue
        yield_to_this_thread()
        gc.collect()
        gc.freeze()  # or MindSpore looks through all that the cases before left, at every graph
        began, found = time.perf_counter(), {}
        try:
            found["returned"] = case()
        except Exception:
            found["error"] = traceback.format_exc()[-3000:]
        graphs = sorted(path for path in dumps.rglob("*_validate_*.ir"))
        for number, path in enumerate(graphs):
            target = Path(folder) / name / f"{number}.ir"
            target.parent.mkdir(exist_ok=True)
            path.rename(target)
        report[name] = {"graphs": len(graphs), "seconds": time.perf_counter() - began, **found}
        (Path(folder) / "report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
