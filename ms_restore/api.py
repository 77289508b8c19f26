"""The verbs as functions: what the command line does, for use from Python.

Each is loaded when it is first asked for, since most of them load MindSpore.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ms_restore.recipe import list_models
    from ms_restore.training.trainer import Run
    from ms_restore.verbs.benchmark import benchmark
    from ms_restore.verbs.convert import convert
    from ms_restore.verbs.evaluate import evaluate
    from ms_restore.verbs.export import export
    from ms_restore.verbs.infer import infer
    from ms_restore.verbs.loading import load_model
    from ms_restore.verbs.prepare import prepare
    from ms_restore.verbs.reporting import write_report
    from ms_restore.verbs.restore import restore
    from ms_restore.verbs.train import performance, train
    from ms_restore.verbs.weights import download_weights, list_weights

__all__ = [
    "Run",
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

_ELSEWHERE = {  # modules of those that are no verb of this name
    "Run": "training.trainer",
    "download_weights": "verbs.weights",
    "list_models": "recipe",
    "list_weights": "verbs.weights",
    "load_model": "verbs.loading",
    "performance": "verbs.train",
    "write_report": "verbs.reporting",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ms_restore.{_ELSEWHERE.get(name, f'verbs.{name}')}"), name)
