"""Restore a detail of an embedded photo by every task of DMSP, and make a picture of each.

    python benchmarks/dmsp_gallery.py --checkpoint dae.ckpt --output docs/images

Writes dmsp_TASK.jpg: what the solver is given or starts from, what it ends with, and the original,
with the PSNR of what is shown, of all channels, 8 bit, half the kernel cut.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from ms_restore import seeds
from ms_restore.contracts import Solver
from ms_restore.data import photos
from ms_restore.degradations import kernels
from ms_restore.degradations.bayer_mosaic import BayerMosaic
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.images.arrays import to_float
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.metrics.protocols import protocol_named
from ms_restore.report.pictures import comparison
from ms_restore.report.terminal import say
from ms_restore.solvers import tasks
from ms_restore.solvers.dmsp import DMSP
from ms_restore.verbs.loading import prior_of

_SIDE = 144
_WIDTH = 900  # of a picture in pixels
_DETAILS = {  # photo, top, left, noise of 255
    "deblur": ("chelsea", 60, 130, 2.55),
    "super_resolve": ("rocket", 130, 230, 0.0),
    "demosaic": ("coffee", 60, 190, 0.0),
    "inpaint": ("coffee", 60, 190, 0.0),
    "denoise": ("chelsea", 60, 130, 25.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--checkpoint", required=True, help="denoiser of one known noise level")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--tasks", default=",".join(_DETAILS))
    options = parser.parse_args()
    prior = prior_of(options.checkpoint, {}, EngineOptions(device_target="CPU"))
    for task in options.tasks.split(","):
        show(DMSP(prior), task, options.output / f"dmsp_{task}.jpg")


def show(solver: Solver, task: str, path: Path, width: int = _WIDTH) -> None:
    """Restore the detail of a task, and write what was given, what comes out and the original."""
    method = type(solver).__name__
    operator = {
        "deblur": lambda: Blur(kernels.load("motion:15:30")),
        "super_resolve": lambda: BlurDownsample(kernels.load("gaussian:1.6"), 2),
        "demosaic": BayerMosaic,
        "inpaint": lambda: Mask(_text_mask()),
        "denoise": Blur,
    }[task]()
    name, top, left, sigma_255 = _DETAILS[task]
    rows, columns = operator.half
    photo = photos.load(name)[top : top + _SIDE + 2 * rows, left : left + _SIDE + 2 * columns]
    x = to_float(photo)
    y = operator.forward(x.transpose(2, 0, 1)[None].astype(np.float64))
    rng = seeds.image_rng(0, task)
    noisy = y + rng.standard_normal(y.shape) * sigma_255 / 255
    y = noisy if sigma_255 else np.round(y * 255) / 255
    image = y[0].transpose(1, 2, 0).astype(np.float32)
    noise = tasks.task_sigma_255(task, sigma_255 or None, False, method.lower())
    x_hat, _ = tasks.restore_image(solver, image, operator, sigma_255=noise)
    clean = x[rows : len(x) - rows, columns : x.shape[1] - columns]
    start = tasks.crop_result(operator.start(y.astype(np.float32)), operator, False)
    given = task in ("inpaint", "deblur", "denoise")
    shown, what = (image, "input") if given else (start, "start")
    before, after = (protocol_named("rgb").psnr(z, clean, 1) for z in (shown, x_hat))
    panels = [
        (f"{task}: {what} {before:.2f} dB", shown.clip(0, 1)),
        (f"{method} {after:.2f} dB", x_hat),
        (f"original: {name}", clean),
    ]
    write(path, panels, width)


def write(path: Path, panels: list[tuple[str, np.ndarray]], width: int = _WIDTH) -> None:
    """Write captions and images (H, W, C) in [0, 1], side by side, as a JPEG; print captions."""
    say("; ".join(caption for caption, _ in panels))
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        comparison(sheet, panels)
        picture = PIL.Image.open(sheet).convert("RGB")
    size = (width, round(picture.height * width / picture.width))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.resize(size, PIL.Image.Resampling.LANCZOS).save(path, quality=85)


def _text_mask() -> np.ndarray:
    """(side, side), false under lines of text."""
    sheet = PIL.Image.new("L", (_SIDE, _SIDE), 255)
    draw = PIL.ImageDraw.Draw(sheet)
    for line in range(6):
        font = PIL.ImageFont.load_default(20)
        draw.text((-8 * line, 2 + 24 * line), "deep mean-shift priors", fill=0, font=font)
    return np.asarray(sheet) > 127


if __name__ == "__main__":
    main()
