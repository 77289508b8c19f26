"""A trained network that is ready to compute, by any engine."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Optional

from ms_restore.contracts import Engine, Geometry
from ms_restore.settings import Recipe

if TYPE_CHECKING:
    from mindspore import nn


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A checkpoint or an exported file, ready to compute.

    Attributes:
        engine: computes it.
        geometry: size, channels and scale of the network's input and output.
        recipe: of the network.
        cell: the network itself where MindSpore computes it, None for an exported file.
    """

    engine: Engine
    geometry: Geometry
    recipe: Recipe
    cell: Optional[nn.Cell] = None

    @classmethod
    def of(cls, network: nn.Cell, recipe: Recipe) -> LoadedNetwork:
        """Return a network to be computed by MindSpore."""
        from ms_restore.inference.mindspore_engine import MindSporeEngine

        return cls(MindSporeEngine(network), Geometry.of(network), recipe, network)
