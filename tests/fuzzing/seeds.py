"""Small valid files for every reader, which are then damaged."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import PIL.Image

from tests.fixtures import dng, matlab_hdf5
from tests.fixtures.pictures import noise, png_bytes, smooth, srgb_profile
from tests.fuzzing.readers import SIDE


def make(folder: Path) -> None:
    """Write a folder of files for each reader."""
    for reader, files in _small().items():
        for name, content in files.items():
            _path(folder, reader, name).write_bytes(content)
    _pictures(folder)
    _raw_files(folder)
    _arrays(folder)
    _weights(folder)
    _datasets(folder)
    _exports(folder)
    _prepared_sets(folder)


def _path(folder: Path, reader: str, name: str) -> Path:
    path = folder / reader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _small() -> dict[str, dict[str, bytes]]:
    from ms_restore import recipe
    from ms_restore.contracts import Geometry
    from ms_restore.deploy.metadata import Metadata

    models = ("edsr_quickstart", "dncnn3", "sid_sony", "dmsp_deblur", "noise2noise_mri")
    device = [{"device_id": "0", "device_ip": "1.1.1.1", "rank_id": "0"}]
    table = {
        "version": "1.0",
        "server_count": "1",
        "server_list": [{"server_id": "1.1.1.1", "device": device}],
        "status": "completed",
    }
    instance = {"server_id": "1.1.1.1", "devices": [{"device_id": "0", "device_ip": "1.1.1.1"}]}
    groups = {"status": "completed", "group_list": [{"instance_list": [instance]}]}
    described = Metadata(
        recipe.load("edsr_x3"), Geometry(3, 3, 9, 64, 1, 3, None), (8, 9), "0" * 64
    )
    return {
        "recipe": {f"{m}.yaml": recipe.files()[m].read_bytes() for m in models}
        | {"whole.yaml": recipe.load("dncnn_s25").to_yaml().encode()},
        "rank_table": {
            "a.json": json.dumps(table, indent=1).encode(),
            "b.json": json.dumps(groups, indent=1).encode(),
        },
        "metadata": {"a.txt": described.to_text().encode()},
        "png16": {
            f"{channels}.png": png_bytes(noise(9, 11, channels, dtype=np.uint16))
            for channels in (1, 2, 3, 4)
        },
    }


def _pictures(folder: Path) -> None:
    import tifffile

    rgb, gray = smooth(17, 23, 3), smooth(17, 23, 1)[:, :, 0]
    rgba = np.dstack([rgb, gray])
    colour, alone = PIL.Image.fromarray(rgb), PIL.Image.fromarray(gray)
    frames = [PIL.Image.fromarray(np.roll(rgb, shift, 1)) for shift in (3, 6)]
    many = {"save_all": True, "append_images": frames, "duration": 40}
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "maker"
    extra = {"icc_profile": srgb_profile(), "exif": exif.tobytes(), "dpi": (72, 72)}
    colour.save(_path(folder, "png", "rgb.png"), **extra)
    PIL.Image.fromarray(rgba).save(folder / "png" / "rgba.png")
    colour.convert("P").save(folder / "png" / "palette.png", transparency=3)
    alone.convert("1").save(folder / "png" / "1.png")
    colour.save(_path(folder, "apng", "a.png"), **many)
    colour.save(_path(folder, "jpg", "a.jpg"), **extra)
    colour.save(folder / "jpg" / "progressive.jpg", progressive=True)
    colour.convert("CMYK").save(folder / "jpg" / "inks.jpg")
    colour.save(_path(folder, "bmp", "a.bmp"))
    alone.convert("1").save(folder / "bmp" / "1.bmp")
    colour.quantize(16).save(folder / "bmp" / "palette.bmp")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        path = _path(folder, "tif", f"{compression}.tif")
        colour.save(path, compression=compression, save_all=True, append_images=frames[:1])
    alone.convert("1").save(folder / "tif" / "fax.tif", compression="group4")
    deep = noise(17, 23, 3, dtype=np.uint16)
    for name, stored, compression in (
        *(("rgb", deep, None), ("packed", deep, "zlib")),
        *(("gray", deep[:, :, 0], None), ("rgba", np.dstack([deep, deep[:, :, 0]]), None)),
    ):
        path = _path(folder, "tif16", f"{name}.tif")
        photometric = "minisblack" if stored.ndim == 2 else "rgb"
        tifffile.imwrite(path, stored, photometric=photometric, compression=compression)
    colour.save(_path(folder, "webp", "a.webp"), **many)
    PIL.Image.fromarray(rgba).save(folder / "webp" / "b.webp", lossless=True)
    colour.save(_path(folder, "gif", "a.gif"), **many)
    colour.save(_path(folder, "ppm", "a.ppm"))
    alone.save(folder / "ppm" / "a.pgm")
    (folder / "ppm" / "text.pgm").write_bytes(b"P2\n# text\n3 2\n255\n0 9 255\n7 8 9\n")
    colour.save(_path(folder, "jp2", "a.jp2"))


def _raw_files(folder: Path) -> None:
    mosaic = noise(40, 60, dtype=np.uint16) >> 3
    for bits, name in ((16, "a.dng"), (14, "b.dng")):
        dng.write(
            *(_path(folder, "dng", name), mosaic, dng.ORDERS["RGGB"]),
            white=8191, bits=bits, exposure=0.1,
        )  # fmt: skip


def _arrays(folder: Path) -> None:
    from scipy.io import savemat

    kernel = smooth(5, 7, 1)[:, :, 0] / 255
    np.save(_path(folder, "kernel_npy", "a.npy"), kernel)
    np.save(folder / "kernel_npy" / "b.npy", np.asfortranarray(kernel.astype(">f4")))
    PIL.Image.fromarray(smooth(5, 7, 1)[:, :, 0]).save(_path(folder, "kernel_png", "a.png"))
    cells = np.empty((1, 3), object)
    for number in range(3):
        cells[0, number] = kernel + number
    content = {"kernels": cells, "one": kernel, "text": "words"}
    for name, options in (
        *(("a", {}), ("b", {"do_compression": True})),
        ("c", {"format": "4"}),
    ):
        made = {"one": kernel, "two": kernel[:3]} if name == "c" else content
        savemat(_path(folder, "kernel_mat", f"{name}.mat"), made, **options)


def _weights(folder: Path) -> None:
    from scipy.io import savemat

    arrays = {f"model.{n}.{kind}": noise(*shape).astype("f4") for n, kind, shape in _DNCNN}
    np.savez(_path(folder, "npz", "a.npz"), **arrays)
    np.savez_compressed(folder / "npz" / "b.npz", **arrays)
    layers = np.empty((1, 3), object)
    for number in range(3):
        weights = np.empty((1, 2), object)
        weights[0, 0], weights[0, 1] = np.ones((3, 3, 2, 2), "f4"), np.ones((2, 1), "f4")
        layer = {"type": "conv", "weights": weights} if number != 1 else {"type": "relu", "leak": 0}
        layers[0, number] = layer
    for name, compressed in (("a.mat", False), ("b.mat", True)):
        savemat(_path(folder, "mat", name), {"net": layers}, do_compression=compressed)
    chain = matlab_hdf5.network([(np.ones((2, 2, 3, 3), "f4"), np.ones(2, "f4"))] * 2)
    for name, net in (("a.mat", {"layers": chain}), ("b.mat", chain)):
        options = {"compression": "gzip", "chunks": True} if name == "b.mat" else {}
        matlab_hdf5.write(_path(folder, "mat73", name), {"net": net, "text": "words"}, **options)
    try:
        import torch
        from safetensors.numpy import save_file
    except ImportError:
        return
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    torch.save({"state_dict": tensors, "epoch": 3}, _path(folder, "pth", "a.pth"))
    torch.save(tensors, folder / "pth" / "old.pt", _use_new_zipfile_serialization=False)
    save_file(arrays, _path(folder, "safetensors", "a.safetensors"))
    save_file(arrays, _path(folder, "convert", "a.safetensors"))
    np.savez(folder / "convert" / "b.npz", **arrays)


_DNCNN = (
    *((0, "weight", (4, 1, 3, 3)), (0, "bias", (4,)), (2, "weight", (4, 4, 3, 3))),
    *((2, "bias", (4,)), (4, "weight", (1, 4, 3, 3)), (4, "bias", (1,))),
)


def _datasets(folder: Path) -> None:
    import h5py
    import nibabel

    for name, options in (
        *(("a.h5", {}), ("b.h5", {"chunks": (1, 4, 4), "compression": "gzip"})),
        ("c.h5", {"chunks": (1, 8, 8), "shuffle": True, "fletcher32": True}),
    ):
        with h5py.File(_path(folder, "hdf5", name), "w") as file:
            for number in range(4):
                values = noise(1, SIDE, SIDE).astype("f4") / 255
                file.create_dataset(f"{number}", data=values, **options)
    volume = noise(SIDE + 1, SIDE, 126).astype(np.int16)
    affine = np.array([[0, 0, 1.2, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
    for name in ("a.nii", "b.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(volume, affine), _path(folder, "nifti", name))
    nibabel.save(nibabel.Nifti2Image(volume.astype("f4"), affine), folder / "nifti" / "c.nii.gz")
    pair = noise(5, SIDE, SIDE), np.ones((5, SIDE - 1, SIDE - 1), np.complex64)
    for protocol in range(6):
        path = _path(folder, "pickle", f"{protocol}.pkl")
        path.write_bytes(pickle.dumps(pair, protocol))


def _exports(folder: Path) -> None:
    import mindspore as ms

    from ms_restore import recipe, registry
    from ms_restore.contracts import Geometry
    from ms_restore.deploy import mindir, onnx
    from ms_restore.deploy.metadata import Metadata
    from ms_restore.weights import checkpoint

    small = recipe.load("dncnn_s25", {"network.layers": 3, "network.filters": 4})
    network = registry.build("network", small.network)
    checkpoint.save(_path(folder, "ckpt", "a.ckpt"), network, small, {"step": 3})
    ms.save_checkpoint(network, str(folder / "ckpt" / "b.ckpt"))
    (folder / "ckpt" / "b.ckpt").chmod(0o644)
    metadata = Metadata(small, Geometry.of(network), None, None)
    mindir.export(network, _path(folder, "mindir", "a.mindir"), metadata)
    try:
        onnx.export(network, _path(folder, "onnx", "a.onnx"), metadata)
    except ImportError:
        return


def _prepared_sets(folder: Path) -> None:
    from ms_restore.preparation.selection import prepare

    source = folder / "source"
    source.mkdir()
    for number in range(3):
        PIL.Image.fromarray(noise(20, 24 + number, 3)).save(source / f"{number}.png")
    common = {"model": "tiny", "scale": 1, "patch_size": 16, "margin": 0}
    prepare(source, _path(folder, "prepared", "tiles"), **common)
    prepare(source, folder / "prepared" / "patches", stride=8, channels=3, **common)
