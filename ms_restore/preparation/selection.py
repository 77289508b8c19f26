"""What becomes a prepared set: images, HDF5, slices of MRI or raw files; ``jobs`` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from ms_restore.data.prepared.tiles import Grid
from ms_restore.data.sources import split_layout
from ms_restore.errors import InputError
from ms_restore.images.mosaic import Mosaic
from ms_restore.preparation import hdf5, image_pairs, nifti, pickles, raw_files, scenes
from ms_restore.preparation.contents import Inputs
from ms_restore.preparation.image_files import ImagePatches, ImageTiles
from ms_restore.preparation.set_writer import Job, write
from ms_restore.report.terminal import say

_STRIDE = 384  # pixels of x from one tile to the next, about
_SHARD_BYTES = 256 << 20  # of records in a shard, about


def prepare(
    source: Path,
    output: Path,
    *,
    model: str,
    scale: int,
    patch_size: int,
    margin: int,
    stride: Optional[int] = None,
    scales: Sequence[float] = (1.0,),
    channels: int = 3,
    side: Optional[int] = None,
    mosaic: Optional[Mosaic] = None,
    limit: Optional[int] = None,
    low: Optional[Path] = None,
    skip_bad: bool = False,
    workers: Optional[int] = None,
    shard_bytes: int = _SHARD_BYTES,
) -> list[Path]:
    """Prepare images, or both parts of a known layout; return the prepared folders.

    Args:
        source: folder of images, HDF5 of patches (see ``hdf5``), or where there is a ``side``,
            slices of MRI (see ``volumes`` and ``pickles``).
        model: whose training the set is for; only noted.
        scale: pixels of x for each pixel of y along a side.
        patch_size, margin: of the largest training patch, in pixels of x.
        stride: write the training images as all patches on this grid, not as tiles.
        scales, channels: of those patches; each image is also resized by these factors.
        side: of the slices that the model's network takes; none: it takes any image.
        mosaic: of the raw files that the model takes; none: it takes no raw files.
        limit: so many images (or volumes, or scenes of raw files) of each part; none: all.
        low: folder of low-resolution images, see ``pairs``; none: they are made on reading.
        skip_bad: leave out images that cannot be used, instead of an error.
        workers: threads that decode, by default one for each processor.
        shard_bytes: of records in a shard, about.
    """
    grid = Grid(patch_size, margin, max(_STRIDE // scale, 1) * scale)
    inputs: dict[str, Inputs] = {}
    if mosaic:
        inputs = _raw_frames(source, mosaic)
    elif side:
        inputs = _slices(source, side, grid)
    if low and inputs:
        raise InputError(
            "--lr_source: raw files and slices of MRI have no low-resolution images; leave it out"
        )
    inputs = inputs or _images(source, model, scale, grid, stride, scales, channels, low)
    noted = {"model": model, "shard_bytes": shard_bytes, "limit": limit}
    jobs = [Job(made, output / part, noted) for part, made in inputs.items()]
    write(jobs, output, skip_bad, workers)
    if stride and len(inputs) == 1:
        say(
            f"{output}: no image is held out; training validates on the embedded photos, "
            "or on those of --data.valid_dir"
        )
    return [job.output for job in jobs]


def _raw_frames(source: Path, mosaic: Mosaic) -> dict[str, Inputs]:
    """Raw frames by part; none where the source holds none."""
    parts, problems = scenes.find(source) or ({}, [])
    inputs: dict[str, Inputs] = {}
    for part, found in parts.items():
        inputs[part] = raw_files.RawFrames(source, found, mosaic, problems)
        problems = []  # said once
    return inputs


def _by_part(inputs: list[Inputs]) -> dict[str, Inputs]:
    return dict(zip(["train", "valid"], inputs)) if len(inputs) > 1 else {"": inputs[0]}


def _slices(source: Path, side: int, grid: Grid) -> dict[str, Inputs]:
    """The slices by part; none where the source holds none."""
    found = nifti.find(source)
    if found:
        return _by_part([nifti.Volumes(paths, side, grid) for paths in found])
    files = pickles.find(source)
    if not files:
        return {}
    return _by_part([pickles.PickledSlices(path, side, grid) for path in files if path])


def _images(
    source: Path,
    model: str,
    scale: int,
    grid: Grid,
    stride: Optional[int],
    scales: Sequence[float],
    channels: int,
    low: Optional[Path],
) -> dict[str, Inputs]:
    """The images, or patches of HDF5, by part."""
    file = hdf5.find(source)
    if low and (stride or file):
        raise InputError(
            "--lr_source: patches on a grid (data.stride) and HDF5 have no low-resolution partners "
            "in a prepared set; leave it out"
        )
    if file and stride is None:
        raise InputError(
            f"{file[0]}: patches from HDF5 are for a model with data.stride, which {model} has "
            "not; choose another --model, or add --data.stride"
        )
    train, valid = file or split_layout(source)
    inputs: list[Inputs] = []
    if file:
        inputs.append(hdf5.HDF5Patches(train, channels, grid.patch))
    elif stride:
        inputs.append(ImagePatches(train, channels, grid.patch, stride, scales))
    else:
        inputs.append(_tiles(train, low, bool(valid), scale, grid.patch, grid))
    if valid and file:
        inputs.append(hdf5.HDF5Images(valid, channels, grid))
    elif valid:
        inputs.append(_tiles(valid, low, True, scale, scale, grid))
    return _by_part(inputs)


def _tiles(
    folder: Path, low: Optional[Path], is_part: bool, scale: int, smallest: int, grid: Grid
) -> ImageTiles:
    partners = image_pairs.low_folder(low, folder.name if is_part else None, scale) if low else None
    unused = None if low else image_pairs.unused_low_folder(folder, scale)
    if unused:
        say(f"{unused} is not used (no --lr_source): low-resolution images are made on reading")
    return ImageTiles(folder, partners, scale, smallest, grid)
