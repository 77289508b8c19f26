"""Raw frames as MindRecord: what is prepared is what LibRaw decodes."""

import itertools
import json

import numpy as np
import pytest

from ms_restore import api, recipe, registry
from ms_restore.data.prepared.frame_set import FrameSource, PreparedFrames
from ms_restore.data.sampling import as_dataset
from ms_restore.errors import InputError
from ms_restore.images import raw, raw_structure
from ms_restore.images.mosaic import BAYER, X_TRANS
from ms_restore.preparation import scenes
from ms_restore.preparation.raw_files import RawFrames
from ms_restore.preparation.set_writer import MANIFEST
from tests.fixtures import opening
from tests.fixtures.opening import training_batches

pytest.importorskip("rawpy")
dng = pytest.importorskip("tests.fixtures.dng")

HEIGHT, WIDTH, PATCH = 620, 544, 96


def _write(path, seed, pattern=((1, 0), (2, 1)), height=HEIGHT, **options):
    mosaic = np.random.default_rng(seed).integers(400, 9000, (height, WIDTH))
    dng.write(path, mosaic, pattern, black=[[512]], **options)


def _make(folder, scenes, shorts=(0.1, 0.04)):
    for part in ("short", "long"):
        (folder / part).mkdir(parents=True)
    for seed, scene in enumerate(scenes):
        _write(folder / "long" / f"{scene}_00_10s.dng", seed)
        for number, seconds in enumerate(shorts):
            _write(
                folder / "short" / f"{scene}_{number:02}_{seconds}s.dng", 100 + 10 * seed + number
            )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sid")
    _make(folder, ["00001", "00002", "10003", "10034", "20004"])
    return folder


