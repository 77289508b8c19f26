"""Cuts the photographs of datasets/photos/photos.yaml, and the embedded ones, into training tiles.

Each photograph is reduced by its factor in the list, and cut into squares; those without texture
are left out, for a network learns little from sky. The embedded photos that are held out are
written beside them, to validate on. With ``--measure`` the script prints for every
photograph how its finest detail fares at several reductions, which is how the factors were chosen.

    python scripts/cut_tiles.py FOLDER_OF_PHOTOGRAPHS OUTPUT
    python scripts/cut_tiles.py FOLDER_OF_PHOTOGRAPHS --measure
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import yaml

from ms_restore.data import photos
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.resize import imresize
from ms_restore.images.writing import write_picture

_LIST = Path(__file__).parents[1] / "datasets" / "photos" / "photos.yaml"
_SIDE = 240  # of a tile, in pixels
_TEXTURE = 3.0  # least mean difference of neighbouring pixels, of 255
_WINDOW = 256  # pixels along a side, of a spectrum
_REDUCTIONS = (1, 1.5, 2, 3, 4, 5)


def main() -> None:
    """Cut the tiles, or measure the photographs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("output", type=Path, nargs="?")
    parser.add_argument("--measure", action="store_true")
    arguments = parser.parse_args()
    if arguments.measure:
        for name, pixels, _ in _photographs(arguments.photographs):
            levels = " ".join(f"{_detail(pixels, by):6.1f}" for by in _REDUCTIONS)
            print(f"{name:40s} {levels} dB")
        return
    if arguments.output is None:
        parser.error("name the output folder too, or --measure")
    count = 0
    for name, pixels, reduction in _photographs(arguments.photographs):
        for place, tile in _tiles(_reduced(pixels, reduction)):
            write_picture(arguments.output / "train" / f"{name}_{place}.png", Picture(tile))
            count += 1
    for name in photos.HELD_OUT:
        write_picture(arguments.output / "valid" / f"{name}.png", Picture(photos.load(name)))
    print(f"{count} tiles of {_SIDE}x{_SIDE} pixels in {arguments.output / 'train'}")


def _photographs(folder: Path) -> Iterator[tuple[str, np.ndarray, float]]:
    """Yield the name, the pixels (H, W, C) uint8 and the reduction of every photograph."""
    for files in yaml.safe_load(_LIST.read_text()).values():
        for file, entry in files.items():
            path = next(folder.rglob(file), None)
            if path is None:
                sys.exit(f"{folder}: no {file} in it; unpack the packages of {_LIST.name} there")
            yield path.stem, read_picture(path).pixels, entry["reduction"]
    for name in photos.TRAIN:
        yield name, photos.load(name), 1


def _reduced(pixels: np.ndarray, by: float) -> np.ndarray:
    height, width = (round(side / by) for side in pixels.shape[:2])
    return pixels if by == 1 else imresize(pixels, height, width)


def _tiles(pixels: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the squares with texture, and their places; smaller photographs are one tile."""
    height, width = pixels.shape[:2]
    sides = min(_SIDE, height), min(_SIDE, width)
    for top in range(0, height - sides[0] + 1, sides[0]):
        for left in range(0, width - sides[1] + 1, sides[1]):
            tile = pixels[top : top + sides[0], left : left + sides[1]]
            luma = tile.mean(axis=2)
            steps = [np.abs(np.diff(luma, axis=axis)).mean() for axis in (0, 1)]
            if np.mean(steps) >= _TEXTURE:
                yield f"{top}_{left}", tile


def _detail(pixels: np.ndarray, by: float) -> float:
    """Return the power near the finest detail against that of coarser one, in dB.

    It is the mean power spectrum at 0.36 to 0.46 cycles a pixel divided by that at 0.08 to 0.16, in
    the half of the windows with the most contrast. About -10 to -15 dB is a sharp photograph.
    """
    luma = cv2.resize(pixels.mean(axis=2), None, fx=1 / by, fy=1 / by, interpolation=cv2.INTER_AREA)
    if min(luma.shape) < _WINDOW:
        return float("nan")
    taper = np.hanning(_WINDOW)[:, None] * np.hanning(_WINDOW)
    windows = [
        luma[top : top + _WINDOW, left : left + _WINDOW]
        for top in range(0, luma.shape[0] - _WINDOW + 1, _WINDOW)
        for left in range(0, luma.shape[1] - _WINDOW + 1, _WINDOW)
    ]
    windows = sorted(windows, key=lambda x: float(x.var()))[len(windows) // 2 :]
    power = np.mean([np.abs(np.fft.rfft2((x - x.mean()) * taper)) ** 2 for x in windows], axis=0)
    radius = np.hypot(np.fft.fftfreq(_WINDOW)[:, None], np.fft.rfftfreq(_WINDOW))
    fine, coarse = (
        power[(radius >= low) & (radius < high)].mean()
        for low, high in ((0.36, 0.46), (0.08, 0.16))
    )
    return float(10 * np.log10(fine / coarse))


if __name__ == "__main__":
    main()
