"""Every reader of files that the package has, as a function of a path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

SIDE = 8  # of patches and slices


def _picture(path: Path) -> None:
    from ms_restore.images.reading import decoded_bytes, is_document, read_picture, read_pictures

    decoded_bytes(path)
    is_document(path)
    read_pictures(path)
    read_picture(path)


def _raw(path: Path) -> None:
    from ms_restore.images import raw
    from ms_restore.images.mosaic import BAYER

    raw.size(path)
    raw.read(path, BAYER)
    raw.develop(path, BAYER)


def _kernel(path: Path) -> None:
    from ms_restore.degradations import kernels

    kernels.load_all(str(path))


def _weights(path: Path) -> None:
    from ms_restore.weights import foreign

    foreign.read(path)


def _hdf5(path: Path) -> None:
    from ms_restore.data.prepared.tiles import TileGrid
    from ms_restore.errors import InputError
    from ms_restore.preparation import hdf5

    images = hdf5.HDF5Images(path, 1, TileGrid(SIDE, 0, SIDE))
    for number in range(len(images)):
        loaded = images.load(number)
        list(loaded.records)
    patches = hdf5.HDF5Patches(path, 1, SIDE)
    for number in range(len(patches)):
        patches.load(number)
    if any("reason" in images.load(number).entry for number in range(len(images))):
        raise InputError("an image that cannot be used")


def _volume(path: Path) -> None:
    from ms_restore.data.prepared.tiles import TileGrid
    from ms_restore.errors import InputError
    from ms_restore.preparation import nifti

    volumes = nifti.Volumes([path], SIDE, TileGrid(SIDE, 0, SIDE))
    reason = volumes.load(0).entry.get("reason")
    if volumes.problems or reason:
        raise InputError(*volumes.problems, *([reason] if reason else []))


def _pickle(path: Path) -> None:
    from ms_restore.data.prepared.tiles import TileGrid
    from ms_restore.preparation import pickles

    slices = pickles.PickledSlices(path, SIDE - 1, TileGrid(SIDE, 0, SIDE))
    slices.load(len(slices) - 1)


def _recipe(path: Path) -> None:
    from ms_restore import recipe

    recipe.load(str(path))


def _rank_table(path: Path) -> None:
    from ms_restore.launch import rank_table

    rank_table.read(path)


def _checkpoint(path: Path) -> None:
    from ms_restore.weights import checkpoint

    checkpoint.read(path)


def _mindir(path: Path) -> None:
    from ms_restore.deploy import mindir

    mindir.read(path)


def _onnx(path: Path) -> None:
    from ms_restore.deploy import onnx

    onnx.described(path)
    onnx.read(path)


def _metadata(path: Path) -> None:
    from ms_restore.deploy.metadata import Metadata

    Metadata.from_text(path.read_text("utf-8", "replace"), str(path))


def _convert(path: Path) -> None:
    from ms_restore.weights import conversion

    conversion.from_file(path, "dncnn_s25", None)


def _prepared(folder: Path) -> None:
    from ms_restore.data.prepared import manifest
    from ms_restore.data.prepared.image_set import PreparedSet
    from ms_restore.data.prepared.patch_set import PatchSource

    if manifest.layout_of(folder) == manifest.PATCHES:
        patches = PatchSource(folder, 1 << 30)
        list(patches.read(range(len(patches))))
        return
    prepared = PreparedSet(folder)
    list(prepared.read(range(len(prepared.shards))))


_PICTURES = ("png", "png16", "apng", "jpg", "bmp", "tif", "tif16", "webp", "gif", "ppm", "jp2")
LIGHT: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(_PICTURES, _picture),
    "dng": _raw,
    **dict.fromkeys(("kernel_npy", "kernel_mat", "kernel_png"), _kernel),
    **dict.fromkeys(("npz", "mat", "mat73", "pth", "safetensors"), _weights),
    "hdf5": _hdf5,
    "nifti": _volume,
    "pickle": _pickle,
    "recipe": _recipe,
    "rank_table": _rank_table,
    "metadata": _metadata,
}
"""Those that need no MindSpore."""
HEAVY: dict[str, Callable[[Path], None]] = {
    "ckpt": _checkpoint,
    "mindir": _mindir,
    "onnx": _onnx,
    "convert": _convert,
    "prepared": _prepared,
}
READERS = {**LIGHT, **HEAVY}
