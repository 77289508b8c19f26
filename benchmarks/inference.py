"""Measure infer on the CPU against bare ONNX Runtime and PyTorch, files in and out excluded.

    python benchmarks/inference.py [--model NAME ...] [--rounds 7] [--pytorch_rounds 3]

Needs PyTorch and the extra onnx. One image of a megapixel: 1024x1024 in and out; for EDSR 512x512
in and 1024x1024 out, for RRDBNet and SRVGG 256x256 in and as much out; for See in the Dark a mosaic
of 1024x1024, packed as 4 planes of 512x512. Random weights: the time is the same.

- infer: what the verb does between reading and writing, with engine auto: 8-bit pixels in and out,
  padding, tiles, conversion (for See in the Dark float arrays in and out);
- onnxruntime: a session of the same exported network, as it comes, on the float array;
- PyTorch eager, contiguous and channels_last, of which the faster one counts.

Each is a process of its own, and they take turns, one image each. Ratios are of median times: above
1, infer is faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
from common import publish
from turns import alternate, serve, spread, undo_environment

from ms_restore import recipe, registry, runtime
from ms_restore.settings import Recipe

_CASES: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {  # recipe, settings, input
    "edsr_baseline_x2": ("edsr_baseline_x2", {}, (512, 512)),
    "dncnn_s25": ("dncnn_s25", {}, (1024, 1024)),
    "noise2noise_gaussian": ("noise2noise_gaussian", {}, (1024, 1024)),
    "sid_sony": ("sid_sony", {}, (512, 512)),
    "dmsp_dae": ("dmsp_dae", {}, (1024, 1024)),
    "real_x4_6": ("real_x4_6", {}, (256, 256)),
    "srvgg_x4": ("srvgg_x4", {}, (256, 256)),
    "nafnet_sidd_32": ("nafnet_sidd_32", {}, (256, 256)),
    "swinir_light_x2": ("swinir_light_x2", {}, (128, 128)),
    "drunet_gray": ("drunet_gray", {}, (256, 256)),
}
_LAYOUTS = ("contiguous", "channels_last")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=_CASES, nargs="+", default=list(_CASES))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument(
        "--pytorch_rounds", type=int, default=3, help="PyTorch's (default 3; 0: none)"
    )
    parser.add_argument("--output", type=Path, default=Path("inference.json"))
    parser.add_argument("--checkpoint", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--worker", choices=("infer", "onnxruntime", *_LAYOUTS), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.worker:
        ways = {"infer": _infer, "onnxruntime": _onnxruntime}
        way = ways.get(options.worker, _pytorch)
        serve(way(options.model[0], options.checkpoint, options.worker), warm_up=1)
        return
    figures = {}
    for model in options.model:
        with tempfile.TemporaryDirectory(prefix="inference_") as folder:
            checkpoint = _checkpoint(model, Path(folder) / f"{model}.ckpt")
            figures[model] = measure(
                model, checkpoint, options.rounds, min(options.rounds, options.pytorch_rounds)
            )
    publish(figures, options.output)


def measure(model: str, checkpoint: Path, rounds: int, pytorch_rounds: int) -> dict[str, Any]:
    """PyTorch, which is slower, takes part in the first rounds alone."""
    command = [sys.executable, __file__, "--model", model, "--checkpoint", str(checkpoint)]
    ways = ("onnxruntime", "infer")
    commands = {name: [*command, "--worker", name] for name in (*ways, *_LAYOUTS)}
    taking_part = commands if pytorch_rounds else {name: commands[name] for name in ways}
    measured = alternate(taking_part, pytorch_rounds or rounds, 1)
    seconds = {name: one.seconds for name, one in measured.items()}
    peaks = {name: one.peak for name, one in measured.items()}
    if rounds > pytorch_rounds > 0:
        more = alternate({name: commands[name] for name in ways}, rounds - pytorch_rounds, 1)
        for name in ways:
            seconds[name] += more[name].seconds
    times = {name: spread(values) for name, values in seconds.items()}
    shown = {"infer": "infer", "onnxruntime": "ONNX Runtime"}
    ours = times["infer"]["median"]
    ratios = {
        f"ratio to bare ONNX Runtime, {figure}": round(
            times["onnxruntime"][figure] / times["infer"][figure], 3
        )
        for figure in ("median", "min")  # the least times are those that nothing disturbed
    }
    if pytorch_rounds:
        best = min(_LAYOUTS, key=lambda name: times[name]["median"])
        shown[best] = f"PyTorch {best}"
        ratios["ratio to PyTorch, median"] = round(times[best]["median"] / ours, 3)
    figures: dict[str, Any] = {
        f"{title}, seconds, {figure}": value
        for name, title in shown.items()
        for figure, value in times[name].items()
    }
    return {
        **figures,
        **ratios,
        "peak of infer, MB": round(peaks["infer"] / 1e6),
        "peak of ONNX Runtime, MB": round(peaks["onnxruntime"] / 1e6),
    }


def _checkpoint(model: str, path: Path) -> Path:
    """Random weights, and the export that engine auto keeps beside them."""
    from ms_restore import load_model
    from ms_restore.weights import checkpoint

    loaded = _recipe(model)
    runtime.start("CPU", seed=0)
    checkpoint.save(path, registry.build("network", loaded.network), loaded, {})
    if load_model(path, device_target="CPU").engine != "onnxruntime":
        raise SystemExit("engine auto does not take ONNX Runtime: pip install 'ms-restore[onnx]'")
    return path


def _recipe(model: str) -> Recipe:
    name, settings, _ = _CASES[model]
    return recipe.load(name, settings)


def _pixels(model: str, channels: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*_CASES[model][2], channels), np.uint8)


def _array(model: str, channels: int) -> np.ndarray:
    y = _pixels(model, channels).astype(np.float32) / 255
    return np.ascontiguousarray(y.transpose(2, 0, 1)[None])


def _infer(model: str, checkpoint: Path, way: str) -> Callable[[], Any]:
    from ms_restore import load_model
    from ms_restore.images.picture import Picture

    restorer = load_model(checkpoint, device_target="CPU")
    pixels = _pixels(model, restorer.channels)
    if restorer.channels == restorer.output_channels:
        return lambda: restorer.picture(Picture(pixels))
    y = pixels.astype(np.float32) / 255
    return lambda: restorer(y)


def _onnxruntime(model: str, checkpoint: Path, way: str) -> Callable[[], Any]:
    import onnxruntime

    from ms_restore.deploy.export_cache import beside

    session = onnxruntime.InferenceSession(str(beside(checkpoint, ".onnx")))
    y = _array(model, session.get_inputs()[0].shape[1])
    return lambda: session.run(None, {"y": y})


def _pytorch(model: str, checkpoint: Path, layout: str) -> Callable[[], Any]:
    import torch  # before MindSpore, which sets the threads of OpenMP
    from torch_networks import twin

    runtime.start("CPU")
    loaded = _recipe(model)
    network = registry.build("network", loaded.network)
    undo_environment()  # before PyTorch's first convolution
    memory_format = getattr(torch, f"{layout}_format", None) or getattr(torch, layout)
    theirs = twin(network, loaded).eval().to(memory_format=memory_format)
    y = torch.from_numpy(_array(model, network.channels)).to(memory_format=memory_format)

    def step() -> None:
        with torch.inference_mode():
            theirs(y)

    return step


if __name__ == "__main__":
    main()
