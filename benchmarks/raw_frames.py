"""Measure the way of raw files: prepare, training crops a second, 24 megapixels restored.

    python benchmarks/raw_frames.py [--scenes N] [--output FILE]

Makes DNG files of the size of a Sony alpha 7S II (4240x2832, 14 bit, packed), a long and two short
exposures of each scene (default 6), and one of 6000x4000. The network that restores it has first
weights: time and memory do not depend on them. Prints a table and writes JSON with the machine and
the versions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import publish, watched
from data_pipeline import rate, run_prepare

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.data import photos
from ms_restore.images.mosaic import BAYER
from ms_restore.weights import checkpoint

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.fixtures import dng

_MODEL, _BLACK, _WHITE = "sid_sony", 512, 16383
_SHORTS = (0.1, 0.04)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=6, help="to make (default 6)")
    parser.add_argument("--batches", type=int, default=300, help="crops to read (default 300)")
    parser.add_argument("--output", type=Path, default=Path("raw_frames.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raw_frames_") as name:
        folder = Path(name)
        source = make_scenes(folder / "sid", options.scenes)
        seconds, peak = run_prepare(source, folder / "prepared", _MODEL)
        nbytes = sum(path.stat().st_size for path in source.rglob("*.dng"))
        crops, _ = rate(folder / "prepared" / "train", _MODEL, options.batches, memory=0)
        write(folder / "large.dng", mosaic(4000, 6000) / 100)
        restoring, most = watched(infer(folder))
    figures = {
        "raw_files": 3 * options.scenes,
        "prepare_files_per_minute": round(60 * 3 * options.scenes / seconds, 1),
        "prepare_mb_per_second": round(nbytes / 1e6 / seconds, 1),
        "prepare_peak_rss_mb": round(peak / 1e6),
        "crops_512x512x4_per_second": round(crops, 1),
        "infer_24_megapixels_seconds": round(restoring, 1),
        "infer_24_megapixels_peak_rss_mb": round(most / 1e6),
    }
    publish(figures, options.output)


def make_scenes(folder: Path, count: int) -> Path:
    """Scenes to train on, and one to validate on."""
    for part in ("short", "long"):
        (folder / part).mkdir(parents=True)
    bright = mosaic(2832, 4240)
    for number in range(count):
        scene = f"{0 if number else 2}{number:04}"
        write(folder / "long" / f"{scene}_00_10s.dng", bright)
        for k, seconds in enumerate(_SHORTS):
            write(folder / "short" / f"{scene}_{k:02}_{seconds}s.dng", bright * seconds / 10)
    return folder


def mosaic(height: int, width: int) -> np.ndarray:
    """A photo many times over, as the sensor would see it at a full exposure, 0 to 1."""
    photo = photos.load("coffee")
    times = (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1)
    whole = np.tile(photo, times)[:height, :width]
    colours = np.tile(BAYER.pattern, (height // 2, width // 2))
    return np.take_along_axis(whole, colours[:, :, None], axis=2)[:, :, 0] / 255


def write(path: Path, exposed: np.ndarray) -> None:
    noise = np.random.default_rng(0).normal(0, 4, exposed.shape)
    values = np.round(_BLACK + exposed * (_WHITE - _BLACK) + noise)
    pixels = np.clip(values, 0, _WHITE).astype(np.uint16)
    dng.write(path, pixels, BAYER.pattern, black=[[_BLACK]], white=_WHITE, bits=14)


def infer(folder: Path) -> list[str]:
    recipe = recipes.load(_MODEL)
    checkpoint.save(folder / "first.ckpt", registry.build("network", recipe.network), recipe, {})
    command = [sys.executable, "-m", "ms_restore", "infer", "--checkpoint", folder / "first.ckpt"]
    files = ["--input", folder / "large.dng", "--output", folder / "large.png", "--ratio", 100]
    return [str(word) for word in (*command, *files)]


if __name__ == "__main__":
    main()
