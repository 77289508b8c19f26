"""A picture of a solver's course: the image after some of the iterations, with curves below."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from ms_restore.images.arrays import from_float, to_channels
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture

_PANEL = 240  # width of an image in pixels
_CAPTION = 24  # height of a caption in pixels
_GAP = 6  # between images, in pixels
_CURVE = 140  # height of a curve in pixels
_COLOURS = ("#1f4e9c", "#b03a2e")

Curve = list[tuple[int, float]]


class Frame(NamedTuple):
    """A caption and an image (H, W, 1 or 3) in [0, 1]."""

    caption: str
    image: np.ndarray


def trajectory(path: Path, frames: list[Frame], curves: dict[str, Curve]) -> None:
    """Write a picture with images side by side and, below, curves of the values at iterations.

    Args:
        path: file to write.
        frames: the images, all of the same size.
        curves: points (iteration, value) of each curve, by its name.
    """
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    height, width = frames[0].image.shape[:2]
    panel_height = max(1, round(height * _PANEL / width))
    sheet_width = len(frames) * (_PANEL + _GAP) - _GAP
    top = _CAPTION + panel_height + _GAP
    sheet = PIL.Image.new("RGB", (sheet_width, top + (_CURVE + _GAP) * bool(curves)), "white")
    draw = PIL.ImageDraw.Draw(sheet)
    font = PIL.ImageFont.load_default(15)
    for number, frame in enumerate(frames):
        left = number * (_PANEL + _GAP)
        draw.text((left + 2, 3), frame.caption, fill="black", font=font)
        pixels = to_channels(from_float(frame.image, np.dtype(np.uint8)), 3)
        shown = PIL.Image.fromarray(pixels).resize((_PANEL, panel_height))
        sheet.paste(shown, (left, _CAPTION))
    share = sheet_width // max(1, len(curves))
    for number, (name, points) in enumerate(curves.items()):
        box = (number * share + 2, top, (number + 1) * share - _GAP, top + _CURVE)
        _draw_curve(draw, box, name, points, _COLOURS[number % len(_COLOURS)])
    write_picture(path, Picture(np.asarray(sheet)))


def _draw_curve(
    draw: PIL.ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    name: str,
    points: Curve,
    colour: str,
) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, outline="#999999")
    xs, ys = np.array(points, np.float64).T
    low, high = ys.min(), ys.max()
    columns = left + (xs - xs[0]) / max(xs[-1] - xs[0], 1) * (right - left)
    rows = bottom - 6 - (ys - low) / max(high - low, 1e-12) * (bottom - top - 30)
    draw.line([(float(x), float(y)) for x, y in zip(columns, rows)], fill=colour, width=2)
    text = f"{name}: {ys[0]:.2f} to {ys[-1]:.2f}, iterations {xs[0]:.0f} to {xs[-1]:.0f}"
    draw.text((left + 6, top + 3), text, fill=colour, font=PIL.ImageFont.load_default(14))
