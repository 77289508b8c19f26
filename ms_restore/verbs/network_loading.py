"""Networks in memory: from a checkpoint or weights of another framework, and exported for engines.

Loads MindSpore.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Optional

from mindspore import nn

from ms_restore import registry
from ms_restore.contracts import Engine, Foldable, Geometry
from ms_restore.deploy import engine_choice, export_cache, mindir, ncnn, onnx
from ms_restore.deploy.metadata import Metadata
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.verbs.loading import EXPORTED_AS, PathLike, Settings, reader_of, recipe_of
from ms_restore.weights import checkpoint as checkpoints
from ms_restore.weights import conversion, foreign, run_checkpoints

_FORMATS = {".onnx": onnx, ncnn.SUFFIX: ncnn, ".mindir": mindir}


def network_of(
    checkpoint: PathLike,
    model: Optional[str],
    settings: Optional[Settings],
    deployed: bool = True,
) -> tuple[nn.Cell, Recipe]:
    """Return the network with the weights of a checkpoint or of another framework, and its recipe.

    ``deployed``: in the form to run, batch normalisation folded; else as it is trained.
    """
    path = run_checkpoints.locate(Path(checkpoint))
    if foreign.is_foreign(path):
        network, recipe, layout = conversion.from_file(path, model, settings)
        say(f"{path}: {layout}, model {recipe.model}")
    else:
        loaded = checkpoints.read(path)
        recipe = recipe_of(loaded.recipe, model, settings, path)
        network = registry.build("network", recipe.network)
        checkpoints.load_strictly(network, loaded)
    network.set_train(False)
    if deployed and isinstance(network, Foldable):
        network = network.folded()
    return network, recipe


def exported_network(
    path: Path,
    model: Optional[str],
    settings: Optional[Settings],
    options: EngineOptions,
    read: export_cache.Reader,
    automatic: bool,
) -> LoadedNetwork:
    """Return a checkpoint by an engine that needs it exported, and keep the export beside it.

    Where the engine was chosen by ``auto`` and cannot compute the network, MindSpore does.
    """
    suffix = EXPORTED_AS[options.engine]
    network, recipe = network_of(path, model, settings)
    # another recipe than the file's, or none, is not the file's and is not kept
    own = None if foreign.is_foreign(path) else checkpoints.read(path).recipe
    keep = own is not None and own.network == recipe.network
    metadata = Metadata(own or recipe, Geometry.of(network), None, sha256(path))
    try:
        engine, file = export_cache.make(
            network, metadata, suffix, _FORMATS[suffix].export, read, path if keep else None
        )
    except InputError as error:
        if not automatic:
            raise
        say(f"note: MindSpore computes, for {options.engine} cannot: {error}")
        return LoadedNetwork.of(network, recipe)
    if file is not None:
        say(f"exported for engine {options.engine}, for next time: {file}")
    return LoadedNetwork(engine, Geometry.of(network), recipe)


def automatic_engine(network: nn.Cell, recipe: Recipe, device: str) -> LoadedNetwork:
    """Return a network in memory, by the engine that ``auto`` takes for it on a device.

    It is chosen as ``load_model`` chooses for a checkpoint, and nothing of it is kept.

    Args:
        network: the network as it is trained; its batch normalisation is folded.
        recipe: of the network.
        device: "CPU", "Ascend" or "GPU", which MindSpore has been started on.
    """
    network = _folded(network)
    geometry = Geometry.of(network)
    if device != "CPU" or not OnnxRuntimeEngine.is_installed():
        return LoadedNetwork.of(network, recipe)
    metadata = Metadata(recipe, geometry, None, None)
    with tempfile.TemporaryDirectory(prefix="ms_restore_") as folder:
        source = Path(folder) / "network.onnx"
        engine: Engine
        try:
            onnx.export(network, source, metadata)
            _, engine = onnx.read(source)
        except InputError as error:
            say(f"note: MindSpore computes, for onnxruntime cannot: {error}")
            return LoadedNetwork.of(network, recipe)
        if engine_choice.is_open():
            engine, reason = engine_choice.faster(source, engine, metadata)
            say(f"auto takes engine {engine.name}: {reason}")
    return LoadedNetwork(engine, geometry, recipe)


def by_engine(network: nn.Cell, recipe: Recipe, options: EngineOptions) -> LoadedNetwork:
    """Return a network in memory, by the engine that is asked for; nothing of it is kept.

    Args:
        network: the network as it is trained; its batch normalisation is folded.
        recipe: of the network.
        options: the engine, one of mindspore, mindir, onnxruntime, ncnn and lite, and the device.

    Raises:
        InputError: the engine is not installed, does not compute on the device, or cannot compute
            the network.
    """
    network = _folded(network)
    geometry = Geometry.of(network)
    suffix = EXPORTED_AS.get(options.checked().engine)
    if suffix is None:
        return LoadedNetwork.of(network, recipe)
    metadata = Metadata(recipe, geometry, None, None)
    engine, _ = export_cache.make(
        network, metadata, suffix, _FORMATS[suffix].export, reader_of(options), None
    )
    return LoadedNetwork(engine, geometry, recipe)


def _folded(network: nn.Cell) -> nn.Cell:
    return network.folded() if isinstance(network, Foldable) else network
