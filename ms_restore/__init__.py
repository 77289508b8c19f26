"""Image restoration for MindSpore: super-resolution, denoising, low light, deblurring.

Every verb of the ``ms-restore`` command is also a function here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ms_restore.runtime import prepare_environment

if TYPE_CHECKING:
    from ms_restore.api import (
        benchmark,
        convert,
        evaluate,
        export,
        infer,
        load_model,
        performance,
        prepare,
        restore,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "benchmark",
    "convert",
    "evaluate",
    "export",
    "infer",
    "load_model",
    "performance",
    "prepare",
    "restore",
    "train",
]

prepare_environment()


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("ms_restore.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
