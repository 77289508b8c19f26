"""The engine ncnn, for networks of convolutions: on CPUs, and by Vulkan on GPUs.

Its Winograd convolutions take about half of the multiplications of ONNX Runtime's, for more memory.
So large pictures are computed in bands of rows where the network allows that (ncnn_bands.py).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.contracts import EngineMemory, Geometry, ReadPart, Size, Steps, WritePart
from ms_restore.errors import InputError
from ms_restore.images import native_messages
from ms_restore.inference.ncnn_band_graph import NotInBandsError
from ms_restore.inference.ncnn_bands import ROWS, Bands
from ms_restore.runtime import usable_processors

NEEDED = "pip install ncnn"
_HALF_PRECISION = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed")
_FACTOR = 2.1
"""Measured over five networks at 0.3 to 0.6 megapixels: 1.4 to 2.05 times the numbers of
``floats_per_pixel``."""
_BANDS_FROM = 1 << 17  # pixels; smaller pictures are about as fast in one piece
_FAR = 64  # rows below a picture that bands compute; from there on, whole pictures are faster
_LARGE = 3 << 30  # bytes up to which they then are computed so


class NcnnEngine:
    """A ``BandEngine`` of the two parts of an ncnn model.

    Args:
        param: file of the graph, NAME.param.
        model: file of the weights, NAME.bin.
        geometry: of the network.
        shape: the only (height, width) that the model takes; None if it takes any.
        vulkan: number of the GPU that computes, by Vulkan; None: the CPU computes.

    Raises:
        InputError: the package ncnn is not installed, there is no such GPU, or the graph has layers
            that ncnn does not know; or, when it is called, memory does not suffice.
    """

    name = "ncnn"

    def __init__(
        self,
        param: Path,
        model: Path,
        geometry: Geometry,
        shape: Optional[Size] = None,
        vulkan: Optional[int] = None,
    ) -> None:
        self.shape = shape
        self._geometry = geometry
        try:
            import ncnn
        except ImportError:
            raise InputError(f"engine ncnn needs the package ncnn: {NEEDED}") from None
        self._ncnn: Any = ncnn
        text = param.read_text(encoding="utf-8")
        load = functools.partial(_load, ncnn, vulkan)
        with native_messages.kept(lambda line: True) as messages:
            if vulkan is not None:
                _check_device(ncnn.get_gpu_count(), vulkan)
            try:
                self._net = load(model, text, usable_processors())
            except ValueError:
                reason = next((line for line in messages() if line.startswith("layer ")), "damaged")
                raise InputError(
                    f"{param}: ncnn cannot load it ({reason}); export it again"
                ) from None
        self._bands: Optional[Bands] = None
        if shape is None and vulkan is None:
            with contextlib.suppress(NotInBandsError):
                self._bands = Bands(ncnn, text, model, geometry.input_channels, load)
        self.memory = _memory(geometry, self._bands)

    @staticmethod
    def is_installed() -> bool:
        """Return whether the package ncnn is installed."""
        return find_spec("ncnn") is not None

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y, both (N, C, H, W) float32, one image after another."""
        return np.stack([self._one(np.ascontiguousarray(image, np.float32)) for image in y])

    def _one(self, y: np.ndarray) -> np.ndarray:
        height, width = y.shape[1:]
        if not self.memory.in_bands(height, width):
            return self._whole(y)
        scale, channels = self._geometry.scale, self._geometry.output_channels
        x_hat = np.empty((channels, scale * height, scale * width), np.float32)

        def write(top: int, left: int, values: np.ndarray) -> None:
            x_hat[:, top : top + values.shape[1], left : left + values.shape[2]] = values

        for _ in self.in_bands((height, width), lambda rows, columns: y[:, rows, columns], write):
            pass
        return x_hat

    def in_bands(self, size: Size, read: ReadPart, write: WritePart) -> Steps:
        """Return the steps that compute a picture in bands, see ``BandEngine``."""
        assert self._bands is not None, "memory.in_bands tells"
        try:
            steps = self._bands(size, read, write)
        except (OSError, ValueError) as error:
            raise InputError(
                f"ncnn cannot load the network again, for bands of a large picture ({error}); is "
                "there room for temporary files? or use --engine onnxruntime"
            ) from None

        def work() -> Iterator[None]:
            try:
                yield from steps
            except MemoryError:
                raise _too_large(size) from None

        return Steps(len(steps), work())

    def _whole(self, y: np.ndarray) -> np.ndarray:
        with self._net.create_extractor() as extractor:
            extractor.input("in0", self._ncnn.Mat(y).clone())  # a copy, aligned as ncnn needs it
            code, x_hat = extractor.extract("out0")
            if code != 0:
                raise _too_large((y.shape[1], y.shape[2]))
            return np.array(x_hat)


def _too_large(size: Size) -> InputError:
    return InputError(
        f"ncnn cannot compute {size[1]}x{size[0]} pixels at once, for which memory may not "
        "suffice; use --tile, or --engine onnxruntime"
    )


def _load(ncnn: Any, vulkan: Optional[int], model: Path, text: str, threads: int) -> Any:
    """Return a network of a graph's text; raise ValueError where ncnn cannot load it."""
    net = ncnn.Net()
    net.opt.num_threads = threads
    for name in _HALF_PRECISION:
        setattr(net.opt, f"use_{name}", False)
    if vulkan is not None:
        net.opt.use_vulkan_compute = True
        net.set_vulkan_device(vulkan)
    if net.load_param_mem(text) != 0 or net.load_model(str(model)) != 0:
        raise ValueError(model)
    return net


def _memory(geometry: Geometry, bands: Optional[Bands]) -> EngineMemory:
    if bands is None:
        return EngineMemory(_FACTOR)
    floats = geometry.floats_per_pixel
    large = _LARGE // 4 // floats if bands.depth > _FAR else 0
    per_column = round(_FACTOR * ROWS * floats) + bands.floats_per_column
    return EngineMemory(_FACTOR, max(_BANDS_FROM, large), per_column, bands.columns)


def _check_device(count: int, number: int) -> None:
    if number >= count:
        found = f"{count} of them, from number 0" if count else "none"
        raise InputError(
            f"engine ncnn: Vulkan finds no GPU number {number} here ({found}); install the GPU's "
            "Vulkan driver, choose another by --device_id, or leave --vulkan out"
        )
