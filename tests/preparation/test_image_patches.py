"""Prepared training patches: the same batches as from the folder of images, and what is refused."""

import json
import math
import shutil

import numpy as np
import pytest

from ms_restore.data import photos, sources
from ms_restore.data.prepared import manifest as prepared_manifest
from ms_restore.data.prepared.patch_set import PatchSource
from ms_restore.data.sampling import as_dataset
from ms_restore.degradations.jpeg import JPEG
from ms_restore.degradations.noise import Gaussian
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_channels
from ms_restore.images.reading import read_picture
from ms_restore.images.resize import imresize
from ms_restore.preparation import image_files, shard_writer
from ms_restore.preparation.selection import prepare
from tests.fixtures.opening import open_evaluation, open_training, training_batches
from tests.fixtures.pictures import noise, write
from tests.fixtures.prepared import manifest, tree

SIDE, STRIDE, SCALES = 24, 7, [1.0, 0.8, 0.5]
CUT = {"patch_size": SIDE, "stride": STRIDE, "scales": SCALES}
SETTINGS = {"model": "tiny", "scale": 1, "margin": 0, "channels": 1, "shard_bytes": 30_000, **CUT}
SIZES = [(61, 83, 3), (47, 40, 1), (24, 25, 3), (70, 66, 1)]


def fill(folder):
    for number, size in enumerate(SIZES):
        write(folder, f"{number}.png", noise(*size))
    return folder


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """A folder with train and valid; a validation image is smaller than a patch."""
    top = tmp_path_factory.mktemp("layout")
    fill(top / "train")
    write(top / "valid", "small.png", noise(13, 15, 3))
    return top


@pytest.fixture(scope="module", params=[1, 3])
def prepared(request, layout, tmp_path_factory):
    """A prepared layout of several shards, and its channels."""
    output = tmp_path_factory.mktemp("prepared") / "set"
    made = prepare(layout, output, **SETTINGS | {"channels": request.param})
    assert made == [output / "train", output / "valid"]
    assert len(manifest(output / "train")["shards"]) > 1
    return output, request.param


@pytest.fixture(params=["in memory", "streamed"])
def memory(request, monkeypatch):
    """Where the patches are read from; chunks and blocks are small, so that there are many."""
    monkeypatch.setattr(prepared_manifest, "_CHUNK_SAME_SIZE", 11)
    monkeypatch.setattr(prepared_manifest, "_BATCH", 4)
    monkeypatch.setattr(sources, "_CACHE_BYTES", 0 if request.param == "streamed" else 1 << 30)
    return request.param


def open_both(folder, channels=1, **cut):
    cut = {**CUT, **cut}
    return open_training(
        str(folder), None, channels, cut["patch_size"], 8, cut["scales"], cut["stride"]
    )


def batches(source, degradation=None, **others):
    chosen = {
        "patch_size": SIDE,
        "stride": STRIDE,
        "batch_size": 5,
        "augment": "flips_rotations",
        "seed": 3,
        "steps": 80,
        **others,
    }
    return training_batches(source, degradation or Gaussian(sigma_255=[0, 55]), **chosen)


def read(made, workers=2):
    return list(as_dataset(made, workers).create_tuple_iterator(num_epochs=1, output_numpy=True))


def assert_same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        for mine, its in zip(one, other):
            np.testing.assert_array_equal(mine, its)


def by_hand(folder, channels=1):
    """The patches of each image file, cut one after another."""
    made = []
    for path in sorted(folder.iterdir()):
        x, patches = to_channels(read_picture(path).pixels, channels), []
        for scale in SCALES:
            copy = imresize(x, *(math.ceil(round(side * scale, 6)) for side in x.shape[:2]))
            for top in range(0, copy.shape[0] - SIDE + 1, STRIDE):
                for left in range(0, copy.shape[1] - SIDE + 1, STRIDE):
                    patches.append(copy[top : top + SIDE, left : left + SIDE])
        made.append(np.array(patches))
    return made


# What is written


