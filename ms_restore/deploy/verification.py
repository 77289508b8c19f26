"""The check that an exported file computes what its checkpoint does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ms_restore.contracts import Engine
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError

if TYPE_CHECKING:
    from mindspore import nn

_TOLERANCE = 1e-4


def check(engine: Engine, network: nn.Cell, metadata: Metadata, path: Path) -> float:
    """Return the largest difference from the network itself, see ``compare``."""
    from ms_restore.inference.mindspore_engine import MindSporeEngine

    return compare(engine, MindSporeEngine(network), metadata, path)


def compare(engine: Engine, expected: Engine, metadata: Metadata, path: Path) -> float:
    """Return the largest difference over three sizes, odd ones where the network takes them.

    InputError if that is above 1e-4, or their outputs are not of one shape.
    """
    sizes = [metadata.shape] if metadata.shape else metadata.geometry.example_sizes()
    rng = np.random.default_rng(0)
    differences = []
    for size in sizes:
        y = rng.random((1, metadata.geometry.input_channels, *size), np.float32)
        ours, theirs = engine(y), expected(y)
        if ours.shape != theirs.shape:
            raise InputError(
                f"{path}: the exported network gives {ours.shape} where the checkpoint gives "
                f"{theirs.shape}; nothing was written"
            )
        differences.append(np.abs(ours - theirs).max())
    difference = float(np.max(differences))
    if not difference <= _TOLERANCE:
        raise InputError(
            f"{path}: the exported network differs from the checkpoint by {difference:.1e}, "
            f"more than {_TOLERANCE:.0e}; nothing was written"
        )
    return difference
