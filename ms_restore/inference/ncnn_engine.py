"""The engine ncnn, for networks of convolutions: on CPUs, and by Vulkan on GPUs.

Its Winograd convolutions take about half of the multiplications of ONNX Runtime's, for more memory.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.contracts import Size
from ms_restore.errors import InputError
from ms_restore.images import native_messages
from ms_restore.runtime import usable_processors

NEEDED = "pip install ncnn"
_HALF_PRECISION = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "bf16_packed")


class NcnnEngine:
    """An ``Engine`` of the two parts of an ncnn model.

    Args:
        param: file of the graph, NAME.param.
        model: file of the weights, NAME.bin.
        shape: the only (height, width) that the model takes; None if it takes any.
        vulkan: number of the GPU that computes, by Vulkan; None: the CPU computes.

    Raises:
        InputError: the package ncnn is not installed, there is no such GPU, or the graph has layers
            that ncnn does not know; or, when it is called, memory does not suffice.
    """

    name = "ncnn"
    memory_factor = 2.1
    """Measured over five networks at 0.3 to 0.6 megapixels: 1.4 to 2.05 times the numbers of
    ``floats_per_pixel``."""

    def __init__(
        self, param: Path, model: Path, shape: Optional[Size] = None, vulkan: Optional[int] = None
    ) -> None:
        self.shape = shape
        try:
            import ncnn
        except ImportError:
            raise InputError(f"engine ncnn needs the package ncnn: {NEEDED}") from None
        self._ncnn: Any = ncnn
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = usable_processors()
        for name in _HALF_PRECISION:
            setattr(options, f"use_{name}", False)
        with native_messages.kept(lambda line: True) as messages:
            if vulkan is not None:
                options.use_vulkan_compute = True
                _check_device(ncnn.get_gpu_count(), vulkan)
                self._net.set_vulkan_device(vulkan)
            if self._net.load_param(str(param)) != 0 or self._net.load_model(str(model)) != 0:
                reason = next((line for line in messages() if line.startswith("layer ")), "damaged")
                raise InputError(f"{param}: ncnn cannot load it ({reason}); export it again")

    @staticmethod
    def is_installed() -> bool:
        """Return whether the package ncnn is installed."""
        return find_spec("ncnn") is not None

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y, both (N, C, H, W) float32, one image after another."""
        return np.stack([self._one(np.ascontiguousarray(image, np.float32)) for image in y])

    def _one(self, y: np.ndarray) -> np.ndarray:
        with self._net.create_extractor() as extractor:
            extractor.input("in0", self._ncnn.Mat(y).clone())  # a copy, aligned as ncnn needs it
            code, x_hat = extractor.extract("out0")
            if code != 0:
                size = f"{y.shape[2]}x{y.shape[1]}"
                raise InputError(
                    f"ncnn cannot compute {size} pixels at once (code {code}), for which memory "
                    "may not suffice; use --tile, or --engine onnxruntime"
                )
            return np.array(x_hat)


def _check_device(count: int, number: int) -> None:
    if number >= count:
        found = f"{count} of them, from number 0" if count else "none"
        raise InputError(
            f"engine ncnn: Vulkan finds no GPU number {number} here ({found}); install the GPU's "
            "Vulkan driver, choose another by --device_id, or leave --vulkan out"
        )
