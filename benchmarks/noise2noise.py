"""Train from noisy images and from clean ones, equally long, and compare: the point of the paper.

    python benchmarks/noise2noise.py [--steps N] [--output DIR]

Or with --mri: training on phantoms with the measured frequencies put back, and without. Writes
DIR/curve.png (needs matplotlib) and DIR/noise2noise.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Optional

from common import publish

import ms_restore

_PAIRS: dict[bool, dict[str, tuple[str, dict[str, Any]]]] = {
    False: {
        "noise2noise": ("noise2noise_quickstart", {}),
        "noise2clean": ("noise2clean_quickstart", {}),
    },
    True: {
        "frequencies put back": ("noise2noise_mri_quickstart", {}),
        "without": ("noise2noise_mri_quickstart", {"network.keep_measured": False}),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mri", action="store_true", help="MRI with and without its frequencies")
    parser.add_argument("--steps", type=int, help="of each training (default: the recipe's)")
    parser.add_argument("--output", type=Path, default=Path("runs/noise2noise"))
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    curves = {}
    for name, (model, settings) in _PAIRS[options.mri].items():
        folder = options.output / name.replace(" ", "_")
        figures[name], curves[name] = train(model, settings, folder, options.steps)
    first, second = figures.values()
    figures["difference_db"] = round(first["psnr"] - second["psnr"], 3)
    publish(figures, options.output / "noise2noise.json")
    plot(curves, first["baseline_psnr"], options.output / "curve.png")


def train(
    model: str, settings: dict[str, Any], folder: Path, steps: Optional[int]
) -> tuple[dict[str, Any], list[tuple[int, float]]]:
    """The score of the last weights on the held-out images, and the validations of the run."""
    settings = {**settings, **({"train.steps": steps} if steps else {})}
    began = time.perf_counter()
    ms_restore.train(model, output_dir=folder, settings=settings, device_target="CPU")
    seconds = time.perf_counter() - began
    mean = ms_restore.evaluate(folder, device_target="CPU")["mean"]
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    curve = [(e["step"], e["valid_psnr"]) for e in entries if "valid_psnr" in e]
    rounded = {key: round(value, 3) for key, value in mean.items()}
    return {"seconds": round(seconds), **rounded}, curve


def plot(curves: dict[str, list[tuple[int, float]]], baseline: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    _, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for name, curve in curves.items():
        axes.plot(*zip(*curve), marker="o", label=name)
    axes.axhline(baseline, color="gray", linestyle="--", label="input")
    axes.set(xlabel="step", ylabel="PSNR on held-out images, dB")
    axes.legend()
    pyplot.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
