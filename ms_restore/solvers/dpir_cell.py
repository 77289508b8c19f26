"""An iteration of DPIR as one graph on the device."""

from __future__ import annotations

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from ms_restore.contracts import LinearOperator
from ms_restore.inference.self_ensemble import FLIPS
from ms_restore.solvers.kept_cells import KeptCells
from ms_restore.solvers.priors import DenoiserPrior


class DPIRIteration(nn.Cell):
    """Data step and denoiser, which sees a turned image.

    Args:
        proximal: the data step, see ``LinearOperator.proximal_cell``.
        denoise: a ``PriorCell``.
        transposed: rows and columns change places before the denoiser, and again after it.
    """

    def __init__(self, proximal: nn.Cell, denoise: nn.Cell, transposed: bool) -> None:
        super().__init__(auto_prefix=False)
        self.proximal, self.denoise = proximal, denoise
        self._transposed = transposed

    def construct(
        self,
        z: Tensor,
        held: Tensor,
        alpha: Tensor,
        level: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> Tensor:
        """Return the new z (N, C, H, W) in [0, 1].

        ``alpha`` and ``level`` are (1,); ``rows`` and ``columns`` are the order in which the
        denoiser sees those of the image, or of the transposed one: ascending or descending, and
        continued at the end.
        """
        x = self.proximal(z, held, alpha)
        if self._transposed:
            x = x.swapaxes(2, 3)
        height, width = x.shape[2:]
        x = ops.gather(ops.gather(x, rows, 2), columns, 3)
        z = self.denoise(x, level)
        z = ops.gather(ops.gather(z, rows[:height], 2), columns[:width], 3)
        if self._transposed:
            z = z.swapaxes(2, 3)
        return ops.clamp(z, 0.0, 1.0)


class DeviceSteps:
    """The iterations of one batch on the device, of which two graphs are compiled and kept.

    Args:
        kept: where the graphs are kept.
        prior: the denoiser.
        denoise: its cell, a ``PriorCell``.
        operator: the degradation.
        y: the degraded images.
        z: the start.
    """

    def __init__(
        self,
        kept: KeptCells[DPIRIteration],
        prior: DenoiserPrior,
        denoise: nn.Cell,
        operator: LinearOperator,
        y: np.ndarray,
        z: np.ndarray,
    ) -> None:
        self._kept, self._operator = kept, operator
        self._prior, self._denoise = prior, denoise
        self._y, self._size = y, (z.shape[-2], z.shape[-1])
        self._held = Tensor(np.ascontiguousarray(operator.held(y, self._size)))
        self._z = Tensor(z)

    def advance(self, number: int, alpha: float, level: float) -> None:
        """Do an iteration; ``number`` from 0 on decides how the image is turned."""
        transposed, *reversed_ = FLIPS[number % len(FLIPS)]
        iterate = self._kept.get(
            self._operator,
            (self._y.shape, transposed),
            lambda: DPIRIteration(
                self._operator.proximal_cell(self._y, self._size), self._denoise, transposed
            ),
        )
        sides = self._size[::-1] if transposed else self._size
        orders = [
            Tensor(self._prior.continued(np.arange(side, dtype=np.int32)[:: -1 if flip else 1]))
            for side, flip in zip(sides, reversed_)
        ]
        scalars = [Tensor([value], ms.float32) for value in (alpha, level)]
        self._z = iterate(self._z, self._held, *scalars, *orders)

    def image(self) -> np.ndarray:
        """Return the image as it is now, (N, C, H, W)."""
        return self._z.asnumpy()
