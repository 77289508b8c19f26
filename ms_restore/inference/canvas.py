"""What a network reads of a picture, and where its result goes, window by window."""

from __future__ import annotations

import dataclasses
from typing import Optional

import numpy as np

from ms_restore.contracts import Padding
from ms_restore.images.arrays import from_float, to_channels, to_float
from ms_restore.inference.tiling import Window


@dataclasses.dataclass(frozen=True)
class Canvas:
    """A picture, as planes that a network takes, and the picture that its result becomes.

    Attributes:
        y: the picture (H, W, C), of any dtype.
        x_hat: the restored picture, ``scale`` times as high and wide, which is filled.
        scale: of the network.
        channels: that the network takes of the picture.
        sigma: map (H, W) of a network that is told the noise, its last channel.
        padding: how the picture is continued beyond its lower and right border.
    """

    y: np.ndarray
    x_hat: np.ndarray
    scale: int
    channels: int
    sigma: Optional[np.ndarray]
    padding: Padding

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a part of the picture as planes (C, rows, columns) float32."""
        cut = self._cut(self.y, rows, columns)
        if cut.shape[2] != self.channels:
            cut = to_channels(cut, self.channels)
        planes = to_float(np.ascontiguousarray(cut.transpose(2, 0, 1)))  # faster before conversion
        if self.sigma is None:
            return planes
        level = to_float(self._cut(self.sigma[:, :, None], rows, columns))
        return np.concatenate((planes, level.transpose(2, 0, 1)))

    def write(self, rows: slice, columns: slice, values: np.ndarray) -> None:
        """Put planes (C, rows, columns) float32 into a part of the result."""
        target = self.x_hat[rows, columns]
        values = values[:, : target.shape[0], : target.shape[1]]  # without the continuation
        if np.issubdtype(target.dtype, np.integer):
            values = from_float(values, target.dtype)
        else:
            values = np.clip(values, 0, 1)
        if len(values) != target.shape[2]:
            values = to_channels(values.transpose(1, 2, 0), target.shape[2]).transpose(2, 0, 1)
        for channel, plane in enumerate(values):
            target[:, :, channel] = plane

    def _cut(self, pixels: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
        cut = pixels[rows, columns]
        below = rows.stop - rows.start - cut.shape[0]
        beside = columns.stop - columns.start - cut.shape[1]
        if not below and not beside:
            return cut
        return np.pad(cut, ((0, below), (0, beside), (0, 0)), mode=self.padding)


class CanvasWindow:
    """A window of a canvas, whose rows and columns count from the window's first ones.

    Args:
        canvas: of the picture.
        window: its rows and columns.
    """

    def __init__(self, canvas: Canvas, window: Window) -> None:
        self._canvas, self._window = canvas, window
        self.size = window[0].stop - window[0].start, window[1].stop - window[1].start

    def read(self, rows: slice, columns: slice) -> np.ndarray:
        """Return a part of the window as planes (C, rows, columns) float32."""
        down, right = (span.start for span in self._window)
        return self._canvas.read(
            slice(rows.start + down, rows.stop + down),
            slice(columns.start + right, columns.stop + right),
        )

    def write(self, top: int, left: int, values: np.ndarray) -> None:
        """Put a part of the window's result into the picture's, if it is kept."""
        scale = self._canvas.scale
        places, kept = [], []
        for first, length, span in zip((top, left), values.shape[1:], self._window):
            start = first + scale * span.start
            place = slice(max(start, scale * span.first), min(start + length, scale * span.last))
            places.append(place)
            kept.append(slice(place.start - start, max(0, place.stop - start)))
        self._canvas.write(places[0], places[1], values[:, kept[0], kept[1]])
