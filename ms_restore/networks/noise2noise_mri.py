"""Noise2Noise for undersampled MRI: the U-Net, and the measured frequencies put back.

Lehtinen et al., "Noise2Noise", ICML 2018, arXiv 1803.04189, section 3.4.

Differs from the paper: the Fourier transforms are products with cosine and sine matrices, so that
no complex number and no host is needed, and gradients pass through them on any device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ms_restore.networks.noise2noise import Noise2Noise

if TYPE_CHECKING:
    from ms_restore.recipe import Recipe


class Noise2NoiseMRI(nn.Cell):
    """x_hat = K(U(y)): a U-Net, then in K the measured frequencies take the place of its own.

    Args:
        side: height and width of a slice; one less than a multiple of 32.
        width: filters of the U-Net's encoder.
        keep_measured: apply K ("fspec"); without it x_hat = U(y).

    Inputs: y (N, 2, side, side) float32, behind one another the image in [0, 1] that the measured
    frequencies give, each divided by the probability p of being measured; and for every frequency,
    in the order of ``np.fft.fft2``, its p where it was measured, else 0.
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

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line where the patches are not of the one size that the network takes."""
        side, patch_size = recipe.network["side"], recipe.data.patch_size
        if patch_size == side:
            return []
        return [
            f"data.patch_size {patch_size} is not network.side {side}: the network takes images of "
            "that size alone"
        ]

    def construct(self, y: Tensor) -> Tensor:
        image = y[:, :1]
        x_hat = self.float16_part(ops.pad(image, (0, 1, 0, 1)))[:, :, :-1, :-1].astype(ms.float32)
        if self.consistency is not None:
            x_hat = self.consistency(x_hat, image, y[:, 1:])
        return x_hat


class MeasuredFrequencies(nn.Cell):
    """x + F^-1(p F(y) - known F(x)): x with its known frequencies replaced by the measured ones.

    F(z) = D z D, the cosine and sine matrices C and S of a ``side``-point transform in D = C - i S.

    Inputs: x and y (N, 1, side, side), p (N, 1, side, side) as in Noise2NoiseMRI.
    Outputs: (N, 1, side, side) float32.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        angle = 2 * np.pi / side * (np.outer(np.arange(side), np.arange(side)) % side)
        # one product gives both parts: [C, S] side by side
        self.matrix = Tensor(np.concatenate([np.cos(angle), np.sin(angle)], 1).astype(np.float32))
        self.side = side

    def construct(self, x: Tensor, y: Tensor, p: Tensor) -> Tensor:
        known = (p > 0).astype(x.dtype)
        real_x, imaginary_x = self.transform(x)
        real_y, imaginary_y = self.transform(y)
        return x + self.inverse(p * real_y - known * real_x, p * imaginary_y - known * imaginary_x)

    def transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the Fourier transform of real images."""
        cosine, sine = self._products(z)
        cc, cs = cosine
        sc, ss = sine
        return cc - ss, -(cs + sc)

    def inverse(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Real part of the inverse transform."""
        (cc, _), (_, ss) = self._products(real)
        (_, cs), (sc, _) = self._products(imaginary)
        return (cc - ss - cs - sc) / self.side**2

    def _products(self, z: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """((C z C, C z S), (S z C, S z S)); C and S are symmetric."""
        side = self.side
        right = ops.matmul(z, self.matrix)  # [z C, z S]
        left = ops.matmul(self.matrix.T, right)  # [[C z C, C z S], [S z C, S z S]]
        upper, lower = left[:, :, :side], left[:, :, side:]
        return (
            (upper[:, :, :, :side], upper[:, :, :, side:]),
            (lower[:, :, :, :side], lower[:, :, :, side:]),
        )
