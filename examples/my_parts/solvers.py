"""A solver of one's own: undoes a known degradation with a denoiser as prior."""

import functools
import time
from typing import Callable, Optional

import numpy as np

from ms_restore.contracts import LinearOperator, Prior, Progress, Solution


class PlugAndPlay:
    """Gradient steps on |A x - y|^2 / 2, the denoiser after each (Venkatakrishnan et al. 2013).

    It needs a prior that an engine computes, such as ONNX Runtime.

    Args:
        prior: the denoiser.
        iterations: gradient steps.
        step: length of a step; larger is faster, above 2 it diverges.
    """

    noise_blind = False

    def __init__(self, prior: Prior, *, iterations: int = 10, step: float = 1.0) -> None:
        self.prior = prior
        self.iterations = iterations
        self.engine = prior.engine.name if prior.engine else "mindspore"
        self._step = step

    def __call__(
        self,
        y: np.ndarray,
        operator: LinearOperator,
        *,
        sigma_255: Optional[float],
        seed: int = 0,
        monitor: Optional[Callable[[Progress], None]] = None,
    ) -> Solution:
        x = operator.start(y)
        times = []
        for number in range(1, self.iterations + 1):
            began = time.perf_counter()
            error = operator.forward(x) - y
            x = self.prior.denoise(x - self._step * operator.adjoint(error)).clip(0, 1)
            times.append(time.perf_counter() - began)
            misfit = 255 * np.sqrt((error**2).mean(axis=(1, 2, 3)))
            if monitor is not None:
                monitor(Progress(number, misfit, functools.partial(np.copy, x)))
        return Solution(x, self.iterations, misfit, float(np.median(times)), self.engine)
