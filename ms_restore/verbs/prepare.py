"""prepare: images as MindRecord."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ms_restore import limits, registry
from ms_restore import recipe as recipes
from ms_restore.errors import InputError
from ms_restore.preparation import selection as preparing
from ms_restore.verbs.loading import PathLike, Settings


def prepare(
    model: str,
    source: PathLike,
    output: PathLike,
    *,
    lr_source: Optional[PathLike] = None,
    limit: Optional[int] = None,
    skip_bad: bool = False,
    workers: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> list[Path]:
    """Write a folder of images as MindRecord, from which this model's training reads patches.

    A known layout (such as DIV2K's) becomes the folders train and valid in ``output``. A run that
    was interrupted goes on where it stopped. Returns the prepared folders.

    Args:
        model: name of the model whose training the set is for, or a recipe file.
        output: folder to write.
        source: folder of images; or an HDF5 file of patches (train.h5), or a folder with train.h5
            and val.h5; for a model of MRI a folder of NIfTI volumes, or pickled slices; for one of
            raw files a folder with short/ and long/ (or the authors' list files), or such a file.
        lr_source: folder of low-resolution images, paired by name; none: they are made on reading.
        limit: for a trial: at most this number of images, volumes or scenes of each part.
        skip_bad: leave out images that cannot be used, and say which.
        workers: threads that decode; by default one for each processor.
        settings: recipe keys such as ``{"data.patch_size": 128}``.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers {workers}: expected at least 1")
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: expected at least 1")
    recipe = recipes.load(model, settings)
    limits.set_max_megapixels(recipe.runtime.max_megapixels)
    degradation = registry.build("degradation", recipe.degradation)
    geometry = registry.network_geometry(recipe.network)
    return preparing.prepare(
        Path(source),
        Path(output),
        model=recipe.model,
        scale=degradation.scale,
        patch_size=recipe.data.patch_size,
        margin=degradation.margin,
        stride=recipe.data.stride,
        scales=recipe.data.scales,
        channels=geometry.output_channels,
        side=geometry.side,
        mosaic=degradation.mosaic,
        limit=limit,
        low=Path(lr_source) if lr_source else None,
        skip_bad=skip_bad,
        workers=workers,
    )
