"""NIfTI volumes: which slices become of them, and what is refused."""

import gzip
import re
import shutil
import sys

import numpy as np
import pytest

from ms_restore.cli import main
from ms_restore.errors import InputError
from ms_restore.preparation import shard_writer
from ms_restore.preparation.selection import prepare
from tests.fixtures.opening import open_evaluation, open_training
from tests.fixtures.prepared import manifest, tree

nibabel = pytest.importorskip("nibabel")
SIDE = 31
SETTINGS = {
    "model": "tiny",
    "scale": 1,
    "margin": 0,
    "patch_size": SIDE,
    "channels": 1,
    "side": SIDE,
}
SAGITTAL = np.array([[0, 0, 1.2, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # PIR


def voxels(seed, shape=(30, 24, 130)):
    volume = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
    volume[3, 4, 60] = 1000
    return volume


def save(path, values, affine=SAGITTAL):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@pytest.fixture(scope="module")
def ixi(tmp_path_factory):
    """Seven volumes, one of them not compressed."""
    folder = tmp_path_factory.mktemp("ixi") / "IXI-T1"
    for number in range(7):
        save(folder / f"IXI{number:03}-T1.nii{'.gz' if number else ''}", voxels(number))
    (folder / "README.txt").write_text("not a volume")
    return folder


def expected(volume, number):
    """A slice by hand: divided by the volume's maximum, in the middle of 32x32, cut to 31x31."""
    padded = np.zeros((32, 32))
    padded[1:31, 4:28] = volume[:, :, number] / volume.max()
    return np.round(255 * padded[:31, :31]).astype(np.uint8)


def test_slices_of_volumes(ixi, tmp_path, capsys):
    assert prepare(ixi, tmp_path / "set", **SETTINGS) == [
        tmp_path / "set" / "train",
        tmp_path / "set" / "valid",
    ]
    said = capsys.readouterr().out
    assert "of 7 volumes by name the first 5 train, the other 2 validate" in said
    assert "5 volumes, 500 slices in 1 shards" in said
    train, valid = open_training(str(tmp_path / "set"), None, 1, SIDE, 11)
    assert (len(train), len(valid)) == (500, 200)
    assert train.names[:2] == ["IXI000-T1_z025", "IXI000-T1_z026"]
    assert valid.names[-1] == "IXI006-T1_z124"
    assert not train.coloured
    for source, index, (volume, number) in (
        (train, 0, (0, 25)),
        (train, 35, (0, 60)),
        (train, 499, (4, 124)),
        (valid, 100, (6, 25)),
    ):
        assert source[index].dtype == np.uint8
        np.testing.assert_array_equal(source[index][:, :, 0], expected(voxels(volume), number))
    assert train[35].max() == 255
    scored = open_evaluation(str(tmp_path / "set"), 1, 11)
    assert scored.names == valid.names


def test_manifest(ixi, tmp_path):
    prepare(ixi, tmp_path / "set", **SETTINGS)
    found = manifest(tmp_path / "set" / "train")
    assert (found["count"], found["records"]) == (500, 500)
    entries = found["shards"][0]["images"]
    assert [entry["name"] for entry in entries][:2] == ["IXI000-T1.nii", "IXI001-T1.nii.gz"]
    assert entries[0]["slices"] == list(range(25, 125))
    assert (entries[0]["height"], entries[0]["width"], entries[0]["channels"]) == (31, 31, 1)
    assert re.fullmatch(r"[0-9a-f]{64}", entries[1]["sha256"])


def test_sixty_volumes_are_fifty_and_ten(tmp_path, monkeypatch):
    """The numbers of the paper; one slice each has something in it."""
    volume = np.zeros((30, 24, 125), np.uint8)
    volume[5:20, 5:20, 80] = 200
    first = save(tmp_path / "ixi" / "000.nii.gz", volume)
    for number in range(1, 60):
        (tmp_path / "ixi" / f"{number:03}.nii.gz").write_bytes(first.read_bytes())
    prepare(tmp_path / "ixi", tmp_path / "set", **SETTINGS)
    train, valid = open_training(str(tmp_path / "set"), None, 1, SIDE, 11)
    assert (len(train), len(valid)) == (50, 10)
    assert (train.names[0], valid.names[0]) == ("000_z080", "050_z080")  # blank ones left out


def test_train_and_valid(tmp_path):
    for part in ("train", "valid"):
        save(tmp_path / "source" / part / "a.nii.gz", voxels(1))
    prepare(tmp_path / "source", tmp_path / "set", **SETTINGS)
    train, valid = open_training(str(tmp_path / "set"), None, 1, SIDE, 11)
    assert (len(train), len(valid)) == (100, 100)
    (tmp_path / "source" / "valid" / "a.nii.gz").unlink()
    with pytest.raises(InputError, match="valid: no volume .*in it"):
        prepare(tmp_path / "source", tmp_path / "other", **SETTINGS)


def test_interrupted_and_begun_again(ixi, tmp_path, monkeypatch):
    small = {**SETTINGS, "shard_bytes": 1_000_000}  # two volumes a shard
    finish = shard_writer.ShardWriter.finish

    def fail(shard):
        if shard.number == 1:
            raise OSError(28, "No space left on device")
        return finish(shard)

    with monkeypatch.context() as patch:
        patch.setattr(shard_writer.ShardWriter, "finish", fail)
        with pytest.raises(InputError, match="cannot be written .No space left.*to go on"):
            prepare(ixi, tmp_path / "broken", **small)
    kept = (tmp_path / "broken" / "train" / "00000.mindrecord").stat().st_ino
    prepare(ixi, tmp_path / "broken", **small)
    prepare(ixi, tmp_path / "unbroken", **small)
    assert len(manifest(tmp_path / "broken" / "train")["shards"]) == 3
    assert (tmp_path / "broken" / "train" / "00000.mindrecord").stat().st_ino == kept
    assert tree(tmp_path / "broken") == tree(tmp_path / "unbroken")


def test_a_changed_volume_is_found(ixi, tmp_path, capsys):
    folder = tmp_path / "ixi"
    for path in ixi.glob("*.gz"):
        folder.mkdir(exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    prepare(folder, tmp_path / "set", **SETTINGS)
    prepare(folder, tmp_path / "set", **SETTINGS)
    assert "already prepared, 5 volumes, 500 slices" in capsys.readouterr().out
    save(folder / "IXI002-T1.nii.gz", voxels(99))
    with pytest.raises(InputError, match=r"changed since .*IXI002-T1\.nii\.gz"):
        prepare(folder, tmp_path / "set", **SETTINGS)


AXIAL = np.diag([1, 1, 1.2, 1])


def nan(volume):
    values = volume.astype(np.float32)
    values[2, 3, 4] = np.nan
    return values


BAD = {
    "axial": (lambda v: (v, AXIAL), "axes RAS, expected the third one to run left-right"),
    "four": (lambda v: (v[..., None].repeat(2, 3), SAGITTAL), r"4-D \(30, 24, 130, 2\), expected"),
    "flat": (lambda v: (v[:, :, 0], SAGITTAL), r"2-D \(30, 24\), expected one volume"),
    "nan": (lambda v: (nan(v), SAGITTAL), "1 voxels are NaN or infinite"),
    "short": (lambda v: (v[:, :, :124], SAGITTAL), "124 slices along its third axis, expected at"),
    "wide": (lambda v: (v.repeat(2, 0), SAGITTAL), "slices of 60x24, expected 32x32 at most"),
    "empty": (lambda v: (v[:0], SAGITTAL), "a size of 0 x 24 x 130, expected at least one voxel"),
    "zeros": (lambda v: (0 * v, SAGITTAL), "no voxel is above 0"),
    "blank": (lambda v: (np.where(np.arange(130) < 20, v, 0).astype(np.int16), SAGITTAL), "blank"),
    "complex": (lambda v: (v.astype(np.complex64), SAGITTAL), "voxels are complex64, expected"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_volumes_are_named_and_can_be_left_out(ixi, tmp_path, kind, capsys):
    make, message = BAD[kind]
    folder = tmp_path / "ixi"
    folder.mkdir()
    for number in (1, 3):
        name = f"IXI00{number}-T1.nii.gz"
        (folder / name).write_bytes((ixi / name).read_bytes())
    save(folder / "IXI002-T1.nii.gz", *make(voxels(2)))
    with pytest.raises(InputError, match=rf"IXI002-T1\.nii\.gz: .*{message}"):
        prepare(folder, tmp_path / "set", **SETTINGS)
    prepare(folder, tmp_path / "set", **SETTINGS, skip_bad=True)
    assert re.search(message, capsys.readouterr().out)
    skipped = manifest(tmp_path / "set" / "train")["skipped"]
    assert [entry["name"] for entry in skipped] == ["IXI002-T1.nii.gz"]


def test_axes_are_not_checked_where_the_header_does_not_say_them(tmp_path):
    for number in range(2):
        image = nibabel.Nifti1Image(voxels(number), None)
        image.header["qform_code"] = image.header["sform_code"] = 0
        (tmp_path / "ixi").mkdir(exist_ok=True)
        nibabel.save(image, tmp_path / "ixi" / f"{number}.nii")
    assert prepare(tmp_path / "ixi", tmp_path / "set", **SETTINGS)


@pytest.mark.parametrize("keep", [100, 20_000])
@pytest.mark.parametrize("compressed", [True, False])
def test_truncated(ixi, tmp_path, keep, compressed):
    data = (ixi / "IXI003-T1.nii.gz").read_bytes()
    folder = tmp_path / "ixi"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"{number}.nii.gz").write_bytes(data)
    cut = data[:keep] if compressed else gzip.decompress(data)[:keep]
    (folder / f"0.nii{'.gz' if compressed else ''}").write_bytes(cut)
    with pytest.raises(InputError, match=r"0\.nii.*(truncated or damaged|not NIfTI, or damaged)"):
        prepare(folder, tmp_path / "set", **SETTINGS)


def test_one_volume_and_one_twice(ixi, tmp_path):
    data = (ixi / "IXI001-T1.nii.gz").read_bytes()
    (tmp_path / "ixi").mkdir()
    (tmp_path / "ixi" / "a.nii.gz").write_bytes(data)
    with pytest.raises(InputError, match="one volume only, nothing is left to validate on"):
        prepare(tmp_path / "ixi", tmp_path / "set", **SETTINGS)
    (tmp_path / "ixi" / "a.nii").write_bytes(gzip.decompress(data))
    with pytest.raises(InputError, match="a as .nii and as .nii.gz; keep one of the two"):
        prepare(tmp_path / "ixi", tmp_path / "set", **SETTINGS)


def test_without_nibabel(ixi, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match=r"needs nibabel; install it with .*ms-restore\[mri\]"):
        prepare(ixi, tmp_path / "set", **SETTINGS)


def ended(words, capsys):
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code, capsys.readouterr().err.splitlines()


def test_at_the_command_line(ixi, tmp_path, capsys):
    """255x255 for the model of the paper; other models do not take volumes."""
    words = ["prepare", "--source", str(ixi), "--output", str(tmp_path / "set"), "--model"]
    code, lines = ended([*words, "edsr_baseline_x2"], capsys)
    assert code == 2
    assert len(lines) == 1
    assert "no image" in lines[0]
    main([*words, "noise2noise_mri"])
    found = manifest(tmp_path / "set" / "train")
    assert (found["patch_size"], found["shards"][0]["images"][0]["height"]) == (255, 255)
    save(tmp_path / "bad" / "a.nii.gz", 0 * voxels(0))
    save(tmp_path / "bad" / "b.nii.gz", voxels(0))
    words[2], words[4] = str(tmp_path / "bad"), str(tmp_path / "other")
    code, lines = ended([*words, "noise2noise_mri"], capsys)
    assert (code, len(lines)) == (2, 1)
    assert "a.nii.gz: no voxel is above 0" in lines[0]


@pytest.mark.parametrize("memory", [0, 8 << 30])
def test_spectra_are_stored_and_taken(ixi, tmp_path, monkeypatch, memory):
    """Moved slices too: the batches are those of transforms on reading, and none is made."""
    from ms_restore.data import sources
    from ms_restore.degradations import kspace
    from tests.fixtures.opening import training_batches

    monkeypatch.setattr(sources, "_CACHE_BYTES", memory)
    prepare(ixi, tmp_path / "out", **SETTINGS)

    def batches(target):
        source, _ = open_training(str(tmp_path / "out"), None, 1, SIDE, 11)
        made = training_batches(
            source,
            kspace.Undersampled(p_at_edge=0.1),
            patch_size=SIDE,
            batch_size=3,
            augment="none",
            target=target,
            translation=9,
            seed=5,
            steps=4,
        )
        return list(made.stream() if source.streamed else (made[k] for k in range(4)))

    for target in ("clean", "degraded"):
        with monkeypatch.context() as without:
            without.setattr("ms_restore.data.batch_assembly.SpectralDegradation", int)
            expected_batches = batches(target)
        with monkeypatch.context() as blocked:
            blocked.setattr(kspace.scipy.fft, "rfft2", None)
            found = batches(target)
        for (y, x), (wanted_y, wanted_x) in zip(found, expected_batches):
            np.testing.assert_allclose(y, wanted_y, atol=2e-6 * np.abs(wanted_y).max())
            np.testing.assert_allclose(x, wanted_x, atol=2e-6 * np.abs(wanted_x).max())


def test_spectra_are_left_alone_where_something_else_is_drawn(ixi, tmp_path):
    from ms_restore.degradations.noise import Gaussian
    from tests.fixtures.opening import training_batches

    prepare(ixi, tmp_path / "out", **SETTINGS)
    source, _ = open_training(str(tmp_path / "out"), None, 1, SIDE, 11)
    options = {"patch_size": SIDE, "batch_size": 2, "seed": 0, "steps": 1}
    made = training_batches(source, Gaussian(sigma_255=0), augment="none", **options)
    y, x = made[0]
    np.testing.assert_array_equal(y, x)


def test_volumes_of_other_formats_are_named(ixi, tmp_path, capsys):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("a.mnc", "b.hdr", "c.mgz", "._a.nii"):
        (folder / name).write_bytes(b"")
    with pytest.raises(InputError) as caught:
        prepare(folder, tmp_path / "set", **SETTINGS)
    assert str(caught.value) == (
        f"{folder}: volumes of a format that is not supported (a.mnc, b.hdr, c.mgz); "
        "convert them to NIfTI (.nii or .nii.gz)"
    )
    for number in range(2):
        shutil.copy(ixi / f"IXI{number + 1:03}-T1.nii.gz", folder)
    prepare(folder, tmp_path / "set", **SETTINGS)
    said = capsys.readouterr().out
    assert f"note: 3 in {folder} are no NIfTI and are left out: a.mnc, b.hdr, c.mgz\n" in said


def test_a_damaged_header_is_one_line(ixi, tmp_path, capfd):
    """An affine that cannot be inverted, and a size above the limit."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, (at, value) in enumerate([(280, b"\0\0\xc0\x7f" * 12), (42, b"\xff\x7f" * 6)]):
        content = bytearray(gzip.decompress((ixi / "IXI001-T1.nii.gz").read_bytes()))
        content[at : at + len(value)] = value
        (folder / f"{number}.nii").write_bytes(content)
    with pytest.raises(InputError) as caught:
        prepare(folder, tmp_path / "set", **SETTINGS)
    said = str(caught.value)
    assert "0.nii: its header is damaged" in said
    assert re.search(r"1\.nii: (declares a volume|.*-D|slices of)", said)
    assert capfd.readouterr().err == ""
