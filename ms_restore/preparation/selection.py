"""Selection of the kind of source that a prepared set is made from; ``set_writer`` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.data.sources import split_layout
from ms_restore.errors import InputError, check_utf8
from ms_restore.images.mosaic import Mosaic
from ms_restore.preparation import hdf5, image_pairs, nifti, pickles, raw_files, scenes
from ms_restore.preparation.image_files import ImagePatches, ImageTiles
from ms_restore.preparation.pieces import PieceSource
from ms_restore.preparation.set_writer import PreparationJob, write
from ms_restore.report.terminal import say

_STRIDE = 384  # approximate distance of the tiles in pixels of x
_SHARD_BYTES = 256 << 20  # approximate size of a shard


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
    """Write the prepared sets of a source and return their folders.

    A source with training and validation images gives a folder for each, else it is one folder.
    A preparation that was interrupted is resumed.

    Args:
        source: folder of images; HDF5 of patches, see ``hdf5``; with a ``side``, MRI slices, see
            ``nifti`` and ``pickles``; or with a ``mosaic``, raw files, see ``scenes``.
        output: folder to write to.
        model: name of the model that the set is for, kept in the manifest.
        scale: pixels of x for each pixel of y along a side.
        patch_size: side of the largest training patch in pixels of x.
        margin: pixels of x around a patch that the degradation needs.
        stride: distance in pixels of the patches into which training images are cut; None cuts
            them into tiles instead.
        scales: factors by which images are resized before they are cut into patches.
        channels: 1 (gray) or 3 (RGB), of patches.
        side: of the MRI slices that the model takes, in pixels; None if it takes any image.
        mosaic: of the raw files that the model takes; None if it takes none.
        limit: the number of images, volumes or scenes to take of each part; None takes all.
        low: folder of low-resolution images, see ``image_pairs``; None makes them on reading.
        skip_bad: leave out images that cannot be used, instead of raising InputError.
        workers: number of threads that decode; None is one for each processor.
        shard_bytes: approximate size of a shard.

    Raises:
        InputError: the source or some of its images cannot be used, or the output folder holds
            other files or a set prepared differently.
    """
    check_utf8(output)
    grid = TileGrid(patch_size, margin, max(_STRIDE // scale, 1) * scale)
    inputs: dict[str, PieceSource] = {}
    if mosaic:
        inputs = _raw_frames(source, mosaic)
    elif side:
        inputs = _slices(source, side, grid)
    if low and inputs:
        raise InputError(
            "--lr_source: raw files and slices of MRI have no low-resolution images; leave it out"
        )
    inputs = inputs or _images(source, model, scale, grid, stride, scales, channels, low)
    options = {"model": model, "shard_bytes": shard_bytes, "limit": limit}
    jobs = [PreparationJob(made, output / part, options) for part, made in inputs.items()]
    write(jobs, output, skip_bad, workers)
    if stride and len(inputs) == 1:
        say(
            f"{output}: no image is held out; training validates on the embedded photos, "
            "or on those of --data.valid_dir"
        )
    return [job.output for job in jobs]


def _raw_frames(source: Path, mosaic: Mosaic) -> dict[str, PieceSource]:
    """Return the raw frames by part, empty where the source holds none."""
    parts, problems = scenes.find(source) or ({}, [])
    inputs: dict[str, PieceSource] = {}
    for part, found in parts.items():
        inputs[part] = raw_files.RawFrames(source, found, mosaic, problems)
        problems = []  # reported once
    return inputs


def _by_part(inputs: list[PieceSource]) -> dict[str, PieceSource]:
    return dict(zip(["train", "valid"], inputs)) if len(inputs) > 1 else {"": inputs[0]}


def _slices(source: Path, side: int, grid: TileGrid) -> dict[str, PieceSource]:
    """Return the MRI slices by part, empty where the source holds none."""
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
    grid: TileGrid,
    stride: Optional[int],
    scales: Sequence[float],
    channels: int,
    low: Optional[Path],
) -> dict[str, PieceSource]:
    """Return the images, or the patches of an HDF5 file, by part."""
    file = hdf5.find(source)
    if low and (stride or file):
        raise InputError(
            "--lr_source: patches on a grid (data.stride) and HDF5 have no low-resolution partners "
            "in a prepared set; leave it out"
        )
    if file and stride is None:
        raise InputError(
            f"{file[0]}: patches from HDF5 are for a model with data.stride, which {model} does "
            "not set; choose another --model, or add --data.stride"
        )
    train, valid = file or split_layout(source)
    inputs: list[PieceSource] = []
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
    folder: Path, low: Optional[Path], is_part: bool, scale: int, smallest: int, grid: TileGrid
) -> ImageTiles:
    partners = (
        image_pairs.low_resolution_folder(low, folder.name if is_part else None, scale)
        if low
        else None
    )
    unused = None if low else image_pairs.unused_low_resolution_folder(folder, scale)
    if unused:
        say(f"{unused} is not used (no --lr_source): low-resolution images are made on reading")
    return ImageTiles(folder, partners, scale, smallest, grid)
