"""HDF5 of patches and of whole images: what becomes of them, and what is refused."""

import re
import sys
import tracemalloc

import numpy as np
import pytest

from ms_restore import limits
from ms_restore.cli import main
from ms_restore.data import photos
from ms_restore.data.sampling import as_dataset
from ms_restore.degradations.noise import Gaussian
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.preparation import hdf5, shard_writer
from ms_restore.preparation.selection import prepare
from tests.fixtures.opening import open_evaluation, open_training, training_batches
from tests.fixtures.prepared import manifest, tree

SETTINGS = {
    "model": "tiny",
    "scale": 1,
    "margin": 0,
    "patch_size": 16,
    "stride": 10,
    "scales": [1.0, 0.7],
    "channels": 1,
}


def patch(number, channels=1, side=16):
    """Multiples of 1/255, as the port makes them of 8 bit images."""
    pixels = np.random.default_rng(number).integers(0, 256, (channels, side, side))
    return (pixels / 255).astype(np.float32)


def write(path, datasets):
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file.create_dataset(name, data=values)
    return path


def open_patches(folder, channels=1):
    return open_training(str(folder), None, channels, 16, 8, [1.0, 0.7], 10)


@pytest.fixture
def train(tmp_path):
    """Written in another order than that of the numbers; three blocks."""
    names = [f"{k}{aug}" for k in (10, 2, 0, 1) for aug in ("_aug_10", "", "_aug_2", "_aug_1")]
    return write(tmp_path / "train.h5", {name: patch(sum(map(ord, name))) for name in names})


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(hdf5, "_BLOCK_BYTES", 6 * 16 * 16 * 4)


def test_order_and_values(train, tmp_path):
    """By number, then by number of augmentation; the very floats that the file holds."""
    assert prepare(train, tmp_path / "set", **SETTINGS) == [tmp_path / "set"]
    names = [f"{k}{aug}" for k in (0, 1, 2, 10) for aug in ("", "_aug_1", "_aug_2", "_aug_10")]
    expected = np.stack([patch(sum(map(ord, name))) for name in names])
    source, valid = open_patches(tmp_path / "set")
    assert valid.names == list(photos.HELD_OUT)
    stored = np.stack([*source.read(range(16))])
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(to_float(stored).transpose(0, 3, 1, 2), expected)
    entries = [image for shard in manifest(tmp_path / "set")["shards"] for image in shard["images"]]
    assert [(entry["name"], entry["patches"]) for entry in entries] == [
        ("0 to 1_aug_1", 6),
        ("1_aug_2 to 2_aug_10", 6),
        ("10 to 10_aug_10", 4),
    ]


def test_batches_hold_the_floats_of_the_file(tmp_path):
    """All 256 levels, bit for bit."""
    levels = (np.arange(256).reshape(1, 16, 16) / 255).astype(np.float32)
    prepare(write(tmp_path / "a.h5", {"0": levels}), tmp_path / "set", **SETTINGS)
    made = training_batches(
        open_patches(tmp_path / "set")[0],
        Gaussian(sigma_255=0),
        patch_size=16,
        stride=10,
        batch_size=2,
        augment="none",
        seed=0,
        steps=1,
    )
    for array in next(as_dataset(made, 1).create_tuple_iterator(output_numpy=True)):
        np.testing.assert_array_equal(array, np.stack([levels, levels]))


def test_other_values_are_rounded(tmp_path):
    values = np.random.default_rng(0).random((1, 16, 16), np.float32)
    prepare(write(tmp_path / "a.h5", {"0": values}), tmp_path / "set", **SETTINGS)
    stored = np.stack([*open_patches(tmp_path / "set")[0].read([0])])[0]
    assert np.abs(stored.transpose(2, 0, 1) - values * 65535.0).max() <= 0.51


def test_train_and_val(train, tmp_path, capsys):
    """val.h5 holds whole images of any size, named by their keys."""
    images = {str(k): patch(k, 1, 20 + k)[:, :, : 15 + k] for k in (10, 2, 0)}
    write(tmp_path / "val.h5", images)
    made = prepare(tmp_path, tmp_path / "set", **SETTINGS)
    assert made == [tmp_path / "set" / "train", tmp_path / "set" / "valid"]
    shown = capsys.readouterr().out
    assert "3 blocks, 16 patches in 1 shards" in shown
    assert "3 images in 1 shards" in shown
    source, valid = open_patches(tmp_path / "set")
    assert len(source) == 16
    assert valid.names == ["0", "2", "10"]
    for index, name in enumerate(valid.names):
        expected = np.round(images[name].astype(np.float64) * 65535).astype(np.uint16)
        np.testing.assert_array_equal(valid[index].transpose(2, 0, 1), expected)
    assert open_evaluation(str(tmp_path / "set"), 1, 8).names == ["0", "2", "10"]


