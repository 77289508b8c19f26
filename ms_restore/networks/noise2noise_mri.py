"""Noise2Noise for undersampled MRI: the U-Net, whose output keeps the measured frequencies.

Lehtinen et al., "Noise2Noise", ICML 2018, arXiv 1803.04189, section 3.4.

Differs from the paper: the Fourier transforms are products with cosine and sine matrices, so that
they need no complex numbers and have gradients on any device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, nn, ops

from ms_restore.networks.noise2noise import Noise2Noise

if TYPE_CHECKING:
    from ms_restore.settings import Recipe


class Noise2NoiseMRI(nn.Cell):
    """The network x_hat = K(U(y)): a U-Net U, and K, which replaces measured frequencies.

    Args:
        side: height and width of a slice in pixels, one less than a multiple of 32.
        width: number of filters in the layers of the U-Net's encoder.
        keep_measured: apply K ("fspec" in the authors' program); otherwise x_hat = U(y).

    Inputs: y (N, 2, side, side) float32. The first channel is the image in [0, 1] of the measured
    frequencies, each divided by its probability p of being measured. The second channel holds p
    for the measured frequencies and 0 for the others, in the order of ``np.fft.fft2``.
    Outputs: x_hat (N, 1, side, side) float32, not clipped.
    """

    scale = 1
    size_multiple = 1
    channels = 2
    output_channels = 1
    receptive_radius = None  # a frequency depends on every pixel

    def __init__(self, *, side: int = 255, width: int = 48, keep_measured: bool = True) -> None:
        super().__init__()
        self.side = side
        self.float16_part = Noise2Noise(channels=1, width=width)
        self.floats_per_pixel = self.float16_part.floats_per_pixel
        self.consistency = MeasuredFrequencies(side) if keep_measured else None
        # an Ascend computes ops.pad on its slow processors
        self._pad_by_mint = ms.get_context("device_target") == "Ascend"

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line if patches do not have the only size that the network takes."""
        side, patch_size = recipe.network["side"], recipe.data.patch_size
        if patch_size == side:
            return []
        return [
            f"data.patch_size {patch_size} is not network.side {side}: the network takes only "
            "images of that size"
        ]

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, 1, side, side) for y (N, 2, side, side)."""
        image = y[:, :1]
        if self._pad_by_mint:
            padded = mint.nn.functional.pad(image, (0, 1, 0, 1))
        else:
            padded = ops.pad(image, (0, 1, 0, 1))
        x_hat = self.float16_part(padded)[:, :, :-1, :-1].astype(ms.float32)
        if self.consistency is not None:
            x_hat = self.consistency(x_hat, image, y[:, 1:])
        return x_hat


class MeasuredFrequencies(nn.Cell):
    """Replaces known frequencies of x by the measured ones: x + F^-1(p F(y) - known F(x)).

    The Fourier transform is F(z) = D z D with D = C - i S, where C and S are the cosine and sine
    matrices of a ``side``-point transform.

    Inputs: x and y (N, 1, side, side), p (N, 1, side, side) as in Noise2NoiseMRI.
    Outputs: (N, 1, side, side) float32.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        angle = 2 * np.pi / side * (np.outer(np.arange(side), np.arange(side)) % side)
        # [C, S] side by side, so that one product gives both parts
        self.matrix = Tensor(np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32))
        self.side = side

    def construct(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        """Return x (N, 1, side, side) with its known frequencies replaced."""
        known = (p > 0).astype(x.dtype)
        real_x, imaginary_x = self.transform(x)
        real_y, imaginary_y = self.transform(y)
        return x + self.inverse(p * real_y - known * real_x, p * imaginary_y - known * imaginary_x)

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the real and the imaginary part of the Fourier transform of real images."""
        cosine, sine = self._products(z)
        cc, cs = cosine
        sc, ss = sine
        return cc - ss, -(cs + sc)

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Return the real part of the inverse Fourier transform."""
        (cc, _), (_, ss) = self._products(real)
        (_, cs), (sc, _) = self._products(imaginary)
        return (cc - ss - cs - sc) / self.side**2

    def _products(self, z: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return ((C z C, C z S), (S z C, S z S)); C and S are symmetric."""
        side = self.side
        right = ops.matmul(z, self.matrix)  # [z C, z S]
        left = ops.matmul(self.matrix.T, right)  # [[C z C, C z S], [S z C, S z S]]
        upper, lower = left[:, :, :side], left[:, :, side:]
        return (
            (upper[:, :, :, :side], upper[:, :, :, side:]),
            (lower[:, :, :, :side], lower[:, :, :, side:]),
        )
