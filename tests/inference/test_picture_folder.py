"""Folders of pictures: in parallel, in bounded memory, and never twice."""

import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.inference import picture_folder
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint


def _pairs(count):
    return [(Path(f"in{i}"), Path(f"out{i}")) for i in range(count)]


def _run(pairs, read=lambda path: path, compute=lambda pair, x: x, write=None, **options):
    told = []
    given = {
        "picture_bytes": lambda path: 1,
        "finished": lambda pair, told_of: told.append((pair, told_of)),
        **options,
    }
    outcome = picture_folder.run(pairs, read, compute, write or (lambda path, x: x), **given)
    assert [pair for pair, _ in told] == outcome.written
    return outcome, told


def test_every_picture_is_written_to_its_own_file_in_order():
    outcome, told = _run(_pairs(50))
    assert outcome.written == _pairs(50)
    assert outcome.problems == []
    assert [result for _, result in told] == [source for source, _ in _pairs(50)]


def test_reading_and_writing_go_on_while_the_engine_computes():
    """12 pictures of 20 ms each to read, to write and to compute: less than half of 0.72 s."""
    began = time.perf_counter()

    def slow(*_):
        time.sleep(0.02)

    _run(_pairs(12), slow, slow, slow)
    assert time.perf_counter() - began < 0.45


@pytest.mark.parametrize(("size", "most"), [(10, 20), (30, 20), (7, 20)])
def test_pictures_in_flight_are_bounded(size, most):
    """Two of 10 bytes, one that is too large alone."""
    lock, flying, peak = threading.Lock(), 0, 0

    def read(path):
        nonlocal flying, peak
        with lock:
            flying += 1
            peak = max(peak, flying)
        return path

    def write(path, x):
        nonlocal flying
        time.sleep(0.005)
        with lock:
            flying -= 1

    outcome, _ = _run(
        _pairs(20), read, write=write, picture_bytes=lambda path: size, max_bytes=most
    )
    assert len(outcome.written) == 20
    assert peak == max(1, most // size)


def test_a_long_folder_starts_at_once():
    weighed, at_first = [], []

    def compute(pair, x):
        at_first.append(len(weighed))

    _run(_pairs(100), compute=compute, picture_bytes=lambda path: weighed.append(path) or 1)
    assert len(weighed) == 100
    assert at_first[0] < 10


def test_a_picture_that_cannot_be_read_or_computed_is_left_out():
    def read(path):
        if path.name == "in3":
            raise InputError("in3: damaged")
        return path

    def compute(pair, x):
        if x.name == "in5":
            raise InputError("in5: has colours")
        return x

    outcome, _ = _run(_pairs(8), read, compute, picture_bytes=lambda path: 10, max_bytes=10)
    assert outcome.problems == ["in3: damaged", "in5: has colours"]
    assert len(outcome.written) == 6


def test_one_that_cannot_be_written_ends_the_run():
    computed = []

    def compute(pair, x):
        computed.append(x)
        time.sleep(0.01)

    def write(path, x):
        if path.name == "out1":
            raise InputError("out1: no space left")

    with pytest.raises(InputError, match="out1: no space left"):
        _run(
            _pairs(100), compute=lambda pair, x: computed.append(x) or time.sleep(0.01), write=write
        )
    assert len(computed) < 20


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = rng.integers(0, 256, (16, 20, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png")
    return tmp_path / "in"


def _times(out):
    return {path.name: path.stat().st_mtime_ns for path in sorted(out.glob("*.png"))}


def test_what_this_checkpoint_has_restored_is_skipped(run, photos, tmp_path, capsys):
    out = tmp_path / "out"
    first = api.infer(run.folder, photos, out, device_target="CPU")
    before = _times(out)
    assert api.infer(run.folder, photos, out, device_target="CPU") == first
    assert _times(out) == before
    said = capsys.readouterr().out
    assert "3 of 3 already restored by this checkpoint" in said
    assert "--overwrite redoes them" in said
    (out / "b.png").unlink()
    os.utime(photos / "c.png", (1, 1))
    api.infer(run.folder, photos, out, device_target="CPU")
    after = _times(out)
    assert [name for name in before if after[name] != before[name]] == ["b.png", "c.png"]
    api.infer(run.folder, photos, out, device_target="CPU", overwrite=True)
    assert all(_times(out)[name] != after[name] for name in after)


def test_what_another_checkpoint_or_setting_has_restored_is_not(run, photos, tmp_path):
    out = tmp_path / "out"
    api.infer(run.folder, photos, out, device_target="CPU")
    pixels = (out / "a.png").read_bytes()
    network, recipe = network_of(run.folder, None, None)
    network.tail.bias.set_data(network.tail.bias + 0.2)
    checkpoint.save(tmp_path / "other.ckpt", network, recipe, {})
    api.infer(tmp_path / "other.ckpt", photos, out, device_target="CPU")
    assert (out / "a.png").read_bytes() != pixels
    api.infer(run.folder, photos, out, self_ensemble=True, device_target="CPU")
    ensemble = (out / "a.png").read_bytes()
    api.infer(run.folder, photos, out, device_target="CPU")
    assert (out / "a.png").read_bytes() == pixels != ensemble


def test_a_record_that_was_cut_off_counts_for_what_it_still_says(run, photos, tmp_path):
    out = tmp_path / "out"
    api.infer(run.folder, photos, out, device_target="CPU")
    before = _times(out)
    record = out / ".ms_restore.jsonl"
    record.write_text(record.read_text()[:-20])
    api.infer(run.folder, photos, out, device_target="CPU")
    assert [name for name in before if _times(out)[name] != before[name]] == ["c.png"]


def test_a_damaged_picture_is_named_and_the_others_are_restored(run, photos, tmp_path):
    whole = (photos / "b.png").read_bytes()
    (photos / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as caught:
        api.infer(run.folder, photos, tmp_path / "out", device_target="CPU")
    assert len(caught.value.problems) == 2
    assert re.search(r"b\.png: damaged or truncated", caught.value.problems[0])
    assert caught.value.problems[1] == "2 of 3 pictures were restored"
    assert list(_times(tmp_path / "out")) == ["a.png", "c.png"]


def test_an_output_that_is_the_input_or_no_folder(run, photos, tmp_path):
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    with pytest.raises(InputError, match="in is the input folder itself; name another output"):
        api.infer(run.folder, photos, photos / ".." / "in", device_target="CPU")
    assert {path.name: path.read_bytes() for path in photos.iterdir()} == before
    with pytest.raises(InputError, match=r"a\.png is a file; name a folder for the pictures"):
        api.infer(run.folder, photos, photos / "a.png", device_target="CPU")


def test_an_output_folder_that_cannot_be_written(run, photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"a\.png: cannot be written"):
        api.infer(run.folder, photos, tmp_path / "file" / "out", device_target="CPU")
