"""The models that the page offers: those whose weights are here, and checkpoints of one's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.contracts import Geometry
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.raw_development import takes_raw
from ms_restore.settings import Recipe
from ms_restore.verbs.weights import list_weights
from ms_restore.weights import catalogue

_DOES = {
    "gaussian": "Remove noise",
    "poisson_gaussian": "Remove noise",
    "bicubic": "Enlarge",
    "real_world": "Enlarge a real photo",
    "low_light": "Develop a dark raw file",
}
_FIRST = ("edsr_small_x2", "edsr_small_x4", "denoise_small")
"""These lead the list, as most visitors come for them."""


@dataclasses.dataclass(frozen=True)
class ModelChoice:
    """A model of the list.

    Attributes:
        name: of the model; of a checkpoint of one's own, with the name of its file or run.
        does: what it does, in a few words.
        about: what its recipe says of it.
        checkpoint: its file or run folder.
        told_noise: the visitor tells it how strong the noise is.
        takes_raw: it takes raw files of cameras, and nothing else.
        scale: how many times as high and wide the result is.
        gray: it restores the brightness alone.
    """

    name: str
    does: str
    about: str
    checkpoint: Path
    told_noise: bool
    takes_raw: bool
    scale: int
    gray: bool

    def shown(self) -> dict[str, Any]:
        """Return what the page is told, without the path."""
        told = dataclasses.asdict(self)
        del told["checkpoint"]
        return told


def models_here() -> list[ModelChoice]:
    """Return the models whose weights come along or were downloaded; loads MindSpore."""
    here = [model for model, where in list_weights().items() if where != "by download"]
    here.sort(key=lambda model: (_FIRST.index(model) if model in _FIRST else len(_FIRST), model))
    return [_of_recipe(model) for model in here]


def own_model(checkpoint: str, loaded: LoadedNetwork, names: Iterable[str]) -> ModelChoice:
    """Return the choice of a checkpoint that was loaded, with a name that is none of ``names``."""
    path = Path(checkpoint)
    geometry, recipe = loaded.geometry, loaded.recipe
    name, taken = f"{recipe.model} ({path.name})", set(names)
    if name in taken:
        name = f"{recipe.model} ({path.parent.name}/{path.name})"
    number = 2
    while name in taken:
        name, number = f"{recipe.model} ({path.name}, {number})", number + 1
    return _choice(name, catalogue.resolve(checkpoint), recipe, geometry)


def _of_recipe(model: str) -> ModelChoice:
    recipe = recipes.load(model)
    geometry = registry.network_geometry(recipe.network)
    return _choice(model, catalogue.weights_of(model), recipe, geometry)


def _choice(name: str, checkpoint: Path, recipe: Recipe, geometry: Geometry) -> ModelChoice:
    return ModelChoice(
        name,
        _does(recipe, geometry.scale),
        recipe.description,
        checkpoint,
        geometry.noise_map,
        takes_raw(recipe),
        geometry.scale,
        (geometry.channels, geometry.output_channels) == (1, 1),
    )


def _does(recipe: Recipe, scale: int) -> str:
    name = str(recipe.degradation["name"])
    does = _DOES.get(name, f"Undo {name.rpartition(':')[2]}")
    return f"{does} x{scale}" if scale > 1 and not takes_raw(recipe) else does
