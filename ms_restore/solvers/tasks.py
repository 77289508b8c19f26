"""The tasks that a solver restores, each with its operator, assumed noise and output size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Optional, get_args

import numpy as np

from ms_restore.contracts import LinearOperator, Progress, Solution, Solver
from ms_restore.degradations import kernels
from ms_restore.degradations.bayer_mosaic import BayerMosaic, Pattern
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.images.reading import read_picture

Task = Literal["deblur", "super_resolve", "demosaic", "inpaint", "denoise"]
_DEFAULT_KERNEL = "gaussian:1.6"  # for super-resolution, as in the literature
# Noise level, of 255, where the user gives none: pictures without noise are restored best as if
# they had a little, for otherwise the prior has hardly any effect in 300 iterations. The levels
# were chosen from 0.3 to 6 on crops of two embedded training photos.
_DEFAULT_SIGMA_255 = {"super_resolve": 2.0, "demosaic": 4.0, "inpaint": 4.0}
# For pictures without noise: super-resolution and demosaicing as DPIR's authors do, and inpainting,
# which they have not, as demosaicing
_OF_DPIR: dict[str, dict[str, float]] = {
    "super_resolve": {"iterations": 24},
    "demosaic": {"iterations": 40, "last_sigma_255": 0.6},
    "inpaint": {"iterations": 40, "last_sigma_255": 0.6},
}
_DPIR_SIGMA_255 = {"super_resolve": 0.255, "demosaic": 0.6, "inpaint": 0.6}
_TASKS_OF_OPTION = {
    "kernel": ("deblur", "super_resolve"),
    "scale": ("super_resolve",),
    "pattern": ("demosaic",),
    "mask": ("inpaint",),
}


def check_task(task: str) -> None:
    """Raise InputError where there is no such task."""
    tasks = get_args(Task)
    if task not in tasks:
        hint = did_you_mean(task, tasks)
        raise InputError(f"task {task!r} is not known{hint}; choose {comma_list(tasks)}")


def task_operator(
    task: str,
    *,
    kernel: Optional[str] = None,
    scale: Optional[int] = None,
    pattern: Optional[Pattern] = None,
    mask: Optional[Path] = None,
) -> Blur:
    """Return the degradation that a task undoes.

    Args:
        task: one of ``Task``.
        kernel: blur kernel, see ``kernels.load``; required for deblurring, and gaussian:1.6 by
            default for super-resolution.
        scale: scale of super-resolution: 2, 3, 4, ...
        pattern: Bayer pattern for demosaicing, RGGB by default.
        mask: picture for inpainting, white where the image is known and black where it is missing.

    Raises:
        InputError: the task is unknown, an option is missing, or it belongs to another task.
    """
    check_task(task)
    given = {"kernel": kernel, "scale": scale, "pattern": pattern, "mask": mask}
    for name, value in given.items():
        if value is not None and task not in _TASKS_OF_OPTION[name]:
            tasks_of_option = " and ".join(_TASKS_OF_OPTION[name])
            raise InputError(f"--{name} belongs to {tasks_of_option}, not to {task}")
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


def solver_settings(solver: str, task: str) -> dict[str, float]:
    """Return the settings of a solver that a task has other defaults for."""
    return _OF_DPIR.get(task, {}) if solver == "dpir" else {}


def task_sigma_255(
    task: str, sigma_255: Optional[float], noise_blind: bool, solver: str = "dmsp"
) -> Optional[float]:
    """Return the noise level that a solver assumes for a task, or None to estimate it.

    Args:
        task: one of ``Task``.
        sigma_255: the given standard deviation, on a scale of 0 to 255, or None.
        noise_blind: whether the noise is to be estimated.
        solver: its name, for what it assumes where nothing is given.

    Raises:
        InputError: the options exclude each other, or denoising has neither of them.
    """
    if sigma_255 is not None and noise_blind:
        raise InputError("--sigma_255 and --noise_blind exclude each other; leave one out")
    if sigma_255 is not None and not 0 <= sigma_255 <= 255:
        raise InputError(f"sigma_255 {sigma_255:g}: expected 0 to 255")
    if sigma_255 is not None or noise_blind:
        return sigma_255
    if task == "denoise":
        raise InputError("denoise needs the noise: --sigma_255 25, or --noise_blind")
    return (_DPIR_SIGMA_255 if solver == "dpir" else _DEFAULT_SIGMA_255).get(task)


def default_sigma_255(operator: Blur, solver: str) -> float:
    """Return the noise level, of 255, that ``task_sigma_255`` gives without options."""
    levels = _DPIR_SIGMA_255 if solver == "dpir" else _DEFAULT_SIGMA_255
    if isinstance(operator, BlurDownsample):
        return levels["super_resolve"]
    return levels["demosaic"] if isinstance(operator, BayerMosaic) else 0.0


def restore_image(
    solver: Solver,
    y: np.ndarray,
    operator: LinearOperator,
    *,
    sigma_255: Optional[float],
    whole: bool = False,
    seed: int = 0,
    monitor: Optional[Callable[[Progress], None]] = None,
) -> tuple[np.ndarray, Solution]:
    """Restore one image: return x_hat (H, W, C) in [0, 1], and the solution for the batch of it.

    A gray image with a prior for colours is restored as three equal channels, which are averaged.

    Args:
        solver: the solver.
        y: degraded image (h, w, C) in [0, 1].
        operator: the degradation.
        sigma_255: standard deviation of y's noise on a scale of 0 to 255; None estimates it.
        whole: keep half the kernel's size on every side, of which y shows little; otherwise x_hat
            is ``scale`` times as large as y.
        seed: of the solver's random numbers.
        monitor: see ``Solver``.

    Raises:
        InputError: the image does not suit the operator, or the solver diverges.
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
    x_hat = crop_result(solution.x_hat, operator, whole)
    if gray:
        x_hat = x_hat.mean(axis=2, keepdims=True)
    return x_hat, solution


def crop_result(x: np.ndarray, operator: LinearOperator, whole: bool) -> np.ndarray:
    """Return the first image of x (N, C, H, W) as (H, W, C).

    It is cropped by half the kernel's size on every side unless ``whole``.
    """
    rows, columns = (0, 0) if whole else operator.half
    height, width = x.shape[2:]
    return x[0, :, rows : height - rows, columns : width - columns].transpose(1, 2, 0)
