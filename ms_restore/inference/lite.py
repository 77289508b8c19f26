"""The engine MindSpore Lite, for exported files on Atlas and Ascend 310.

Not run here: the package index has mindspore-lite 2.0.0 for Python 3.7 alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore import ascend
from ms_restore.contracts import EngineMemory
from ms_restore.errors import InputError

_NEEDED = (
    "engine lite needs the package mindspore_lite, of which the package index has 2.0.0 for Python "
    "3.7 alone; take the wheel for your device and Python from https://www.mindspore.cn/lite/docs/"
    "en/master/use/downloads.html, or use another --engine"
)


class LiteEngine:
    """A MINDIR, as it was exported or converted, by MindSpore Lite, which takes no .ms in Python.

    ``shape`` is the only (height, width) that it takes, where so. InputError without the package,
    or where it cannot load the file.

    Args:
        path: the file.
        shape: the only (height, width) that it takes; None: any.
        device_target: "CPU", or anything else: an Ascend.
        device_id: which Ascend; none: that of DEVICE_ID, else the first.
    """

    name = "lite"
    memory = EngineMemory()

    def __init__(
        self,
        path: Path,
        shape: Optional[tuple[int, int]] = None,
        device_target: Optional[str] = None,
        device_id: Optional[int] = None,
    ) -> None:
        try:
            import mindspore_lite
        except ImportError:
            raise InputError(_NEEDED) from None
        self.shape = shape
        context = mindspore_lite.Context()
        if device_target == "CPU":
            context.target = ["cpu"]
        else:
            context.target = ["ascend"]
            context.ascend.device_id = ascend.device_id(device_id)
        kind = mindspore_lite.ModelType.MINDIR
        self._model: Any = mindspore_lite.Model()
        try:
            self._model.build_from_file(str(path), kind, context)
        except RuntimeError as error:
            raise InputError(
                f"{path}: MindSpore Lite cannot load it on {context.target[0]} "
                f"({str(error).splitlines()[0]}); convert it for this device"
            ) from None

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Return x_hat for y, both (N, C, H, W) float32."""
        inputs = self._model.get_inputs()
        if list(inputs[0].shape) != list(y.shape):
            self._model.resize(inputs, [list(y.shape)])
            inputs = self._model.get_inputs()
        inputs[0].set_data_from_numpy(np.ascontiguousarray(y, np.float32))
        return np.asarray(self._model.predict(inputs)[0].get_data_to_numpy(), np.float32)
