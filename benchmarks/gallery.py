"""Restore embedded photos with the weights that come along, and make a picture of each task.

    python benchmarks/gallery.py                          # into docs/images/gallery

The photos are those that no training saw. Each picture shows what was given, what comes out and
the original, with PSNR: of Y for x2 and x4 (protocol sr-y), else of all channels, 8 bit.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import dmsp_gallery

import ms_restore
from ms_restore import registry, seeds
from ms_restore.data import photos
from ms_restore.images.arrays import to_float
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.metrics.protocols import protocol_named
from ms_restore.solvers import tasks
from ms_restore.solvers.dpir import DPIR
from ms_restore.verbs.loading import prior_of

_SIDE = 240
_SHOWN = {  # picture: model, degradation, photo, top, left, protocol
    "upscale_x2": ("edsr_small_x2", {"name": "bicubic", "scale": 2}, "coffee", 60, 190, "sr-y"),
    "upscale_x4": ("edsr_small_x4", {"name": "bicubic", "scale": 4}, "chelsea", 30, 100, "sr-y"),
    "denoise_25": (
        "denoise_small",
        {"name": "gaussian", "sigma_255": 25},
        "rocket",
        80,
        200,
        "rgb",
    ),
    "denoise_50": (
        "denoise_small",
        {"name": "gaussian", "sigma_255": 50},
        "coffee",
        60,
        190,
        "rgb",
    ),
    "denoise_gray": (
        "denoise_small_gray",
        {"name": "gaussian", "sigma_255": 25},
        "camera",
        60,
        130,
        "gray",
    ),
}
_TASKS = ("deblur", "super_resolve", "demosaic", "inpaint")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("docs/images/gallery"))
    parser.add_argument("--width", type=int, default=810, help="of a picture, in pixels")
    options = parser.parse_args()
    for picture, (model, degradation, name, top, left, protocol) in _SHOWN.items():
        x = to_float(photos.load(name)[top : top + _SIDE, left : left + _SIDE])
        degrade = registry.build("degradation", degradation)
        y = degrade(x, seeds.image_rng(0, name))
        shown, x_hat = degrade.baseline(y), ms_restore.load_model(model)(y)
        scale = len(x) // len(y)
        before, after = (protocol_named(protocol).psnr(z, x, scale) for z in (shown, x_hat))
        panels = [
            (f"{degrade.baseline_name} {before:.2f} dB", shown.clip(0, 1)),
            (f"{model} {after:.2f} dB", x_hat.clip(0, 1)),
            (f"original: {name}", x),
        ]
        dmsp_gallery.write(options.output / f"{picture}.jpg", panels, options.width)
    prior = prior_of(None, {}, EngineOptions(device_target="CPU"))
    for task in _TASKS:
        solver = DPIR(prior, **tasks.solver_settings("dpir", task))
        dmsp_gallery.show(solver, task, options.output / f"{task}.jpg", options.width)


if __name__ == "__main__":
    main()
