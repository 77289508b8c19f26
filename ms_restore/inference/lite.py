"""MindSpore Lite: exported files on Atlas and Ascend 310, written to its documentation.

Not run here: the package is not on the package index.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.errors import InputError

_NEEDED = (
    "engine lite needs the package mindspore_lite, which is not on the package index; "
    "take the wheel for your device from https://www.mindspore.cn/lite/docs/en/master/use/"
    "downloads.html, or use another --engine"
)


class LiteEngine:
    """A MINDIR (or a converted .mindir or .ms) by MindSpore Lite.

    ``shape`` is the only (height, width) that it takes, where so. InputError without the package,
    or where it cannot load the file.

    Args:
        path: the file.
        shape: the only (height, width) that it takes; None: any.
        device_target: "CPU", or anything else: an Ascend.
        device_id: which Ascend.
    """

    name = "lite"

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
            context.ascend.device_id = device_id
        kinds = mindspore_lite.ModelType
        kind = kinds.MINDIR_LITE if path.suffix == ".ms" else kinds.MINDIR
        self._model: Any = mindspore_lite.Model()
        try:
            self._model.build_from_file(str(path), kind, context)
        except RuntimeError as error:
            raise InputError(
                f"{path}: MindSpore Lite cannot load it on {context.target[0]} "
                f"({str(error).splitlines()[0]}); convert it for this device"
            ) from None

    def __call__(self, y: np.ndarray) -> np.ndarray:
        inputs = self._model.get_inputs()
        if list(inputs[0].shape) != list(y.shape):
            self._model.resize(inputs, [list(y.shape)])
            inputs = self._model.get_inputs()
        inputs[0].set_data_from_numpy(np.ascontiguousarray(y, np.float32))
        return np.asarray(self._model.predict(inputs)[0].get_data_to_numpy(), np.float32)
