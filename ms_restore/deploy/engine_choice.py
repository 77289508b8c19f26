"""Whether ``auto`` takes ncnn for a network on the CPU: by a rule from measurements.

ncnn multiplies convolutions of 3x3 by Winograd's transform: on a processor with AVX-512, 1.4 to 2.5
times as fast as ONNX Runtime for ten of our networks. It has no fast form of dilated ones (0.83)
nor of normalisation, and needs twice the memory. See docs/export.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from ms_restore.contracts import Engine
from ms_restore.deploy import export_cache, ncnn
from ms_restore.deploy.metadata import Metadata
from ms_restore.deploy.verification import compare
from ms_restore.errors import InputError
from ms_restore.files import sha256, write_json
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.report.terminal import say
from ms_restore.version import __version__

WITHOUT_NCNN = "MS_RESTORE_NCNN"
"""An environment variable; with the value 0, ``auto`` leaves ncnn out."""
_CHOICE = ".engine.json"


def is_open() -> bool:
    """Return whether there is a choice: ncnn and its converter are installed, and it is allowed."""
    return ncnn.can_convert() and os.environ.get(WITHOUT_NCNN) != "0"


def kept(checkpoint: Path) -> str:
    """Return the engine that was chosen earlier for a checkpoint; nothing where none was."""
    path = export_cache.beside(checkpoint, _CHOICE)
    try:
        choice = json.loads(path.read_text(encoding="utf-8"))
        same = choice["version"] == __version__ and choice["sha256"] == sha256(checkpoint)
        return str(choice["engine"]) if same else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def choose(checkpoint: Path, runtime: OnnxRuntimeEngine, metadata: Metadata) -> Engine:
    """Return the faster engine for a checkpoint with a kept ONNX file, and keep the choice.

    Args:
        checkpoint: the file.
        runtime: the engine of the kept ONNX file.
        metadata: what that file says of itself.
    """
    engine, reason = _better(checkpoint, runtime, metadata)
    say(f"engine {engine.name} computes {metadata.recipe.model} from now on: {reason}")
    choice = {"engine": engine.name, "version": __version__, "sha256": metadata.sha256}
    with contextlib.suppress(InputError):
        write_json(export_cache.beside(checkpoint, _CHOICE), choice)
    return engine


def _better(checkpoint: Path, runtime: OnnxRuntimeEngine, metadata: Metadata) -> tuple[Engine, str]:
    with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
        source = Path(folder) / "network.onnx"
        shutil.copyfile(export_cache.beside(checkpoint, ".onnx"), source)
        engine, reason = faster(source, runtime, metadata)
        if engine is not runtime:
            with contextlib.suppress(InputError):
                made = source.with_suffix(ncnn.SUFFIX)
                ncnn.store(made, export_cache.beside(checkpoint, ncnn.SUFFIX))
    return engine, reason


def faster(source: Path, runtime: Engine, metadata: Metadata) -> tuple[Engine, str]:
    """Return the faster engine of an ONNX file by the rule, and the reason for it.

    Args:
        source: the ONNX file, in a folder of its own; what ncnn takes is written beside it.
        runtime: ONNX Runtime with that file, which is returned where ncnn is not taken.
        metadata: what the file says of itself.
    """
    if metadata.geometry.receptive_radius is None:
        return runtime, "ncnn is not compared for networks that look at the whole picture"
    try:
        made = ncnn.convert(source, metadata)
        if ncnn.is_dilated(made):
            return runtime, "ncnn is slow at dilated convolutions"
        _, other = ncnn.read(made)
        compare(other, runtime, metadata, made)
    except InputError as error:
        return runtime, str(error)
    return other, "ncnn is faster at its convolutions than onnxruntime"
