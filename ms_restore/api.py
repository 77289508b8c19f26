"""The verbs as functions: what the command line does, for use from Python."""

from ms_restore.recipe import list_models
from ms_restore.training.trainer import Run
from ms_restore.verbs.benchmark import benchmark
from ms_restore.verbs.convert import convert
from ms_restore.verbs.evaluate import evaluate
from ms_restore.verbs.export import export
from ms_restore.verbs.infer import infer
from ms_restore.verbs.loading import load_model
from ms_restore.verbs.prepare import prepare
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
]
