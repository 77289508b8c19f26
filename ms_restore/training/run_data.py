"""The data of a run: this rank's training batches, and the images that validate."""

from __future__ import annotations

from typing import Optional

from ms_restore import parallel
from ms_restore.contracts import Degradation, Geometry, ImageSource
from ms_restore.data.sampling import BatchPlan, Sampling, TrainingBatches
from ms_restore.data.sources import EarlierImages, open_training
from ms_restore.errors import InputError
from ms_restore.metrics.protocols import protocol_named
from ms_restore.settings import Recipe


def open_data(
    recipe: Recipe,
    geometry: Geometry,
    degradation: Degradation,
    steps: int,
    done: int = 0,
    earlier: Optional[EarlierImages] = None,
) -> tuple[TrainingBatches, ImageSource]:
    """Open this rank's batches and the source of the run's validation.

    Raises InputError where the network does not take patches of the recipe's size.

    Args:
        recipe: of the run.
        geometry: of the network.
        degradation: makes the degraded patches.
        steps: how many batches there are to be.
        done: samples that were used before, by however many ranks.
        earlier: the images of a run that is resumed, whose held-out images stay held out.
    """
    multiple = geometry.size_multiple * geometry.scale
    if recipe.data.patch_size % multiple:
        raise InputError(
            f"data.patch_size {recipe.data.patch_size}: {recipe.model} is trained on patches whose "
            f"sides are multiples of {multiple}"
        )
    smallest = protocol_named(recipe.eval.protocol).smallest(degradation.factor)
    train, valid = open_training(recipe.data, geometry.output_channels, smallest, earlier)
    ranks = parallel.ranks()
    plan = BatchPlan(
        steps=steps,
        batch_size=images_per_step(recipe) // ranks.count,
        first_sample=done,
        rank=ranks.rank,
        ranks=ranks.count,
    )
    return TrainingBatches(train, degradation, Sampling.of(recipe), plan), valid


def images_per_step(recipe: Recipe) -> int:
    """Return how many images all ranks together compute in a step.

    Raises InputError where that is not the recipe's ``train.global_batch``.
    """
    count = parallel.ranks().count
    images = recipe.train.batch_size * recipe.train.accumulate * count
    wanted = recipe.train.global_batch
    if wanted is not None and images != wanted:
        raise InputError(
            f"{count} ranks with batches of {recipe.train.batch_size * recipe.train.accumulate} "
            f"are {images} images a step, but train.global_batch is {wanted}; "
            + (
                f"set train.batch_size to {wanted // count // recipe.train.accumulate}"
                if wanted % (count * recipe.train.accumulate) == 0
                else "start a number of ranks that divides it"
            )
        )
    return images
