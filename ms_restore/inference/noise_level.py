"""The noise level that a denoiser is told: a number, a map, or an estimate from the image."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal, Optional, Union

import numpy as np

from ms_restore.array_files import read_npy
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.images.reading import read_picture
from ms_restore.metrics.noise_estimate import estimate_sigma

AUTO = "auto"
_MOST_255 = 255.0


@dataclasses.dataclass(frozen=True)
class NoiseLevel:
    """How strong the noise of an image is; one of the two is given.

    Args:
        sigma_255: standard deviation on a scale of 0 to 255, or "auto", which estimates it for each
            image, see ``metrics.noise_estimate.estimate_sigma``.
        sigma_map: standard deviation of each pixel on a scale of 0 to 255, an array (H, W), or the
            path of a .npy file of one or of a gray picture.

    Raises:
        InputError: both or neither are given, or a number is not in the range.
    """

    sigma_255: Union[float, Literal["auto"], None] = None
    sigma_map: Union[np.ndarray, Path, None] = None

    def __post_init__(self) -> None:
        """Check what is given."""
        sigma = self.sigma_255
        if (sigma is None) == (self.sigma_map is None):
            raise InputError("name the noise by sigma_255 or by sigma_map, not by both")
        if sigma is not None and sigma != AUTO and not 0 <= float(sigma) <= _MOST_255:
            raise InputError(f"sigma_255 {sigma:g}: expected 0 to 255, or {AUTO}")

    def of(self, y: np.ndarray) -> np.ndarray:
        """Return the standard deviation for an image (H, W, C), as (H, W) float32 in [0, 1].

        Raises InputError for a map that is of another size, is not of numbers or leaves the range.
        """
        size = (y.shape[0], y.shape[1])
        if self.sigma_map is not None:
            return _checked_map(self.sigma_map, size)
        if self.sigma_255 == AUTO:
            sigma = estimate_sigma(to_float(y))
        else:
            sigma = float(self.sigma_255 or 0) / 255
        return np.broadcast_to(np.float32(sigma), size)


def _checked_map(given: Union[np.ndarray, Path], size: tuple[int, int]) -> np.ndarray:
    name = "sigma_map" if isinstance(given, np.ndarray) else f"{given}"
    values = given if isinstance(given, np.ndarray) else _read(given)
    values = values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values
    if values.shape != size:
        shape = "x".join(map(str, values.shape))
        raise InputError(
            f"{name}: a map of {shape} (height x width), but the image is {size[0]}x{size[1]}"
        )
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(f"{name}: expected finite numbers, got {values.dtype}")
    if values.min() < 0 or values.max() > _MOST_255:
        raise InputError(
            f"{name}: values from {values.min():g} to {values.max():g}, expected 0 to 255"
        )
    return (values / np.float32(255)).astype(np.float32)


def _read(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    pixels = read_picture(path).pixels
    if pixels.shape[2] != 1:
        raise InputError(f"{path}: a map of the noise is a gray picture, this one has colours")
    return pixels if pixels.dtype == np.uint8 else to_float(pixels) * 255


def noise_level(
    sigma_255: Union[float, Literal["auto"], None], sigma_map: Union[np.ndarray, Path, None]
) -> Optional[NoiseLevel]:
    """Return the noise level that two options name, or None where neither is given."""
    if sigma_255 is None and sigma_map is None:
        return None
    return NoiseLevel(sigma_255, sigma_map)


def told(noise: Optional[NoiseLevel], model: str, takes: bool) -> NoiseLevel:
    """Return the noise; raise InputError where a network takes none, or needs it and has none."""
    if noise is None:
        raise InputError(
            f"{model} is told how strong the noise is: name its standard deviation with "
            "--sigma_255 25, --sigma_255 auto or --sigma_map FILE"
        )
    if not takes:
        raise InputError(
            f"{model} is not told the noise: leave --sigma_255 and --sigma_map out, or use a model "
            "that is, such as ffdnet_color"
        )
    return noise
