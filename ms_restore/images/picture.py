"""A decoded picture or sequence of pictures, and the files that hold them."""

from __future__ import annotations

import dataclasses
from typing import Optional

import numpy as np
import PIL.features

SUFFIXES: tuple[str, ...] = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"),
)
if PIL.features.check("avif"):
    SUFFIXES += (".avif",)


@dataclasses.dataclass
class Embedded:
    """What a picture's file holds beside pixels, and is kept in what is written.

    Attributes:
        icc_profile: ICC colour profile of gray or RGB pixels, as the picture has.
        exif: EXIF block that begins with "Exif", without orientation, size and thumbnail.
        xmp: XMP packet.
        dpi: resolution in pixels per inch, horizontal and vertical.
    """

    icc_profile: Optional[bytes] = None
    exif: Optional[bytes] = None
    xmp: Optional[bytes] = None
    dpi: Optional[tuple[float, float]] = None


@dataclasses.dataclass
class Picture:
    """A decoded picture, uint8 or uint16.

    Attributes:
        pixels: (H, W, 1 or 3), gray or RGB.
        alpha: opacity (H, W), or None; the pixels are not multiplied by it.
        embedded: colour profile and other data of the file.
        other_frames: how many frames or pages the file holds beside this one.
    """

    pixels: np.ndarray
    alpha: Optional[np.ndarray] = None
    embedded: Embedded = dataclasses.field(default_factory=Embedded)
    other_frames: int = 0

    @classmethod
    def of(cls, samples: np.ndarray) -> Picture:
        """Return the picture of an array (H, W) or (H, W, 1 to 4): gray or RGB, then alpha."""
        if samples.ndim == 2:
            samples = samples[:, :, None]
        colours = 1 if samples.shape[2] < 3 else 3
        alpha = samples[:, :, colours] if samples.shape[2] > colours else None
        return cls(np.ascontiguousarray(samples[:, :, :colours]), alpha)

    def samples(self) -> np.ndarray:
        """Return the array (H, W, 1 to 4) of pixels and, where there is one, alpha behind them."""
        if self.alpha is None:
            return self.pixels
        return np.concatenate([self.pixels, self.alpha[:, :, None]], axis=2)


@dataclasses.dataclass
class PictureSequence:
    """The pictures of a file: one, the frames of an animation, or the pages of a document.

    Attributes:
        pictures: at least one.
        durations: of an animation's frames in milliseconds; none for pages.
        loop: how often an animation is shown, 0: for ever; None: as often as the format says.
        left_out: how many further frames the file holds that cannot be decoded.
    """

    pictures: list[Picture]
    durations: list[float] = dataclasses.field(default_factory=list)
    loop: Optional[int] = None
    left_out: int = 0
