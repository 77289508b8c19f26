"""Measure infer on a folder: how much of the time the engine computes.

    python benchmarks/folder.py [--model noise2noise_gaussian] [--pictures 200] [--side 512]

Photographs in PNG, restored to PNG by untrained weights of --model: the time is the same. The share
is the engine's own count over the whole run of the folder, the first picture's reading and the last
one's writing included; the start of the program and the export are apart.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from common import publish

from ms_restore import load_model, recipe, registry, runtime
from ms_restore.data import photos
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture
from ms_restore.verbs.infer import restore_pictures
from ms_restore.weights import checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="noise2noise_gaussian")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--output", type=Path, default=Path("folder.json"))
    options = parser.parse_args()
    runtime.start("CPU")
    loaded = recipe.load(options.model)
    with tempfile.TemporaryDirectory(prefix="folder_") as name:
        folder = Path(name)
        network = registry.build("network", loaded.network)
        checkpoint.save(folder / "net.ckpt", network, loaded, {})
        _write(folder / "in", options.pictures, options.side, network.channels)
        began = time.perf_counter()
        restorer = load_model(folder / "net.ckpt", engine=options.engine, device_target="CPU")
        opening = time.perf_counter() - began
        began = time.perf_counter()
        (folder / "out").mkdir()
        pairs = [(path, folder / "out" / path.name) for path in (folder / "in").iterdir()]
        restore_pictures(restorer, pairs, None, None)
        seconds = time.perf_counter() - began
        written = len(list((folder / "out").glob("*.png")))
    figures = {
        "pictures": written,
        "side": options.side,
        "seconds": round(seconds, 1),
        "pictures_per_second": round(written / seconds, 2),
        "engine_busy_percent": round(100 * restorer.busy / seconds, 1),
        "seconds_to_open_and_export": round(opening, 1),
    }
    publish(figures, options.output)


def _write(folder: Path, count: int, side: int, channels: int) -> None:
    """Cuts of the embedded photos, all different."""
    rng = np.random.default_rng(0)
    sources = [photos.load(name) for name in ("coffee", "chelsea", "astronaut", "rocket")]
    for number in range(count):
        photo = sources[number % len(sources)]
        tall, wide = (max(side - length, 0) for length in photo.shape[:2])
        photo = np.pad(photo, ((0, tall), (0, wide), (0, 0)), mode="symmetric")
        top, left = (rng.integers(0, length - side + 1) for length in photo.shape[:2])
        pixels = photo[top : top + side, left : left + side, :channels]
        write_picture(folder / f"{number:03}.png", Picture(np.ascontiguousarray(pixels)))


if __name__ == "__main__":
    main()
