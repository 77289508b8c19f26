"""The tasks that a solver restores: each an operator, assumed noise, and the output's size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Optional, get_args

import numpy as np

from ms_restore.contracts import LinearOperator, Progress, Solution, Solver
from ms_restore.degradations import kernels
from ms_restore.degradations.operators import BayerMosaic, Blur, BlurDownsample, Mask, Pattern
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.images.reading import read_picture

Task = Literal["deblur", "super_resolve", "demosaic", "inpaint", "denoise"]
_DEFAULT_KERNEL = "gaussian:1.6"  # of super-resolution, as in the literature
# Of 255, where neither a level nor noise-blind is asked for: a picture that is not said to be noisy
# is best restored as if it were a little, or the prior would have no say in 300 iterations. These
# were good on crops of two embedded training photos, among 0.3 to 6.
_DEFAULT_SIGMA_255 = {"super_resolve": 2.0, "demosaic": 4.0, "inpaint": 4.0}
_BELONGS = {
    "kernel": ("deblur", "super_resolve"),
    "scale": ("super_resolve",),
    "pattern": ("demosaic",),
    "mask": ("inpaint",),
}


def operator_of(
    task: str,
    *,
    kernel: Optional[str] = None,
    scale: Optional[int] = None,
    pattern: Optional[Pattern] = None,
    mask: Optional[Path] = None,
) -> Blur:
    """The degradation that the task undoes; InputError for what is missing or does not belong.

    Args:
        kernel: see ``kernels.load``; of deblurring, and of super-resolution (gaussian:1.6).
        scale: of super-resolution, 2, 3, 4, ...
        pattern: of demosaicing (RGGB).
        mask: picture, white where the image is known, black where it is missing.
    """
    tasks = get_args(Task)
    if task not in tasks:
        hint = did_you_mean(task, tasks)
        raise InputError(f"task {task!r} is not known{hint}; choose {comma_list(tasks)}")
    given = {"kernel": kernel, "scale": scale, "pattern": pattern, "mask": mask}
    for name, value in given.items():
        if value is not None and task not in _BELONGS[name]:
            raise InputError(f"--{name} belongs to {' and '.join(_BELONGS[name])}, not to {task}")
    if task == "deblur":
        if kernel is None:
            raise InputError(
                "deblur needs the kernel: --kernel FILE, gaussian:1.6, motion:15:30 or disk:3"
            )
        return Blur(kernels.load(kernel))
    if task == "super_resolve":
        if scale is None or scale < 2:
            raise InputError(f"super_resolve needs --scale 2, 3 or 4, got {scale}")
        return BlurDownsample(kernels.load(kernel or _DEFAULT_KERNEL), scale)
    if task == "demosaic":
        return BayerMosaic(pattern or "RGGB")
    if task == "inpaint":
        if mask is None:
            raise InputError("inpaint needs --mask FILE: white where known, black where missing")
        return Mask(read_picture(mask).pixels.mean(axis=2) > 127)
    return Blur()


def noise_of(task: str, sigma_255: Optional[float], noise_blind: bool) -> Optional[float]:
    """The noise's deviation of 255 that the solver is to assume; None: noise-blind."""
    if sigma_255 is not None and noise_blind:
        raise InputError("--sigma_255 and --noise_blind exclude each other; leave one out")
    if sigma_255 is not None and not 0 <= sigma_255 <= 255:
        raise InputError(f"sigma_255 {sigma_255:g}: expected 0 to 255")
    if sigma_255 is not None or noise_blind:
        return sigma_255
    if task == "denoise":
        raise InputError("denoise needs the noise: --sigma_255 25, or --noise_blind")
    return _DEFAULT_SIGMA_255.get(task)


def assumed_sigma_255(operator: Blur) -> Optional[float]:
    """What ``noise_of`` assumes of a picture without noise that this operator degraded."""
    if isinstance(operator, BlurDownsample):
        return _DEFAULT_SIGMA_255["super_resolve"]
    return _DEFAULT_SIGMA_255["demosaic"] if isinstance(operator, BayerMosaic) else 0.0


def restored(
    solver: Solver,
    y: np.ndarray,
    operator: LinearOperator,
    *,
    sigma_255: Optional[float],
    whole: bool = False,
    seed: int = 0,
    monitor: Optional[Callable[[Progress], None]] = None,
) -> tuple[np.ndarray, Solution]:
    """One image: y (h, w, C) in [0, 1] to x_hat (H, W, C), and how it was found.

    ``whole``: with the half kernel on every side that y tells little of; else ``scale`` times y's
    size. A gray y with a prior for colours is restored as three equal channels, and their mean
    taken.
    """
    planes = np.asarray(y, np.float32)
    mosaic = isinstance(operator, BayerMosaic)
    if mosaic and planes.shape[2] != 1:
        raise InputError(
            f"demosaic takes a mosaic of one channel, this image has {planes.shape[2]}; "
            "save the raw values as a gray picture"
        )
    operator.check(*operator.blurred_size(*planes.shape[:2]))
    gray = planes.shape[2] == 1 and not mosaic
    if gray and solver.prior.channels == 3:
        planes = np.repeat(planes, 3, axis=2)
    batch = planes.transpose(2, 0, 1)[None]
    solution = solver(batch, operator, sigma_255=sigma_255, seed=seed, monitor=monitor)
    x_hat = framed(solution.x_hat, operator, whole)
    if gray:
        x_hat = x_hat.mean(axis=2, keepdims=True)
    return x_hat, solution


def framed(x: np.ndarray, operator: LinearOperator, whole: bool) -> np.ndarray:
    """The first image of (N, C, H, W) as (H, W, C), without half the kernel unless ``whole``."""
    rows, columns = (0, 0) if whole else operator.half
    height, width = x.shape[2:]
    return x[0, :, rows : height - rows, columns : width - columns].transpose(1, 2, 0)
