"""Development of dark raw files to pictures by a trained network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

import numpy as np

from ms_restore.data.exposures import MAX_RATIO, exposure_seconds
from ms_restore.errors import InputError
from ms_restore.images import raw
from ms_restore.images.mosaic import KINDS
from ms_restore.images.picture import Picture
from ms_restore.images.raw import RawFrame
from ms_restore.inference.restorer import Restorer
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe

Bits = Literal[8, 16]
_EXPOSURE = 10.0  # seconds; the shorter of the two long exposures that Chen et al. trained with
_DTYPES: dict[int, np.dtype] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}


def takes_raw(recipe: Recipe) -> bool:
    """Return whether a recipe's model takes raw files."""
    return "mosaic" in recipe.degradation


class RawDeveloper:
    """Develops raw files to pictures, with a network that was trained for the camera's sensor.

    Args:
        restorer: of a model that takes raw files.
        ratio: amplification, from 1 to 10,000; None is 10 s divided by the exposure time, which
            the file's name or header gives, from 1 to 300.
        bits: bit depth of the picture, 8 or 16.

    Raises:
        InputError: the ratio or the bit depth is not as described.
    """

    def __init__(self, restorer: Restorer, ratio: Optional[float], bits: Bits) -> None:
        if ratio is not None and not 1 <= ratio <= 10_000:
            raise InputError(f"--ratio {ratio:g}: expected a number from 1 to 10000, such as 100")
        if bits not in _DTYPES:
            raise InputError(f"--bits {bits}: expected 8 or 16")
        self._restorer = restorer
        self._ratio = ratio
        self._bits = bits
        settings = restorer.recipe.degradation
        self._mosaic = KINDS[settings["mosaic"]]
        self._camera = settings["camera"]

    @property
    def empty_picture(self) -> Picture:
        """A picture of one pixel, with the channels and dtype of developed pictures."""
        return Picture(np.empty((1, 1, 3), _DTYPES[self._bits]))

    def picture_bytes(self, path: Path) -> int:
        """Return the bytes in memory of a frame, packed and amplified, and of its picture.

        Returns 0 for a file that cannot be read, which is reported when it is.
        """
        try:
            height, width = raw.size(path)
        except InputError:
            return 0
        return height * width * (2 + 4 + 3 * self._bits // 8)

    def read(self, path: Path) -> RawFrame:
        """Return the packed mosaic of a raw file; raise InputError as ``raw.read`` does."""
        return raw.read(path, self._mosaic)

    def __call__(self, path: Path, read: RawFrame) -> Picture:
        """Return the upright picture of a frame that was read from the file.

        Raises InputError where no ratio was given and the exposure time is unknown.
        """
        ratio = self._ratio or self._ratio_of_file(path)
        if read.camera != self._camera:
            say(
                f"warning: {path} is of {read.camera or 'an unknown camera'}, "
                f"{self._restorer.recipe.model} is for the sensor of {self._camera}; colours and "
                "noise may be wrong"
            )
        pixels = self._restorer(read.amplify(ratio), _DTYPES[self._bits])
        return Picture(np.ascontiguousarray(np.rot90(read.frame.crop(pixels), read.turns)))

    def _ratio_of_file(self, path: Path) -> float:
        seconds = exposure_seconds(path)
        if seconds is None:
            raise InputError(
                f"{path}: no exposure in its name (such as 00001_00_0.1s.ARW) nor in its header; "
                "choose the amplification with --ratio"
            )
        ratio = min(max(_EXPOSURE / seconds, 1.0), MAX_RATIO)
        say(f"{path}: exposed {seconds:g} s, ratio {ratio:g} (--ratio changes it)")
        return ratio
