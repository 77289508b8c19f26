"""Measure one DMSP iteration against the customary way: PyTorch for the prior, SciPy for the data.

    python benchmarks/dmsp_iteration.py --checkpoint dae.ckpt [--side 180] [--rounds 15]

Needs PyTorch and the extra onnx. Three ways take turns, each a process of its own at its median:

- reference: the same network in PyTorch eager, blur by scipy.signal.convolve2d per channel;
- onnxruntime: ours on a CPU, the prior by ONNX Runtime, blur by transforms in NumPy;
- mindspore: the whole iteration one compiled graph, which is what an accelerator runs.

Without --checkpoint the network has random weights of the same shape: the time is the same.
Prints a table and writes JSON with the machine and the versions.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
from common import publish
from turns import alternate, serve, undo_environment

from ms_restore import recipe, registry, runtime
from ms_restore.contracts import Geometry
from ms_restore.degradations import kernels, operators
from ms_restore.deploy.translation import onnx_graph
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.solvers.dmsp import DMSP
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.verbs.network_loading import network_of

_SIGMA_255 = 2.55
_WAYS = ("reference", "onnxruntime", "mindspore")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="of dmsp_dae (none: random weights)")
    parser.add_argument("--side", type=int, default=180, help="of the image (default 180)")
    parser.add_argument("--kernel", default="motion:31:50", help="default motion:31:50")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, default=Path("dmsp_iteration.json"))
    parser.add_argument("--worker", choices=_WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(_way(options.worker, options))
        return
    kernel = kernels.load(options.kernel)
    command = [sys.executable, *sys.argv]
    workers = {name: [*command, "--worker", name] for name in _WAYS}
    measured = alternate(workers, options.rounds, 1)
    medians = {name: float(np.median(one.seconds)) for name, one in measured.items()}
    figures: dict[str, Any] = {
        "seconds": {name: round(value, 4) for name, value in medians.items()},
        "ratio of reference": {
            name: round(medians["reference"] / medians[name], 2)
            for name in ("onnxruntime", "mindspore")
        },
        "side": options.side,
        "kernel_rows": kernel.shape[0],
        "kernel_columns": kernel.shape[1],
        "rounds": options.rounds,
    }
    publish(figures, options.output)


def _way(name: str, options: argparse.Namespace) -> Callable[[], None]:
    if name == "reference":
        import torch  # noqa: F401 - before MindSpore, which sets the threads of OpenMP
    runtime.start("CPU")
    prior = _prior(options.checkpoint)
    kernel = kernels.load(options.kernel)
    blur = operators.Blur(kernel)
    x = np.random.default_rng(0).random((1, 3, options.side, options.side)).astype(np.float32)
    y = blur.forward(x)
    return _reference(prior, kernel, y) if name == "reference" else _ours(name, prior, blur, y)


def _prior(checkpoint: Optional[Path]) -> DenoiserPrior:
    if checkpoint is not None:
        return DenoiserPrior(LoadedNetwork.of(*network_of(checkpoint, None, None)))
    dae = recipe.load("dmsp_dae")
    return DenoiserPrior(LoadedNetwork.of(registry.build("network", dae.network), dae))


def _ours(
    engine: str, prior: DenoiserPrior, blur: operators.Blur, y: np.ndarray
) -> Callable[[], None]:
    if engine == "onnxruntime":
        cell = prior.loaded.cell
        by = OnnxRuntimeEngine(onnx_graph.model_of(cell).SerializeToString())
        prior = DenoiserPrior(LoadedNetwork(by, Geometry.of(cell), prior.recipe))
    solver = DMSP(prior)
    descent = solver.descent(y, blur, sigma_255=_SIGMA_255, seed=0)

    def advance() -> None:
        descent.advance()
        descent.figures()  # waits for the device

    return advance


def _reference(prior: DenoiserPrior, kernel: np.ndarray, y: np.ndarray) -> Callable[[], None]:
    """The iteration as the customary Python implementation computes it."""
    undo_environment()  # before PyTorch's first convolution
    import torch
    from scipy.signal import convolve2d
    from torch import nn

    network = prior.network
    layers: list[Any] = []
    for ours in (network.first, *(layer.conv for layer in network.middle), network.last):
        inputs, outputs = ours.weight.shape[1], ours.weight.shape[0]
        theirs = nn.Conv2d(inputs, outputs, 3, padding=1)
        theirs.weight.data = torch.from_numpy(ours.weight.asnumpy())
        theirs.bias.data = torch.from_numpy(ours.bias.asnumpy())
        layers += [theirs, nn.ReLU()]
    residual = nn.Sequential(*layers[:-1]).eval()
    rng = np.random.default_rng(0)
    flipped = kernel[::-1, ::-1]
    weight = (_SIGMA_255**-2) / (_SIGMA_255**-2 + prior.sigma_255**-2)
    degraded = y[0].transpose(1, 2, 0).astype(np.float64)
    pad = [(side // 2, side // 2) for side in kernel.shape]
    state = {"x": np.pad(degraded, [*pad, (0, 0)], mode="edge")}
    state["v"] = np.zeros_like(state["x"])

    def convolved(image: np.ndarray, taps: np.ndarray, mode: str) -> np.ndarray:
        return np.stack([convolve2d(image[:, :, c], taps, mode) for c in range(3)], axis=2)

    def advance() -> None:
        x = state["x"]
        noisy = x + rng.normal(0, prior.sigma_255 / 255, x.shape)
        with torch.no_grad():
            t = torch.from_numpy(noisy.transpose(2, 0, 1)[None].astype(np.float32))
            denoised = (t - residual(t)).numpy()[0].transpose(1, 2, 0)
        error = convolved(x, flipped, "valid") - degraded
        gradient = weight * convolved(error, kernel, "full") + (1 - weight) * (x - denoised)
        state["v"] = 0.9 * state["v"] - 0.1 * gradient
        state["x"] = np.clip(x + state["v"], 0, 1)

    return advance


if __name__ == "__main__":
    main()
