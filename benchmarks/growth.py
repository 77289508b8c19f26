"""Measure how cost grows: infer with pixels and pictures, training with ranks, prepare with bytes.

    python benchmarks/growth.py [--only pixels pictures ranks prepare] [--output FILE.json]
    python benchmarks/growth.py --plot FILE.json FIGURE.png     (needs matplotlib)

Every point is a whole command in a process of its own: its seconds, and the most memory of it and
its children. ``pixels``: infer --model denoise_small on one picture of 1 to 400 megapixels, the
memory above the 8-bit input and output. ``pictures``: infer --model denoise_small on a folder of
1 to 10,000 pictures of 64x64. ``ranks``: seconds of a training step of edsr_small_x2 with 1
to 4 ranks on this machine's processors, 8 patches in all. ``prepare``: 0.5 to 8 GB of pixels of
2040x1356, from which the time of 100 GB follows by the line through the two largest; the files of
a set are hard links to 60 photographs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
from common import publish, watched
from data_pipeline import make_photos
from large_picture import write_photo

from ms_restore.data import photos
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture

_MEGAPIXELS = (1, 4, 16, 64, 100, 400)
_PICTURES = (1, 10, 100, 1_000, 10_000)
_RANKS = (1, 2, 4)
_PREPARED = (0.5, 1, 2, 4, 8)  # GB of pixels
_WANTED = 100  # GB, whose time is read off the line
_LARGE = (60, 1356, 2040)  # count, height, width
_STEPS = 30  # of training, after the first, which compiles
_COMMAND = [sys.executable, "-m", "ms_restore"]
_Figures = dict[str, dict[str, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=_KINDS, default=list(_KINDS))
    parser.add_argument("--output", type=Path, default=Path("growth.json"))
    parser.add_argument("--plot", nargs=2, type=Path, metavar=("FILE.json", "FIGURE.png"))
    options = parser.parse_args()
    if options.plot:
        _plot(*options.plot)
        return
    figures = {}
    for kind in options.only:
        with tempfile.TemporaryDirectory(prefix="growth_") as folder:
            figures[kind] = _KINDS[kind](Path(folder))
    publish(figures, options.output)


def _infer(model: str, source: Path, target: Path) -> tuple[float, float]:
    """Return seconds and most memory in bytes of restoring a picture or a folder of them."""
    words = ["infer", "--model", model, "--input", str(source), "--output", str(target)]
    return watched([*_COMMAND, *words])


def _pixels(folder: Path) -> _Figures:
    figures = {}
    write_photo(folder / "in.png", _MEGAPIXELS[0])
    _infer("denoise_small", folder / "in.png", folder / "out.png")  # makes the export that is kept
    for megapixels in _MEGAPIXELS:
        side = write_photo(folder / "in.png", megapixels)
        seconds, peak = _infer("denoise_small", folder / "in.png", folder / "out.png")
        own = 2 * 3 * side**2
        figures[f"{megapixels} megapixels"] = _point(megapixels, seconds, peak - own)
    return figures


def _pictures(folder: Path) -> _Figures:
    figures = {}
    photo = photos.load("coffee")
    for count in (1, *_PICTURES):  # the first makes the export that is kept, and is not counted
        source, restored = folder / "in", folder / "out"
        source.mkdir()
        for number in range(count):
            top, left = number % 300, number // 300 * 7 % 500
            cut = np.ascontiguousarray(photo[top : top + 64, left : left + 64])
            write_picture(source / f"{number:05}.png", Picture(cut))
        seconds, peak = _infer("denoise_small", source, restored)
        figures[f"{count} pictures"] = _point(count, seconds, peak)
        shutil.rmtree(source)
        shutil.rmtree(restored)
    return figures


def _ranks(folder: Path) -> _Figures:
    figures = {}
    for ranks in _RANKS:
        run = folder / f"{ranks}"
        words = ["--model", "edsr_small_x2", "--train.batch_size", str(8 // ranks)]
        words += ["--device_target", "CPU", "--output_dir", str(run), "--max_steps", str(_STEPS)]
        verb = ["launch", "--workers", str(ranks), "--log_dir", str(folder / "logs")]
        _, peak = watched([*_COMMAND, *(verb if ranks > 1 else ["train"]), *words])
        rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        rates = [row["images_per_second"] for row in rows[1:] if "images_per_second" in row]
        figures[f"{ranks} ranks"] = _point(ranks, 8 / float(np.median(rates)), peak)
    return figures


def _prepare(folder: Path) -> _Figures:
    count, height, width = _LARGE
    made = sorted(make_photos(folder / "photos", count, height, width).iterdir())
    figures = {}
    for gigabytes in _PREPARED:
        source, prepared = folder / "source", folder / "prepared"
        source.mkdir()
        for number in range(round(gigabytes * 1e9 / (3 * height * width))):
            os.link(made[number % count], source / f"{number:05}.png")
        words = ["prepare", "--model", "edsr_baseline_x2", "--source", str(source)]
        seconds, peak = watched([*_COMMAND, *words, "--output", str(prepared)])
        figures[f"{gigabytes} GB"] = _point(gigabytes, seconds, peak)
        shutil.rmtree(source)
        shutil.rmtree(prepared)
    before, most = list(figures.values())[-2:]
    slope = (most["seconds"] - before["seconds"]) / (most["amount"] - before["amount"])
    rest = _WANTED - most["amount"]
    expected = round(most["seconds"] + slope * rest)
    figures[f"{_WANTED} GB, by the line"] = {"amount": _WANTED, "expected seconds": expected}
    return figures


_KINDS: dict[str, Callable[[Path], _Figures]] = {
    "pixels": _pixels,
    "pictures": _pictures,
    "ranks": _ranks,
    "prepare": _prepare,
}


def _point(amount: float, seconds: float, peak: float) -> dict[str, float]:
    return {"amount": amount, "seconds": round(seconds, 3), "megabytes": round(peak / 1e6)}


def _plot(source: Path, figure: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axis = {
        "pixels": "megapixels of one picture",
        "pictures": "pictures of 64x64 in a folder",
        "ranks": "ranks on two cores",
        "prepare": "GB of pixels to prepare",
    }
    figures: dict[str, Any] = json.loads(source.read_text(encoding="utf-8"))["figures"]
    _, panels = pyplot.subplots(2, len(figures), figsize=(13, 5), layout="constrained")
    for (above, below), (kind, points) in zip(panels.T, figures.items()):
        measured = [point for point in points.values() if "seconds" in point]
        amounts = [point["amount"] for point in measured]
        for axes, key in ((above, "seconds"), (below, "megabytes")):
            values = [point[key] for point in measured]
            axes.plot(amounts, values, marker="o")
            axes.set(xlabel=axis[kind], ylabel=key, ylim=(0, 1.1 * max(values)), xlim=(0, None))
            axes.grid(alpha=0.3)
    pyplot.savefig(figure, dpi=90)


if __name__ == "__main__":
    main()
