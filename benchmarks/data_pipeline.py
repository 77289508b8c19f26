"""Measure the data pipeline: prepare, and patches a second from what it wrote.

    python benchmarks/data_pipeline.py [--model NAME] [--source DIR] [--images N] [--output FILE]

Without --source it makes photographs by turning and enlarging the embedded ones, with a little
noise, so that PNG packs them like photographs of a camera (about 2:1): 60 of 2040x1356, or for a
model that trains on patches of a grid (data.stride), such as dncnn_s25, 400 of 180x180, or for
noise2noise_gaussian and its kind 400 of 500x400, about ImageNet's size; for noise2noise_mri 800
synthetic slices in NIfTI volumes. Augmented, degraded, with the target that the recipe names and in
batches as it says, by as many threads as it says. Prints a table and writes JSON with the machine
and the versions.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Optional

import numpy as np
from common import publish, watched

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.data import phantoms, photos, sources
from ms_restore.data.sampling import BatchPlan, Sampling, TrainingBatches, as_dataset
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.settings import Recipe

_LARGE, _GRID, _CROPS = (
    (60, 1356, 2040),
    (400, 180, 180),
    (400, 400, 500),
)  # how many, height, width
_SLICES = 800
_MEMORY = sources._CACHE_BYTES


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, help="folder of images (none: made for this)")
    parser.add_argument("--images", type=int, help="how many to make (default 60, 400 or 800)")
    parser.add_argument("--model", default="edsr_baseline_x2", help="whose patches")
    parser.add_argument("--batches", type=int, default=200, help="to read (default 200)")
    parser.add_argument("--output", type=Path, default=Path("data_pipeline.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="data_pipeline_") as name:
        folder = Path(name)
        recipe = recipes.load(options.model)
        source = options.source or make_images(folder / "images", recipe, options.images)
        figures = measure(source, folder / "prepared", options.model, options.batches)
    publish(figures, options.output)


def make_images(folder: Path, recipe: Recipe, count: Optional[int]) -> Path:
    """Images such as the model trains on."""
    side = recipe.network.get("side")
    if side:
        return make_volumes(folder, count or _SLICES, side)
    kind = _GRID if recipe.data.stride else _LARGE
    if recipe.network["name"] == "noise2noise":
        kind = _CROPS
    return make_photos(folder, count or kind[0], *kind[1:])


def make_volumes(folder: Path, count: int, side: int) -> Path:
    """Synthetic slices as NIfTI, a hundred a volume, with others around that are not taken."""
    import nibabel

    folder.mkdir()
    affine = np.array([[0, 0, 1.2, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    for first in range(0, count, 100):
        volume = np.zeros((side, side, 130), np.int16)
        for number in range(100):
            slice_ = phantoms.load(f"phantom_{first + number:04}", side)
            volume[:, :, 25 + number] = slice_[:, :, 0]
        nibabel.save(nibabel.Nifti1Image(volume, affine), folder / f"{first:04}.nii.gz")
    return folder


def make_photos(folder: Path, count: int, height: int, width: int) -> Path:
    import cv2

    folder.mkdir()
    rng = np.random.default_rng(0)
    names = [*photos.TRAIN, *photos.HELD_OUT]
    coloured = [x for x in map(photos.load, names) if x.shape[2] == 3]
    for number in range(count):
        photo = coloured[number % len(coloured)]
        angle = rng.uniform(-0.2, 0.2)
        zoom = width / photo.shape[1] * rng.uniform(0.5, 1.2)
        turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(-0.05, 0.05, (2, 1)) * width
        large = cv2.warpAffine(
            photo,
            np.hstack([turn, shift]),
            (width, height),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        noisy = large + rng.normal(0, 3, large.shape)
        pixels = np.clip(noisy, 0, 255).astype(np.uint8)
        write_picture(folder / f"{number + 1:04}.png", Picture(pixels))
    return folder


def measure(source: Path, prepared: Path, model: str, batches: int) -> dict[str, Any]:
    seconds, peak = run_prepare(source, prepared, model)
    manifests = [json.loads(path.read_text()) for path in prepared.glob("**/manifest.json")]
    shards = [shard for manifest in manifests for shard in manifest["shards"]]
    with ThreadPoolExecutor() as pool:
        paths = [path for path in source.rglob("*") if path.is_file()]
        pixels = sum(pool.map(pixel_bytes, paths))
    files = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    written = sum(shard["bytes"] + shard["index_bytes"] for shard in shards)
    rates = {
        "streamed": rate(prepared, model, batches, memory=0),
        "in_memory": rate(prepared, model, batches, memory=_MEMORY),
    }
    if not recipes.load(model).network.get("side"):
        rates["folder"] = rate(source, model, batches, memory=_MEMORY)
    return {
        "images": sum(manifest["count"] for manifest in manifests),
        "records": sum(manifest["records"] for manifest in manifests),
        "pixels_mb": round(pixels / 1e6, 1),
        "packing_of_files": round(pixels / files, 2),
        "prepared_size_over_pixels": round(written / pixels, 2),
        "prepare_seconds_with_start": round(seconds, 2),
        "prepare_mb_per_second_with_start": round(pixels / 1e6 / seconds, 1),
        "prepare_peak_rss_mb": round(peak / 1e6),
        "patches_per_second": {name: round(rate, 1) for name, (rate, _) in rates.items()},
        "processor_ms_per_patch": {name: round(1e3 * cost, 2) for name, (_, cost) in rates.items()},
    }


def pixel_bytes(path: Path) -> int:
    if path.name.endswith(".nii.gz"):
        import nibabel

        return int(np.prod(nibabel.load(path).shape))
    return read_picture(path).pixels.nbytes


def run_prepare(source: Path, output: Path, model: str) -> tuple[float, int]:
    """Seconds of the whole command, and the most memory of it and its children in bytes."""
    command = [sys.executable, "-m", "ms_restore", "prepare", "--model", model]
    return watched([*command, "--source", str(source), "--output", str(output)])


def rate(folder: Path, model: str, batches: int, memory: int) -> tuple[float, float]:
    """Training patches a second, as the training loop gets them, after the first batch.

    Also the seconds of processor time that a patch takes, of all threads together: what remains
    comparable on a machine that others use.
    """
    sources._CACHE_BYTES = memory
    recipe = recipes.load(model)
    data, batch_size = recipe.data, recipe.train.batch_size
    data.dir = str(folder)
    channels = registry.network_geometry(recipe.network).output_channels
    train, _ = sources.open_training(data, channels, data.patch_size)
    degradation = registry.build("degradation", recipe.degradation)
    plan = BatchPlan(batches + 1, batch_size)
    made = TrainingBatches(train, degradation, Sampling.of(recipe), plan)
    rows = as_dataset(made, data.workers).create_tuple_iterator(num_epochs=1)
    next(rows)
    began, spent = time.perf_counter(), time.process_time()
    count = batch_size * sum(1 for _ in rows)
    return count / (time.perf_counter() - began), (time.process_time() - spent) / count


if __name__ == "__main__":
    main()
