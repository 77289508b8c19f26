"""Engines of MindSpore, for a network or an exported MINDIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_restore import runtime
from ms_restore.contracts import EngineMemory, Size
from ms_restore.errors import InputError
from ms_restore.inference.any_size import AnySize


class MindSporeEngine:
    """An ``Engine`` of the network itself, on the device that ``runtime.start`` chose."""

    name = "mindspore"
    memory = EngineMemory()
    shape: Optional[Size] = None

    def __init__(self, network: nn.Cell) -> None:
        self._network = network
        self._compiled = runtime.use_jit_level(AnySize(network))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y, both (N, C, H, W) float32."""
        training = self._network.training
        self._compiled.set_train(False)
        try:
            return self._compiled(Tensor(y)).asnumpy()
        finally:
            self._network.set_train(training)


class MindIREngine:
    """An ``Engine`` of an exported MINDIR file.

    Args:
        path: the file.
        shape: the only (height, width) that the file takes; None if it takes any.

    Raises:
        InputError: when it is called, MindSpore cannot compute the graph.
    """

    name = "mindir"
    memory = EngineMemory()

    def __init__(self, path: Path, shape: Optional[Size] = None) -> None:
        self.shape = shape
        self._path = path
        self._graph = runtime.use_jit_level(nn.GraphCell(ms.load(str(path))))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y, both (N, C, H, W) float32."""
        try:
            with runtime.without_mindspore_log():
                return self._graph(Tensor(y)).asnumpy()
        except Exception as error:  # a damaged graph is found when it is compiled
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{self._path}: MindSpore cannot compute this graph ({reason}); export it again"
            ) from None
