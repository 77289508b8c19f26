"""Measure training steps on the CPU against PyTorch: forward, loss, backward, Adam, in float32.

    python benchmarks/training_step.py [--model NAME ...] [--rounds 8] [--compiled]

Needs PyTorch. Ours is the step that ``train`` runs, as ``training.step_builder.build_step`` makes
it of the recipe, at O0; PyTorch's is the same network with the same weights in eager mode,
contiguous and channels_last, and with --compiled both by torch.compile too, which compiles for
minutes: the fastest counts. Each is a process of its own, and they take turns.
Ratios are PyTorch's median time over ours, and its peak of memory over ours: above 1, ours is
faster, or smaller. On a machine that others use, one core and one thread each tell more, by the
time of the processor, which waiting does not count to:

    OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/training_step.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
from common import publish
from turns import Measured, alternate, serve, spread, undo_environment

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.contracts import Geometry
from ms_restore.settings import Recipe

_CASES = {  # model, and its input
    "edsr_baseline_x2": (16, 3, 48, 48),
    "dncnn_s25": (32, 1, 40, 40),
    "noise2noise_gaussian": (4, 3, 256, 256),
    "sid_sony": (1, 4, 256, 256),
    "dmsp_dae": (8, 3, 64, 64),
    "real_x4_6": (2, 3, 32, 32),
    "srvgg_x4": (4, 3, 32, 32),
    "nafnet_sidd_32": (2, 3, 128, 128),
    "swinir_light_x2": (4, 3, 64, 64),
    "drunet_gray": (2, 2, 64, 64),
    "ffdnet_color": (16, 4, 50, 50),
    "fdncnn_gray": (16, 2, 50, 50),
    "ircnn_gray": (32, 1, 35, 35),
}
_EAGER = ("contiguous", "channels_last")
_COMPILED = tuple(f"{layout}, compiled" for layout in _EAGER)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=_CASES, nargs="+", default=list(_CASES))
    parser.add_argument("--rounds", type=int, default=8, help="turns of each (default 8)")
    parser.add_argument("--steps", type=int, default=3, help="in a turn (default 3)")
    parser.add_argument(
        "--convolutions", choices=("onednn", "mindspore"), default="onednn", help="whose are ours"
    )
    parser.add_argument("--compiled", action="store_true", help="PyTorch by torch.compile too")
    parser.add_argument("--output", type=Path, default=Path("training_step.json"))
    workers = ("ours", "twin", *_EAGER, *_COMPILED)
    parser.add_argument("--worker", choices=workers, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker == "twin":
        _write_twin(options.model[0], options.file)
    elif options.worker == "ours":
        serve(_ours(options.model[0], options.convolutions))
    elif options.worker:
        serve(_theirs(options.file, options.worker))
    if options.worker:
        return
    figures = {}
    for model in options.model:
        pytorch = (*_EAGER, *(_COMPILED if options.compiled else ()))
        measured = _measured(model, options.rounds, options.steps, options.convolutions, pytorch)
        figures[model] = _summary(measured)
        publish(figures, options.output)  # what was measured, should one fail


def _measured(
    model: str, rounds: int, steps: int, convolutions: str, pytorch: tuple[str, ...]
) -> dict[str, Measured]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--model", model, "--file", f"{folder}/twin.pt"]
        command += ["--convolutions", convolutions]
        subprocess.run([*command, "--worker", "twin"], check=True)
        commands = {name: [*command, "--worker", name] for name in ("ours", *pytorch)}
        return alternate(commands, rounds, steps)


def _summary(measured: dict[str, Measured]) -> dict[str, Any]:
    ours = measured.pop("ours")
    fastest = min(measured, key=lambda name: np.median(measured[name].seconds))
    theirs = measured[fastest]
    return {
        "ours (s)": spread(ours.seconds),
        "PyTorch (s)": spread(theirs.seconds),
        "fastest of PyTorch": fastest,
        "ours, processors' time (s)": spread(ours.spent),
        "PyTorch, processors' time (s)": spread(theirs.spent),
        "peak, ours (MB)": round(ours.peak / 1e6),
        "peak, PyTorch (MB)": round(theirs.peak / 1e6),
        "ratio": _ratio(theirs.seconds, ours.seconds),
        "ratio of processors' time": _ratio(theirs.spent, ours.spent),
        "ratio of memory": round(theirs.peak / ours.peak, 3),
    }


def _ratio(theirs: list[float], ours: list[float]) -> float:
    return round(float(np.median(theirs) / np.median(ours)), 3)


def network_and_batch(
    model: str, convolutions: str = "onednn"
) -> tuple[Recipe, Any, np.ndarray, np.ndarray]:
    """The case's recipe, its network, and a batch: y and as many random pixels as x_hat has."""
    shape = _CASES[model]
    settings = {"train.amp_level": "O0", "train.accumulate": 1}
    settings["train.cpu_convolutions"] = convolutions
    recipe = recipes.load(model, settings)
    runtime.start("CPU", seed=recipe.seed)
    network = registry.build("network", recipe.network)
    rng = np.random.default_rng(0)
    y = rng.random(shape, np.float32)
    count, _, height, width = shape
    channels = Geometry.of(network).output_channels
    x = rng.random((count, channels, network.scale * height, network.scale * width), np.float32)
    return recipe, network, y, x


def _ours(model: str, convolutions: str) -> Callable[[], Any]:
    import mindspore as ms

    from ms_restore.training.step_builder import build_step

    recipe, network, y, x = network_and_batch(model, convolutions)
    cell = build_step(network, recipe).set_train()
    batch = ms.Tensor(y), ms.Tensor(x)
    return lambda: float(cell(*batch)[0].asnumpy())


def _write_twin(model: str, path: Path) -> None:
    """For processes in which PyTorch is alone, so that their memory is its own."""
    import torch
    from torch_networks import twin

    recipe, network, y, x = network_and_batch(model)
    batch = torch.from_numpy(y), torch.from_numpy(x)
    torch.save((twin(network, recipe).train(), batch, recipe.train), path)


def _theirs(path: Path, way: str) -> Callable[[], Any]:
    undo_environment()
    import torch

    theirs, batch, train = torch.load(path, weights_only=False)
    layout, _, compiled = way.partition(", ")
    memory_format = getattr(torch, f"{layout}_format", None) or getattr(torch, layout)
    theirs = theirs.to(memory_format=memory_format)
    y, x = (z.contiguous(memory_format=memory_format) for z in batch)
    loss_of = {
        "l1": torch.nn.L1Loss(),
        "mse": torch.nn.MSELoss(),
        "sum_squared": lambda x_hat, x: torch.square(x_hat - x).sum() / (2 * len(x)),
        "psnr": lambda x_hat, x: (
            10 * torch.log10(torch.square(x_hat - x).mean((1, 2, 3)) + train.loss["eps"]).mean()
        ),
    }[train.loss["name"]]
    run = torch.compile(theirs) if compiled else theirs
    settings = train.optimizer
    optimizer = {"adam": torch.optim.Adam, "adam_w": torch.optim.AdamW}[settings["name"]](
        theirs.parameters(),
        train.lr,
        betas=(settings["beta1"], settings["beta2"]),
        eps=settings["eps"],
        weight_decay=settings["weight_decay"],
    )

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_of(run(y), x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
