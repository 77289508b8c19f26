"""OM files on an Ascend or Atlas, by pyACL, written to its documentation; not run here.

https://www.hiascend.com/document/detail/en/canncommercial/850/API/appdevgapi (chapter pyACL)
"""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore import ascend
from ms_restore.contracts import EngineMemory, Size
from ms_restore.errors import InputError

_NEEDED = (
    "engine om needs pyACL (the Python module acl), which comes with CANN; run: {}, or use another "
    "--engine"
)
_HUGE_FIRST = 0  # ACL_MEM_MALLOC_HUGE_FIRST
_TO_DEVICE, _TO_HOST = 1, 2  # ACL_MEMCPY_HOST_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_HOST
_INITIALIZED_BEFORE = 100002  # ACL_ERROR_REPEAT_INITIALIZE
_TYPES = {0: np.float32, 1: np.float16}  # ACL_FLOAT, ACL_FLOAT16


class OMEngine:
    """A file that scripts/convert_om.sh made, of one size; ``shape`` is its (height, width).

    InputError without pyACL, or where it cannot load the file.

    Args:
        path: the file.
        device_id: which device; none: that of DEVICE_ID, else the first.
    """

    name = "om"
    memory = EngineMemory()

    def __init__(self, path: Path, device_id: Optional[int] = None) -> None:
        try:
            import acl
        except ImportError:
            raise InputError(_NEEDED.format(ascend.source_line())) from None
        self._acl: Any = acl
        self._path = path
        device = ascend.device_id(device_id)
        if (code := acl.init()) not in (0, _INITIALIZED_BEFORE):
            self._fail("init", code)
        atexit.register(acl.finalize)
        self._check("rt.set_device", acl.rt.set_device(device))
        self._context = self._of("rt.create_context", acl.rt.create_context(device))
        self._model = self._of("mdl.load_from_file", acl.mdl.load_from_file(str(path)))
        description = acl.mdl.create_desc()
        self._check("mdl.get_desc", acl.mdl.get_desc(description, self._model))
        self.shape: Optional[Size] = self._read_shapes(description)
        size = acl.mdl.get_input_size_by_index(description, 0)
        self._input = self._buffer(size)
        self._output = self._buffer(acl.mdl.get_output_size_by_index(description, 0))
        self._host = self._of("rt.malloc_host", acl.rt.malloc_host(self._output[2]))

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y (N, C, H, W) float32, one image after another."""
        self._check("rt.set_context", self._acl.rt.set_context(self._context))  # of this thread
        return np.concatenate([self._one(image[None]) for image in y])

    def _one(self, y: np.ndarray) -> np.ndarray:
        acl = self._acl
        (dataset, pointer, size), (results, result, length) = self._input, self._output
        data = np.ascontiguousarray(y, np.float32).tobytes()
        if len(data) != size:
            raise InputError(f"{self._path}: takes {size} bytes, this image has {len(data)}")
        source = acl.util.bytes_to_ptr(data)
        self._check("rt.memcpy", acl.rt.memcpy(pointer, size, source, size, _TO_DEVICE))
        self._check("mdl.execute", acl.mdl.execute(self._model, dataset, results))
        self._check("rt.memcpy", acl.rt.memcpy(self._host, length, result, length, _TO_HOST))
        raw = acl.util.ptr_to_bytes(self._host, length)
        count = int(np.prod(self._output_dims))
        return np.frombuffer(raw, self._type, count).reshape(self._output_dims).astype(np.float32)

    def _read_shapes(self, description: int) -> Size:
        """Note what goes in and out; return the only (height, width) of the input."""
        acl = self._acl
        given = self._of("mdl.get_input_dims", acl.mdl.get_input_dims(description, 0))["dims"]
        result = self._of("mdl.get_output_dims", acl.mdl.get_output_dims(description, 0))["dims"]
        kinds = (
            acl.mdl.get_input_data_type(description, 0),
            acl.mdl.get_output_data_type(description, 0),
        )
        if len(given) != 4 or min(given) < 1 or given[0] != 1:
            raise InputError(
                f"{self._path}: takes images of {list(given)}; engine om takes files of one size "
                "and one image: bash scripts/convert_om.sh FILE.onnx SOC OUTPUT CHANNELS H W"
            )
        if kinds[0] != 0 or kinds[1] not in _TYPES:
            raise InputError(
                f"{self._path}: its types are {kinds}, expected float32 in (0) and float32 or "
                "float16 out (0 or 1); convert it by scripts/convert_om.sh"
            )
        self._output_dims, self._type = tuple(result), _TYPES[kinds[1]]
        return int(given[2]), int(given[3])

    def _buffer(self, size: int) -> tuple[int, int, int]:
        """Return a data set of one buffer of the device, its address and its size in bytes."""
        acl = self._acl
        pointer = self._of("rt.malloc", acl.rt.malloc(size, _HUGE_FIRST))
        dataset = acl.mdl.create_dataset()
        added = acl.mdl.add_dataset_buffer(dataset, acl.create_data_buffer(pointer, size))
        self._of("mdl.add_dataset_buffer", added)
        return dataset, pointer, size

    def _of(self, function: str, answer: tuple[Any, int]) -> Any:
        value, code = answer
        self._check(function, code)
        return value

    def _check(self, function: str, code: int) -> None:
        if code != 0:
            self._fail(function, code)

    def _fail(self, function: str, code: int) -> None:
        raise InputError(
            f"{self._path}: acl.{function} answers {code}; npu-smi info shows the devices, and the "
            "file must have been converted for this one's SOC_VERSION"
        )
