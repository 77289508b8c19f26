"""Engines: what computes a network's output, (N, C, H, W) float32 arrays in and out."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Optional, Protocol

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from ms_restore.errors import InputError
from ms_restore.export import onnx_graph
from ms_restore.inference.any_size import AnySize


class Engine(Protocol):
    """An engine with an attribute ``shape`` takes images of that (height, width) alone.

    Those of the package have a ``name``, that of ``--engine``.
    """

    def __call__(self, y: np.ndarray) -> np.ndarray: ...


class MindSporeEngine:
    """The network itself, on the device that ``runtime.start`` chose."""

    name = "mindspore"

    def __init__(self, network: nn.Cell) -> None:
        self._network = network
        self._compiled = AnySize(network)

    def __call__(self, y: np.ndarray) -> np.ndarray:
        training = self._network.training
        self._compiled.set_train(False)
        try:
            return self._compiled(Tensor(y)).asnumpy()
        finally:
            self._network.set_train(training)


class MindIREngine:
    """An exported MINDIR file; ``shape`` is the only (height, width) that it takes, where so."""

    name = "mindir"

    def __init__(self, path: Path, shape: Optional[tuple[int, int]] = None) -> None:
        self.shape = shape
        self._graph = nn.GraphCell(ms.load(str(path)))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        return self._graph(Tensor(y)).asnumpy()


class OnnxRuntimeEngine:
    """A serialised ONNX model by ONNX Runtime on the CPU, the fastest there.

    ``shape`` is the only (height, width) that it takes, where so; ``metadata`` is what the model
    carries. InputError without the package.
    """

    name = "onnxruntime"

    def __init__(self, model: bytes, shape: Optional[tuple[int, int]] = None) -> None:
        self.shape = shape
        try:
            import onnxruntime
        except ImportError:
            raise InputError(
                f"engine onnxruntime needs the package onnxruntime: {onnx_graph.NEEDED}"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = _processors()
        options.log_severity_level = 4  # a model that cannot be read is reported by an exception
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    @classmethod
    def of(cls, network: nn.Cell) -> OnnxRuntimeEngine:
        return cls(onnx_graph.model_of(network).SerializeToString())

    @staticmethod
    def is_installed() -> bool:
        """With what makes the model."""
        return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        return self._session.run(["x_hat"], {"y": np.ascontiguousarray(y, np.float32)})[0]


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SelfEnsemble:
    """The mean over the eight symmetries of the square, each undone in the output.

    Timofte, Rothe, Van Gool, "Seven ways to improve example-based single image super resolution",
    CVPR 2016; the "+" of the papers' tables. Eight times the work.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, y: np.ndarray) -> np.ndarray:
        total: np.ndarray = np.float32(0)  # type: ignore[assignment]
        for turns in range(4):
            for mirrored in (False, True):
                turned = np.rot90(y, turns, axes=(2, 3))
                turned = turned[..., ::-1] if mirrored else turned
                x_hat = self._engine(np.ascontiguousarray(turned))
                x_hat = x_hat[..., ::-1] if mirrored else x_hat
                total = total + np.rot90(x_hat, -turns, axes=(2, 3))
        return total / 8
