"""Measure infer on the CPU against bare engines and PyTorch, files in and out excluded.

    python benchmarks/inference.py [--model NAME ...] [--rounds 7] [--pytorch_rounds 3] [--compiled]

Needs PyTorch and the extra onnx. One image of a megapixel: 1024x1024 in and out; for EDSR and
SwinIR 512x512 in and 1024x1024 out, for RRDBNet and SRVGG 256x256 in and as much out; for See in
the Dark a mosaic of 1024x1024, packed as 4 planes of 512x512. Random weights: the time is the
same.

- infer: what the verb does between reading and writing, with engine auto: 8-bit pixels in and out,
  padding, tiles, conversion (for See in the Dark float arrays in and out);
- onnxruntime: a session of the same exported network, as it comes, on the float array;
- ncnn, where it and pnnx are installed and it has all of the network's layers: a Net of the same
  exported network, without half precision, on the float array;
- openvino, where it is installed: the same ONNX file in float32, on the float array;
- PyTorch eager, contiguous and channels_last, of which the faster one counts;
- with --compiled, the contiguous one by torch.compile too, which compiles for minutes.

Each is a process of its own, and they take turns, one image each. Ratios are of median times, or of
the least: above 1, infer is faster.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable

import numpy as np
from common import publish
from turns import alternate, serve, spread, undo_environment

from ms_restore import recipe, registry, runtime
from ms_restore.contracts import Geometry
from ms_restore.deploy import ncnn
from ms_restore.deploy.export_cache import beside
from ms_restore.errors import InputError
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe

_CASES: dict[str, tuple[str, dict[str, Any], tuple[int, int]]] = {  # recipe, settings, input
    "edsr_baseline_x2": ("edsr_baseline_x2", {}, (512, 512)),
    "dncnn_s25": ("dncnn_s25", {}, (1024, 1024)),
    "noise2noise_gaussian": ("noise2noise_gaussian", {}, (1024, 1024)),
    "sid_sony": ("sid_sony", {}, (512, 512)),
    "dmsp_dae": ("dmsp_dae", {}, (1024, 1024)),
    "real_x4_6": ("real_x4_6", {}, (256, 256)),
    "srvgg_x4": ("srvgg_x4", {}, (256, 256)),
    "nafnet_sidd_32": ("nafnet_sidd_32", {}, (1024, 1024)),
    "swinir_light_x2": ("swinir_light_x2", {}, (512, 512)),
    "drunet_gray": ("drunet_gray", {}, (1024, 1024)),
    "ffdnet_color": ("ffdnet_color", {}, (1024, 1024)),
    "fdncnn_gray": ("fdncnn_gray", {}, (1024, 1024)),
    "ircnn_gray": ("ircnn_gray", {}, (1024, 1024)),
}
_TOLD = dict.fromkeys(("drunet_gray", "ffdnet_color", "fdncnn_gray"), 25.0)  # noise, of 0 to 255
_EAGER = ("contiguous", "channels_last")
_COMPILED = "compiled"
_TITLES = {
    "infer": "infer",
    "onnxruntime": "ONNX Runtime",
    "ncnn": "ncnn",
    "openvino": "OpenVINO",
    "contiguous": "PyTorch contiguous",
    "channels_last": "PyTorch channels_last",
    _COMPILED: "PyTorch compiled",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", choices=_CASES, nargs="+", default=list(_CASES))
    parser.add_argument("--rounds", type=int, default=7, help="turns of each (default 7)")
    parser.add_argument(
        "--pytorch_rounds", type=int, default=3, help="PyTorch's (default 3; 0: none)"
    )
    parser.add_argument("--compiled", action="store_true", help="PyTorch by torch.compile too")
    parser.add_argument("--output", type=Path, default=Path("inference.json"))
    parser.add_argument("--checkpoint", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=_TITLES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        way = _WAYS.get(options.worker, _pytorch)
        serve(way(options.model[0], options.checkpoint, options.worker), warm_up=1)
        return
    pytorch_rounds = min(options.rounds, options.pytorch_rounds)
    pytorch = (*_EAGER, *([_COMPILED] if options.compiled else [])) if pytorch_rounds else ()
    figures = {}
    for model in options.model:
        with tempfile.TemporaryDirectory(prefix="inference_") as folder:
            checkpoint = _checkpoint(model, Path(folder) / f"{model}.ckpt")
            figures[model] = measure(model, checkpoint, options.rounds, pytorch, pytorch_rounds)
        publish(figures, options.output)  # what was measured, should one fail


def measure(
    model: str, checkpoint: Path, rounds: int, pytorch: tuple[str, ...], pytorch_rounds: int
) -> dict[str, Any]:
    """PyTorch, which is slower, takes part in the first rounds alone."""
    command = [sys.executable, __file__, "--model", model, "--checkpoint", str(checkpoint)]
    ways = ("infer", *bare_engines(checkpoint))
    commands = {name: [*command, "--worker", name] for name in (*ways, *pytorch)}
    measured = alternate(commands, pytorch_rounds or rounds, 1)
    seconds = {name: one.seconds for name, one in measured.items()}
    if rounds > pytorch_rounds > 0:
        more = alternate({name: commands[name] for name in ways}, rounds - pytorch_rounds, 1)
        for name in ways:
            seconds[name] += more[name].seconds
    peaks = {
        f"peak of {_TITLES[name]}, MB": round(one.peak / 1e6)
        for name, one in measured.items()
        if name in ways
    }
    return {**summary({name: spread(values) for name, values in seconds.items()}), **peaks}


def bare_engines(checkpoint: Path) -> tuple[str, ...]:
    """Those that are installed and can compute the network, whose exports are beside it."""
    found = ["onnxruntime"]
    if beside(checkpoint, ncnn.SUFFIX).is_file():
        found.append("ncnn")
    if find_spec("openvino") is not None:
        found.append("openvino")
    return tuple(found)


def summary(times: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Seconds of all but PyTorch's slower layout, and infer's ratios to the fastest of each kind.

    ``times``: median, min and max of each way that took part.
    """
    bare = [name for name in ("onnxruntime", "ncnn", "openvino") if name in times]
    eager = [name for name in _EAGER if name in times]
    ratios = {
        f"ratio to {title}, {figure}": _ratio(times, names, figure)
        for title, names in (("bare ONNX Runtime", bare[:1]), ("the best bare engine", bare))
        for figure in ("median", "min")  # the least times are those that nothing disturbed
    }
    shown = ["infer", *bare]
    if eager:
        shown.append(_fastest(times, eager))
        ratios["ratio to PyTorch, median"] = _ratio(times, eager, "median")
    if _COMPILED in times:
        shown.append(_COMPILED)
        ratios["ratio to the best of PyTorch, compiled too, median"] = _ratio(
            times, [*eager, _COMPILED], "median"
        )
    seconds = {
        f"{_TITLES[name]}, seconds, {figure}": value
        for name in shown
        for figure, value in times[name].items()
    }
    return {**seconds, "best bare engine": _TITLES[_fastest(times, bare)], **ratios}


