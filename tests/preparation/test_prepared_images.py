"""Preparing: what is written, that it is the same however it came about, and what is refused."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.writing import write_picture
from ms_restore.preparation.selection import prepare
from tests.fixtures.pictures import fill, noise, truncate
from tests.fixtures.prepared import SETTINGS, images, manifest, tree


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("source"), 12)


@pytest.fixture(scope="module")
def prepared(source, tmp_path_factory):
    output = tmp_path_factory.mktemp("prepared") / "set"
    assert prepare(source, output, **SETTINGS) == [output]
    return output


def test_manifest_says_what_was_prepared(source, prepared):
    import hashlib

    import mindspore

    from ms_restore import __version__

    found = manifest(prepared)
    assert found["ms_restore"] == __version__
    assert found["mindspore"] == mindspore.__version__
    assert found["count"] == 12
    assert [image["name"] for image in images(prepared)] == [f"{n:02}.png" for n in range(12)]
    for image in images(prepared):
        data = (source / image["name"]).read_bytes()
        assert image["sha256"] == hashlib.sha256(data).hexdigest()
        assert (image["width"], image["channels"], image["dtype"]) == (70, 3, "uint8")
    for shard in found["shards"]:
        data = (prepared / shard["file"]).read_bytes()
        assert (shard["bytes"], shard["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert str(source) not in (prepared / "manifest.json").read_text()


def test_shards_are_bounded_and_nothing_else_is_left(prepared):
    shards = manifest(prepared)["shards"]
    assert len(shards) >= 4
    for shard in shards:
        pixels = [i["height"] * i["width"] * i["channels"] for i in shard["images"]]
        assert sum(pixels) <= SETTINGS["shard_bytes"]
    names = {name for shard in shards for name in (shard["file"], shard["file"] + ".db")}
    assert {path.name for path in prepared.iterdir()} == names | {"manifest.json"}


@pytest.mark.parametrize("workers", [1, 5])
def test_same_bytes_for_any_number_of_workers(source, prepared, tmp_path, workers):
    prepare(source, tmp_path / "again", **SETTINGS, workers=workers)
    assert tree(tmp_path / "again") == tree(prepared)


def test_files_can_be_read_by_others(prepared):
    mask = os.umask(0)
    os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in prepared.iterdir()} == {0o666 & ~mask}


KILLED = """
import sys
from pathlib import Path
from ms_restore.preparation.selection import prepare
prepare(Path(sys.argv[1]), Path(sys.argv[2]), **eval(sys.argv[3]))
"""


@pytest.mark.slow
def test_killed_and_begun_again(tmp_path):
    """SIGKILL after the first shard: the second run keeps it and ends in the same bytes."""
    folder = fill(tmp_path / "images", 30, size=(420, 400))
    settings = SETTINGS | {"shard_bytes": 4_000_000, "workers": 1}
    prepare(folder, tmp_path / "unbroken", **settings)
    output = tmp_path / "killed"
    child = subprocess.Popen([sys.executable, "-c", KILLED, folder, output, repr(settings)])
    while not (output / "unfinished" / "00000.json").exists() and child.poll() is None:
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (output / "manifest.json").exists()
    kept = (output / "00000.mindrecord").stat().st_ino
    prepare(folder, output, **settings)
    assert (output / "00000.mindrecord").stat().st_ino == kept
    assert tree(output) == tree(tmp_path / "unbroken")


@pytest.fixture
def broken(source, tmp_path, monkeypatch):
    """A preparation that stopped after the second shard, and the folder it reads."""
    from ms_restore.preparation import shard_writer

    folder = fill(tmp_path / "images", 12)
    output = tmp_path / "set"
    finish = shard_writer.ShardWriter.finish

    def fail(shard):
        if shard.number == 2:
            raise OSError(28, "No space left on device")
        return finish(shard)

    with monkeypatch.context() as patch:
        patch.setattr(shard_writer.ShardWriter, "finish", fail)
        with pytest.raises(InputError, match="set: cannot be written .No space left.*to go on"):
            prepare(folder, output, **SETTINGS)
    return folder, output


def test_full_disk_keeps_what_is_finished(broken, prepared):
    folder, output = broken
    assert {path.name for path in output.glob("*.mindrecord")} == {
        "00000.mindrecord",
        "00001.mindrecord",
    }
    assert not list((output / "unfinished").glob("*.mindrecord*"))  # its space is free again
    prepare(folder, output, **SETTINGS)
    assert tree(output) == tree(prepared)


def test_damaged_shard_of_an_unfinished_set_is_written_again(broken, prepared):
    folder, output = broken
    shard = output / "00001.mindrecord"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    prepare(folder, output, **SETTINGS)
    assert tree(output) == tree(prepared)


def test_what_a_killed_run_left_is_removed(broken, prepared):
    folder, output = broken
    (output / "00009.mindrecord").write_bytes(b"moved here, but not noted")
    (output / "unfinished" / "00002.mindrecord").write_bytes(b"half")
    prepare(folder, output, **SETTINGS)
    assert tree(output) == tree(prepared)


def test_unfinished_set_is_not_read(broken):
    from tests.fixtures.opening import open_training

    _, output = broken
    with pytest.raises(InputError, match="not finished; run the same ms-restore prepare"):
        open_training(str(output), None, 3, 16, 8)


def test_sources_that_changed_between_two_runs(broken):
    folder, output = broken
    before = tree(output)
    write_picture(folder / "01.png", Picture(noise(95, 95, 3)))
    with pytest.raises(InputError, match=r"images: changed since .*set.*\(01.png\)"):
        prepare(folder, output, **SETTINGS)
    assert {name: before[name] for name in before} == tree(output)


def test_images_after_the_finished_shards_may_be_mended(broken, prepared):
    folder, output = broken
    good = (folder / "11.png").read_bytes()
    truncate(folder / "11.png")
    with pytest.raises(InputError, match=r"11\.png: damaged or truncated.*--skip_bad"):
        prepare(folder, output, **SETTINGS)
    (folder / "11.png").write_bytes(good)
    prepare(folder, output, **SETTINGS)
    assert tree(output) == tree(prepared)


def test_two_at_a_time(broken):
    folder, output = broken
    with (output / "unfinished" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another ms-restore prepare is writing there"):
            prepare(folder, output, **SETTINGS)


# A finished set


def test_finished_set_is_left_alone(source, prepared, capsys):
    before = {path: path.stat().st_mtime_ns for path in prepared.iterdir()}
    assert prepare(source, prepared, **SETTINGS) == [prepared]
    assert "already prepared, 12 images" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in prepared.iterdir()}


@pytest.mark.parametrize(
    ("key", "value"), [("model", "other"), ("patch_size", 32), ("margin", 6), ("shard_bytes", 9)]
)
def test_other_settings_are_refused(source, prepared, key, value):
    with pytest.raises(InputError, match=f"other settings .{key} .*, now {value!r}.*--output"):
        prepare(source, prepared, **SETTINGS | {key: value})


@pytest.mark.parametrize("change", ["more", "fewer", "other"])
def test_changed_sources_are_refused(tmp_path, change):
    folder = fill(tmp_path / "images", 3)
    prepare(folder, tmp_path / "set", **SETTINGS)
    if change == "more":
        write_picture(folder / "x.png", Picture(noise(50, 50, 3)))
    elif change == "fewer":
        (folder / "01.png").unlink()
    else:
        write_picture(folder / "01.png", Picture(noise(91, 70, 1)))
    name = "x.png" if change == "more" else "01.png"
    with pytest.raises(InputError, match=rf"changed since .*\({name}\)"):
        prepare(folder, tmp_path / "set", **SETTINGS)


def test_damaged_finished_set_is_found(tmp_path):
    folder = fill(tmp_path / "images", 3)
    prepare(folder, tmp_path / "set", **SETTINGS)
    shard = tmp_path / "set" / "00000.mindrecord"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="00000.mindrecord: missing or damaged; remove"):
        prepare(folder, tmp_path / "set", **SETTINGS)


# Bad input


def test_foreign_output_is_not_touched(source, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for output in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(InputError, match="--output"):
            prepare(source, output, **SETTINGS)
    assert tree(tmp_path) == {"thesis.txt": b"years of work"}


def test_foreign_file_in_a_prepared_folder_is_not_touched(broken):
    folder, output = broken
    (output / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="it holds thesis.txt"):
        prepare(folder, output, **SETTINGS)


def test_no_write_permission(source, tmp_path, monkeypatch):
    from pathlib import Path

    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)  # root may write anywhere
    with pytest.raises(InputError, match="unfinished: cannot be written .Permission denied"):
        prepare(source, tmp_path / "set", **SETTINGS)


def test_small_images_are_listed_before_anything_is_written(tmp_path):
    folder = fill(tmp_path / "images", 3)
    write_picture(folder / "low.png", Picture(noise(15, 40, 1)))
    write_picture(folder / "thin.png", Picture(noise(40, 8, 1)))
    with pytest.raises(InputError) as caught:
        prepare(folder, tmp_path / "set", **SETTINGS)
    line, way_out = caught.value.problems
    assert "2 of 5 images cannot be used: low.png: 40x15 pixels, smaller than the 16" in line
    assert "thin.png: 8x40" in line
    assert "--skip_bad" in way_out
    assert not (tmp_path / "set").exists()


def test_skip_bad_goes_on_and_counts(tmp_path, capsys):
    folder = fill(tmp_path / "images", 6)
    truncate(folder / "02.png")
    write_picture(folder / "03.png", Picture(noise(15, 40, 1)))
    (folder / "05.png").write_text("no image")  # last, after all that are good
    prepare(folder, tmp_path / "set", **SETTINGS, skip_bad=True)
    found = manifest(tmp_path / "set")
    assert found["count"] == 3
    assert [image["name"] for image in images(tmp_path / "set")] == ["00.png", "01.png", "04.png"]
    reasons = {entry["name"]: entry["reason"] for entry in found["skipped"]}
    assert "damaged or truncated" in reasons["02.png"]
    assert "smaller than the 16" in reasons["03.png"]
    assert "not an image" in reasons["05.png"]
    assert str(tmp_path) not in (tmp_path / "set" / "manifest.json").read_text()
    assert "3 images were left out: 02.png" in capsys.readouterr().out
    prepare(folder, tmp_path / "set", **SETTINGS, skip_bad=True)
    assert "already prepared" in capsys.readouterr().out


def test_nothing_but_bad_images(tmp_path):
    folder = fill(tmp_path / "images", 2)
    for path in folder.iterdir():
        truncate(path)
    with pytest.raises(InputError, match="none of its images can be used"):
        prepare(folder, tmp_path / "set", **SETTINGS, skip_bad=True)