@pytest.fixture(scope="module")
def prepared(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "sid"
    api.prepare("sid_quickstart", files, folder)
    return folder


def _source(folder, by_scene=False):
    frames = PreparedFrames(folder)
    return FrameSource(frames, range(len(frames)), 11, by_scene)


def test_a_part_for_each_first_digit(prepared):
    counts = {part: len(PreparedFrames(prepared / part)) for part in ("train", "test", "valid")}
    assert counts == {"train": 2, "test": 2, "valid": 1}
    manifest = json.loads((prepared / "test" / MANIFEST).read_text())
    assert manifest["layout"] == "frames"
    assert manifest["count"] == 6  # each file once
    entries = [entry for shard in manifest["shards"] for entry in shard["images"]]
    assert all(entry["frame"] == [0, 1, HEIGHT, WIDTH] for entry in entries)
    assert {entry.get("camera") for entry in entries if "ratio" in entry} == {"ILCE-7SM2"}


def test_no_record_is_larger_than_was_said(files):
    found, _ = scenes.find(files)
    frames = RawFrames(files, found["train"], BAYER, [])
    records = [row for index in range(3) for rows in frames.load(index).records for row in rows]
    assert max(len(row["tile"]) for row in records) == frames.max_record_bytes


def test_whole_frames_are_what_librawpy_decodes(files, prepared):
    source = _source(prepared / "test")
    assert source.names == ["10003_00_0.1s", "10003_01_0.04s", "10034_00_0.1s", "10034_01_0.04s"]
    for index, (scene, ratio) in enumerate(itertools.product(["10003", "10034"], [100, 250])):
        short = raw.read(files / "short" / f"{source.names[index]}.dng", BAYER)
        picture, frame = raw.develop(files / "long" / f"{scene}_00_10s.dng", BAYER)
        np.testing.assert_array_equal(source[index], frame.extend(picture, 2))
        assert source[index].dtype == np.uint16
        np.testing.assert_array_equal(source.degraded(index), short.amplify(ratio))


def test_xtrans_from_the_file_to_a_crop(tmp_path):
    """Sides that are no multiple of the period, a pattern that begins elsewhere."""
    pattern = np.roll(X_TRANS.pattern, (4, 1), axis=(0, 1))
    for name, seed in (("long/00001_00_10s", 1), ("short/00001_00_0.1s", 2)):
        (tmp_path / "sid" / name).parent.mkdir(parents=True)
        _write(tmp_path / "sid" / f"{name}.dng", seed, pattern, height=621)
    api.prepare("sid_fuji", tmp_path / "sid", tmp_path / "out")
    source = _source(tmp_path / "out" / "train")
    picture, frame = raw.develop(tmp_path / "sid" / "long" / "00001_00_10s.dng", X_TRANS)
    assert source.sizes == [(624, 552)]
    np.testing.assert_array_equal(frame.crop(source[0]), picture)
    short = raw.read(tmp_path / "sid" / "short" / "00001_00_0.1s.dng", X_TRANS)
    np.testing.assert_array_equal(source.degraded(0), short.amplify(100))
    fuji = registry.build("degradation", recipe.load("sid_fuji").degradation)
    batches = training_batches(
        source, fuji, patch_size=PATCH, batch_size=1, augment="none", seed=3, steps=4
    )
    for y, x in batches.stream():
        assert y.shape == (1, 9, PATCH // 3, PATCH // 3)
        assert len(list(_found(source, y, x, block=3))) == 1


def test_by_exposure_ratio_and_without_the_misaligned(prepared):
    groups = _source(prepared / "test").groups()
    assert groups == {
        "x100": ["10003_00_0.1s", "10034_00_0.1s"],
        "x250": ["10003_01_0.04s", "10034_01_0.04s"],
        "aligned": ["10003_00_0.1s", "10003_01_0.04s"],
    }


def _batches(source, **options):
    degradation = registry.build("degradation", recipe.load("sid_quickstart").degradation)
    given = {"patch_size": PATCH, "batch_size": 1, "augment": "none", "seed": 3, "steps": 24}
    return training_batches(source, degradation, **{**given, **options})


def test_crops_are_cut_from_both_frames_at_one_place(prepared):
    """Every crop lies in a scene where its batch says, of one of the scene's short exposures."""
    source = _source(prepared / "train", by_scene=True)
    assert len(source) == 2
    pairs = _source(prepared / "train")
    seen = set()
    for y, x in _batches(source).stream():
        assert y.shape == (1, 4, PATCH // 2, PATCH // 2)
        assert x.shape == (1, 3, PATCH, PATCH)
        found = list(_found(pairs, y, x))
        assert len(found) == 1
        seen.add(found[0])
    assert seen == {0, 1, 2, 3}


def _found(pairs, y, x, block=2):
    """The pairs whose frames hold these crops at the same place."""
    for index in range(len(pairs)):
        whole = pairs[index].transpose(2, 0, 1).astype(np.float32) / 65535
        rows, columns = np.nonzero(whole[0, : 1 - PATCH, : 1 - PATCH] == x[0, 0, 0, 0])
        low = pairs.degraded(index).transpose(2, 0, 1)
        for top, left in zip(rows, columns):
            same = np.array_equal(whole[:, top : top + PATCH, left : left + PATCH], x[0])
            t, s, side = top // block, left // block, PATCH // block
            if same and np.array_equal(low[:, t : t + side, s : s + side], y[0]):
                yield index


def test_turned_alike(prepared):
    """Of a turned pair, the crops of both are turned in the same way."""
    source = _source(prepared / "valid")
    straight, turned = (
        list(_batches(source, augment=augment).stream()) for augment in ("none", "flips_rotations")
    )
    ways = set()
    for (y, x), (y_turned, x_turned) in zip(straight, turned):
        way = [
            (k, mirrored)
            for k, mirrored in itertools.product(range(4), (False, True))
            if np.array_equal(_turned(y, k, mirrored), y_turned)
            and np.array_equal(_turned(x, k, mirrored), x_turned)
        ]
        assert len(way) == 1
        ways.update(way)
    assert len(ways) > 4


def _turned(planes, turns, mirrored):
    planes = np.rot90(planes, turns, axes=(2, 3))
    return planes[..., ::-1] if mirrored else planes


def test_a_dataset_of_mindspore(prepared):
    batches = _batches(_source(prepared / "train", by_scene=True), steps=3, batch_size=2)
    rows = list(as_dataset(batches, 2).create_tuple_iterator(num_epochs=1, output_numpy=True))
    assert [(y.shape, x.shape) for y, x in rows] == 3 * [((2, 4, 48, 48), (2, 3, 96, 96))]
    for (y, x), (wanted_y, wanted_x) in zip(rows, batches.stream()):
        np.testing.assert_array_equal(y, wanted_y)
        np.testing.assert_array_equal(x, wanted_x)


def test_a_limit_counts_scenes(files, tmp_path):
    api.prepare("sid_quickstart", files, tmp_path / "trial", limit=1)
    assert len(PreparedFrames(tmp_path / "trial" / "train")) == 1
    with pytest.raises(InputError, match=r"other settings \(limit 1, now None\)"):
        api.prepare("sid_quickstart", files, tmp_path / "trial")


def test_an_interrupted_run_goes_on(files, prepared, tmp_path, monkeypatch):
    """Shards of a few frames; the second run decodes only what is left, and the bytes agree."""
    from ms_restore.preparation import selection as preparing

    monkeypatch.setattr(
        preparing.prepare,
        "__kwdefaults__",
        {**preparing.prepare.__kwdefaults__, "shard_bytes": 3 << 20},
    )
    api.prepare("sid_quickstart", files, tmp_path / "whole")
    real, decoded = raw.develop, []

    def failing(path, mosaic):
        decoded.append(path.name)
        if path.name.startswith("00002"):
            raise InputError(f"{path}: damaged")
        return real(path, mosaic)

    monkeypatch.setattr(raw, "develop", failing)
    with pytest.raises(InputError, match="00002_00_10s.dng: damaged"):
        api.prepare("sid_quickstart", files, tmp_path / "broken", workers=1)
    monkeypatch.setattr(
        raw, "develop", lambda *given: decoded.append(given[0].name) or real(*given)
    )
    decoded.clear()
    api.prepare("sid_quickstart", files, tmp_path / "broken", workers=1)
    assert "00001_00_10s.dng" not in decoded
    names = [f"train/{path.name}" for path in (tmp_path / "whole" / "train").glob("*.mindrecord")]
    assert len(names) > 1
    for name in names:
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_authors_lists(files, tmp_path):
    folder = tmp_path / "dataset"
    (folder / "Sony").mkdir(parents=True)
    for part in ("short", "long"):
        (folder / "Sony" / part).symlink_to(files / part)
    lines = {
        "train": ["00001_00_0.1s 00001_00_10s", "00001_01_0.04s 00001_00_10s"],
        "test": ["10003_01_0.04s 10003_00_10s"],
    }
    for part, pairs in lines.items():
        text = "".join(
            f"./Sony/short/{short}.dng ./Sony/long/{long}.dng ISO200 F8\n"
            for short, long in (pair.split() for pair in pairs)
        )
        (folder / f"Sony_{part}_list.txt").write_text(text)
    api.prepare("sid_quickstart", folder, tmp_path / "both")
    assert _source(tmp_path / "both" / "train").names == ["00001_00_0.1s", "00001_01_0.04s"]
    assert _source(tmp_path / "both" / "test").names == ["10003_01_0.04s"]
    api.prepare("sid_quickstart", folder / "Sony_test_list.txt", tmp_path / "one")
    assert _source(tmp_path / "one").names == ["10003_01_0.04s"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("./short/a.ARW", "line 1: got './short/a.ARW', expected a short and a long file"),
        ("./short/a.ARW ./long/b.ARW ISO200", "line 1: .*a.ARW, .*b.ARW: no such file"),
        ("", "no pair of raw files in it"),
    ],
)
def test_a_list_that_does_not_fit(line, message, tmp_path):
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(InputError, match=message):
        api.prepare("sid_quickstart", tmp_path / "list.txt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_used_is_named_and_left_out(tmp_path):
    """No long exposure, another size, no exposure in name or header, truncated, no raw file."""
    source, output = tmp_path / "sid", tmp_path / "out"
    _make(source, ["00001", "00002"], shorts=(0.1,))
    short = source / "short"
    _write(short / "00009_00_0.1s.dng", 9)
    _write(short / "00001_07_0.1s.dng", 9, height=600)
    _write(short / "00001_08_x.dng", 9)
    _write(short / "00001_06_s.dng", 9)
    _write(short / "00002_05_0.1s.dng", 9)
    cut = (short / "00002_05_0.1s.dng").read_bytes()[:-999]
    (short / "00002_05_0.1s.dng").write_bytes(cut)
    (short / "00002_04_0.1s.dng").write_bytes(b"text" * 999)
    with pytest.raises(InputError) as caught:
        api.prepare("sid_quickstart", source, output)
    text = str(caught.value)
    assert "1 files are not named as 00001_00_0.1s.ARW" in text
    assert "00001_08_x.dng" in text
    assert "1 files have no long exposure" in text
    assert "00009_00_0.1s.dng" in text
    assert "00001_07_0.1s.dng: 544x600 pixels, but its long exposure 00001_00_10s.dng" in text
    assert "00001_06_s.dng: no exposure in its name" in text
    assert "00002_04_0.1s.dng: not a raw file" in text
    assert "--skip_bad" in text
    assert not output.exists()
    api.prepare("sid_quickstart", source, output, skip_bad=True)
    assert _source(output / "train").names == ["00001_00_0.1s", "00002_00_0.1s"]
    skipped = {entry["name"] for entry in _manifest(output / "train")["skipped"]}
    assert {"00001_07_0.1s.dng", "00002_05_0.1s.dng", "00002_04_0.1s.dng"} <= skipped


def _manifest(folder):
    return json.loads((folder / MANIFEST).read_text())


@pytest.mark.parametrize("seen_in_header", [True, False])
def test_short_exposures_of_a_long_one_that_was_left_out(seen_in_header, tmp_path, monkeypatch):
    if not seen_in_header:
        monkeypatch.setattr(raw_structure, "check", lambda path: None)
    source = tmp_path / "sid"
    _make(source, ["00001", "00002"], shorts=(0.1,))
    long = source / "long" / "00001_00_10s.dng"
    long.write_bytes(long.read_bytes()[:-999])
    with pytest.raises(InputError, match="00001_00_10s.dng: .*truncated raw file"):
        api.prepare("sid_quickstart", source, tmp_path / "out")
    api.prepare("sid_quickstart", source, tmp_path / "other", skip_bad=True)
    assert _source(tmp_path / "other" / "train").names == ["00002_00_0.1s"]


def test_no_pair(tmp_path):
    for part in ("short", "long"):
        (tmp_path / "sid" / part).mkdir(parents=True)
    with pytest.raises(InputError, match=r"short: no raw file \(such as .ARW"):
        api.prepare("sid_quickstart", tmp_path / "sid", tmp_path / "out")


def test_raw_files_are_prepared_before_training(files):
    with pytest.raises(InputError, match="holds raw files, which are prepared first"):
        opening.open_training(str(files), None, 3, PATCH, 11)
    with pytest.raises(InputError, match="holds raw files, which are prepared first"):
        opening.open_evaluation(str(files / "short"), 3, 11)


def test_another_sensor_than_the_models(prepared):
    source = _source(prepared / "train", by_scene=True)
    fuji = registry.build("degradation", recipe.load("sid_fuji").degradation)
    with pytest.raises(InputError, match="holds raw frames of Bayer, which this model does not"):
        training_batches(source, fuji, patch_size=96, batch_size=1, augment="none", seed=0, steps=1)


@pytest.mark.slow
def test_trained_and_scored_by_ratio(prepared, tmp_path, capsys):
    """From raw files to a table: PSNR and SSIM of each image, each ratio, and the aligned ones."""
    small = {"network.width": 2, "data.patch_size": 64, "train.warm_up": 0}
    run = api.train(
        "sid_quickstart",
        data_dir=prepared,
        output_dir=tmp_path / "run",
        max_steps=2,
        settings=small,
    )
    metrics = api.evaluate(run.folder, data_dir=prepared / "test")
    assert {name: group["images"] for name, group in metrics["groups"].items()} == {
        "x100": 2, "x250": 2, "aligned": 2,
    }  # fmt: skip
    rows = {row["name"]: row for row in metrics["images"]}
    x250 = [rows[name]["psnr"] for name in ("10003_01_0.04s", "10034_01_0.04s")]
    assert metrics["groups"]["x250"]["psnr"] == pytest.approx(np.mean(x250))
    assert "mean of x250 (2)" in capsys.readouterr().out