def _fastest(times: dict[str, dict[str, float]], names: list[str], figure: str = "median") -> str:
    return min(names, key=lambda name: times[name][figure])


def _ratio(times: dict[str, dict[str, float]], names: list[str], figure: str) -> float:
    return round(times[_fastest(times, names, figure)][figure] / times["infer"][figure], 3)


def _checkpoint(model: str, path: Path) -> Path:
    """Random weights, and beside them the exports that engine auto and the bare engines take."""
    from ms_restore import load_model
    from ms_restore.weights import checkpoint

    loaded = _recipe(model)
    runtime.start("CPU", seed=0)
    checkpoint.save(path, registry.build("network", loaded.network), loaded, {})
    taken = load_model(path, device_target="CPU").engine
    if taken not in ("onnxruntime", "ncnn"):
        raise SystemExit("engine auto does not take ONNX Runtime: pip install 'ms-restore[onnx]'")
    say(f"{model}: engine auto takes {taken}")
    try:
        load_model(path, engine="ncnn", device_target="CPU")
    except InputError as error:
        say(f"{model}: ncnn is left out: {error}")
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

    restorer = load_model(checkpoint, sigma_255=_TOLD.get(model), device_target="CPU")
    pixels = _pixels(model, restorer.channels)
    if restorer.channels == restorer.output_channels:
        return lambda: restorer.picture(Picture(pixels))
    y = pixels.astype(np.float32) / 255
    return lambda: restorer(y)


def _onnxruntime(model: str, checkpoint: Path, way: str) -> Callable[[], Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(beside(checkpoint, ".onnx")))
    y = _array(model, session.get_inputs()[0].shape[1])
    return lambda: session.run(None, {"y": y})[0]


def _ncnn(model: str, checkpoint: Path, way: str) -> Callable[[], Any]:
    import ncnn as bare

    param = beside(checkpoint, ncnn.SUFFIX)
    net = bare.Net()
    net.opt.num_threads = runtime.usable_processors()  # as many as infer takes
    for kind in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed"):
        setattr(net.opt, f"use_{kind}", False)
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))
    y = _array(model, ncnn.read(param)[0].geometry.input_channels)

    def step() -> np.ndarray:
        with net.create_extractor() as extractor:
            # a copy, aligned as ncnn needs it: on NumPy's own memory it may crash
            extractor.input("in0", bare.Mat(y[0]).clone())
            return np.array(extractor.extract("out0")[1])[None]

    return step


def _openvino(model: str, checkpoint: Path, way: str) -> Callable[[], Any]:
    import openvino

    network = openvino.Core().compile_model(
        str(beside(checkpoint, ".onnx")), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    y = _array(model, network.input(0).partial_shape[1].get_length())
    return lambda: network([y])[0]


def _pytorch(model: str, checkpoint: Path, way: str) -> Callable[[], Any]:
    import torch  # before MindSpore, which sets the threads of OpenMP
    from torch_networks import twin

    runtime.start("CPU")
    loaded = _recipe(model)
    network = registry.build("network", loaded.network)
    undo_environment()  # before PyTorch's first convolution
    memory_format = torch.channels_last if way == "channels_last" else torch.contiguous_format
    theirs = twin(network, loaded).eval().to(memory_format=memory_format)
    channels = Geometry.of(network).input_channels
    y = torch.from_numpy(_array(model, channels)).to(memory_format=memory_format)

    run = torch.compile(theirs) if way == _COMPILED else theirs

    def step() -> None:
        with torch.inference_mode():
            run(y)

    return step


_WAYS = {"infer": _infer, "onnxruntime": _onnxruntime, "ncnn": _ncnn, "openvino": _openvino}

if __name__ == "__main__":
    main()
