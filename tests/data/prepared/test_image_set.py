"""Prepared sets as training and evaluation read them: the same as from the folder of images."""

import json
import os
import shutil

import numpy as np
import pytest

from ms_restore.data import sources
from ms_restore.data.prepared import manifest as prepared_manifest
from ms_restore.data.prepared.image_set import PreparedSet, RecordSource
from ms_restore.data.prepared.tiles import TileGrid
from ms_restore.data.sampling import as_dataset
from ms_restore.degradations.bicubic import BicubicDownsample
from ms_restore.errors import InputError
from ms_restore.images.reading import read_picture
from ms_restore.metrics.scoring import restored_images
from ms_restore.preparation.selection import prepare
from tests.fixtures.opening import open_evaluation, open_training, training_batches
from tests.fixtures.pictures import noise, write


def settings(scale=2, patch_size=24, **others):
    return {
        "model": "tiny",
        "scale": scale,
        "patch_size": patch_size,
        "margin": 2 * scale,
        "shard_bytes": 1_000_000,
        **others,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """RGB, gray and 16 bit, odd sizes, smaller and much larger than a tile."""
    top = tmp_path_factory.mktemp("images")
    write(top, "a.png", noise(843, 391, 3))
    write(top, "b.png", noise(37, 410, 1))
    write(top, "c.png", noise(409, 405, 3, dtype=np.uint16))
    write(top, "d.png", noise(31, 29, 1, dtype=np.uint16))
    write(top, "e.png", noise(30, 801, 3))
    write(top, "f.png", noise(64, 64, 3))
    return top


@pytest.fixture(scope="module", params=[2, 3])
def prepared(request, folder, tmp_path_factory):
    """A prepared set of several shards, and its scale."""
    output = tmp_path_factory.mktemp("prepared") / "set"
    prepare(folder, output, **settings(request.param))
    assert len(PreparedSet(output).shards.files) > 1
    return output, request.param


@pytest.fixture(params=["in memory", "streamed"])
def memory(request, monkeypatch):
    """Where the images are read from; a chunk is small, so that there are many."""
    streamed = request.param == "streamed"
    monkeypatch.setattr(sources, "_CACHE_BYTES", 0 if streamed else 1 << 30)
    monkeypatch.setattr(prepared_manifest, "_CHUNK", 7)
    return streamed


def batches(source, scale, **others):
    chosen = {
        "patch_size": 24,
        "batch_size": 4,
        "augment": "flips_rotations",
        "seed": 3,
        "steps": 15,
        **others,
    }
    return training_batches(source, BicubicDownsample(scale=scale), **chosen)


def read(made):
    return list(as_dataset(made, 2).create_tuple_iterator(num_epochs=1, output_numpy=True))


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        for mine, its in zip(one, other):
            np.testing.assert_array_equal(mine, its)


# Training


def test_training_is_that_from_the_folder(folder, prepared, memory):
    """Bit for bit: whole images, streamed tiles and the folder give the same batches."""
    output, scale = prepared
    plain, plain_valid = open_training(str(folder), None, 3, 24, 12)
    stored, stored_valid = open_training(str(output), None, 3, 24, 12)
    assert isinstance(stored, RecordSource)
    assert stored.streamed == memory
    assert stored.names == plain.names
    assert stored_valid.names == plain_valid.names == ["f"]
    expected = [batches(plain, scale)[batch] for batch in range(15)]
    assert_same(read(batches(stored, scale)), expected)
    assert_same([batches(stored, scale)[batch] for batch in (14, 2)], [expected[14], expected[2]])


def test_one_channel(folder, prepared, memory):
    output, scale = prepared
    plain, _ = open_training(str(folder), None, 1, 24, 12)
    stored, _ = open_training(str(output), None, 1, 24, 12)
    assert_same(read(batches(stored, scale)), read(batches(plain, scale)))


def test_smaller_patches_than_prepared(folder, prepared, memory):
    output, scale = prepared
    plain, _ = open_training(str(folder), None, 3, 12, 12)
    stored, _ = open_training(str(output), None, 3, 12, 12)
    small = [batches(source, scale, patch_size=12) for source in (stored, plain)]
    assert_same(*map(read, small))


def test_stream_that_begins_later_and_is_shared(folder, prepared, memory):
    """From sample 6 on, by three ranks: together the samples of one rank from there on."""
    output, scale = prepared
    stored, _ = open_training(str(output), None, 3, 24, 12)
    alone = read(batches(stored, scale, first_sample=6, batch_size=2, steps=12))
    ranks = [
        read(batches(stored, scale, first_sample=6, batch_size=2, steps=4, rank=rank, ranks=3))
        for rank in range(3)
    ]
    together = [batch for same_time in zip(*ranks) for batch in same_time]
    assert_same(together, alone)


def test_first_sample_and_ranks_of_a_folder(folder):
    plain, _ = open_training(str(folder), None, 3, 24, 12)
    ys, xs = zip(*(batches(plain, 2, batch_size=2, steps=13)[batch] for batch in range(13)))
    y, x = np.concatenate(ys), np.concatenate(xs)
    for rank in range(2):
        made = batches(plain, 2, first_sample=5, rank=rank, ranks=2)
        for batch in range(2):
            first = 5 + (batch * 2 + rank) * 4
            assert_same([made[batch]], [(y[first : first + 4], x[first : first + 4])])


def test_many_more_samples_than_records(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "_CACHE_BYTES", 0)
    for number in range(3):
        write(tmp_path / "images", f"{number}.png", noise(25, 25 + number, 1))
    prepare(tmp_path / "images", tmp_path / "set", **settings())
    opened = [open_training(str(tmp_path / name), None, 3, 24, 12)[0] for name in ("set", "images")]
    assert_same(*(read(batches(source, 2)) for source in opened))


def test_stream_reads_tiles_not_images(prepared, memory, monkeypatch):
    """A streamed batch takes one record a sample, whatever the size of the images."""
    output, scale = prepared
    stored, _ = open_training(str(output), None, 3, 24, 12)
    taken = []
    original = PreparedSet.read

    def counting(self, numbers):
        for row in original(self, numbers):
            taken.append(row[0].nbytes)
            yield row

    monkeypatch.setattr(PreparedSet, "read", counting)
    read(batches(stored, scale, steps=5))
    assert len(taken) == (20 if memory else 0)
    assert not taken or max(taken) <= 6 * TileGrid(24, 6, 384).largest_side() ** 2


# Whole images


def test_whole_images_are_those_of_the_files(folder, prepared, memory):
    output, _ = prepared
    for channels in (1, 3):
        plain = open_evaluation(str(folder), channels, 12)
        stored = open_evaluation(str(output), channels, 12)
        assert stored.names == plain.names
        assert stored.description == f"6 images of {output} (MindRecord)"
        for index in range(6):
            assert stored[index].dtype == plain[index].dtype
            np.testing.assert_array_equal(stored[index], plain[index])
            assert stored.degraded(index) is None


def test_hold_out_rule_is_that_of_a_folder(tmp_path):
    for number in range(21):
        write(tmp_path / "images", f"{number:02}.png", noise(25, 25 + number, 1))
    prepare(tmp_path / "images", tmp_path / "set", **settings())
    train, valid = open_training(str(tmp_path / "set"), None, 3, 24, 12)
    assert valid.names == ["09", "19"]
    assert len(train) == 19
    assert not set(train.names) & set(valid.names)


def test_layout_of_prepared_sets(tmp_path):
    for part, count in (("train", 11), ("valid", 2)):
        (tmp_path / "images" / part).mkdir(parents=True)
        for number in range(count):
            write(tmp_path / "images" / part, f"{part}{number:02}.png", noise(25, 30, 3))
    prepare(tmp_path / "images", tmp_path / "set", **settings())
    train, valid = open_training(str(tmp_path / "set"), None, 3, 24, 12)
    assert len(train) == 11
    assert valid.names == ["valid00", "valid01"]
    assert open_evaluation(str(tmp_path / "set"), 3, 12).names == valid.names


# Stored low-resolution images


@pytest.fixture(scope="module")
def paired(folder, tmp_path_factory):
    """A set whose low-resolution images are not what the degradation would make: negatives."""
    top = tmp_path_factory.mktemp("paired")
    for path in folder.iterdir():
        x = read_picture(path).pixels
        height, width = (side - side % 2 for side in x.shape[:2])
        write(top / "low", f"{path.stem}x2.png", ~x[:height:2, :width:2])
    prepare(folder, top / "set", **settings(low=top / "low"))
    return top / "set"


@pytest.mark.parametrize("augment", ["none", "flips_rotations"])
def test_stored_pairs_are_trained_on(paired, memory, augment):
    """y is the stored negative of every second pixel of x, turned with it."""
    stored, _ = open_training(str(paired), None, 3, 24, 12)
    corners = [(0, 0)] if augment == "none" else [(0, 0), (0, 1), (1, 0), (1, 1)]
    for ys, xs in read(batches(stored, 2, augment=augment)):
        for y, x in zip(ys, xs):
            assert y.shape == (3, 12, 12)
            assert any(np.allclose(1 - y, x[:, i::2, j::2], atol=1e-6) for i, j in corners)


def test_stored_pairs_leave_x_as_it_is(folder, paired, memory):
    plain, _ = open_training(str(folder), None, 3, 24, 12)
    stored, _ = open_training(str(paired), None, 3, 24, 12)
    for (_, ours), (_, its) in zip(read(batches(stored, 2)), read(batches(plain, 2))):
        np.testing.assert_array_equal(ours, its)


def test_stored_pairs_are_scored(paired, memory):
    stored = open_evaluation(str(paired), 3, 12)
    shown = list(restored_images(lambda y: y, BicubicDownsample(scale=2), stored, 0))
    assert len(shown) == 6
    for index, trial in enumerate(shown):
        np.testing.assert_array_equal(trial.y, stored.degraded(index))
        assert trial.y[0, 0, 0] == ~stored[index][0, 0, 0]


def test_stored_pairs_of_another_scale_are_refused(paired):
    stored = open_evaluation(str(paired), 3, 12)
    with pytest.raises(InputError, match="low-resolution a .* not 1/3 .*prepare the images"):
        next(restored_images(lambda y: y, BicubicDownsample(scale=3), stored, 0))


# What does not fit


def test_patches_beyond_what_was_prepared(prepared):
    output, scale = prepared
    stored = open_evaluation(str(output), 3, 12)
    with pytest.raises(InputError, match=f"patches up to 24 .* at scale {scale} .*model tiny"):
        batches(stored, scale, patch_size=30)
    with pytest.raises(InputError, match="at scale 4 are needed; prepare"):
        batches(stored, 4)
    with pytest.raises(InputError, match=f"at scale {scale - 1} are needed"):
        batches(stored, scale - 1)


def test_small_images_are_listed(prepared):
    output, _ = prepared
    with pytest.raises(InputError, match=r"2 of 6 images .* 31 pixels .*d.png \(29x31\), e.png"):
        open_evaluation(str(output), 3, 31)


@pytest.fixture
def copied(prepared, tmp_path):
    shutil.copytree(prepared[0], tmp_path / "set")
    return tmp_path / "set"


def refused(folder, *words):
    with pytest.raises(InputError) as caught:
        open_training(str(folder), None, 3, 24, 12)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_shard_of_another_size(copied):
    with (copied / "00001.mindrecord").open("ab") as file:
        file.write(b"?")
    refused(copied, "00001.mindrecord: ", "bytes, but the manifest says", "prepare again")


@pytest.mark.parametrize("name", ["00001.mindrecord", "00000.mindrecord.db"])
def test_missing_shard(copied, name):
    (copied / name).unlink()
    refused(copied, f"{name}: cannot be read (No such file", "prepare again")


@pytest.mark.parametrize("name", ["00001.mindrecord", "00000.mindrecord.db"])
def test_foreign_content(copied, name):
    size = (copied / name).stat().st_size
    (copied / name).write_bytes(os.urandom(64) + bytes(size - 64))
    refused(copied, f"{name}: damaged, its hash is not the manifest's", "prepare again")


def test_a_few_damaged_bytes_in_the_header(copied):
    """MindSpore aborts the whole process on such a file."""
    with (copied / "00001.mindrecord").open("r+b") as file:
        file.seek(10)
        file.write(b"xx")
    refused(copied, "00001.mindrecord: damaged", "prepare again")


def test_shards_that_changed_places(copied):
    """As if another set's file of the same size had taken its place."""
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["records"] += 1
    manifest["shards"][1]["records"] -= 1
    path.write_text(json.dumps(manifest))
    refused(copied, "00000.mindrecord: ", "records, but the manifest says")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: "no JSON", "not valid JSON"),
        (lambda m: json.dumps([m]), "format None, expected 1"),
        (lambda m: json.dumps(m | {"format": 2}), "format 2, expected 1"),
        (lambda m: json.dumps(m | {"count": 5}), "contradict each other"),
        (lambda m: json.dumps(m | {"stride": 96}), "contradict each other"),
        (lambda m: json.dumps(m | {"stride": 0}), "manifest.json: malformed"),
        (lambda m: json.dumps({k: m[k] for k in m if k != "shards"}), "manifest.json: malformed"),
    ],
)
def test_manifest_that_does_not_match(copied, change, expected):
    path = copied / "manifest.json"
    path.write_text(change(json.loads(path.read_text())))
    refused(copied, "manifest.json: ", expected, "prepare again")