def test_records_are_the_patches_in_order(layout, prepared, memory):
    output, channels = prepared
    expected = by_hand(layout / "train", channels)
    found = manifest(output / "train")
    images = [image for shard in found["shards"] for image in shard["images"]]
    assert [image["patches"] for image in images] == [len(patches) for patches in expected]
    assert found["records"] == sum(map(len, expected))
    source, _ = open_both(output, channels)
    assert source.streamed == (memory == "streamed")
    np.testing.assert_array_equal(
        np.stack([*source.read(range(len(source)))]), np.concatenate(expected)
    )


def test_manifest_says_how_the_patches_were_cut(prepared):
    output, channels = prepared
    found = manifest(output / "train")
    assert found["layout"] == "patches"
    assert {key: found[key] for key in CUT} == CUT
    assert (found["channels"], found["dtype"], found["count"]) == (channels, "uint8", 4)
    entries = [image for shard in found["shards"] for image in shard["images"]]
    assert all(set(entry) == {"name", "sha256", "patches"} for entry in entries)
    whole = manifest(output / "valid")
    assert "layout" not in whole  # images in tiles, as every set before
    assert (whole["count"], whole["low_resolution"]) == (1, False)


@pytest.mark.parametrize("workers", [1, 5])
def test_same_bytes_for_any_number_of_workers(layout, tmp_path, workers):
    for name, count in (("one", 2), ("other", workers)):
        prepare(layout / "train", tmp_path / name, **SETTINGS, workers=count)
    assert tree(tmp_path / "one") == tree(tmp_path / "other")


@pytest.mark.parametrize("at_once", [1, 30])
def test_any_number_of_patches_written_at_once(layout, tmp_path, monkeypatch, at_once):
    """Also where none are left at the end of an image."""
    monkeypatch.setattr(image_files, "_AT_ONCE", at_once)
    prepare(layout / "train", tmp_path / "set", **SETTINGS)
    expected = np.concatenate(by_hand(layout / "train"))
    source, _ = open_both(tmp_path / "set")
    np.testing.assert_array_equal(np.stack([*source.read(range(len(source)))]), expected)


@pytest.fixture
def broken(layout, tmp_path, monkeypatch):
    """A preparation that stopped after the first shard."""
    output, finish = tmp_path / "broken", shard_writer.ShardWriter.finish

    def fail(shard):
        if shard.number == 1:
            raise OSError(28, "No space left on device")
        return finish(shard)

    with monkeypatch.context() as patch:
        patch.setattr(shard_writer.ShardWriter, "finish", fail)
        with pytest.raises(InputError, match="cannot be written .No space left.*to go on"):
            prepare(layout / "train", output, **SETTINGS)
    return output


def test_interrupted_and_begun_again(layout, broken, tmp_path):
    prepare(layout / "train", tmp_path / "unbroken", **SETTINGS)
    kept = (broken / "00000.mindrecord").stat().st_ino
    prepare(layout / "train", broken, **SETTINGS)
    assert (broken / "00000.mindrecord").stat().st_ino == kept
    assert tree(broken) == tree(tmp_path / "unbroken")


@pytest.mark.parametrize(
    ("key", "value"),
    [("stride", 8), ("stride", None), ("scales", [1.0]), ("patch_size", 20), ("channels", 3)],
)
def test_other_settings_are_refused(layout, broken, key, value):
    with pytest.raises(InputError, match="prepared with other settings .*--output"):
        prepare(layout / "train", broken, **SETTINGS | {key: value})


def test_finished_set_is_checked(layout, tmp_path, capsys):
    output = tmp_path / "set"
    prepare(layout / "train", output, **SETTINGS)
    assert "no image is held out; training validates on the emb" in capsys.readouterr().out
    prepare(layout / "train", output, **SETTINGS)
    count = sum(map(len, by_hand(layout / "train")))
    assert f"already prepared, 4 images, {count} patches" in capsys.readouterr().out
    shard = output / "00001.mindrecord"
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match=r"00001\.mindrecord: missing or damaged"):
        prepare(layout / "train", output, **SETTINGS)


