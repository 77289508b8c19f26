"""Writes a trained model's weights to where they come along with the package.

They are the best ones of a run folder, with the recipe and with what is known of them (step and
PSNR), without the state of training and without the folders that the images were in.

    python scripts/ship_weights.py runs/edsr_small_x2 edsr_small_x2
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.errors import InputError
from ms_restore.weights import catalogue, checkpoint

MOST = 3_000_000
"""Bytes of one model's weights."""
MOST_OF_ALL = 15_000_000
"""Bytes of all, so that a wheel stays below 20 MB."""


def ship(run: Path, model: str) -> Path:
    """Write a run's best weights as those of a shipped model, and return the file.

    Raises InputError where the run is of another network, or the file would be too large.
    """
    shipped = recipes.load(model)
    folder = recipes.files()[model].parent / "weights"
    loaded = checkpoint.read(run)
    if loaded.recipe is None or loaded.recipe.network != shipped.network:
        theirs = loaded.recipe and loaded.recipe.network
        raise InputError(
            f"{loaded.path}: its network is {theirs}, that of {model} {shipped.network}"
        )
    others = sum(p.stat().st_size for p in recipes.folder().glob("*/weights/*.ckpt"))
    before = catalogue.shipped(model)
    others -= before.stat().st_size if before else 0
    size = sum(4 * parameter.size for parameter in loaded.parameters.values())
    if size > MOST or others + size > MOST_OF_ALL:
        raise InputError(
            f"{loaded.path}: {size:,} bytes of weights, and {others:,} of other models; at most "
            f"{MOST:,} a model and {MOST_OF_ALL:,} in all come along"
        )
    loaded.recipe.model = model
    loaded.recipe.seed = shipped.seed  # by which eval draws its noise
    loaded.recipe.data.dir = loaded.recipe.data.valid_dir = None
    network = registry.build("network", loaded.recipe.network)
    checkpoint.load_strictly(network, loaded)
    path = folder / f"{model}.ckpt"
    checkpoint.save(path, network, loaded.recipe, loaded.facts)
    return path


def main() -> None:
    """Ship the weights that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("model", help="name of a shipped recipe")
    options = parser.parse_args()
    runtime.start("CPU")
    try:
        path = ship(options.run, options.model)
    except InputError as error:
        sys.exit(str(error))
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
