"""The linear degradations as cells that run on the device, with the formulas of ``operators``.

``forward`` (and ``construct``) computes A x and ``adjoint`` A^T y, on (N, C, H, W) float32; both
may be called inside another compiled cell. A cell takes one height and width of x, any N and C.
"""

from __future__ import annotations

from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from scipy import fft

from ms_restore.degradations.device_transforms import MatrixFilter
from ms_restore.degradations.kernels import fft_size

# Number of kernel entries from which Fourier transforms are faster than a convolution. On the CPU,
# for an image of 180x180x3, the convolution takes 7 ms for a kernel of 7x7, 14 ms for 11x11 and
# 48 ms for 35x25; the transforms take 12, 11 and 11 ms.
_BY_TRANSFORM = 100


class OperatorCell(nn.Cell):
    """The blur of ``operators.Blur`` on the device.

    Args:
        kernel: the blur kernel (kh, kw), with odd sides.
        height: of x, in pixels.
        width: of x, in pixels.
        by_transform: blur in the frequency domain; None does so where the kernel is large enough
            for that to be faster.
        by_matrices: compute the transforms as products with matrices; None does so on an Ascend,
            where MindSpore's transforms run on the slow processors beside the fast ones.
    """

    def __init__(
        self,
        kernel: np.ndarray,
        height: int,
        width: int,
        *,
        by_transform: Optional[bool] = None,
        by_matrices: Optional[bool] = None,
    ) -> None:
        super().__init__(auto_prefix=False)
        kh, kw = kernel.shape
        self._size = (height, width)
        self._blurred = (height - kh + 1, width - kw + 1)
        self._is_point = kernel.size == 1
        self._weight = float(kernel[0, 0])
        self._by_transform = kernel.size >= _BY_TRANSFORM if by_transform is None else by_transform
        if by_matrices is None:
            by_matrices = ms.get_context("device_target") == "Ascend"
        self._by_matrices = self._by_transform and not self._is_point and by_matrices
        self._lengths = fft_size(height, width)
        self._forward: Tensor
        self._backward: Tensor
        if self._by_matrices:
            spectrum = fft.rfft2(kernel, self._size)
            self._blur = MatrixFilter(spectrum.conj(), width, self._size, self._blurred)
            self._blur_adjoint = MatrixFilter(spectrum, width, self._blurred, self._size)
        elif self._by_transform:
            spectrum = fft.rfft2(kernel, self._lengths).astype(np.complex64)
            self._forward, self._backward = Tensor(spectrum.conj()), Tensor(spectrum)
        else:
            self._forward = Tensor(kernel[None, None].astype(np.float32))
            self._backward = Tensor(kernel[::-1, ::-1][None, None].astype(np.float32))
        self._valid = ops.Conv2D(1, kernel.shape, pad_mode="valid")
        self._full = ops.Conv2D(
            1, kernel.shape, pad_mode="pad", pad=(kh - 1, kh - 1, kw - 1, kw - 1)
        )

    def construct(self, x: Tensor) -> Tensor:
        """Return A x, (N, c, h, w), for x (N, C, H, W)."""
        return self.forward(x)

    def forward(self, x: Tensor) -> Tensor:
        """Return A x, (N, c, h, w), for x (N, C, H, W)."""
        return self.sample(self.blur(x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y, (N, C, H, W), for y (N, c, h, w)."""
        return self.blur_adjoint(self.spread(y))

    def sample(self, z: Tensor) -> Tensor:
        """Return S z, the values of the blurred image z that y holds."""
        return z

    def spread(self, y: Tensor) -> Tensor:
        """Return S^T y, the values of y in their places in z, with zeros elsewhere."""
        return y

    def blur(self, x: Tensor) -> Tensor:
        """Return K x, (N, C, H - kh + 1, W - kw + 1)."""
        if self._is_point:
            return x * self._weight
        if self._by_matrices:
            return self._blur(x)
        rows, columns = self._blurred
        if self._by_transform:
            whole = ops.irfft2(ops.rfft2(x, self._lengths) * self._forward, self._lengths)
            return whole[:, :, :rows, :columns]
        images, channels, height, width = x.shape
        planes = x.reshape(images * channels, 1, height, width)
        return self._valid(planes, self._forward).reshape(images, channels, rows, columns)

    def blur_adjoint(self, z: Tensor) -> Tensor:
        """Return K^T z, (N, C, H, W)."""
        if self._is_point:
            return z * self._weight
        if self._by_matrices:
            return self._blur_adjoint(z)
        height, width = self._size
        if self._by_transform:
            whole = ops.irfft2(ops.rfft2(z, self._lengths) * self._backward, self._lengths)
            return whole[:, :, :height, :width]
        images, channels, rows, columns = z.shape
        planes = z.reshape(images * channels, 1, rows, columns)
        return self._full(planes, self._backward).reshape(images, channels, height, width)


class DownsampleCell(OperatorCell):
    """The blur and downsampling of ``operators.BlurDownsample`` on the device."""

    def __init__(self, kernel: np.ndarray, height: int, width: int, scale: int) -> None:
        super().__init__(kernel, height, width)
        self._scale = scale
        first = np.zeros((1, 1, 1, scale, 1, scale), np.float32)
        first[:, :, :, 0, :, 0] = 1
        self._first = Tensor(first)

    def sample(self, z: Tensor) -> Tensor:
        """Return every ``scale``-th row and column of z."""
        return z[:, :, :: self._scale, :: self._scale]

    def spread(self, y: Tensor) -> Tensor:
        """Return y in every ``scale``-th row and column, with zeros between."""
        images, channels, height, width = y.shape
        cells = y.reshape(images, channels, height, 1, width, 1) * self._first
        z = cells.reshape(images, channels, height * self._scale, width * self._scale)
        return z[:, :, : self._blurred[0], : self._blurred[1]]


class MaskCell(OperatorCell):
    """The blur and mask of ``operators.Mask`` on the device; the mask is (1, 1, rows, columns)."""

    def __init__(self, kernel: np.ndarray, height: int, width: int, mask: np.ndarray) -> None:
        super().__init__(kernel, height, width)
        self._mask = Tensor(mask, ms.float32)

    def sample(self, z: Tensor) -> Tensor:
        """Return z with its unknown pixels set to 0."""
        return z * self._mask

    def spread(self, y: Tensor) -> Tensor:
        """Return y with its unknown pixels set to 0."""
        return y * self._mask


class MosaicCell(MaskCell):
    """The blur and mosaic of ``bayer_mosaic.BayerMosaic`` on the device.

    The mask is (1, 3, rows, columns) and holds 1 for the channel of each pixel.
    """

    def sample(self, z: Tensor) -> Tensor:
        """Return the one colour of each pixel, (N, 1, rows, columns)."""
        return (z * self._mask).sum(axis=1, keepdims=True)