def test_another_bit_depth_is_named_and_can_be_left_out(tmp_path):
    folder = fill(tmp_path / "images")
    write(folder, "1b.png", noise(30, 30, 1, dtype=np.uint16))
    with pytest.raises(InputError, match=r"1b\.png: 16 bit, but the first image has 8; .*--skip"):
        prepare(folder, tmp_path / "set", **SETTINGS)
    prepare(folder, tmp_path / "set", **SETTINGS, skip_bad=True)
    assert [entry["name"] for entry in manifest(tmp_path / "set")["skipped"]] == ["1b.png"]


def test_the_first_image_that_can_be_used_decides_the_depth(tmp_path):
    write(tmp_path / "images", "a.png", noise(30, 30, 1))
    damaged = tmp_path / "images" / "a.png"
    damaged.write_bytes(damaged.read_bytes()[:300])
    write(tmp_path / "images", "b.png", noise(30, 30, 1, dtype=np.uint16))
    prepare(tmp_path / "images", tmp_path / "set", **SETTINGS, skip_bad=True)
    source, _ = open_both(tmp_path / "set")
    assert np.stack([*source.read([0])]).dtype == np.uint16
    np.testing.assert_array_equal(
        np.stack([*source.read([0])])[0], noise(30, 30, 1, dtype=np.uint16)[:24, :24]
    )


def test_images_smaller_than_a_patch_are_listed(tmp_path):
    folder = fill(tmp_path / "images")
    write(folder, "low.png", noise(23, 40, 1))
    with pytest.raises(InputError, match=r"1 of 5 .*low\.png: 40x23 pixels, smaller than the 24"):
        prepare(folder, tmp_path / "set", **SETTINGS)


def test_low_resolution_partners_are_refused(layout, tmp_path):
    with pytest.raises(InputError, match="--lr_source: patches on a grid .*leave it out"):
        prepare(layout, tmp_path / "set", **SETTINGS, low=layout)


# Training


@pytest.mark.parametrize("augment", ["none", "flips", "flips_rotations"])
def test_training_is_that_from_the_folder(layout, prepared, memory, augment):
    """Bit for bit, for several epochs."""
    output, channels = prepared
    plain, plain_valid = open_both(layout, channels)
    stored, stored_valid = open_both(output, channels)
    assert isinstance(stored, PatchSource)
    assert stored_valid.names == plain_valid.names == ["small"]
    assert 2 * len(stored) < 80 * 5
    expected = [batches(plain, augment=augment)[batch] for batch in range(80)]
    assert_same(read(batches(stored, augment=augment)), expected)
    again = batches(stored, augment=augment)
    assert_same([again[batch] for batch in (79, 2)], [expected[79], expected[2]])


@pytest.mark.parametrize("workers", [1, 5])
def test_any_number_of_workers(layout, prepared, memory, workers):
    output, channels = prepared
    plain, stored = (open_both(folder, channels)[0] for folder in (layout, output))
    assert_same(read(batches(stored), workers), read(batches(plain), 2))


def test_later_beginning_and_ranks(layout, prepared, memory):
    output, channels = prepared
    plain, stored = (open_both(folder, channels)[0] for folder in (layout, output))
    for rank in range(3):
        part = {"first_sample": 113, "rank": rank, "ranks": 3, "steps": 15}
        assert_same(read(batches(stored, **part)), read(batches(plain, **part)))


def test_batch_of_more_patches_than_there_are(tmp_path, memory):
    write(tmp_path / "images" / "train", "a.png", noise(24, 31, 1))
    write(tmp_path / "images" / "valid", "b.png", noise(24, 31, 1))
    prepare(tmp_path / "images", tmp_path / "set", **SETTINGS)
    plain, stored = (open_both(tmp_path / name)[0] for name in ("images", "set"))
    assert len(stored) == 2
    assert_same(*(read(batches(source, steps=4)) for source in (stored, plain)))


