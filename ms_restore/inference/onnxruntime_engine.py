"""The engine ONNX Runtime for ONNX files on the CPU."""

from __future__ import annotations

import functools
import os
from importlib.util import find_spec
from typing import Optional

import numpy as np

from ms_restore.contracts import EngineMemory, Size
from ms_restore.errors import InputError
from ms_restore.runtime import usable_processors

NEEDED = "pip install 'ms-restore[onnx]'"


class OnnxRuntimeEngine:
    """An ``Engine`` of a serialised ONNX model; ``metadata`` is what the model carries.

    Args:
        model: the model's bytes.
        shape: the only (height, width) that the model takes; None if it takes any.

    Raises:
        InputError: the package onnxruntime is not installed; or, when it is called, ONNX Runtime
            cannot compute the model.
    """

    name = "onnxruntime"
    memory = EngineMemory()

    def __init__(self, model: bytes, shape: Optional[Size] = None) -> None:
        self.shape = shape
        # Official builds send events to their maker, and keep a number of the device for it
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            import onnxruntime
        except ImportError:
            raise InputError(
                f"engine onnxruntime needs the package onnxruntime: {NEEDED}"
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = usable_processors()
        options.log_severity_level = 4  # a model that cannot be read is reported by an exception
        if _shares_memory():
            options.add_session_config_entry("session.use_env_allocators", "1")
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    @staticmethod
    def is_installed() -> bool:
        """Return whether the packages onnxruntime and onnx, which exports need, are installed."""
        return all(find_spec(name) is not None for name in ("onnx", "onnxruntime"))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y, both (N, C, H, W) float32."""
        try:
            return self._session.run(["x_hat"], {"y": np.ascontiguousarray(y, np.float32)})[0]
        except Exception as error:  # a damaged graph is found when it is computed
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"ONNX Runtime cannot compute this network ({reason}); export it again"
            ) from None


@functools.cache
def _shares_memory() -> bool:
    """Make the pool of memory that all sessions share, and return whether it could be made.

    The pool begins with 32 MB instead of 1 and doubles as before, so that what is left over of the
    blocks before is less: a picture of 256x256 by ``edsr_small_x2`` takes 37 MB less, as fast. It
    stays with the process, for the sessions that follow.
    """
    import onnxruntime

    try:
        memory = onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        )
        pool = onnxruntime.OrtArenaCfg({"initial_chunk_size_bytes": 32 << 20})
        onnxruntime.create_and_register_allocator(memory, pool)
    except Exception:  # of a version that has none, or another part of the program made its own
        return False
    return True
