"""Exports that an engine needs, kept beside their checkpoint: best.ckpt, best.cached.onnx.

Those of weights that come with the package, or were downloaded, are kept in the cache folder.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from ms_restore.contracts import Engine
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.files import atomic_write, cache_folder, sha256
from ms_restore.version import __version__
from ms_restore.weights import catalogue

if TYPE_CHECKING:
    from mindspore import nn

Reader = Callable[[Path], tuple[Metadata, Engine]]


def beside(checkpoint: Path, suffix: str) -> Path:
    """Return where the export of a checkpoint is kept."""
    of_package = catalogue.is_kept_for_all(checkpoint)
    folder = cache_folder() / "exports" if of_package else checkpoint.parent
    return folder / f"{checkpoint.stem}.cached{suffix}"


def load(checkpoint: Path, suffix: str, read: Reader) -> Optional[tuple[Metadata, Engine]]:
    """Read the kept export; None where it is damaged, or of other weights or another version."""
    path = beside(checkpoint, suffix)
    if not path.is_file():
        return None
    try:
        metadata, engine = read(path)
    except InputError:
        return None
    mine = metadata.version == __version__ and metadata.shape is None
    return (metadata, engine) if mine and metadata.sha256 == sha256(checkpoint) else None


def make(
    network: nn.Cell,
    metadata: Metadata,
    suffix: str,
    export: Callable[[nn.Cell, Path, Metadata], float],
    read: Reader,
    checkpoint: Optional[Path],
) -> tuple[Engine, Optional[Path]]:
    """Export, compare with the network, and keep beside the checkpoint if that can be written.

    Returns the engine and the file kept; None: it was made for this process alone.
    """
    with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
        made = Path(folder) / f"network{suffix}"
        export(network, made, metadata)
        _, engine = read(made)
        if checkpoint is None:
            return engine, None
        with contextlib.suppress(InputError):
            path = beside(checkpoint, suffix)
            for part in sorted(made.parent.iterdir()):  # one file; of ncnn: .bin, then .param
                with atomic_write(beside(checkpoint, part.name[len("network") :])) as temporary:
                    shutil.copyfile(part, temporary)
            return engine, path
    return engine, None
