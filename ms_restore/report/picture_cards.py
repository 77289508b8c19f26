"""What a report shows of each picture: before and after below a slider, a detail, the errors."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import PIL.Image

from ms_restore.contracts import Figure
from ms_restore.report.markup import escaped
from ms_restore.report.pictures import Panels

_WHOLE, _DETAIL, _ERRORS = 27_000, 10_000, 10_000  # bytes of one picture of each kind
BYTES_PER_PICTURE = 145_000
"""What a card has at most in a report of 100 pictures: the pictures in base64, and the text."""
_QUALITIES = (95, 90, 84, 77, 68, 58, 47, 36, 25, 15)  # of JPEG, the first that fits
_TALLEST = 960  # pixels
_ERROR_WIDTH = 320  # pixels
_FULL_SCALE = 32  # of 255: the error that is drawn in the last colour
_COLOURS = np.array(  # of errors from none to the full scale: black, violet, orange, pale yellow
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]]
)


def picture_card(
    number: int,
    row: dict[str, Any],
    labels: list[str],
    panels: Panels,
    generosity: float,
    leading: tuple[str, Figure],
) -> str:
    """Return what is shown of a picture as HTML.

    Args:
        number: of the picture, to which the table's row links.
        row: its scores.
        labels: names of the baseline and of the restored image.
        panels: baseline, restored and original.
        generosity: factor of the bytes that are allowed, 1 where a report has 100 pictures.
        leading: the key among the scores of the figure that is told, and how it is printed.
    """
    name, (key, figure) = escaped(row["name"]), leading
    before, after = row[f"baseline_{key}"], row[key]
    captions = [escaped(f"{label} {figure.text(v)}") for label, v in zip(labels, (before, after))]
    difference = figure.difference(after, before)
    wholes = [_fitting(whole) for whole in panels.wholes]
    height, width = wholes[0].shape[:2]
    first, second = (
        _image(whole, int(_WHOLE * generosity), f"{name}: {caption}")
        for whole, caption in zip(wholes, captions)
    )
    tiles = [
        _tile(_image(detail, int(_DETAIL * generosity), f"{name}: detail, {label}", True), label)
        for detail, label in zip(panels.details, [*map(escaped, labels), "original"])
    ]
    errors = [
        _tile(
            _image(errors_drawn(whole, wholes[-1]), int(_ERRORS * generosity), f"{name}: {label}"),
            label,
        )
        for whole, label in zip(wholes, [f"error, {escaped(label)}" for label in labels])
    ]
    return (
        f'<article class="card" id="picture-{number}"><h3><bdi>{name}</bdi> '
        f"<small>{captions[1]} ({escaped(difference)})</small></h3>"
        f'<div class="views"><div class="compare" style="--ratio:{width / height:.4f}">'
        f"{second}{first}"
        f'<span class="label left">{captions[0]}</span>'
        f'<span class="label right">{captions[1]}</span><i class="handle"></i>'
        f'<input type="range" min="0" max="100" value="50" aria-label="{name}: how much of '
        f'{escaped(labels[0])} is shown"></div>'
        f'<div class="tiled">{"".join(tiles)}{"".join(errors)}</div></div></article>\n'
    )


def errors_drawn(image: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Return a picture (h, w, 3) of the errors of an image, both (H, W, 3) in uint8.

    Errors are means over the channels; 32 of 255 and more have the last colour.
    """
    error = np.abs(image.astype(np.float32) - original).mean(axis=2) / _FULL_SCALE
    height, width = error.shape
    size = (_ERROR_WIDTH, max(1, round(height * _ERROR_WIDTH / width)))
    error = np.asarray(PIL.Image.fromarray(error).resize(size, PIL.Image.Resampling.BOX))
    stops = np.linspace(0, 1, len(_COLOURS))
    drawn = [np.interp(error, stops, _COLOURS[:, channel]) for channel in range(3)]
    return np.stack(drawn, axis=2).round().astype(np.uint8)


def error_scale() -> str:
    """Return the legend of the colours of errors."""
    stops = ",".join(f"rgb({r},{g},{b})" for r, g, b in _COLOURS)
    return (
        f'<p class="scale">Errors: 0 <span style="background:linear-gradient(90deg,{stops})">'
        f"</span> {_FULL_SCALE}/255 and more</p>\n"
    )


def encoded(image: np.ndarray, most: int, exact: bool = False) -> tuple[str, bytes]:
    """Return the kind and content of a picture file of at most ``most`` bytes.

    Args:
        image: (H, W, 3) in uint8.
        most: bytes. JPEG's quality and then the size are reduced until it fits.
        exact: as WebP without loss, where that fits.
    """
    picture = PIL.Image.fromarray(image)
    if exact:
        content = _saved(picture, "WEBP", lossless=True, method=0)
        if len(content) <= most:
            return "webp", content
    while True:
        for quality in _QUALITIES:
            content = _saved(picture, "JPEG", quality=quality, subsampling=0 if exact else 2)
            if len(content) <= most or max(picture.size) == 1:
                return "jpeg", content
        picture = picture.resize([max(1, side // 2) for side in picture.size])


def _saved(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def _image(image: np.ndarray, most: int, text: str, exact: bool = False) -> str:
    """Return an image's element; ``text``, already escaped, stands for it where it is not seen."""
    kind, content = encoded(image, most, exact)
    height, width = image.shape[:2]
    return (
        f'<img alt="{text}" width="{width}" height="{height}" loading="lazy" decoding="async" '
        f'draggable="false" src="data:image/{kind};base64,{base64.b64encode(content).decode()}">'
    )


def _tile(image: str, caption: str) -> str:
    kind = "errors" if caption.startswith("error, ") else "detail"
    return f'<figure class="{kind}">{image}<figcaption>{caption}</figcaption></figure>'


def _fitting(whole: np.ndarray) -> np.ndarray:
    """Return a panel that is no taller than is shown."""
    if whole.shape[0] <= _TALLEST:
        return whole
    width = max(1, round(whole.shape[1] * _TALLEST / whole.shape[0]))
    return np.asarray(PIL.Image.fromarray(whole).resize((width, _TALLEST)))
