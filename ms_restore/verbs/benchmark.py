"""benchmark: how fast a model trains, restores and reads its data on this device."""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.data import sampling
from ms_restore.files import write_json
from ms_restore.inference.engine_selection import EngineOptions, to_measure
from ms_restore.inference.restorer import Restorer
from ms_restore.report.machine import machine, versions
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.training import performance as measuring
from ms_restore.training.run_data import images_per_step, open_data
from ms_restore.training.run_files import check_measured_steps
from ms_restore.verbs import engine_turns
from ms_restore.verbs.loading import PathLike, Settings, with_options
from ms_restore.verbs.network_loading import automatic_engine
from ms_restore.verbs.train import check_trainable

_PICTURES = 7
_AHEAD = 40  # batches that may have been made before the first is asked for
_SECONDS = 3.0  # of the pipeline alone
_ENDLESS = 100_000


def benchmark(
    model: str,
    *,
    data_dir: Optional[PathLike] = None,
    output: PathLike = "benchmark.json",
    max_steps: Optional[int] = None,
    engines: Union[str, Sequence[str], None] = None,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> dict[str, Any]:
    """Measure a model and write the figures, the recipe, the machine and the versions to a file.

    - ``training``: images/s and data wait of ``max_steps`` steps, see ``performance``;
    - ``data``: training images/s of the pipeline alone, without a network;
    - ``restoring``: seconds for a picture of 256x256 (or the size that the network takes), by the
      engine that infer takes by itself, which it names;
    - ``peak_memory_mb``: of this process on the host, before engines are compared;
    - ``engines``, where ``engines`` names some: for each engine seconds for the same picture
      (median, ``fastest``, ``slowest``), the ``ratio`` of the fastest engine's median to its own,
      and the largest ``difference`` from MindSpore in pixels of [0, 1]; below ``left_out``, why an
      engine could not be measured.

    Args:
        model: name of a model, or a recipe file; its weights are random.
        data_dir: folder of training images, or a prepared set; none: photos that come along.
        output: JSON file to write.
        max_steps: training steps, the warm-up among them; none: 30.
        engines: what to compare: "all", or of mindspore, mindir, onnxruntime and ncnn, in turns on
            the same picture; none: engines are not compared.
        device_target: CPU, Ascend or GPU; none: an Ascend where there is one, else the CPU.
        device_id: which device; none: that of the variable DEVICE_ID, else the first.
        seed: of weights, data order and noise.
        settings: recipe keys, such as ``{"data.workers": 2}``.

    Returns:
        What was written: ``figures``, ``recipe``, ``machine`` and ``versions``.

    Raises:
        InputError: there is no such model, it is a solver, it leaves no step to measure, there is
            no such engine, or the file cannot be written.
    """
    compared = () if engines is None else to_measure(engines)
    check_measured_steps(max_steps or measuring.STEPS)
    recipe = recipes.load(model, with_options(settings, data_dir=data_dir, seed=seed))
    check_trainable(recipe)
    device = runtime.start(device_target, device_id, "graph", recipe.seed, recipe.runtime)
    figures: dict[str, Any] = {
        "data": _data(recipe),
        "training": measuring.run(recipe, device, max_steps or measuring.STEPS, None),
        "restoring": _restoring(recipe, device),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
    }
    if compared:
        options = EngineOptions(device_target=device, device_id=device_id)
        figures["engines"] = engine_turns.measure(recipe, compared, options)
    result = {
        "figures": figures,
        "recipe": recipe.to_yaml(),
        "machine": machine(),
        "versions": versions(),
    }
    write_json(Path(output), result)
    data, restoring = figures["data"], figures["restoring"]
    say(f"data alone {data['images_per_second']:.1f} images/s")
    say(
        f"{restoring['side']}x{restoring['side']} restored in {restoring['seconds']:.3f} s "
        f"by engine {restoring['engine']} (median "
        f"of {_PICTURES}; {restoring['fastest']:.3f} to {restoring['slowest']:.3f} s)"
    )
    if compared:
        engine_turns.show(figures["engines"])
    say(f"peak memory {figures['peak_memory_mb']:,} MB; written to {output}")
    return result


def _data(recipe: Recipe) -> dict[str, float]:
    """Of the training pipeline, once what it made ahead is used up."""
    geometry = registry.network_geometry(recipe.network)
    degradation = registry.build("degradation", recipe.degradation)
    batches, _ = open_data(recipe, geometry, degradation, _ENDLESS)
    rows = sampling.as_dataset(batches, recipe.data.workers).create_tuple_iterator(num_epochs=1)
    for _ in range(_AHEAD):
        next(rows)
    count, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < _SECONDS:
        next(rows)
        count += images_per_step(recipe)
    rows.stop()
    return {"images_per_second": round(count / seconds, 1)}


def _restoring(recipe: Recipe, device: str) -> dict[str, Any]:
    network = registry.build("network", recipe.network).set_train(False)
    loaded = automatic_engine(network, recipe, device)
    restorer, y = Restorer(loaded), engine_turns.picture(loaded.geometry)
    seconds = []
    for _ in range(_PICTURES + 1):
        began = time.perf_counter()
        restorer(y)
        seconds.append(time.perf_counter() - began)
    del seconds[0]  # compiles
    return {
        "engine": loaded.engine.name,
        "side": len(y),
        "seconds": round(float(np.median(seconds)), 4),
        "fastest": round(min(seconds), 4),
        "slowest": round(max(seconds), 4),
    }
