"""A trained network that is ready to compute, whatever computes it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Optional

from ms_restore.contracts import Engine, Geometry
from ms_restore.recipe import Recipe

if TYPE_CHECKING:
    from mindspore import nn


@dataclasses.dataclass(frozen=True)
class LoadedNetwork:
    """A checkpoint or an exported file, ready to compute.

    Attributes:
        engine: computes it.
        geometry: what is to be known of the network.
        recipe: its recipe.
        cell: the network itself, where MindSpore computes it; None: an exported file is computed.
    """

    engine: Engine
    geometry: Geometry
    recipe: Recipe
    cell: Optional[nn.Cell] = None

    @classmethod
    def of(cls, network: nn.Cell, recipe: Recipe) -> LoadedNetwork:
        """Take a network that MindSpore computes."""
        from ms_restore.inference.mindspore_engine import MindSporeEngine

        return cls(MindSporeEngine(network), Geometry.of(network), recipe, network)
