"""The closed-form data steps of DPIR as cells that run on the device, as ``operators`` has them.

Each computes the x that minimises |A x - y|^2 + alpha |x - z|^2, for one height and width of x.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from mindspore import Tensor, nn, ops

from ms_restore.contracts import Size
from ms_restore.degradations.device_transforms import (
    FromFrequencies,
    ToFrequencies,
    as_pair,
    product,
)


class PointProximal(nn.Cell):
    """The data step without a blur, pixel by pixel.

    Args:
        weight: the only entry of the kernel.
        known: (1, C, H, W), 1 where y holds a value and 0 elsewhere.
    """

    def __init__(self, weight: float, known: np.ndarray) -> None:
        super().__init__(auto_prefix=False)
        self._weight = weight
        self._energy = Tensor((weight**2 * known).astype(np.float32))

    def construct(self, z: Tensor, held: Tensor, alpha: Tensor) -> Tensor:
        """Return x for z, both (N, C, H, W), and the values ``held`` of y in their places."""
        return (self._weight * held + alpha * z) / (self._energy + alpha)


class BlurProximal(nn.Cell):
    """The data step of a blur, and of values that are missing after it.

    Args:
        kernel: the blur's (kh, kw).
        known: (1, C, H, W), 1 where y holds a value of the blurred image and 0 elsewhere, also
            beyond the borders of y.
        fillings: how often values that y lacks are found anew.
    """

    def __init__(self, kernel: np.ndarray, known: np.ndarray, fillings: int) -> None:
        super().__init__(auto_prefix=False)
        size = (known.shape[-2], known.shape[-1])
        spectrum = np.fft.rfft2(kernel, size)
        self._kernel, self._blur = as_pair(spectrum), as_pair(spectrum.conj())
        self._energy = Tensor((abs(spectrum) ** 2).astype(np.float32))
        self._missing = Tensor((1 - known).astype(np.float32))
        self._to = ToFrequencies(size, range(size[0]), range(size[1]), half=True)
        self._from = FromFrequencies(size, range(size[0]), range(size[1]), half=True)
        self._fillings = fillings

    def construct(self, z: Tensor, held: Tensor, alpha: Tensor) -> Tensor:
        """Return x for z, both (N, C, H, W), and the values ``held`` of y in their places."""
        transform = self._to(z)
        energy = self._energy + alpha
        solved = transform
        for _ in range(self._fillings):
            real, imaginary = product(solved, self._blur)
            filled = held + self._missing * self._from(real, imaginary)
            data = product(self._to(filled), self._kernel)
            solved = (
                (data[0] + alpha * transform[0]) / energy,
                (data[1] + alpha * transform[1]) / energy,
            )
        return self._from(solved[0], solved[1])


class DownsampleProximal(nn.Cell):
    """The data step of a blur and downsampling, see ``operators.BlurDownsample.proximal``.

    Args:
        kernel: the blur's (kh, kw).
        size: height and width of x.
        known: (1, 1, h, w), 1 where y holds a sample and 0 for those beyond its borders.
        scale: 1, 2, 3, ...
        fillings: how often values that y lacks are found anew.
        edges: how x is continued to a multiple of the scale, in NumPy's words.
    """

    def __init__(
        self,
        kernel: np.ndarray,
        size: Size,
        known: np.ndarray,
        scale: int,
        fillings: int,
        edges: Literal["reflect", "edge"],
    ) -> None:
        super().__init__(auto_prefix=False)
        low = (known.shape[-2], known.shape[-1])
        whole = (low[0] * scale, low[1] * scale)
        spectrum = np.fft.fft2(kernel, whole)
        self._kernel, self._blur = as_pair(spectrum), as_pair(spectrum.conj())
        energy = (abs(spectrum) ** 2).reshape(scale, low[0], scale, low[1]).mean((0, 2))
        self._energy = Tensor(energy.astype(np.float32))
        self._missing = Tensor((1 - known).astype(np.float32))
        rows, columns = range(whole[0]), range(whole[1])
        self._to = ToFrequencies(whole, rows, columns, half=False)
        self._sampled = FromFrequencies(whole, rows[::scale], columns[::scale], half=False)
        self._from = FromFrequencies(whole, rows[: size[0]], columns[: size[1]], half=False)
        self._to_low = ToFrequencies(low, range(low[0]), range(low[1]), half=False)
        self._from_low = FromFrequencies(low, range(low[0]), range(low[1]), half=False)
        continued = [
            np.pad(np.arange(side), (0, whole_side - side), mode=edges)
            for side, whole_side in zip(size, whole)
        ]
        self._rows, self._columns = (Tensor(places.astype(np.int32)) for places in continued)
        self._scale, self._fillings = scale, fillings

    def construct(self, z: Tensor, held: Tensor, alpha: Tensor) -> Tensor:
        """Return x for z, both (N, C, H, W), and the samples ``held`` (N, C, h, w) of y."""
        image = ops.gather(ops.gather(z, self._rows, 2), self._columns, 3)
        real, imaginary = product(self._to(image), self._blur)
        before = self._sampled(real, imaginary)  # A z
        energy = self._energy + alpha
        after = before
        real = imaginary = before
        for _ in range(self._fillings):
            found = self._to_low(held + self._missing * after - before)
            real, imaginary = found[0] / energy, found[1] / energy
            after = before + self._from_low(self._energy * real, self._energy * imaginary)
        times = (1, 1, self._scale, self._scale)
        tiled = (ops.tile(real, times), ops.tile(imaginary, times))
        real, imaginary = product(tiled, self._kernel)
        return z + self._from(real, imaginary)
