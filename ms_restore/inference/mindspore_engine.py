"""Engines that MindSpore computes: a network, or an exported MINDIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_restore import runtime
from ms_restore.contracts import Size
from ms_restore.inference.any_size import AnySize


class MindSporeEngine:
    """The network itself, on the device that ``runtime.start`` chose."""

    name = "mindspore"
    shape: Optional[Size] = None

    def __init__(self, network: nn.Cell) -> None:
        self._network = network
        self._compiled = runtime.use_jit_level(AnySize(network))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        training = self._network.training
        self._compiled.set_train(False)
        try:
            return self._compiled(Tensor(y)).asnumpy()
        finally:
            self._network.set_train(training)


class MindIREngine:
    """An exported MINDIR file; ``shape`` is the only (height, width) that it takes, None: any."""

    name = "mindir"

    def __init__(self, path: Path, shape: Optional[Size] = None) -> None:
        self.shape = shape
        self._graph = runtime.use_jit_level(nn.GraphCell(ms.load(str(path))))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        return self._graph(Tensor(y)).asnumpy()
