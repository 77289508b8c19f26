"""infer: which pictures are read, which files they become, and what is said of the others."""

import os

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.images.reading import read_picture, read_pictures
from tests.fixtures.pictures import noise, smooth, write


@pytest.fixture
def tree(tmp_path):
    """Pictures in a folder and below it, beside files that are none."""
    write(tmp_path / "in", "a.png", noise(12, 10, 3))
    write(tmp_path / "in" / "trip" / "day 1", "a.png", noise(12, 10, 3))
    write(tmp_path / "in" / "trip", "b.jpg", noise(12, 10, 3))
    (tmp_path / "in" / "._a.png").write_bytes(b"\0\x05\x16\x07 resource fork")
    (tmp_path / "in" / "notes.txt").write_text("text")
    (tmp_path / "in" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    return tmp_path


def written(folder):
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    )


def test_what_is_left_out_of_a_folder_is_named(run, tree, capsys):
    api.infer(run.folder, tree / "in", tree / "out", device_target="CPU")
    assert written(tree / "out") == ["a.png"]
    said = " ".join(capsys.readouterr().out.split())
    assert "3 of 4 entries" in said
    assert (
        "gone.png (a broken link), notes.txt, trip/; infer takes subfolders by --recursive" in said
    )
    assert "._a.png" not in said


def test_recursive_keeps_the_tree_and_goes_on_where_it_stopped(run, tree, capsys):
    options = {"recursive": True, "device_target": "CPU"}
    api.infer(run.folder, tree / "in", tree / "in" / "out", **options)
    expected = ["a.png", "trip/b.png", "trip/day 1/a.png"]
    assert written(tree / "in" / "out") == expected
    capsys.readouterr()
    (tree / "in" / "out" / "trip" / "b.png").unlink()
    api.infer(run.folder, tree / "in", tree / "in" / "out", **options)
    assert written(tree / "in" / "out") == expected
    assert "2 of 3 already restored" in " ".join(capsys.readouterr().out.split())


def test_several_inputs_format_and_name_suffix(run, tree):
    inputs = [tree / "in" / "a.png", tree / "in" / "trip"]
    options = {"format": "jpg", "name_suffix": "_x2", "device_target": "CPU"}
    paths = api.infer(run.folder, inputs, tree / "out", **options)
    assert [path.name for path in paths] == ["a_x2.jpg", "b_x2.jpg"]
    with PIL.Image.open(paths[0]) as file:
        assert (file.format, file.size) == ("JPEG", (20, 24))


def test_inputs_of_one_name_are_refused_together(run, tree):
    inputs = [tree / "in" / "a.png", tree / "in" / "trip" / "day 1" / "a.png"]
    with pytest.raises(InputError, match=r"several images would be written as a\.png"):
        api.infer(run.folder, inputs, tree / "out", device_target="CPU")


def test_an_input_is_never_written_over(run, tmp_path):
    files = [tmp_path / "out" / "photo.jpg", tmp_path / "out" / "photo_x2.png"]
    for path in files:
        write(path.parent, path.name, noise(12, 10, 3))
    before = files[1].read_bytes()
    with pytest.raises(InputError, match=r"photo_x2\.png: an input would be written over"):
        api.infer(run.folder, files, tmp_path / "out", name_suffix="_x2", device_target="CPU")
    assert files[1].read_bytes() == before


def test_pictures_of_the_user_below_the_output_stay(run, tree):
    write(tree / "in" / "trip", "a.png", noise(12, 10, 3))
    before = (tree / "in" / "trip" / "a.png").read_bytes()
    with pytest.raises(InputError, match="holds pictures that were not restored into it"):
        api.infer(
            run.folder, tree / "in", tree / "in" / "trip", recursive=True, device_target="CPU"
        )
    assert (tree / "in" / "trip" / "a.png").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"format": "jpeg2000"}, "unknown --format 'jpeg2000'; choose png, jpg, webp, tif"),
        ({"name_suffix": "/x"}, "a name has no /"),
    ],
)
def test_names_that_cannot_be(run, tree, options, words):
    with pytest.raises(InputError, match=words):
        api.infer(run.folder, tree / "in", tree / "out", device_target="CPU", **options)


def test_missing_inputs_are_all_named(run, tree):
    with pytest.raises(InputError) as caught:
        api.infer(run.folder, [tree / "x.png", tree / "y.png"], tree / "out", device_target="CPU")
    assert [problem.split(":")[0][-5:] for problem in caught.value.problems] == ["x.png", "y.png"]


def test_a_pipe_is_not_called_missing(run, tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: neither a file nor a folder"):
        api.infer(run.folder, tmp_path / "a.png", tmp_path / "b.png", device_target="CPU")


def test_a_slash_at_the_end_names_a_folder(run, tree):
    output = f"{tree}/results_v1.0/"
    paths = api.infer(run.folder, tree / "in" / "a.png", output, device_target="CPU")
    assert paths == [tree / "results_v1.0" / "a.png"]


def test_frames_are_restored_one_by_one(run, tmp_path, capsys):
    frames = [smooth(12, 10, 3), 255 - smooth(12, 10, 3)]
    first, second = map(PIL.Image.fromarray, frames)
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    api.infer(run.folder, tmp_path / "a.webp", tmp_path / "a.png", device_target="CPU")
    restored = read_pictures(tmp_path / "a.png").pictures
    for index, frame in enumerate(frames):
        write(tmp_path, f"{index}.png", frame)
        target = tmp_path / f"{index}_out.png"
        api.infer(run.folder, tmp_path / f"{index}.png", target, device_target="CPU")
        np.testing.assert_array_equal(restored[index].pixels, read_picture(target).pixels)
    capsys.readouterr()
    api.infer(run.folder, tmp_path / "a.webp", tmp_path / "a.jpg", device_target="CPU")
    said = " ".join(capsys.readouterr().out.split())
    assert "a.webp holds 1 more frames or pages, left out: .jpg cannot hold them" in said


def test_pages_of_a_document_in_a_folder_become_a_document(run, tmp_path):
    pages = [PIL.Image.fromarray(noise(9, size, 3)) for size in (8, 12)]
    (tmp_path / "in").mkdir()
    pages[0].save(tmp_path / "in" / "scan.tif", save_all=True, append_images=pages[1:])
    paths = api.infer(run.folder, tmp_path / "in", tmp_path / "out", device_target="CPU")
    assert [path.name for path in paths] == ["scan.tif"]
    shapes = [picture.pixels.shape for picture in read_pictures(paths[0]).pictures]
    assert shapes == [(18, 16, 3), (18, 24, 3)]


def test_no_input_at_all(run, tmp_path):
    with pytest.raises(InputError, match="no input: name a picture or a folder"):
        api.infer(run.folder, [], tmp_path / "out", device_target="CPU")
