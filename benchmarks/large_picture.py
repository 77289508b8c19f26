"""Measure infer on a large picture: peak memory over the 8-bit input and output, and the rate.

    python benchmarks/large_picture.py [--checkpoint RUN] [--megapixels 100] [--output FILE.json]

Without --checkpoint it takes untrained weights of --model: memory and time are the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import publish, watched

import ms_restore
from ms_restore.data import photos
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--checkpoint", type=Path, help="run folder or checkpoint (none: untrained)"
    )
    parser.add_argument("--model", default="edsr_quickstart", help="without a checkpoint")
    parser.add_argument("--megapixels", type=float, default=100)
    parser.add_argument("--output", type=Path, default=Path("large_picture.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="large_picture_") as name:
        folder = Path(name)
        checkpoint = options.checkpoint
        if checkpoint is None:
            settings = {"train.batch_size": 1}
            run = folder / "run"
            ms_restore.train(options.model, output_dir=run, max_steps=1, settings=settings)
            checkpoint = run
        side = write_photo(folder / "in.png", options.megapixels)
        scale = ms_restore.load_model(checkpoint).scale
        command = [sys.executable, "-m", "ms_restore", "infer", "--checkpoint", str(checkpoint)]
        command += ["--input", str(folder / "in.png"), "--output", str(folder / "out.png")]
        seconds, peak = watched(command)
    pictures = 3 * side**2 * (1 + scale**2)
    figures = {
        "megapixels": round(side * side / 1e6, 1),
        "input_and_output_mb": round(pictures / 1e6),
        "peak_rss_mb": round(peak / 1e6),
        "peak_over_input_and_output_mb": round((peak - pictures) / 1e6),
        "seconds": round(seconds, 1),
        "megapixels_per_second": round(side * side / 1e6 / seconds, 3),
    }
    publish(figures, options.output)


def write_photo(path: Path, megapixels: float) -> int:
    """Write a square 8-bit RGB picture made of copies of a photo, and return its side in pixels."""
    side = round((megapixels * 1e6) ** 0.5)
    photo = photos.load("coffee")
    copies = (-(-side // photo.shape[0]), -(-side // photo.shape[1]), 1)
    write_picture(path, Picture(np.ascontiguousarray(np.tile(photo, copies)[:side, :side])))
    return side


if __name__ == "__main__":
    main()
