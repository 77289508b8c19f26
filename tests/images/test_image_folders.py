"""Pictures of a folder."""

import PIL.Image
import pytest

from ms_restore.errors import InputError
from ms_restore.images.listing import list_folder, list_pictures


def test_pictures_are_listed_by_name(tmp_path):
    for name in ("b.png", "a.JPG", "c.tiff"):
        (tmp_path / name).touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_pictures(tmp_path)] == ["a.JPG", "b.png", "c.tiff"]


def test_links_in_a_circle_are_broken_links(tmp_path):
    PIL.Image.new("L", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("b.png")
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.pictures] == ["a.png"]
    assert listing.left_out == ["b.png (a broken link)"]


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="absent: no such folder"):
        list_pictures(tmp_path / "absent")


def test_file_in_place_of_a_folder(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png: not a folder; expected a folder of images"):
        list_pictures(tmp_path / "a.png")


def test_empty_folder(tmp_path):
    with pytest.raises(InputError, match="it is empty"):
        list_pictures(tmp_path)


def test_folder_without_images_says_what_it_holds(tmp_path):
    for name in ("notes.txt", "weights.ckpt"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"no image .*it holds notes\.txt, weights\.ckpt"):
        list_pictures(tmp_path)


def test_subfolders_with_images_are_named(tmp_path):
    for name in ("HR", "LR", "text"):
        (tmp_path / name).mkdir()
    (tmp_path / "HR" / "a.png").touch()
    (tmp_path / "LR" / "a.png").touch()
    (tmp_path / "text" / "a.txt").touch()
    with pytest.raises(InputError) as caught:
        list_pictures(tmp_path)
    assert "its subfolders HR, LR hold some: name one of them" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
