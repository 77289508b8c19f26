"""The second-order degradation of Real-ESRGAN, for photographs of unknown history.

Wang, Xie, Dong, Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic
Data", ICCV Workshops 2021, arXiv 2107.10833. The chain is that of section 3, the numbers are those
of section 4.1; what the paper leaves open (the shares of enlarging and reducing and of kernels of
two deviations, the cut-offs of sincs, the numbers of the unsharp mask) is as its authors set it in
the options of their program.

Differs from theirs: the blocks of JPEG begin anywhere, and the degraded patch is made from the
clean one and not from the sharpened one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional

import cv2
import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation, Size
from ms_restore.degradations.bicubic import BicubicDownsample
from ms_restore.degradations.jpeg import JPEG
from ms_restore.degradations.noise import Gaussian, poisson_from_levels
from ms_restore.degradations.random_kernels import KernelRanges, drawn_within
from ms_restore.errors import InputError
from ms_restore.images.arrays import from_float, to_float
from ms_restore.images.resize import imresize
from ms_restore.settings import Recipe

_BLOCK = 8  # side of the blocks of JPEG
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601
_RESIZERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
_PHOTONS = np.arange(256.0)  # of a pixel of each level where the strength of photon noise is 1
_SHARPENING_SIDE, _SHARPENING_SIGMA = 51, 8.0  # Gaussian of the unsharp mask, in pixels
_THRESHOLD = 10 / 255  # of a detail that is sharpened

Share = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]
_Range = Annotated[list[_Positive], Field(min_length=2, max_length=2)]
_Cutoffs = Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=2, max_length=2)]
_Kernel = Annotated[list[Annotated[int, Field(ge=3, le=99)]], Field(min_length=2, max_length=2)]
_Quality = Annotated[list[Annotated[int, Field(ge=1, le=100)]], Field(min_length=2, max_length=2)]
_Directions = Annotated[list[Share], Field(min_length=3, max_length=3)]
_Shapes = Annotated[list[Share], Field(min_length=6, max_length=6)]


class RealWorld(Degradation):
    """Blur, resizing, noise and JPEG, twice, with all strengths drawn at random for each picture.

    y = J(N(R(B(J(N(R(B(x)))))))), and at the end a sinc filter, before or after the last J. Each R
    enlarges, reduces or keeps, by the mean over areas, bilinearly or bicubically; the last, with
    the sinc, gives y its size. Each N is Gaussian or photon noise, of each channel or the same in
    all. y is 8 bit. A setting whose name ends in ``_2`` is of the second pass. Ranges are
    [low, high], drawn uniformly; shares are of their sum.

    One core of an AMD EPYC makes 63 patches of 256 pixels a second, at the default margin:
    benchmarks/degradation.py.

    In evaluation the picture's name decides what is drawn, and x is not sharpened.

    Args:
        scale: pixels of x for each pixel of y along a side; by default the network's scale.
        kernel_sizes: sides of blur kernels in pixels, odd.
        kernel_shares: of Gaussian, generalised Gaussian and plateau-shaped kernels, each with one
            deviation and with two and turned.
        generalised_beta: exponent of generalised Gaussians; half of them below 1.
        plateau_beta: exponent of plateau-shaped kernels.
        sinc_share: how often a sinc blurs instead.
        sinc_cutoffs: lowest cut-off of a sinc as a part of pi, of kernels below 13 pixels and of
            larger ones; the highest is pi.
        blur_sigma: deviations of the blur in pixels.
        blur_sigma_2: the same.
        blur_share_2: how often the second pass blurs.
        resize_shares: of enlarging, reducing and keeping.
        resize_shares_2: the same.
        resize: factors, of which those above 1 are for enlarging and those below for reducing.
        resize_2: the same, of the size of y.
        gaussian_share: how often the noise is Gaussian; otherwise it is photon noise.
        gray_share: how often the noise is the same in all channels.
        sigma_255: deviation of Gaussian noise on a scale of 0 to 255.
        sigma_255_2: the same.
        poisson: strength s of photon noise, z + s (Poisson(255 z) / 255 - z)
        poisson_2: the same.
        quality: of both JPEG compressions, see ``jpeg``.
        final_sinc_share: how often the sinc filter at the end is there.
        sharpen: amount of the unsharp mask by which training targets are sharpened, 0.5 for
            Real-ESRGAN: x + sharpen (x - blurred x) where they differ by more than 10 of 255.
        margin: pixels around a patch that are degraded with it, rounded up to a multiple of the
            scale.
    """

    baseline_name = "bicubic"
    follows_network = ("scale",)

    def __init__(
        self,
        *,
        scale: Optional[int] = None,
        kernel_sizes: _Kernel = [7, 21],  # noqa: B006 - read only, as all of them
        kernel_shares: _Shapes = [0.45, 0.25, 0.12, 0.03, 0.12, 0.03],  # noqa: B006
        generalised_beta: _Range = [0.5, 4],  # noqa: B006
        plateau_beta: _Range = [1, 2],  # noqa: B006
        sinc_share: Share = 0.1,
        sinc_cutoffs: _Cutoffs = [1 / 3, 1 / 5],  # noqa: B006
        blur_sigma: _Range = [0.2, 3],  # noqa: B006
        blur_sigma_2: _Range = [0.2, 1.5],  # noqa: B006
        blur_share_2: Share = 0.8,
        resize_shares: _Directions = [0.2, 0.7, 0.1],  # noqa: B006
        resize_shares_2: _Directions = [0.3, 0.4, 0.3],  # noqa: B006
        resize: _Range = [0.15, 1.5],  # noqa: B006
        resize_2: _Range = [0.3, 1.2],  # noqa: B006
        gaussian_share: Share = 0.5,
        gray_share: Share = 0.4,
        sigma_255: _Range = [1, 30],  # noqa: B006
        sigma_255_2: _Range = [1, 25],  # noqa: B006
        poisson: _Range = [0.05, 3],  # noqa: B006
        poisson_2: _Range = [0.05, 2.5],  # noqa: B006
        quality: _Quality = [30, 95],  # noqa: B006
        final_sinc_share: Share = 0.8,
        sharpen: Annotated[float, Field(ge=0, le=2)] = 0.0,
        margin: Annotated[int, Field(ge=0, le=256)] = 32,
    ) -> None:
        self.scale = scale or 1
        self.margin = -(-margin // self.scale) * self.scale
        _check(self.settings)
        self._kernels = KernelRanges(
            kernel_sizes, kernel_shares, sinc_share, sinc_cutoffs, generalised_beta, plateau_beta
        )
        self._blur = ((1.0, blur_sigma), (blur_share_2, blur_sigma_2))
        self._resize = ((resize_shares, resize), (resize_shares_2, resize_2))
        self._gaussian_share, self._gray_share = gaussian_share, gray_share
        self._noise = ((sigma_255, poisson), (sigma_255_2, poisson_2))
        self._quality = quality
        self._final_sinc_share = final_sinc_share
        self._sharpen = sharpen

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return y (H / scale, W / scale, C) uint8 for x (H, W, C)."""
        size = (x.shape[0] // self.scale, x.shape[1] // self.scale)
        y = self._pass(to_float(x), 0, (x.shape[0], x.shape[1]), rng)
        y = self._pass(self._compressed(y, rng), 1, size, rng)
        if rng.random() < 0.5:
            y = self._compressed(self._finished(y, size, rng), rng)
        else:
            y = self._finished(self._compressed(y, rng), size, rng)
        return from_float(y, np.dtype(np.uint8))

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return degraded patches (N, C, H / scale, W / scale) uint8, each with its own draw."""
        scale, edge = self.scale, self.margin // self.scale
        height, width = (side // scale - 2 * edge for side in x.shape[2:])
        y = np.empty((*x.shape[:2], height, width), np.uint8)
        for patch, window, rng in zip(y, x, rngs):
            top, left = rng.integers(min(_BLOCK, edge + 1), size=2)
            whole = self(window[:, scale * top :, scale * left :].transpose(1, 2, 0), rng)
            cut = whole[edge - top :, edge - left :][:height, :width]
            patch[:] = cut.transpose(2, 0, 1)
        return y

    def goal(self, x: np.ndarray) -> np.ndarray:
        """Return the sharpened patches (N, C, H, W) float32, or x where nothing is sharpened."""
        if not self._sharpen:
            return x
        images = [np.ascontiguousarray(patch.transpose(1, 2, 0)) for patch in to_float(x)]
        return np.stack([_sharpened(i, self._sharpen) for i in images]).transpose(0, 3, 1, 2)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return y (h, w, C) enlarged bicubically to x's size."""
        return imresize(y, y.shape[0] * self.scale, y.shape[1] * self.scale)

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line for each patch setting that is no multiple of the scale."""
        return BicubicDownsample.conflicts(recipe)

    def _pass(self, z: np.ndarray, order: int, whole: Size, rng: np.random.Generator) -> np.ndarray:
        """Return z (h, w, C) float32 blurred, resized and with noise; order 0 is the first time.

        ``whole`` is the height and width that the factors of resizing are of.
        """
        share, sigma = self._blur[order]
        if rng.random() < share:
            z = _filtered(z, self._kernels.blur(sigma, rng))
        factor = _factor(*self._resize[order], rng)
        z = _resized(z, (round(factor * whole[0]), round(factor * whole[1])), rng)
        return self._noisy(z, *self._noise[order], rng)

    def _noisy(
        self,
        z: np.ndarray,
        sigma_255: Sequence[float],
        strength: Sequence[float],
        rng: np.random.Generator,
    ) -> np.ndarray:
        gray = rng.random() < self._gray_share and z.shape[2] > 1
        seen = np.clip(z @ _LUMA[:, None] if gray else z, 0, 1)
        if rng.random() < self._gaussian_share:
            noise = Gaussian(sigma_255=drawn_within(sigma_255, rng))(np.zeros_like(seen), rng)
        else:
            levels = from_float(seen, np.dtype(np.uint8))
            counts = poisson_from_levels(levels, _PHOTONS, rng)
            factor: np.ndarray = np.asarray(drawn_within(strength, rng) / 255, np.float32)
            noise = (counts - levels.astype(np.float32)) * factor
        return np.clip(z + noise, 0, 1)

    def _compressed(self, z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        low, high = self._quality
        return to_float(JPEG(quality=int(rng.integers(low, high + 1))).compress(z))

    def _finished(self, z: np.ndarray, size: Size, rng: np.random.Generator) -> np.ndarray:
        """Return z at the size of y, with the sinc filter where it is drawn."""
        z = _resized(z, size, rng)
        if rng.random() < self._final_sinc_share:
            z = _filtered(z, self._kernels.sinc(rng))
        return z


def _filtered(z: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return z blurred by a kernel, by rows and columns where it is their product."""
    middle = len(kernel) // 2
    line = kernel[middle] / np.sqrt(abs(kernel[middle, middle]))
    if np.allclose(np.outer(line, line), kernel, rtol=1e-4, atol=1e-7):
        made = cv2.sepFilter2D(z, -1, line, line, borderType=cv2.BORDER_REFLECT)
    else:
        made = cv2.filter2D(z, -1, kernel, borderType=cv2.BORDER_REFLECT)
    return made.reshape(z.shape)  # OpenCV drops a single channel


def _factor(shares: Sequence[float], factors: Sequence[float], rng: np.random.Generator) -> float:
    """Draw the factor of resizing: above 1, below 1, or 1."""
    kind = rng.choice(3, p=np.divide(shares, np.sum(shares)))
    low, high = ((1.0, factors[1]), (factors[0], 1.0), (1.0, 1.0))[kind]
    return rng.uniform(low, high)


def _resized(z: np.ndarray, size: Size, rng: np.random.Generator) -> np.ndarray:
    """Return z (h, w, C) with another height and width, at least 1, by a way that is drawn."""
    way = _RESIZERS[rng.integers(len(_RESIZERS))]
    height, width = (max(side, 1) for side in size)
    if z.shape[:2] == (height, width):
        return z
    made = cv2.resize(z, (width, height), interpolation=way)
    return made.reshape(height, width, z.shape[2])


def _sharpened(x: np.ndarray, amount: float) -> np.ndarray:
    """Return x (H, W, C) in [0, 1] after an unsharp mask, which fades out around its details."""

    def blurred(image: np.ndarray) -> np.ndarray:
        size = (_SHARPENING_SIDE, _SHARPENING_SIDE)
        made = cv2.GaussianBlur(image, size, _SHARPENING_SIGMA, borderType=cv2.BORDER_REFLECT)
        return made.reshape(image.shape)

    detail = x - blurred(x)
    where = blurred((np.abs(detail) > _THRESHOLD).astype(np.float32))
    sharp = np.clip(x + amount * detail, 0, 1)
    return x + where * (sharp - x)


def _check(settings: dict[str, object]) -> None:
    """Raise InputError for a range from high to low, an even kernel, and shares without a sum."""
    for key, value in settings.items():
        if not isinstance(value, list):
            continue
        if key.startswith("kernel_sizes") and any(side % 2 == 0 for side in value):
            raise InputError(f"degradation.{key} {value}: expected odd numbers, such as [7, 21]")
        if "shares" in key and not sum(value):
            raise InputError(f"degradation.{key} {value}: all are 0; expected one above that")
        if len(value) == 2 and value[0] > value[1] and key != "sinc_cutoffs":
            raise InputError(
                f"degradation.{key} {value}: expected [low, high], such as [{value[1]}, {value[0]}]"
            )
        if key.startswith("resize") and len(value) == 2 and not value[0] <= 1 <= value[1]:
            raise InputError(f"degradation.{key} {value}: expected factors around 1")