def test_colour(tmp_path):
    file = write(tmp_path / "c.h5", {"0": patch(0, 3), "1": patch(1, 3)})
    prepare(file, tmp_path / "set", **SETTINGS | {"channels": 3})
    source, _ = open_patches(tmp_path / "set", 3)
    np.testing.assert_array_equal(
        to_float(np.stack([*source.read([1])])[0]).transpose(2, 0, 1), patch(1, 3)
    )


def test_a_set_from_hdf5_is_for_any_stride_and_scales(train, tmp_path):
    prepare(train, tmp_path / "set", **SETTINGS)
    source, _ = open_training(str(tmp_path / "set"), None, 1, 16, 8, [1.0], 3)
    assert len(source) == 16
    with pytest.raises(InputError, match="trained on with data.stride"):
        open_training(str(tmp_path / "set"), None, 1, 16, 8)
    with pytest.raises(InputError, match="patch_size 16, but now it is 20"):
        open_training(str(tmp_path / "set"), None, 1, 20, 8, [1.0], 3)


@pytest.fixture
def broken(train, tmp_path, monkeypatch):
    """A preparation that stopped after the first of three shards."""
    finish = shard_writer.ShardWriter.finish

    def fail(shard):
        if shard.number == 1:
            raise OSError(28, "No space left on device")
        return finish(shard)

    with monkeypatch.context() as patched:
        patched.setattr(shard_writer.ShardWriter, "finish", fail)
        with pytest.raises(InputError, match="to go on"):
            prepare(train, tmp_path / "broken", **SETTINGS, shard_bytes=5000)
    return tmp_path / "broken"


def test_interrupted_and_begun_again(train, broken, tmp_path):
    prepare(train, tmp_path / "unbroken", **SETTINGS, shard_bytes=5000)
    kept = (broken / "00000.mindrecord").stat().st_ino
    prepare(train, broken, **SETTINGS, shard_bytes=5000)
    assert (broken / "00000.mindrecord").stat().st_ino == kept
    assert len(list(broken.glob("*.mindrecord"))) == 3
    assert tree(broken) == tree(tmp_path / "unbroken")


def test_changed_file_is_refused(train, broken):
    import h5py

    with h5py.File(train, "a") as file:
        file["10_aug_10"][0, 0, 0] = 0.5
    with pytest.raises(InputError, match=r"train\.h5: changed since .*\(0 to 1_aug_1\)"):
        prepare(train, broken, **SETTINGS, shard_bytes=5000)


def test_finished_set_is_left_alone(train, tmp_path, capsys):
    for _ in range(2):
        prepare(train, tmp_path / "set", **SETTINGS)
    assert "already prepared, 3 blocks, 16 patches" in capsys.readouterr().out