def test_mindrecord_of_another_program(copied):
    (copied / "manifest.json").unlink()
    refused(copied, "MindRecord files without a manifest.json", "ms-restore prepare")


@pytest.mark.parametrize("name", ["../outside/00000.mindrecord", "/tmp/a.mindrecord", "..", 3])
def test_a_file_that_the_manifest_names_outside_the_folder(copied, name):
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["file"] = name
    path.write_text(json.dumps(manifest))
    refused(copied, f"names {name!r}", "expected a .mindrecord file in this folder itself")


@pytest.mark.parametrize("suffix", ["", ".db"])
def test_links_that_lead_out_of_the_folder(copied, suffix, tmp_path):
    file = copied / f"00000.mindrecord{suffix}"
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    refused(copied, f"names '{file.name}'", "in this folder itself")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("height", 2_000_000, "above the limit of 512 megapixels"),
        ("width", -5, "malformed"),
        ("height", 30.5, "malformed"),
        ("width", True, "malformed"),
    ],
)
def test_sizes_in_the_manifest(copied, key, value, expected):
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["shards"][0]["images"][0].update({"width": 2_000_000, key: value})
    path.write_text(json.dumps(manifest))
    refused(copied, "manifest.json: ", expected)


def test_records_of_other_sizes_than_the_manifest_says(copied, memory):
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    for shard in manifest["shards"]:
        for image in shard["images"]:
            image["width"] -= 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="a record does not have the size given in the manifest"):
        source, _ = open_training(str(copied), None, 3, 24, 12)
        source[0]
