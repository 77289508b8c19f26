"""benchmark: how fast a model trains, restores and reads its data on this device."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.data import sampling
from ms_restore.files import write_json
from ms_restore.inference.restorer import Restorer
from ms_restore.report.machine import machine, versions
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe
from ms_restore.training import performance as measuring
from ms_restore.training.run_data import images_per_step, open_data
from ms_restore.training.run_files import check_measured_steps
from ms_restore.verbs.loading import PathLike, Settings, with_options
from ms_restore.verbs.network_loading import automatic_engine
from ms_restore.verbs.train import check_trainable

_SIDE = 256  # of the picture that is restored, in pixels
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
    - ``peak_memory_mb``: of this process on the host.
    """
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
    restorer, geometry = Restorer(loaded), loaded.geometry
    side = geometry.side or _SIDE
    y = np.random.default_rng(0).random((side, side, geometry.input_channels), np.float32)
    seconds = []
    for _ in range(_PICTURES + 1):
        began = time.perf_counter()
        restorer(y)
        seconds.append(time.perf_counter() - began)
    del seconds[0]  # compiles
    return {
        "engine": loaded.engine.name,
        "side": side,
        "seconds": round(float(np.median(seconds)), 4),
        "fastest": round(min(seconds), 4),
        "slowest": round(max(seconds), 4),
    }
