"""What the verbs share: their settings, and a checkpoint's network."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, Optional, Union

from ms_restore import parts, runtime
from ms_restore import recipe as recipes
from ms_restore.errors import InputError
from ms_restore.export import cache, mindir, onnx
from ms_restore.export.metadata import Metadata
from ms_restore.files import sha256
from ms_restore.inference import choice
from ms_restore.inference.choice import Running
from ms_restore.inference.engines import Engine, OnnxRuntimeEngine
from ms_restore.inference.geometry import Geometry
from ms_restore.inference.restorer import Restorer
from ms_restore.recipe import Recipe
from ms_restore.report.terminal import say
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.weights import checkpoint as checkpoints

PathLike = Union[str, Path]
Settings = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Opened:
    """A checkpoint or an exported file, ready to compute.

    ``engine`` None: MindSpore computes ``network``; else ``network`` may be its Geometry.
    """

    network: Any
    recipe: Recipe
    engine: Optional[Engine]


def load_model(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    engine: str = "auto",
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
) -> Restorer:
    """The restorer of a checkpoint (a file or a run folder, or an exported .mindir, .onnx, .ms).

    ``x_hat = restorer(y)``, see Restorer.

    Args:
        checkpoint: the file or run folder.
        model: needed for a checkpoint that carries no recipe.
        engine: what computes: mindspore, mindir, onnxruntime or lite; auto takes the fastest that
            is there: ONNX Runtime on CPUs where the extra onnx is installed, else MindSpore. What
            an engine needs is exported when it is first used, and kept beside the checkpoint.
        tile, self_ensemble: explained at Restorer.
        device_target, device_id, mode: of MindSpore.
    """
    running = Running(engine, device_target, device_id, mode)
    return restorer_of(checkpoint, model, None, running, tile, self_ensemble)


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
    running: Running,
    tile: Optional[int],
    self_ensemble: bool,
) -> Restorer:
    """The restorer of a checkpoint or an exported file; its ``recipe`` has the settings."""
    found = opened(checkpoint, model, settings, running)
    return Restorer(
        found.network, found.recipe, engine=found.engine, tile=tile, self_ensemble=self_ensemble
    )


def opened(
    checkpoint: PathLike, model: Optional[str], settings: Optional[Settings], running: Running
) -> Opened:
    """Start MindSpore, and open a checkpoint or an exported file with the engine of ``running``."""
    path = Path(checkpoint)
    if choice.is_exported(path):
        name = choice.of_file(path, running.engine)
        running = running._replace(engine=name)
    device = runtime.start(
        running.checked().device(), running.device_id, running.mode, running.seed
    )
    if choice.is_exported(path):
        metadata, engine = _reader(running)(path)
        recipe = recipes.parse(metadata.recipe.to_yaml(), settings)
        if model is not None and model != recipe.model:
            raise InputError(f"{checkpoint} is an export of {recipe.model}, not of {model}")
        if recipe.network != metadata.recipe.network:
            raise InputError(f"{checkpoint}: an exported network cannot be changed by settings")
        return Opened(metadata.geometry, recipe, engine)
    automatic = running.engine == "auto"
    if automatic:
        fast = device == "CPU" and running.mode == "graph" and OnnxRuntimeEngine.is_installed()
        running = running._replace(engine="onnxruntime" if fast else "mindspore")
    if running.engine != "mindspore":
        return _exported(checkpoints.locate(path), model, settings, running, automatic)
    return Opened(*network_of(path, model, settings), None)


def prior_of(checkpoint: PathLike, solver: dict[str, Any], running: Running) -> DenoiserPrior:
    """The denoiser of a checkpoint as a prior for the solver of that part of a recipe."""
    if running.engine == "auto" and solver.get("amp_level", "O0") != "O0":
        running = running._replace(engine="mindspore")  # which alone computes in float16
    found = opened(checkpoint, None, None, running)
    return DenoiserPrior(found.network, found.recipe, engine=found.engine)


def _reader(running: Running) -> Any:
    if running.engine == "lite":
        return functools.partial(
            mindir.read_lite, device_target=running.device_target, device_id=running.device_id
        )
    return {"mindir": mindir.read, "onnxruntime": onnx.read}[running.engine]


def _exported(
    path: Path,
    model: Optional[str],
    settings: Optional[Settings],
    running: Running,
    automatic: bool,
) -> Opened:
    """A checkpoint by an engine that needs it exported: what is kept of it, or made now."""
    on_onnx = running.engine == "onnxruntime"
    suffix, export = (".onnx", onnx.export) if on_onnx else (".mindir", mindir.export)
    read = _reader(running)
    kept = cache.load(path, suffix, read)
    if kept is not None:
        metadata, engine = kept
        recipe = _recipe_of(metadata.recipe, model, settings, path)
        if recipe.network == metadata.recipe.network:
            return Opened(metadata.geometry, recipe, engine)
    network, recipe = network_of(path, model, settings)
    own = checkpoints.read(path).recipe  # another, or none, is not the file's and is not kept
    keep = own is not None and own.network == recipe.network
    metadata = Metadata(own or recipe, Geometry.of(network), None, sha256(path))
    try:
        engine, file = cache.make(network, metadata, suffix, export, read, path if keep else None)
    except InputError as error:
        if not automatic:
            raise
        say(f"note: MindSpore computes, for ONNX Runtime cannot: {error}")
        return Opened(network, recipe, None)
    if file is not None:
        say(f"exported for engine {running.engine}, for next time: {file}")
    return Opened(Geometry.of(network), recipe, engine)


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
    recipe = _recipe_of(loaded.recipe, model, settings, loaded.path)
    network = parts.build("network", recipe.network)
    checkpoints.load_strictly(network, loaded)
    network.set_train(False)
    if deployed and hasattr(network, "folded"):
        network = network.folded()
    return network, recipe


def _recipe_of(
    own: Optional[Recipe], model: Optional[str], settings: Optional[Settings], path: Path
) -> Recipe:
    """The recipe of a checkpoint that carries ``own``, with the settings."""
    if model is not None:
        recipe = recipes.load(model, settings)
        if own is not None and own.network["name"] != recipe.network["name"]:
            raise InputError(
                f"{path} is a checkpoint of {own.model}, not of {model}; "
                f"leave --model out, or name a checkpoint of {model}"
            )
        return recipe
    if own is None:
        raise InputError(f"{path} carries no recipe; name its model with --model")
    return recipes.parse(own.to_yaml(), settings)
