"""A disk that is full: one line, the old file kept, nothing left behind.

A limit on the size of files stands for the full disk: the operating system refuses to write in the
same way, at the same calls.
"""

import contextlib
import resource

import numpy as np
import pytest

from ms_restore.errors import InputError
from ms_restore.files import atomic_write
from ms_restore.images.picture import Picture, PictureSequence
from ms_restore.images.writing import write_pictures
from tests.fixtures.pictures import noise


@contextlib.contextmanager
def room_for(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


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
def test_old_picture_is_kept(tmp_path, name, dtype, frames):
    path = tmp_path / name
    path.write_bytes(b"the old file")
    durations = [50.0] * frames if frames > 1 and not name.endswith("tif") else []
    pictures = [Picture(noise(64, 64, 3 + i, dtype=dtype)[:, :, :3]) for i in range(frames)]
    with room_for(1000), pytest.raises(InputError, match=rf"{name}: cannot be written \(File too"):
        write_pictures(path, PictureSequence(pictures, durations))
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]
    write_pictures(path, PictureSequence(pictures, durations))
    assert path.stat().st_size > 1000


def test_old_picture_is_kept_where_a_large_one_does_not_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("ms_restore.images.writing._LARGE", 0)
    path = tmp_path / "a.png"
    path.write_bytes(b"the old file")
    with room_for(1000), pytest.raises(InputError, match=r"a\.png: cannot be written"):
        write_pictures(path, PictureSequence([Picture(noise(64, 64, 3))]))
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


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