def test_the_file_is_read_in_blocks(tmp_path):
    values = np.random.default_rng(0).random((1, 128, 128), np.float32)
    file = write(tmp_path / "large.h5", {str(k): values for k in range(400)})
    assert file.stat().st_size > 25e6
    tracemalloc.start()
    prepare(file, tmp_path / "set", **SETTINGS | {"patch_size": 128}, workers=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6


# What is refused


def odd(kind, folder):
    """A source for each way in which it can be wrong."""
    good = {"0": patch(0), "1": patch(1), "1_aug_1": patch(2)}
    large = {str(k): patch(k, 1, 24) for k in range(2)}
    wrong = {
        "mixed": {**good, "2": patch(3, 1, 20)},
        "large": large,
        "oblong": {"0": patch(0)[:, :, :12]},
        "integers": {**good, "2": np.zeros((1, 16, 16), np.uint8)},
        "flat": {**good, "2": patch(3)[0]},
        "names": {**good, "label": patch(3)},
        "table": {"data": np.zeros((3, 1, 16, 16), np.float32)},
        "range": {**good, "2": patch(3) * 255},
        "negative": {**good, "2": patch(3) - 1},
        "nan": {**good, "2": patch(3) * np.where(patch(4) > 0.5, np.nan, 1).astype(np.float32)},
        "colour": {"0": patch(0, 3)},
        "two": {"0": patch(0, 2)},
        "empty": {},
        "group": {**good, "2/a": patch(3)},
    }
    path = folder / f"{kind}.h5"
    if kind in wrong:
        return write(path, wrong[kind])
    if kind == "truncated":
        data = write(path, {str(k): patch(k) for k in range(50)}).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    if kind == "foreign":
        path.write_bytes(b"\x89PNG" + bytes(5000))
    if kind == "val":
        write(folder / "val" / "train.h5", good)
        write(folder / "val" / "val.h5", {"0": patch(0), "1": patch(1, 3)})
        return folder / "val"
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", r"missing\.h5: no such file"),
        ("truncated", r"truncated\.h5: truncated, damaged or not HDF5 .*; copy or make it again"),
        ("foreign", r"foreign\.h5: truncated, damaged or not HDF5"),
        ("empty", r"empty\.h5: another layout .*it is empty.*expected the names '0', '1'"),
        ("names", "another layout than one dataset for each patch .*it holds 'label'"),
        ("table", "another layout than one dataset for each patch .*it holds 'data'"),
        ("group", "dataset '2': a group, expected floats"),
        ("integers", r"dataset '2': uint8 of shape \(1, 16, 16\), expected floats"),
        ("flat", r"dataset '2': float32 of shape \(16, 16\), expected floats \(C, H, W\)"),
        ("mixed", r"dataset '2': shape \(1, 20, 20\), but the first has \(1, 16, 16\); .*val\.h5"),
        ("large", "patches of 24x24, but data.patch_size is 16; add --data.patch_size 24"),
        ("oblong", "patches of 12x16, but data.patch_size is 16; expected square patches"),
        (
            "range",
            "dataset '2': values from 0 to 249, expected 0 to 1 .8 bit values div",
        ),
        ("negative", "dataset '2': values from -1 to -0.02.*, expected 0 to 1"),
        ("nan", "dataset '2': values from nan to nan, expected 0 to 1"),
        ("colour", r"dataset '0': channels: 3 \(colour\), but the model takes 1 \(gray\); choose"),
        ("two", r"dataset '0': channels: 2 \(unknown\), but the model takes 1"),
        ("val", r"val\.h5/1: channels: 3 .*--skip_bad"),
    ],
)
def test_bad_input_is_one_line(kind, expected, tmp_path, capsys):
    source, output = odd(kind, tmp_path), tmp_path / "new"
    words = ["prepare", "--model", "dncnn_s25", "--data.patch_size", "16"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--source", str(source), "--output", str(output)])
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(expected, lines[0]), lines[0]
    assert not (output / "manifest.json").exists()


def test_model_without_a_grid(train, tmp_path):
    with pytest.raises(InputError, match="for a model with data.stride, which tiny does not set"):
        prepare(train, tmp_path / "set", **SETTINGS | {"stride": None})


def test_low_resolution_partners_are_refused(train, tmp_path):
    with pytest.raises(InputError, match="--lr_source: .* HDF5 have no low-resolution partners"):
        prepare(train, tmp_path / "set", **SETTINGS, low=tmp_path)


def test_bad_validation_images_can_be_left_out(tmp_path):
    prepare(odd("val", tmp_path), tmp_path / "set", **SETTINGS, skip_bad=True)
    assert open_patches(tmp_path / "set")[1].names == ["0"]


def test_without_h5py(train, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not installed
    with pytest.raises(InputError, match=r"needs h5py; .* pip install ms-restore\[convert\]"):
        prepare(train, tmp_path / "set", **SETTINGS)


def _refused(path, tmp_path, match):
    with pytest.raises(InputError, match=match) as caught:
        prepare(path, tmp_path / "set", **SETTINGS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["0", "1"])
def test_what_lies_outside_the_file_is_refused(name, tmp_path):
    import h5py

    other = write(tmp_path / "other.h5", {"0": patch(0)})
    links = (h5py.ExternalLink(other.name, "/0"), h5py.SoftLink("/2"), h5py.SoftLink("/1"))
    for number, link in enumerate(links):
        path = write(tmp_path / f"{number}.h5", {"0": patch(0), "1": patch(1)})
        with h5py.File(path, "r+") as file:
            del file[name]
            file[name] = link
        _refused(path, tmp_path, rf"{number}\.h5: dataset '{name}': a link to another place")


def test_values_in_another_file_are_refused(tmp_path):
    import h5py

    (tmp_path / "raw.bin").write_bytes(bytes(4 * 16 * 16))
    for number in range(2):
        path = write(tmp_path / f"{number}.h5", {"0": patch(0)})
        with h5py.File(path, "r+") as file:
            shape = (1, 16, 16)
            if number:
                layout = h5py.VirtualLayout(shape, "f4")
                layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "0", shape)
                file.create_virtual_dataset("1", layout)
            else:
                external = [(str(tmp_path / "raw.bin"), 0, 4 * 16 * 16)]
                file.create_dataset("1", shape, "f4", external=external)
        _refused(path, tmp_path, "dataset '1': its values are in another file")


@pytest.mark.parametrize("chunks", [None, (1, 1000, 1000), (1, 20_000, 50_000)])
def test_sizes_are_checked_before_memory_is_taken(chunks, tmp_path):
    import h5py

    path = write(tmp_path / "train.h5", {"0": patch(0)})
    shape = (1, 16, 16) if chunks and chunks[1] > 1000 else (1, 2_000_000, 2_000_000)
    with h5py.File(path, "r+") as file:
        maximum = tuple(max(*pair) for pair in zip(shape, chunks or shape))
        file.create_dataset("1", shape, "f4", chunks=chunks, maxshape=chunks and maximum)
    _refused(path, tmp_path, "dataset '1': declares an array of 1 x .* elements, above the limit")


def test_the_limit_holds_for_a_patch_not_for_the_file(tmp_path, monkeypatch):
    path = write(tmp_path / "train.h5", {str(n): patch(n, side=600) for n in range(4)})
    monkeypatch.setattr(limits, "_max_megapixels", 1)
    settings = SETTINGS | {"patch_size": 600}
    assert prepare(path, tmp_path / "set", **settings) == [tmp_path / "set"]
