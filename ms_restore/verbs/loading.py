"""What the verbs share: their settings, and a checkpoint's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional, Union

from ms_restore import parts, runtime
from ms_restore import recipe as recipes
from ms_restore.errors import InputError
from ms_restore.export import mindir, onnx
from ms_restore.inference.restorer import Restorer
from ms_restore.recipe import Recipe
from ms_restore.weights import checkpoint as checkpoints

PathLike = Union[str, Path]
Settings = dict[str, Any]


def load_model(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
) -> Restorer:
    """The restorer of a checkpoint (a file or a run folder, or an exported .mindir or .onnx).

    ``x_hat = restorer(y)``, see Restorer.

    ``model`` is needed for a checkpoint that carries no recipe; ``tile`` and ``self_ensemble``
    are explained at Restorer.
    """
    runtime.start(device_target, device_id, mode)
    return restorer_of(checkpoint, model, None, tile, self_ensemble)


def merged(settings: Optional[Settings], **named: Any) -> Settings:
    keys = {"data_dir": "data.dir"}
    given = {keys.get(name, name): value for name, value in named.items() if value is not None}
    return {
        **(settings or {}),
        **{k: str(v) if isinstance(v, Path) else v for k, v in given.items()},
    }


def restorer_of(
    checkpoint: PathLike,
    model: Optional[str],
    settings: Optional[Settings],
    tile: Optional[int],
    self_ensemble: bool,
) -> Restorer:
    """The restorer of a checkpoint or an exported file; its ``recipe`` has the settings."""
    options: dict[str, Any] = {"tile": tile, "self_ensemble": self_ensemble}
    readers: dict[str, Any] = {".mindir": mindir.read, ".onnx": onnx.read}
    if Path(checkpoint).suffix in readers:
        metadata, engine = readers[Path(checkpoint).suffix](Path(checkpoint))
        recipe = recipes.parse(metadata.recipe.to_yaml(), settings)
        if model is not None and model != recipe.model:
            raise InputError(f"{checkpoint} is an export of {recipe.model}, not of {model}")
        return Restorer(metadata.geometry, recipe, engine=engine, **options)
    network, recipe = network_of(checkpoint, model, settings)
    return Restorer(network, recipe, **options)


def network_of(
    checkpoint: PathLike,
    model: Optional[str],
    settings: Optional[Settings],
    deployed: bool = True,
) -> tuple[Any, Recipe]:
    """The network with the checkpoint's weights, and its recipe.

    ``deployed``: in the form to run, batch normalisation folded; else as it is trained.
    """
    loaded = checkpoints.read(Path(checkpoint))
    if model is not None:
        recipe = recipes.load(model, settings)
        if loaded.recipe is not None and loaded.recipe.network["name"] != recipe.network["name"]:
            raise InputError(
                f"{loaded.path} is a checkpoint of {loaded.recipe.model}, not of {model}; "
                f"leave --model out, or name a checkpoint of {model}"
            )
    elif loaded.recipe is not None:
        recipe = recipes.parse(loaded.recipe.to_yaml(), settings)
    else:
        raise InputError(f"{loaded.path} carries no recipe; name its model with --model")
    network = parts.build("network", recipe.network)
    checkpoints.load_strictly(network, loaded)
    network.set_train(False)
    if deployed and hasattr(network, "folded"):
        network = network.folded()
    return network, recipe
