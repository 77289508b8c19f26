"""Layouts such as DIV2K's, and low-resolution images that are stored with the clean ones."""

import numpy as np
import pytest

from ms_restore.data.prepared.image_set import PreparedSet, RecordSource
from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.preparation import image_pairs
from ms_restore.preparation.selection import prepare
from tests.fixtures.pictures import fill, noise, truncate
from tests.fixtures.prepared import SETTINGS, images, manifest


def low_of(folder, to, mark="", scale=2):
    """Every second pixel of each image, under its name with ``mark``."""
    to.mkdir(parents=True)
    for path in folder.iterdir():
        pixels = read_picture(path).pixels
        height, width = (side - side % scale for side in pixels.shape[:2])
        low = pixels[:height:scale, :width:scale]
        write_picture(to / f"{path.stem}{mark}.png", Picture(low))
    return to


@pytest.fixture
def div2k(tmp_path):
    """DIV2K as it comes, small."""
    top = tmp_path / "div2k"
    for part, size in (("train", (90, 71)), ("valid", (14, 90))):
        folder = fill(top / f"DIV2K_{part}_HR", 3, size)
        low_of(folder, top / f"DIV2K_{part}_LR_bicubic" / "X2", "x2")
    return top


def test_layout_becomes_a_layout(div2k, tmp_path, capsys):
    output = tmp_path / "out"
    assert prepare(div2k, output, **SETTINGS) == [output / "train", output / "valid"]
    assert "LR_bicubic/X2 is not used (no --lr_source)" in capsys.readouterr().out
    for part in ("train", "valid"):
        assert len(images(output / part)) == 3  # the validation images are smaller than a patch
        assert not manifest(output / part)["low_resolution"]


def test_pairs_of_div2k_are_stored(div2k, tmp_path):
    output = tmp_path / "out"
    prepare(div2k, output, **SETTINGS, low=div2k)
    for part in ("train", "valid"):
        stored = PreparedSet(output / part)
        for memory in (0, 1 << 30):
            source = RecordSource(stored, range(3), 3, 1, memory)
            for index in range(3):
                low = source[index][: source[index].shape[0] // 2 * 2 : 2]
                low = low[:, : low.shape[1] // 2 * 2 : 2]
                np.testing.assert_array_equal(source.degraded(index), low)
        names = [image["low_resolution"]["name"] for image in images(output / part)]
        assert names == ["00x2.png", "01x2.png", "02x2.png"]


def test_pairs_without_a_suffix(tmp_path):
    folder = fill(tmp_path / "images", 2)
    low = low_of(folder, tmp_path / "low")
    prepare(folder, tmp_path / "set", **SETTINGS, low=low)
    assert PreparedSet(tmp_path / "set").paired


def test_unpaired_images_are_listed_on_both_sides(tmp_path):
    folder = fill(tmp_path / "images", 4)
    low = low_of(folder, tmp_path / "low", "x2")
    (low / "01x2.png").unlink()
    (low / "03x2.png").unlink()
    (folder / "02.png").unlink()
    with pytest.raises(InputError) as caught:
        prepare(folder, tmp_path / "set", **SETTINGS, low=low)
    clean, unused, _ = caught.value.problems
    assert "2 of 3 images cannot be used: 01.png: no partner in low (such as 01x2.png)" in clean
    assert "03.png: no partner" in clean
    assert "1 of 2 images have no clean partner" in unused
    assert "02x2.png" in unused
    prepare(folder, tmp_path / "set", **SETTINGS, low=low, skip_bad=True)
    assert [image["name"] for image in images(tmp_path / "set")] == ["00.png"]


def test_sizes_that_do_not_fit_the_scale(tmp_path):
    folder = fill(tmp_path / "images", 2)
    low = low_of(folder, tmp_path / "low", "x2")
    write_picture(low / "01x2.png", Picture(noise(45, 36, 3)))
    expected = r"01\.png: 70x91 pixels, its partner 36x45; expected 35x45 for scale 2"
    with pytest.raises(InputError, match=expected):
        prepare(folder, tmp_path / "set", **SETTINGS, low=low)


def test_layout_without_low_resolution_part(div2k, tmp_path):
    with pytest.raises(InputError, match="no low-resolution images for DIV2K_train_HR; expected"):
        prepare(div2k, tmp_path / "out", **SETTINGS, low=tmp_path)


def test_damaged_partner_is_named(tmp_path):
    folder = fill(tmp_path / "images", 2)
    low = low_of(folder, tmp_path / "low", "x2")
    truncate(low / "01x2.png")
    with pytest.raises(InputError, match=r"01\.png: its partner 01x2\.png: damaged or tr"):
        prepare(folder, tmp_path / "set", **SETTINGS, low=low)


@pytest.mark.parametrize(
    ("images", "lows", "expected"),
    [
        ("a.png ax2.png", "a.png ax2.png", {"a.png": "a.png", "ax2.png": "ax2.png"}),
        ("a.png ax2.png", "ax2.png ax2x2.png", {"a.png": "ax2.png", "ax2.png": "ax2x2.png"}),
        ("a.png ax2.png", "ax2.png", {"a.png": None, "ax2.png": "ax2.png"}),
        ("a.png b.png", "a.jpg bx2.png", {"a.png": "a.jpg", "b.png": "bx2.png"}),
        ("a.jpg a.png", "a.jpg a.png", {"a.jpg": "a.jpg", "a.png": "a.png"}),
        ("a.jpg a.png", "a.webp", {"a.jpg": "a.webp", "a.png": None}),
        ("a.png", "a.png ax2.png", {"a.png": "a.png"}),
        ("a.png", "ax3.png", {"a.png": None}),
    ],
)
def test_which_low_resolution_image_is_whose(tmp_path, images, lows, expected):
    for folder, names in (("images", images), ("low", lows)):
        (tmp_path / folder).mkdir()
        for name in names.split():
            size = (8, 8) if folder == "images" else (4, 4)
            write_picture(tmp_path / folder / name, Picture(noise(*size, 3)))
    pairs, lines = image_pairs.find(tmp_path / "images", tmp_path / "low", 2, 1)
    assert {pair.x.name: pair.y.name if pair.y else None for pair in pairs} == expected
    unused = set(lows.split()) - set(expected.values())
    assert ("have no clean partner" in " ".join(lines)) == bool(unused)
