"""DMSP, restoration by gradient descent on a data term and a deep mean-shift prior.

Bigdeli, Jin, Favaro, Zwicker, "Deep Mean-Shift Priors for Image Restoration", NIPS 2017,
arXiv 1709.03749. With y = A x + noise, a denoiser D trained at sigma_p, and momentum:

    g_p = x - D(x + n),  n ~ N(0, sigma_p^2)                       the prior
    e = gain (A x - y),  g_d = A^T e                               the data
    v <- momentum v - step (w g_d + (1 - w) g_p),  x <- clip(x + v)

With noise of standard deviation sigma, w = sigma^-2 / (sigma^-2 + sigma_p^-2). For unknown noise
(noise-blind) it is estimated in each iteration: w = l / (l + sigma_p^-2) with
l = M / (|e|^2 + 2 m sigma_p^2 |k|^2), where m is the number of values of y, M = gain m that of the
blurred image, and k the kernel.

Differs from the paper: images are in [0, 1]; where y lacks values, the first x has the mean of
known neighbours.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any, Callable, Literal, Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, amp, nn
from pydantic import Field

from ms_restore.contracts import Engine, LinearOperator, Progress, Solution
from ms_restore.errors import InputError
from ms_restore.solvers.device_noise import device_noise
from ms_restore.solvers.kept_cells import KeptCells
from ms_restore.solvers.priors import DenoiserPrior

MIN_SIGMA_255 = 12**-0.5  # standard deviation of the error of rounding to 8 bit
_LEAST_ITERATIONS = 20  # before the momentum has built up, small updates do not mean convergence
_MONITOR_INTERVAL = 10  # iterations between two transfers of the figures from the device


class DMSP:
    """The solver DMSP: ``solver(y, operator, sigma_255=...)`` gives a ``Solution``.

    Args:
        prior: the denoiser.
        prior_sigma_255: noise level, on a scale of 0 to 255, that the prior must have been trained
            for; None accepts any.
        iterations: number of iterations.
        step: step size of the descent; larger is faster, but with momentum 0.9 the descent
            oscillates from 3.8 / gain on, where gain is the number of values of the blurred image
            for each value of y.
        momentum: share of the last update that is added to the next.
        noise_blind: estimate the noise of y even where it is known.
        tolerance: stop when the norm of an update is smaller than this share of the image's, but
            not before iteration 20; 0 never stops early. The prior's noise keeps updates above a
            few 1e-4.
        amp_level: "O2" computes the prior in float16, which changes its network; only for a prior
            that MindSpore computes.

    Raises:
        InputError: the prior was trained for another noise level, or does not support amp_level.
    """

    def __init__(
        self,
        prior: DenoiserPrior,
        *,
        prior_sigma_255: Optional[float] = None,
        iterations: Annotated[int, Field(ge=1)] = 300,
        step: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        noise_blind: bool = False,
        tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        amp_level: Literal["O0", "O2"] = "O0",
    ) -> None:
        if prior_sigma_255 not in (None, prior.sigma_255):
            prior = DenoiserPrior(prior.loaded, prior_sigma_255)
        self.prior = prior
        self.iterations = iterations
        self.noise_blind = noise_blind
        self.tolerance = tolerance
        self.engine = prior.engine_name
        self._step, self._momentum = step, momentum
        self._kept: KeptCells[DMSPIteration] = KeptCells()
        self._denoise: Any
        if prior.engine is not None:
            if amp_level != "O0":
                raise InputError(
                    f"amp_level {amp_level} needs engine mindspore; {self.engine} computes in "
                    "float32"
                )
            self._denoise = prior.denoise
        else:
            self._denoise = prior.cell()
            if amp_level == "O2":
                self._denoise = amp.auto_mixed_precision(self._denoise, "O2", ms.float16)
            self._denoise.set_train(False)

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
            sigma_255: standard deviation of y's noise on a scale of 0 to 255, at least 0.29 as by
                rounding to 8 bit; None estimates it.
            seed: of the noise that is added to the prior's input.
            monitor: called after the first, the last and every tenth iteration.

        Raises:
            InputError: ``sigma_255`` is not from 0 to 255, an image is smaller than the kernel, or
                the solver diverges.
        """
        iteration = self.descent(y, operator, sigma_255=sigma_255, seed=seed)
        times = []
        for number in range(1, self.iterations + 1):
            began = time.perf_counter()
            iteration.advance()
            if number % _MONITOR_INTERVAL == 0 or number in (1, self.iterations):
                misfit, change = iteration.figures()  # waits for the device
                if monitor is not None:
                    monitor(Progress(number, misfit, iteration.image))
                if change < self.tolerance and number >= _LEAST_ITERATIONS:
                    times.append(time.perf_counter() - began)
                    break
            times.append(time.perf_counter() - began)
        x_hat = iteration.image()
        if not np.isfinite(x_hat).all():
            raise InputError(f"the solver diverged with step {self._step:g}; use a smaller step")
        return Solution(x_hat, number, misfit, float(np.median(times)), self.engine)

    def descent(
        self, y: np.ndarray, operator: LinearOperator, *, sigma_255: Optional[float], seed: int = 0
    ) -> Descent:
        """Return a descent at its start, for single iterations; arguments are those of a call."""
        if sigma_255 is not None and not 0 <= sigma_255 <= 255:
            raise InputError(f"sigma_255 {sigma_255:g}: expected 0 to 255")
        y = np.ascontiguousarray(y, np.float32)
        x = operator.start(y)
        operator.check(*x.shape[-2:])
        prior_variance = (self.prior.sigma_255 / 255) ** 2
        weight = None
        if sigma_255 is not None and not self.noise_blind:
            variance = (max(sigma_255, MIN_SIGMA_255) / 255) ** 2
            weight = prior_variance / (variance + prior_variance)
        gain = operator.gain(y)
        values = y[0].size
        constants = _Constants(
            step=self._step,
            momentum=self._momentum,
            gain=gain,
            values=values,
            weight=weight,
            prior_sigma=self.prior.sigma_255 / 255,
            noise_floor=2 * values * prior_variance * operator.energy,
        )
        if self.prior.engine is not None:
            return _HostDescent(x, y, operator, self._denoise, constants, seed)
        noise = device_noise(x.shape, constants.prior_sigma, seed)
        iterate = self._kept.get(
            operator,
            (x.shape, y.shape, constants),
            lambda: DMSPIteration(operator.cell(*x.shape[-2:]), self._denoise, constants),
        )
        return _DeviceDescent(x, y, iterate, noise, constants)


