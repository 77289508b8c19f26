"""Image restoration for MindSpore: super-resolution, denoising, low light, deblurring.

Every verb of the ``ms-restore`` command is also a function here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ms_restore.runtime import prepare_environment
from ms_restore.version import __version__ as __version__

if TYPE_CHECKING:
    from ms_restore.api import (
        benchmark,
        convert,
        download_weights,
        evaluate,
        export,
        infer,
        list_models,
        list_weights,
        load_model,
        performance,
        prepare,
        restore,
        train,
        write_report,
    )

__all__ = [
    "benchmark",
    "convert",
    "download_weights",
    "evaluate",
    "export",
    "infer",
    "list_models",
    "list_weights",
    "load_model",
    "performance",
    "prepare",
    "restore",
    "train",
    "write_report",
]

prepare_environment()


def __getattr__(name: str) -> object:
    """Load a function when it is asked for: MindSpore takes seconds to load."""
    if name in __all__:
        return getattr(import_module("ms_restore.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
