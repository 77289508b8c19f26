"""Fourier transforms as products with matrices, for devices without kernels for transforms.

The transform of an image z is D_h z D_w, with D = C - i S, where C and S are matrices of cosines
and sines. Complex numbers are pairs of tensors, real and imaginary.
"""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ms_restore.contracts import Size

Complex = tuple[Tensor, Tensor]


def product(a: Complex, b: Complex) -> Complex:
    """Return a times b."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


class ToFrequencies(nn.Cell):
    """The transform of images of which only some rows and columns are not zero.

    Args:
        size: height and width of the transform.
        rows: those of the images that are given.
        columns: the same.
        half: compute only the horizontal frequencies from 0 to width // 2; those of a real image
            come in conjugate pairs.
    """

    def __init__(self, size: Size, rows: range, columns: range, half: bool) -> None:
        super().__init__(auto_prefix=False)
        height, width = size
        self._height, self._count = height, width // 2 + 1 if half else width
        cosine, sine = _waves(columns, range(self._count), width)
        self._right = _tensor(np.concatenate([cosine, -sine], 1))  # z to [real, imaginary]
        cosine, sine = _waves(range(height), rows, height)
        self._left = _tensor(np.concatenate([cosine, sine], 0))

    def construct(self, z: Tensor) -> Complex:
        """Return the frequencies (N, C, height, count) of z (N, C, rows, columns)."""
        height, count = self._height, self._count
        left = ops.matmul(self._left, ops.matmul(z, self._right))
        cosine, sine = left[:, :, :height], left[:, :, height:]
        real = cosine[:, :, :, :count] + sine[:, :, :, count:]
        imaginary = cosine[:, :, :, count:] - sine[:, :, :, :count]
        return real, imaginary


class FromFrequencies(nn.Cell):
    """The inverse of ``ToFrequencies``, of the real part, at some rows and columns.

    Arguments are those of ``ToFrequencies``.
    """

    def __init__(self, size: Size, rows: range, columns: range, half: bool) -> None:
        super().__init__(auto_prefix=False)
        height, width = size
        self._count, self._rows = width // 2 + 1 if half else width, len(rows)
        cosine, sine = _waves(rows, range(height), height)
        self._left = _tensor(np.concatenate([cosine, sine], 0) / height)
        pairs = np.ones((self._count, 1))
        if half:
            pairs[1 : (width + 1) // 2] = 2
        cosine, sine = _waves(range(self._count), columns, width)
        self._right = _tensor(np.concatenate([pairs * cosine, -pairs * sine], 0) / width)

    def construct(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return the images (N, C, rows, columns) of frequencies (N, C, height, count)."""
        count, rows = self._count, self._rows
        back = ops.matmul(self._left, ops.cat((real, imaginary), 3))
        cosine, sine = back[:, :, :rows], back[:, :, rows:]
        real = cosine[:, :, :, :count] - sine[:, :, :, count:]
        imaginary = cosine[:, :, :, count:] + sine[:, :, :, :count]
        return ops.matmul(ops.cat((real, imaginary), 3), self._right)


class MatrixFilter(nn.Cell):
    """A correlation or convolution with a kernel by the Fourier transform.

    Where z is smaller than the transform, or less than the whole result is wanted, the matrices
    lack those rows and columns.

    Args:
        spectrum: what the transform is multiplied by, (height, width // 2 + 1) complex.
        width: of the transform.
        given: rows and columns of z.
        wanted: rows and columns of the result.
    """

    def __init__(self, spectrum: np.ndarray, width: int, given: Size, wanted: Size) -> None:
        super().__init__(auto_prefix=False)
        size = (len(spectrum), width)
        self._to = ToFrequencies(size, range(given[0]), range(given[1]), half=True)
        self._from = FromFrequencies(size, range(wanted[0]), range(wanted[1]), half=True)
        self._spectrum = as_pair(spectrum)

    def construct(self, z: Tensor) -> Tensor:
        """Return the filtered images (N, C, *wanted) of z (N, C, *given)."""
        real, imaginary = product(self._to(z), self._spectrum)
        return self._from(real, imaginary)


def as_pair(values: np.ndarray) -> Complex:
    """Return complex numbers as a pair of float32 tensors."""
    return _tensor(values.real), _tensor(values.imag)


def _waves(rows: range, columns: range, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cos and sin of 2 pi r c / period for every row r and column c."""
    angle = 2 * np.pi / period * (np.outer(rows, columns) % period)
    return np.cos(angle), np.sin(angle)


def _tensor(values: np.ndarray) -> Tensor:
    return Tensor(np.ascontiguousarray(values), ms.float32)