@dataclasses.dataclass(frozen=True)
class _Constants:
    """The scalars in the formulas of this module; ``weight`` is w, or None for unknown noise.

    ``values`` is m, and ``noise_floor`` is 2 m sigma_p^2 |k|^2.
    """

    step: float
    momentum: float
    gain: float
    values: int
    weight: Optional[float]
    prior_sigma: float
    noise_floor: float


class _Iteration:
    """The formulas of an iteration, in operations that NumPy and MindSpore share."""

    operator: Any
    denoise: Any

    def _set_constants(self, constants: _Constants) -> None:
        self.step, self.momentum = constants.step, constants.momentum
        self.gain, self.noise_floor = constants.gain, constants.noise_floor
        self.total = constants.gain * constants.values
        self.precision = constants.prior_sigma**-2
        self.blind = constants.weight is None
        self.weight = constants.weight or 0.0

    def updated(self, x: Any, v: Any, y: Any, noise: Any) -> Any:
        """Return x, v, |e|^2 of each image (N, 1, 1, 1), and the update's squared relative norm."""
        g_p = x - self.denoise(x + noise)
        e = (self.operator.forward(x) - y) * self.gain
        g_d = self.operator.adjoint(e)
        error = (e * e).sum(axis=(1, 2, 3), keepdims=True)
        w = self.weight
        if self.blind:
            precision = self.total / (error + self.noise_floor)
            w = precision / (precision + self.precision)
        v = v * self.momentum - (g_d * w + g_p * (1.0 - w)) * self.step
        after = (x + v).clip(0.0, 1.0)
        moved = after - x
        change = (moved * moved).sum() / (x * x).sum()
        return after, v, error, change


class Descent:
    """The state of a descent, which ``advance`` takes one iteration further."""

    def __init__(self, constants: _Constants) -> None:
        self._constants = constants
        self._x: Any = None
        self._error: Any = None
        self._change: Any = None

    def advance(self) -> None:
        """Compute one iteration."""
        raise NotImplementedError

    def image(self) -> np.ndarray:
        """Return the present x (N, C, H, W), float32 in [0, 1]."""
        raise NotImplementedError

    def figures(self) -> tuple[np.ndarray, float]:
        """Return the misfit of each image and the relative norm of the last update.

        The misfit (N,) is the root mean square of A x - y on a scale of 0 to 255.
        """
        error = np.asarray(self._error, np.float64).reshape(-1)
        misfit = np.sqrt(error / self._constants.values) / self._constants.gain * 255
        return misfit, float(np.asarray(self._change)) ** 0.5


class _HostDescent(Descent, _Iteration):
    """A descent in NumPy, whose prior an engine computes."""

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        operator: LinearOperator,
        denoise: Engine,
        constants: _Constants,
        seed: int,
    ) -> None:
        super().__init__(constants)
        self._set_constants(constants)
        self.operator, self.denoise = operator, denoise
        self._y, self._x, self._v = y, x, np.zeros_like(x)
        self._rng = np.random.default_rng(seed)

    def advance(self) -> None:
        noise = self._rng.standard_normal(self._x.shape, np.float32)
        noise *= np.float32(self._constants.prior_sigma)
        self._x, self._v, self._error, self._change = self.updated(self._x, self._v, self._y, noise)

    def image(self) -> np.ndarray:
        return self._x


class _DeviceDescent(Descent):
    """A descent on the device, whose iteration is one graph, compiled when it first runs.

    Args:
        x: the start.
        y: the degraded images.
        iterate: the iteration for this operator and size.
        noise: gives what is added to the prior's input, anew in each iteration.
        constants: as those of ``iterate``.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        iterate: DMSPIteration,
        noise: Callable[[], Tensor],
        constants: _Constants,
    ) -> None:
        super().__init__(constants)
        self._iterate, self._noise = iterate, noise
        self._y, self._x, self._v = Tensor(y), Tensor(x), Tensor(np.zeros_like(x))

    def advance(self) -> None:
        self._x, self._v, self._error, self._change = self._iterate(
            self._x, self._v, self._y, self._noise()
        )

    def figures(self) -> tuple[np.ndarray, float]:
        self._error, self._change = (
            value.asnumpy() if isinstance(value, Tensor) else value
            for value in (self._error, self._change)
        )
        return super().figures()

    def image(self) -> np.ndarray:
        return self._x.asnumpy()


class DMSPIteration(nn.Cell, _Iteration):
    """An iteration as a cell, which takes its noise (N, C, H, W) from outside."""

    def __init__(self, operator: nn.Cell, denoise: nn.Cell, constants: _Constants) -> None:
        super().__init__(auto_prefix=False)
        self._set_constants(constants)
        self.operator, self.denoise = operator, denoise

    def construct(self, x: Tensor, v: Tensor, y: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the new x and v (N, C, H, W), |e|^2 (N, 1, 1, 1), and the squared change."""
        return self.updated(x, v, y, noise)
