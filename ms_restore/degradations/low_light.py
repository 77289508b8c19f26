"""Dark raw frames made from finished photos, for training without raw files.

A photo is converted back to raw pixels after Brooks et al., "Unprocessing Images for Learned Raw
Denoising", CVPR 2019 (arXiv 1811.11127): tone curve, gamma, colour matrix and white balance are
undone and the mosaic is sampled. Then an exposure of 1 / ratio of the time is simulated, with
photon noise and read noise.

Differs from the paper: saturated highlights stay as bright as in the photo.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Optional

import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation
from ms_restore.errors import InputError, comma_list
from ms_restore.images.arrays import to_float
from ms_restore.images.mosaic import KINDS, Kind, Mosaic
from ms_restore.settings import Recipe

# Matrices from XYZ to camera colours under D65, times 10,000, with rows red, green and blue; from
# Adobe's DNG Converter
_CAMERAS = {
    "ILCE-7SM2": (5838, -1430, -246, -3497, 11477, 2297, -748, 1885, 5778),
    "X-T2": (11434, -4948, -1210, -3746, 12042, 1903, -666, 1479, 5235),
}
_RGB_TO_XYZ = np.array(  # IEC 61966-2-1 (sRGB), D65
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)
_READ_SLOPE, _READ_OFFSET, _READ_SPREAD = 2.18, 1.20, 0.26  # Brooks et al., section 3.1
_Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class LowLight(Degradation):
    """A dark raw frame, amplified: y = min(ratio noise(mosaic(x) / ratio), 1).

    x is sRGB (H, W, 3), y linear (h, w, 4 or 9). A signal s becomes
    shot Poisson(s / shot) + N(0, read), where ln read is normally distributed around
    2.18 ln shot + 1.20 with standard deviation 0.26; like a camera's output it is clipped to [0, 1]
    and rounded to ``bits``.

    Args:
        mosaic: "bayer" (4 channels at half the size) or "xtrans" (9 channels at a third).
        camera: EXIF model name of the camera that the network is for, which gives the colour
            matrix.
        xyz_to_camera: the colour matrix of a camera that is not known here: 9 numbers, row by row.
        ratio: range of the exposure ratio, drawn uniformly; 100, 250 and 300 in the published
            data.
        red_gain: range of the white balance's red gain, drawn uniformly (Brooks et al.).
        blue_gain: range of the white balance's blue gain, drawn uniformly (Brooks et al.).
        shot: range of the variance of photon noise at full exposure, drawn log-uniformly; the
            variance is 1 / number of electrons in a saturated pixel at the camera's sensitivity.
        bits: bit depth of the camera.
    """

    baseline_name = "naive"

    def __init__(
        self,
        *,
        mosaic: Kind = "bayer",
        camera: str = "ILCE-7SM2",
        xyz_to_camera: Optional[Annotated[list[float], Field(min_length=9, max_length=9)]] = None,
        ratio: _Pair = [100, 300],  # noqa: B006 - read only
        red_gain: _Pair = [1.9, 2.4],  # noqa: B006
        blue_gain: _Pair = [1.5, 1.9],  # noqa: B006
        shot: _Pair = [5e-5, 5e-4],  # noqa: B006
        bits: Annotated[int, Field(ge=8, le=16)] = 14,
    ) -> None:
        self.mosaic: Mosaic = KINDS[mosaic]
        self.scale = self.mosaic.block
        self.camera = camera
        self._ratio, self._shot = ratio, shot
        self._red_gain, self._blue_gain = red_gain, blue_gain
        self._levels = 2**bits - 1
        self._to_camera = _camera_matrix(camera, xyz_to_camera)

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a dark frame y (h, w, C) float32 in [0, 1] for a photo x (H, W, 3)."""
        return self._expose(x.transpose(2, 0, 1), rng).transpose(1, 2, 0)

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return dark frames y (N, C, h, w) float32 in [0, 1] for patches x (N, 3, H, W)."""
        return np.stack([self._expose(planes, rng) for planes, rng in zip(x, rngs)])

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return y (h, w, C) developed to sRGB (H, W, 3), without removing noise.

        It is demosaiced and gets the mean white balance, colour matrix, gamma and tone curve.
        """
        rgb = self.mosaic.demosaic(y.transpose(2, 0, 1))
        gains = np.array([np.mean(self._red_gain), 1, np.mean(self._blue_gain)])
        matrix = np.linalg.inv(self._to_camera) * gains
        return _apply_display_curve(np.clip(rgb @ matrix.T.astype(np.float32), 0, 1))

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line where the network's channels or the patch size do not fit the mosaic."""
        kind, channels = KINDS[recipe.degradation["mosaic"]], recipe.network.get("channels")
        found = []
        if channels != kind.channels:
            found.append(
                f"degradation.mosaic is {kind.name} with {kind.channels} channels, but "
                f"network.channels is {channels}"
            )
        if recipe.data.patch_size % kind.period:
            found.append(
                f"data.patch_size {recipe.data.patch_size} is no multiple of {kind.period}, the "
                f"period of {kind.name}"
            )
        return found

    def _expose(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a dark frame (C, h, w) float32 for a photo (3, H, W)."""
        ratio, red, blue = (
            rng.uniform(low, high) for low, high in (self._ratio, self._red_gain, self._blue_gain)
        )
        shot = np.exp(rng.uniform(*np.log(self._shot)))
        spread = rng.normal(0, _READ_SPREAD)
        read = np.exp(_READ_SLOPE * np.log(shot) + _READ_OFFSET + spread)
        signal = self._signal(x, np.array([red, 1, blue])) / ratio
        y = rng.poisson(signal / shot) * shot
        y += rng.normal(0, np.sqrt(read), y.shape)
        y = np.round(np.clip(y, 0, 1) * self._levels) / self._levels
        return np.minimum(y * ratio, 1).astype(np.float32)

    def _signal(self, x: np.ndarray, gains: np.ndarray) -> np.ndarray:
        """Return the packed raw pixels of a photo (3, H, W) at full exposure, without noise."""
        height, width = (side // self.scale for side in x.shape[1:])
        missing = [(0, -side % self.mosaic.period) for side in x.shape[1:]]
        linear = _linearise(np.pad(x, ((0, 0), *missing), mode="edge") if any(missing) else x)
        matrix = (self._to_camera / gains[:, None]).astype(np.float32)
        camera = np.empty((self.mosaic.channels, *_blocks(linear, self.scale)), np.float32)
        step, blocks = self.mosaic.period, self.mosaic.period // self.scale
        for site in self.mosaic.sites():
            seen = linear[:, site.row :: step, site.column :: step]
            camera[site.channel, site.block_row :: blocks, site.block_column :: blocks] = (
                np.tensordot(matrix[site.colour], seen, 1)
            )
        return np.clip(camera[:, :height, :width], 0, 1)


def _blocks(planes: np.ndarray, block: int) -> tuple[int, int]:
    return planes.shape[1] // block, planes.shape[2] // block


def _camera_matrix(camera: str, given: Optional[list[float]]) -> np.ndarray:
    """Return the matrix from linear sRGB to camera colours, which maps white to (1, 1, 1)."""
    if given is None and camera not in _CAMERAS:
        raise InputError(
            f"degradation.camera {camera!r}: its colour matrix is not known here; give it as "
            f"degradation.xyz_to_camera (9 numbers), or name one of {comma_list(_CAMERAS)}"
        )
    matrix = np.array(given or _CAMERAS[camera], float).reshape(3, 3) @ _RGB_TO_XYZ
    return matrix / matrix.sum(axis=1, keepdims=True)


def _linearise(x: np.ndarray) -> np.ndarray:
    """Return sRGB pixels of any dtype as linear float32: tone curve and gamma are undone."""
    if x.dtype == np.uint8:
        return _undo_display_curve(np.arange(256, dtype=np.float32) / 255)[x]
    return _undo_display_curve(to_float(x))


def _undo_display_curve(x: np.ndarray) -> np.ndarray:
    """Undo the tone curve 3 x^2 - 2 x^3 and the gamma of sRGB."""
    x = 0.5 - np.sin(np.arcsin(1 - 2 * np.clip(x, 0, 1)) / 3)
    low, high = x / 12.92, ((x + 0.055) / 1.055) ** 2.4
    return np.where(x <= 0.04045, low, high).astype(np.float32)


def _apply_display_curve(x: np.ndarray) -> np.ndarray:
    """Apply the gamma of sRGB and the tone curve; the inverse of ``_undo_display_curve``."""
    x = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055).astype(np.float32)
    return x * x * (3 - 2 * x)
