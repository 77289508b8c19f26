"""DPIR, restoration by half-quadratic splitting with a denoiser that takes any noise level.

Zhang, Li, Zuo, Zhang, Van Gool, Timofte, "Plug-and-Play Image Restoration with Deep Denoiser
Prior", IEEE TPAMI 2021, arXiv 2008.13751. With y = A x + noise of standard deviation sigma, and
levels sigma_k that fall from a large one to sigma:

    x <- argmin |A x - y|^2 + alpha_k |x - z|^2,  alpha_k = data_weight sigma^2 / sigma_k^2
    z <- D(x, sigma_k)

The first line is computed in closed form, see ``LinearOperator.proximal``. As in the authors'
program, the denoiser sees a flipped or rotated image in each iteration, one after the other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Callable, Optional, Protocol

import numpy as np
from pydantic import Field

from ms_restore.contracts import LinearOperator, Progress, Solution
from ms_restore.errors import InputError
from ms_restore.inference.self_ensemble import SYMMETRIES
from ms_restore.metrics.noise_estimate import estimate_sigma
from ms_restore.solvers.priors import DenoiserPrior

if TYPE_CHECKING:  # loads MindSpore
    from mindspore import nn

    from ms_restore.solvers.kept_cells import KeptCells

_LEAST_SIGMA_255 = 0.255  # what the authors take for images without noise


class DPIR:
    """The solver DPIR: ``solver(y, operator, sigma_255=...)`` gives a ``Solution``.

    Args:
        prior: a denoiser that is told the noise level.
        iterations: number of iterations, and of levels.
        first_sigma_255: the first level, on a scale of 0 to 255.
        last_sigma_255: the last level is at least this; for images with little noise.
        data_weight: lambda of the paper: larger trusts the prior more.
        noise_blind: estimate the noise of y even where it is known.

    Raises:
        InputError: the prior was trained for one noise level alone.
    """

    def __init__(
        self,
        prior: DenoiserPrior,
        *,
        iterations: Annotated[int, Field(ge=1)] = 8,
        first_sigma_255: Annotated[float, Field(gt=0, le=255)] = 49.0,
        last_sigma_255: Annotated[float, Field(gt=0, le=255)] = _LEAST_SIGMA_255,
        data_weight: Annotated[float, Field(gt=0)] = 0.23,
        noise_blind: bool = False,
    ) -> None:
        if not prior.takes_any_level:
            raise InputError(
                f"solver dpir needs a denoiser that is told the noise level, such as ffdnet_color; "
                f"{prior.recipe.model} was trained for one level: use solver dmsp"
            )
        self.prior = prior
        self.iterations = iterations
        self.noise_blind = noise_blind
        self.engine = prior.engine_name
        self._first, self._last = first_sigma_255 / 255, last_sigma_255 / 255
        self._data_weight = data_weight
        self._cells: Optional[tuple[KeptCells, nn.Cell]] = None
        if prior.engine is None:  # MindSpore computes
            from ms_restore.solvers.kept_cells import KeptCells

            self._cells = (KeptCells(), prior.cell().set_train(False))

    def __call__(
        self,
        y: np.ndarray,
        operator: LinearOperator,
        *,
        sigma_255: Optional[float],
        seed: int = 0,
        monitor: Optional[Callable[[Progress], None]] = None,
    ) -> Solution:
        """Restore a batch of images.

        Args:
            y: degraded images (N, C, h, w) in [0, 1], noise not clipped.
            operator: the degradation A.
            sigma_255: standard deviation of y's noise on a scale of 0 to 255; None estimates it.
            seed: not used, for nothing is random here.
            monitor: called after every iteration.

        Raises:
            InputError: ``sigma_255`` is not from 0 to 255, or an image is smaller than the kernel.
        """
        if sigma_255 is not None and not 0 <= sigma_255 <= 255:
            raise InputError(f"sigma_255 {sigma_255:g}: expected 0 to 255")
        y = np.ascontiguousarray(y, np.float32)
        z = operator.start(y)
        operator.check(*z.shape[-2:])
        if sigma_255 is None or self.noise_blind:
            noise = float(np.mean([estimate_sigma(image.transpose(1, 2, 0)) for image in y]))
        else:
            noise = sigma_255 / 255
        noise = max(noise, _LEAST_SIGMA_255 / 255)
        levels = np.geomspace(max(self._first, noise), max(self._last, noise), self.iterations)
        steps = self._steps(operator, y, z)
        times, misfit = [], np.zeros(len(y))
        for number, level in enumerate(levels, start=1):
            began = time.perf_counter()
            steps.advance(number - 1, float(self._data_weight * noise**2 / level**2), float(level))
            z = steps.image()  # waits for the device
            times.append(time.perf_counter() - began)
            error = operator.forward(z) - y
            misfit = 255 * np.sqrt((error**2).mean(axis=(1, 2, 3), dtype=np.float64))
            if monitor is not None:
                monitor(Progress(number, misfit, lambda image=z: image))  # type: ignore[misc]
        return Solution(z, self.iterations, misfit, float(np.median(times)), self.engine)

    def _steps(self, operator: LinearOperator, y: np.ndarray, z: np.ndarray) -> _Steps:
        if self._cells is None:
            return _HostSteps(self.prior, operator, y, z)
        from ms_restore.solvers.dpir_cell import DeviceSteps

        kept, denoise = self._cells
        return DeviceSteps(kept, self.prior, denoise, operator, y, z)


class _Steps(Protocol):
    """The iterations of one batch."""

    def advance(self, number: int, alpha: float, level: float) -> None: ...

    def image(self) -> np.ndarray: ...


class _HostSteps:
    """Iterations in NumPy, with a denoiser that an engine computes."""

    def __init__(
        self, prior: DenoiserPrior, operator: LinearOperator, y: np.ndarray, z: np.ndarray
    ) -> None:
        self._prior, self._operator, self._y, self._z = prior, operator, y, z

    def advance(self, number: int, alpha: float, level: float) -> None:
        x = self._operator.proximal(self._z, self._y, alpha)
        turn, back = SYMMETRIES[number % len(SYMMETRIES)]
        z = back(self._prior.denoise(np.ascontiguousarray(turn(x)), 255 * level))
        self._z = np.clip(z, 0, 1)

    def image(self) -> np.ndarray:
        return self._z
