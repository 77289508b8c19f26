"""What the verbs share: their settings, and a checkpoint's network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Optional, Union

from mindspore import nn

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.contracts import Engine, Foldable, Geometry
from ms_restore.deploy import export_cache, mindir, onnx
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.inference import engine_selection
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.noise_level import NoiseLevel, noise_level
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.inference.restorer import Restorer
from ms_restore.report.terminal import say
from ms_restore.settings import PartSettings, Recipe
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.weights import catalogue, conversion, foreign
from ms_restore.weights import checkpoint as checkpoints

PathLike = Union[str, "os.PathLike[str]"]
"""A path as text or as an object, also a ``Run``, which stands for its folder."""
Settings = dict[str, Any]


def load_model(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    engine: str = "auto",
    tile: Optional[int] = None,
    self_ensemble: bool = False,
    sigma_255: Union[float, Literal["auto"], None] = None,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
) -> Restorer:
    """Load a checkpoint (a file, a run folder, or an exported .mindir, .onnx, .om) as a restorer.

    Weights of another framework, such as .pth, are converted on the way, see ``convert``.

    ``x_hat = restorer(y)``, see Restorer.

    Args:
        checkpoint: the file or run folder, or the name of a model whose weights come along or were
            downloaded, see ``list_weights``.
        model: needed for a checkpoint that carries no recipe, and for weights of another framework
            that fit several models.
        engine: what computes: mindspore, mindir, onnxruntime, lite or om; auto takes the fastest
            that is there: ONNX Runtime on CPUs where the extra onnx is installed, else MindSpore.
            What an engine needs is exported when it is first used, and kept beside the checkpoint.
        tile: side of the windows that a large picture is computed in, see Restorer.
        self_ensemble: average over the eight flips and rotations.
        sigma_255: for a network that is told the noise: its standard deviation on a scale of 0 to
            255, or "auto", which estimates it for each image.
        device_target: CPU, Ascend or GPU; none: an Ascend where there is one, else the CPU.
        device_id: which device; none: that of the variable DEVICE_ID, else the first.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
    """
    options = EngineOptions(engine, device_target, device_id, mode)
    noise = noise_level(sigma_255, None)
    return restorer_of(
        catalogue.resolve(checkpoint), model, None, options, tile, self_ensemble, noise
    )


def with_options(settings: Optional[Settings], **named: Any) -> Settings:
    """Return the settings with the verbs' own options among them, under their recipe keys."""
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
    options: EngineOptions,
    tile: Optional[int],
    self_ensemble: bool,
    noise: Optional[NoiseLevel] = None,
) -> Restorer:
    """Return the restorer of a checkpoint or an exported file; its ``recipe`` has the settings."""
    loaded = load_network(checkpoint, model, settings, options)
    return Restorer(loaded, tile=tile, self_ensemble=self_ensemble, noise=noise)


def load_network(
    checkpoint: PathLike,
    model: Optional[str] = None,
    settings: Optional[Settings] = None,
    options: EngineOptions = EngineOptions(),  # noqa: B008 - it cannot be changed
) -> LoadedNetwork:
    """Start MindSpore, and load a checkpoint or an exported file with the engine that is asked for.

    Args:
        checkpoint: the file or run folder.
        model: needed for a checkpoint that carries no recipe.
        settings: recipe keys, such as ``{"data.patch_size": 128}``.
        options: what computes it, and where.
    """
    path = Path(checkpoint)
    if engine_selection.is_exported(path):
        options = options._replace(engine=engine_selection.engine_for_file(path, options.engine))
    else:
        engine_selection.check_checkpoint(path, options.engine)
    device = runtime.start(
        options.checked().device(),
        options.device_id,
        options.mode,
        options.seed,
        recipes.runtime_of(settings),
    )
    if engine_selection.is_exported(path):
        metadata, engine = _reader(options)(path)
        recipe = recipes.parse(metadata.recipe.to_yaml(), settings)
        if model is not None and model != recipe.model:
            raise InputError(f"{checkpoint} is an export of {recipe.model}, not of {model}")
        if recipe.network != metadata.recipe.network:
            raise InputError(f"{checkpoint}: an exported network cannot be changed by settings")
        return LoadedNetwork(engine, metadata.geometry, recipe)
    automatic = options.engine == "auto"
    if automatic:
        fast = device == "CPU" and options.mode == "graph" and OnnxRuntimeEngine.is_installed()
        options = options._replace(engine="onnxruntime" if fast else "mindspore")
    if options.engine != "mindspore":
        return _exported(checkpoints.locate(path), model, settings, options, automatic)
    return LoadedNetwork.of(*network_of(path, model, settings))


