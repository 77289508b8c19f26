"""What the verbs share: their settings, and a checkpoint's network."""

from __future__ import annotations

import dataclasses
import os
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Optional, Union

from ms_restore import limits, parallel, runtime
from ms_restore import recipe as recipes
from ms_restore.contracts import Engine
from ms_restore.deploy import engine_choice, export_cache, ncnn, onnx
from ms_restore.deploy.metadata import KEY, Metadata
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.inference import engine_selection
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.noise_level import NoiseLevel, noise_level
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.inference.restorer import Restorer
from ms_restore.inference.tiling import Tile, TileLike
from ms_restore.settings import PartSettings, Recipe
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.weights import catalogue, foreign, run_checkpoints

PathLike = Union[str, "os.PathLike[str]"]
"""A path as text or as an object, also a ``Run``, which stands for its folder."""
Settings = dict[str, Any]
EXPORTED_AS = {
    "onnxruntime": ".onnx",
    "ncnn": ncnn.SUFFIX,
    "mindir": ".mindir",
    "lite": ".mindir",
}
"""Which file an engine needs of a checkpoint."""


def load_model(
    checkpoint: PathLike,
    *,
    model: Optional[str] = None,
    engine: str = "auto",
    tile: TileLike = None,
    self_ensemble: bool = False,
    sigma_255: Union[float, Literal["auto"], None] = None,
    luma: bool = False,
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
        engine: what computes: mindspore, mindir, onnxruntime, ncnn, lite or om; auto takes the
            fastest that is there: on CPUs ONNX Runtime where the extra onnx is installed, or ncnn
            where that is installed and the network is made of plain convolutions, else MindSpore.
            What an engine needs is exported when it is first used, and kept beside the checkpoint.
        tile: side of the windows that a large picture is computed in, or a tuple of it and their
            context, see Restorer.
        self_ensemble: average over the eight flips and rotations.
        sigma_255: for a network that is told the noise: its standard deviation on a scale of 0 to
            255, or "auto", which estimates it for each image.
        luma: a gray network restores the brightness of colour images, see Restorer.
        device_target: CPU, Ascend or GPU (of ncnn: by Vulkan); none: an Ascend where there is one,
            else the CPU.
        device_id: which device; none: that of the variable DEVICE_ID, else the first.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
    """
    options = EngineOptions(engine, device_target, device_id, mode)
    noise = noise_level(sigma_255, None)
    return restorer_of(
        catalogue.resolve(checkpoint), model, None, options, tile, self_ensemble, noise, luma
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
    tile: TileLike,
    self_ensemble: bool,
    noise: Optional[NoiseLevel] = None,
    luma: bool = False,
    sparing: bool = False,
) -> Restorer:
    """Return the restorer of a checkpoint or an exported file; its ``recipe`` has the settings."""
    sparing = sparing or Tile.of(tile).side == 0  # a picture in one piece
    loaded = load_network(checkpoint, model, settings, options, sparing)
    return Restorer(loaded, tile=tile, self_ensemble=self_ensemble, noise=noise, luma=luma)


def load_network(
    checkpoint: PathLike,
    model: Optional[str] = None,
    settings: Optional[Settings] = None,
    options: EngineOptions = EngineOptions(),  # noqa: B008 - it cannot be changed
    sparing: bool = False,
) -> LoadedNetwork:
    """Load a checkpoint or an exported file with the engine that is asked for.

    MindSpore is loaded where it computes, or has something to export; ONNX Runtime with an exported
    file, or with what is kept of the checkpoint, needs none.

    Args:
        checkpoint: the file or run folder.
        model: needed for a checkpoint that carries no recipe.
        settings: recipe keys, such as ``{"data.patch_size": 128}``.
        options: what computes it, and where.
        sparing: memory counts more than time; "auto" then leaves ncnn out.
    """
    path = Path(checkpoint)
    exported = engine_selection.is_exported(path)
    if exported:
        options = options._replace(engine=engine_selection.engine_for_file(path, options.engine))
    else:
        engine_selection.check_checkpoint(path, options.engine)
    automatic = options.checked().engine == "auto"
    if automatic:
        options = options._replace(engine=_fastest(options))
    undecided = (
        automatic
        and options.engine == "onnxruntime"
        and not (exported or sparing or foreign.is_foreign(path))
        and engine_choice.is_open()
    )
    if undecided and (chosen := engine_choice.kept(run_checkpoints.locate(path))):
        options, undecided = options._replace(engine=chosen), False
    early = options.engine not in ("onnxruntime", "ncnn") or parallel.launched()
    if early:
        _start_mindspore(options, settings)
    else:
        limits.set_max_megapixels(recipes.runtime_of(settings).max_megapixels)
    read = reader_of(options)
    if exported:
        return _exported(path, model, settings, read)
    path = run_checkpoints.locate(path)
    kept = None if options.engine == "mindspore" else _kept(path, model, settings, options, read)
    if kept is None:
        if not early:
            _start_mindspore(options, settings)
        from ms_restore.verbs import network_loading

        if options.engine == "mindspore":
            return LoadedNetwork.of(*network_loading.network_of(path, model, settings))
        kept = network_loading.exported_network(path, model, settings, options, read, automatic)
    return _better(path, kept) if undecided else kept


def _better(path: Path, loaded: LoadedNetwork) -> LoadedNetwork:
    """Return a network with the faster of ONNX Runtime and ncnn, where its export is kept."""
    runtime, radius = loaded.engine, loaded.geometry.receptive_radius
    if not isinstance(runtime, OnnxRuntimeEngine) or radius is None:
        return loaded
    metadata = Metadata.from_text(runtime.metadata.get(KEY), str(path))
    if metadata.sha256 != sha256(path) or metadata.recipe.network != loaded.recipe.network:
        return loaded
    if not export_cache.beside(path, ".onnx").is_file():
        return loaded
    return dataclasses.replace(loaded, engine=engine_choice.choose(path, runtime, metadata))


def _fastest(options: EngineOptions) -> str:
    """The engine that ``auto`` takes for a checkpoint: ONNX Runtime on CPUs where it is there.

    Without MindSpore it is the only one; a checkpoint then needs its kept export.
    """
    exports = OnnxRuntimeEngine.is_installed() or find_spec("mindspore") is None
    if not exports or options.mode != "graph":
        return "mindspore"
    target = runtime.choose_target(options.device_target)
    return "onnxruntime" if target == "CPU" else "mindspore"


def _start_mindspore(options: EngineOptions, settings: Optional[Settings]) -> None:
    runtime.start(
        options.device(),
        options.device_id,
        options.mode,
        options.seed,
        recipes.runtime_of(settings),
    )


def _exported(
    path: Path, model: Optional[str], settings: Optional[Settings], read: export_cache.Reader
) -> LoadedNetwork:
    metadata, engine = read(path)
    recipe = recipes.changed(metadata.recipe, settings)
    if model is not None and model != recipe.model:
        raise InputError(f"{path} is an export of {recipe.model}, not of {model}")
    if recipe.network != metadata.recipe.network:
        raise InputError(f"{path}: an exported network cannot be changed by settings")
    return LoadedNetwork(engine, metadata.geometry, recipe)


def _kept(
    path: Path,
    model: Optional[str],
    settings: Optional[Settings],
    options: EngineOptions,
    read: export_cache.Reader,
) -> Optional[LoadedNetwork]:
    """What an earlier process exported of a checkpoint; None where it exported nothing that fits.

    Weights of another framework are converted for each process anew.
    """
    if foreign.is_foreign(path):
        return None
    found = export_cache.load(path, EXPORTED_AS[options.engine], read)
    if found is None:
        return None
    metadata, engine = found
    recipe = recipe_of(metadata.recipe, model, settings, path)
    if recipe.network != metadata.recipe.network:
        return None
    return LoadedNetwork(engine, metadata.geometry, recipe)


def recipe_of(
    own: Optional[Recipe], model: Optional[str], settings: Optional[Settings], path: Path
) -> Recipe:
    """Return the recipe of a checkpoint that carries ``own``, with the settings."""
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
    return recipes.changed(own, settings)


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


def reader_of(options: EngineOptions) -> export_cache.Reader:
    """Return what reads an exported file for an engine."""

    def read_mindir(path: Path) -> tuple[Metadata, Engine]:
        from ms_restore.deploy import mindir

        return mindir.read(path)

    def read_lite(path: Path) -> tuple[Metadata, Engine]:
        from ms_restore.deploy import mindir

        return mindir.read_lite(path, options.device_target, options.device_id)

    def read_om(path: Path) -> tuple[Metadata, Engine]:
        from ms_restore.deploy import mindir

        return mindir.read_om(path, options.device_id)

    readers: dict[str, export_cache.Reader] = {
        "lite": read_lite,
        "om": read_om,
        "mindir": read_mindir,
        "ncnn": partial(ncnn.read, vulkan=options.vulkan),
        "onnxruntime": onnx.read,
    }
    return readers.get(options.engine, onnx.read)
