"""A disk that is full: one line, the old file kept, nothing left behind."""

import contextlib

import numpy as np
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.images.picture import Picture, PictureSequence
from ms_restore.images.writing import write_pictures
from tests.fixtures.pictures import noise

FULL = r"cannot be written \(No space left on device\)"


def old(path):
    """Write a file, and fill the disk."""
    path.write_bytes(b"the old file")
    fill_up(path.parent)
    return path


def fill_up(disk):
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 10)):
            pass


def assert_kept(path):
    """The old file is whole, and alone."""
    assert path.read_bytes() == b"the old file"
    assert sorted(path.parent.iterdir()) == sorted([path, path.parent / "filler"])


@pytest.mark.parametrize(
    ("name", "dtype", "frames"),
    [
        ("a.png", np.uint8, 1),
        ("a.png", np.uint16, 1),
        ("a.png", np.uint8, 2),
        ("a.jpg", np.uint8, 1),
        ("a.tif", np.uint8, 1),
        ("a.tif", np.uint16, 2),
        ("a.bmp", np.uint8, 1),
        ("a.ppm", np.uint8, 1),
        ("a.webp", np.uint8, 1),
        ("a.webp", np.uint8, 2),
    ],
)
def test_old_picture_is_kept(disk, name, dtype, frames):
    path = old(disk / name)
    durations = [50.0] * frames if frames > 1 and not name.endswith("tif") else []
    pictures = [Picture(noise(64, 64, 3 + i, dtype=dtype)[:, :, :3]) for i in range(frames)]
    with pytest.raises(InputError, match=f"{name}: {FULL}"):
        write_pictures(path, PictureSequence(pictures, durations))
    assert_kept(path)


def test_old_picture_is_kept_where_a_large_one_does_not_fit(disk, monkeypatch):
    monkeypatch.setattr("ms_restore.images.writing._LARGE", 0)
    path = old(disk / "a.png")
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        write_pictures(path, PictureSequence([Picture(noise(90, 90, 3))]))
    assert_kept(path)


@pytest.mark.parametrize("name", ["net.mindir", "net.onnx"])
def test_old_export_is_kept(run, disk, name):
    path = old(disk / name)
    options = {"file_format": path.suffix[1:].upper(), "device_target": "CPU"}
    with pytest.raises(InputError, match=rf"{name}: cannot be written"):
        api.export(run.folder, path, **options)
    assert_kept(path)


@pytest.mark.parametrize(("name", "to"), [("w.safetensors", "torch"), ("w.ckpt", "mindspore")])
def test_old_weights_are_kept(run, disk, tmp_path, name, to):
    source = run.checkpoint
    options = {"to": to} if to == "torch" else {"model": str(run.folder / "recipe.yaml")}
    if to == "mindspore":
        source = tmp_path / "source.safetensors"
        api.convert(run.checkpoint, source, to="torch")
    path = old(disk / name)
    with pytest.raises(InputError, match=rf"{name}: cannot be written"):
        api.convert(source, path, **options)
    assert_kept(path)


def test_old_figures_are_kept(run, pictures, disk):
    path = old(disk / "metrics.json")
    options = {"data_dir": pictures, "output_dir": disk, "device_target": "CPU"}
    with pytest.raises(InputError, match=FULL):
        api.evaluate(run.folder, **options)
    assert path.read_bytes() == b"the old file"


def test_a_set_is_not_half_written(run, pictures, disk):
    with pytest.raises(InputError, match="the disk is full; free some space, finished shards"):
        api.prepare(str(run.folder / "recipe.yaml"), pictures, disk / "set")
    assert not (disk / "set" / "manifest.json").exists()


def test_a_folder_of_pictures_goes_on_where_the_disk_was_full(run, pictures, disk):
    fill_up(disk)
    with pytest.raises(InputError, match=FULL):
        api.infer(run.folder, pictures, disk / "out", device_target="CPU")
    assert not [path for path in (disk / "out").iterdir() if not path.name.startswith(".ms_")]


def test_litter_of_a_killed_process_is_removed_by_the_next_one(tmp_path):
    litter = tmp_path / ".a.txt.writing" / "killed"
    litter.mkdir(parents=True)
    (litter / "a.txt").write_text("half")
    with atomic_write(tmp_path / "a.txt") as temporary:
        with atomic_write(tmp_path / "a.txt") as other:  # as of another process
            assert temporary.parent != other.parent
            other.write_text("first")
        assert temporary.parent.is_dir()
        temporary.write_text("second")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "second"