def test_margin_is_mirrored_at_the_border_of_a_patch(layout, prepared, memory, tmp_path):
    """As from a folder whose images are the patches."""
    output, channels = prepared
    patches = np.concatenate(by_hand(layout / "train", channels))
    for number, patch in enumerate(patches):
        write(tmp_path / "train", f"{number:04}.png", patch)
    shutil.copytree(layout / "valid", tmp_path / "valid")
    plain, _ = open_both(tmp_path, channels, scales=[1.0])
    stored, _ = open_both(output, channels)
    assert_same(*(read(batches(s, JPEG(quality=10), steps=20)) for s in (stored, plain)))


# What does not fit


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("patch_size", 28, "data.patch_size 24, but now it is 28; .*--data.patch_size '24'"),
        ("patch_size", 20, "data.patch_size 24, but now it is 20"),
        ("stride", 8, "data.stride 7, but now it is 8; .*train with --data.stride '7'"),
        ("stride", None, "trained on with data.stride.*--data.stride 7"),
        ("scales", [1.0], r"data.scales \[1.0, 0.8, 0.5\], but now it is \[1.0\]; .*--data.scales"),
    ],
)
def test_other_recipes_are_refused(prepared, key, value, expected):
    output, channels = prepared
    with pytest.raises(InputError, match=expected) as caught:
        open_both(output, channels, **{key: value})
    assert "prepare again" in str(caught.value)
    assert "model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_network_is_refused(prepared):
    output, channels = prepared
    expected = f"network.channels {channels}, but now it is {4 - channels}; prepare again"
    with pytest.raises(InputError, match=expected):
        open_both(output, 4 - channels)


def test_batches_of_another_size_are_refused(prepared):
    output, channels = prepared
    source, _ = open_both(output, channels)
    with pytest.raises(InputError, match="patch_size 24, but now it is 12"):
        batches(source, patch_size=12)


def test_validation_of_a_set_without_that_part(layout, prepared):
    """Nothing is held out of it."""
    output, channels = prepared
    train, valid = open_both(output / "train", channels)
    assert len(train) == manifest(output / "train")["records"]
    assert valid.names == list(photos.HELD_OUT)
    named = str(layout / "valid")
    _, valid = open_training(str(output / "train"), named, channels, SIDE, 8, SCALES, STRIDE)
    assert valid.names == ["small"]


def test_patches_are_not_scored(layout, prepared):
    output, channels = prepared
    assert open_evaluation(str(output), channels, 8).names == ["small"]
    with pytest.raises(InputError, match="train holds training patches, but whole images are n"):
        open_evaluation(str(output / "train"), channels, 8)
    with pytest.raises(InputError, match="train holds training patches"):
        open_training(str(layout), str(output / "train"), channels, SIDE, 8)


@pytest.fixture
def copied(prepared, tmp_path):
    shutil.copytree(prepared[0], tmp_path / "set")
    return tmp_path / "set" / "train", prepared[1]


def test_damaged_shard_is_found(copied):
    folder, channels = copied
    with (folder / "00001.mindrecord").open("ab") as file:
        file.write(b"?")
    with pytest.raises(InputError, match=r"00001\.mindrecord: .*but the manifest says"):
        open_both(folder, channels)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"count": 5}, "contradict each other"),
        ({"records": 5}, "contradict each other"),
        ({"dtype": "float32"}, "manifest.json: malformed"),
        ({"patch_size": "24"}, "manifest.json: malformed"),
        ({"channels": 2}, "a record does not have the size given in manifest.json"),
    ],
)
def test_manifest_that_does_not_match(copied, memory, change, expected):
    folder, _ = copied
    (folder / "manifest.json").write_text(json.dumps(manifest(folder) | change))
    with pytest.raises(InputError, match=expected):
        [*PatchSource(folder, sources._CACHE_BYTES).read([0])]


def test_manifest_that_counts_other_patches(copied):
    folder, channels = copied
    changed = manifest(folder)
    changed["shards"][0]["images"][0]["patches"] += 1
    (folder / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match="contradict each other"):
        open_both(folder, channels)
