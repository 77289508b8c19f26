"""Normal noise made on the device: a sequence that a seed decides."""

from __future__ import annotations

from typing import Callable

import mindspore as ms
from mindspore import Tensor, mint, nn, ops


def device_noise(shape: tuple[int, ...], sigma: float, seed: int) -> Callable[[], Tensor]:
    """Return a function whose every call gives new noise of this standard deviation.

    An Ascend computes MindSpore's ``StandardNormal`` on its slow processors and ignores the seed;
    there the function is ``mint.normal``, which only an Ascend has.
    """
    if ms.get_context("device_target") == "Ascend":
        return _MintNoise(shape, sigma, seed)
    return _StandardNoise(shape, sigma, seed).set_train(False)


class _StandardNoise(nn.Cell):
    """The noise of a sequence that begins anew with each new cell."""

    def __init__(self, shape: tuple[int, ...], sigma: float, seed: int) -> None:
        super().__init__(auto_prefix=False)
        self.normal = ops.StandardNormal(seed, 1)  # with two zeros, the clock would be the seed
        self.shape, self.sigma = shape, sigma

    def construct(self) -> Tensor:
        """Return the next noise."""
        return self.normal(self.shape) * self.sigma


class _MintNoise:
    """The noise of a generator of its own, by one kernel and without a graph."""

    def __init__(self, shape: tuple[int, ...], sigma: float, seed: int) -> None:
        self._shape, self._sigma = shape, sigma
        self._generator = ms.Generator()
        self._generator.manual_seed(seed)

    def __call__(self) -> Tensor:
        return mint.normal(0.0, self._sigma, self._shape, self._generator)