def automatic_engine(network: nn.Cell, recipe: Recipe, device: str) -> LoadedNetwork:
    """Return a network in memory, by the engine that ``auto`` takes for it on a device."""
    if isinstance(network, Foldable):
        network = network.folded()
    geometry = Geometry.of(network)
    if device == "CPU" and OnnxRuntimeEngine.is_installed():
        metadata = Metadata(recipe, geometry, None, None)
        try:
            engine, _ = export_cache.make(network, metadata, ".onnx", onnx.export, onnx.read, None)
        except InputError as error:
            say(f"note: MindSpore computes, for ONNX Runtime cannot: {error}")
        else:
            return LoadedNetwork(engine, geometry, recipe)
    return LoadedNetwork.of(network, recipe)


def prior_of(
    checkpoint: Optional[PathLike],
    part: PartSettings,
    options: EngineOptions,
    settings: Optional[Settings] = None,
) -> DenoiserPrior:
    """Load a checkpoint's denoiser as the prior of the solver that a recipe names.

    ``checkpoint``: a path or a model's name; None: of the prior that comes along.
    ``settings``: recipe keys of the section ``runtime``.
    """
    if options.engine == "auto" and part.get("amp_level", "O0") != "O0":
        options = options._replace(engine="mindspore")  # which alone computes in float16
    found = catalogue.prior_of_name(checkpoint)
    return DenoiserPrior(load_network(found, settings=settings, options=options))


def _reader(options: EngineOptions) -> export_cache.Reader:
    """What reads an exported file for an engine."""

    def read_lite(path: Path) -> tuple[Metadata, Engine]:
        return mindir.read_lite(path, options.device_target, options.device_id)

    def read_om(path: Path) -> tuple[Metadata, Engine]:
        return mindir.read_om(path, options.device_id)

    readers: dict[str, export_cache.Reader] = {
        "lite": read_lite,
        "om": read_om,
        "mindir": mindir.read,
        "onnxruntime": onnx.read,
    }
    return readers[options.engine]


def _exported(
    path: Path,
    model: Optional[str],
    settings: Optional[Settings],
    options: EngineOptions,
    automatic: bool,
) -> LoadedNetwork:
    """A checkpoint by an engine that needs it exported: what is kept of it, or made now."""
    on_onnx = options.engine == "onnxruntime"
    suffix, export = (".onnx", onnx.export) if on_onnx else (".mindir", mindir.export)
    read = _reader(options)
    converted = foreign.is_foreign(path)  # in memory, for each process anew
    kept = None if converted else export_cache.load(path, suffix, read)
    if kept is not None:
        metadata, engine = kept
        recipe = _recipe_of(metadata.recipe, model, settings, path)
        if recipe.network == metadata.recipe.network:
            return LoadedNetwork(engine, metadata.geometry, recipe)
    network, recipe = network_of(path, model, settings)
    own = (
        None if converted else checkpoints.read(path).recipe
    )  # another, or none, is not the file's and is not kept
    keep = own is not None and own.network == recipe.network
    metadata = Metadata(own or recipe, Geometry.of(network), None, sha256(path))
    try:
        engine, file = export_cache.make(
            network, metadata, suffix, export, read, path if keep else None
        )
    except InputError as error:
        if not automatic:
            raise
        say(f"note: MindSpore computes, for ONNX Runtime cannot: {error}")
        return LoadedNetwork.of(network, recipe)
    if file is not None:
        say(f"exported for engine {options.engine}, for next time: {file}")
    return LoadedNetwork(engine, Geometry.of(network), recipe)


def network_of(
    checkpoint: PathLike,
    model: Optional[str],
    settings: Optional[Settings],
    deployed: bool = True,
) -> tuple[nn.Cell, Recipe]:
    """Return the network with the weights of a checkpoint or of another framework, and its recipe.

    ``deployed``: in the form to run, batch normalisation folded; else as it is trained.
    """
    path = checkpoints.locate(Path(checkpoint))
    if foreign.is_foreign(path):
        network, recipe, layout = conversion.from_file(path, model, settings)
        say(f"{path}: {layout}, model {recipe.model}")
    else:
        loaded = checkpoints.read(path)
        recipe = _recipe_of(loaded.recipe, model, settings, path)
        network = registry.build("network", recipe.network)
        checkpoints.load_strictly(network, loaded)
    network.set_train(False)
    if deployed and isinstance(network, Foldable):
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
