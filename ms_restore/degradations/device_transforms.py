"""Fourier transforms as products with matrices, for devices without kernels for transforms."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops


class MatrixFilter(nn.Cell):
    """A correlation or convolution with a kernel by the DFT, whose sums are matrix products.

    The transform F = D_h z D_w of an image z is multiplied by the kernel's, and transformed back;
    D = C - i S, where C and S are cosine and sine matrices. Only half of the horizontal frequencies
    are computed, since those of a real image come in conjugate pairs. Where z is smaller than the
    transform, or less than the whole result is wanted, the matrices lack those rows and columns.

    Args:
        spectrum: what the transform is multiplied by, (height, width // 2 + 1) complex.
        width: of the transform.
        given: rows and columns of z.
        wanted: rows and columns of the result.
    """

    def __init__(
        self, spectrum: np.ndarray, width: int, given: tuple[int, int], wanted: tuple[int, int]
    ) -> None:
        super().__init__(auto_prefix=False)
        height, half = spectrum.shape
        self._half, self._height = half, height
        cosine, sine = _waves(given[1], half, width)
        self._right = _tensor(np.concatenate([cosine, -sine], 1))  # z to [real, imaginary]
        cosine, sine = _waves(height, given[0], height)
        self._left = _tensor(np.concatenate([cosine, sine], 0))
        self._real, self._imaginary = _tensor(spectrum.real), _tensor(spectrum.imag)
        cosine, sine = _waves(wanted[0], height, height)
        self._left_back = _tensor(np.concatenate([cosine, sine], 0) / height)
        self._rows = wanted[0]
        pairs = np.full((half, 1), 2.0)
        pairs[0] = 1
        if width % 2 == 0:
            pairs[-1] = 1
        cosine, sine = _waves(half, wanted[1], width)
        self._right_back = _tensor(np.concatenate([pairs * cosine, -pairs * sine], 0) / width)

    def construct(self, z: Tensor) -> Tensor:
        """Return the filtered images (N, C, *wanted) of z (N, C, *given)."""
        half, height, rows = self._half, self._height, self._rows
        left = ops.matmul(self._left, ops.matmul(z, self._right))
        cosine, sine = left[:, :, :height], left[:, :, height:]
        real = cosine[:, :, :, :half] + sine[:, :, :, half:]
        imaginary = cosine[:, :, :, half:] - sine[:, :, :, :half]
        both = (
            real * self._real - imaginary * self._imaginary,
            real * self._imaginary + imaginary * self._real,
        )
        back = ops.matmul(self._left_back, ops.cat(both, 3))
        cosine, sine = back[:, :, :rows], back[:, :, rows:]
        real = cosine[:, :, :, :half] - sine[:, :, :, half:]
        imaginary = cosine[:, :, :, half:] + sine[:, :, :, :half]
        return ops.matmul(ops.cat((real, imaginary), 3), self._right_back)


def _waves(rows: int, columns: int, period: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cos and sin of 2 pi r c / period for every row r and column c."""
    angle = 2 * np.pi / period * (np.outer(np.arange(rows), np.arange(columns)) % period)
    return np.cos(angle), np.sin(angle)


def _tensor(values: np.ndarray) -> Tensor:
    return Tensor(np.ascontiguousarray(values), ms.float32)
