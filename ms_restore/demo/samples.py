"""Sample pictures: the embedded photo of a cat, which no model was trained on, damaged anew."""

from __future__ import annotations

from typing import Optional

import cv2
import numpy as np

from ms_restore.data import photos
from ms_restore.degradations.operators import Blur
from ms_restore.errors import InputError
from ms_restore.images.arrays import from_float, to_float
from ms_restore.images.resize import imresize

_PHOTO = "chelsea"
_NOISE_255 = 25.0  # of the sample for denoisers
_LITTLE_NOISE_255 = 2.0  # of a blurred one, as cameras have
_BYTE = np.dtype(np.uint8)


def for_model(scale: int, gray: bool, takes_raw: bool) -> np.ndarray:
    """Return (H, W, C) uint8 for a model: reduced by its scale, or with noise.

    Raises InputError for a model of raw files.
    """
    if takes_raw:
        raise InputError("no raw file comes along as a sample; drop one of a camera")
    photo = photos.load(_PHOTO)
    height, width = photo.shape[:2]
    if gray:
        photo = from_float(to_float(photo).mean(axis=2, keepdims=True), _BYTE)
    if scale > 1:
        return imresize(photo, height // scale, width // scale)
    return _noisy(to_float(photo), _NOISE_255)


def for_task(task: str, operator: Blur, sigma_255: Optional[float]) -> np.ndarray:
    """Return (h, w, C) uint8, the photo after ``operator`` and noise of a deviation of 255.

    Where no noise is named, there is what the task is shown best with.
    """
    x = to_float(photos.load(_PHOTO)).transpose(2, 0, 1)[None]
    y = np.asarray(operator.forward(np.ascontiguousarray(x)))[0].transpose(1, 2, 0)
    assumed = {"denoise": _NOISE_255, "deblur": _LITTLE_NOISE_255}.get(task, 0.0)
    return _noisy(y, assumed if sigma_255 is None else sigma_255)


def scratches() -> np.ndarray:
    """Return a mask (H, W, 1) uint8 for the photo, white but for a few black scratches."""
    height, width = photos.load(_PHOTO).shape[:2]
    mask = np.full((height, width), 255, np.uint8)
    rng = np.random.default_rng(7)
    for _ in range(9):
        ends = rng.uniform(0, 1, (2, 2)) * (width, height)
        first, last = ([int(value) for value in end] for end in ends)
        cv2.line(mask, first, last, 0, 4)
    return mask[:, :, None]


def _noisy(clean: np.ndarray, sigma_255: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(clean.shape) * (sigma_255 / 255)
    return from_float(np.clip(clean + noise, 0, 1).astype(np.float32), _BYTE)
