import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.images.reading import read_picture


@pytest.fixture(scope="module")
def restorer(run):
    return api.load_model(run.folder, device_target="CPU")


def test_arrays_in_and_out(restorer):
    y = np.random.default_rng(0).random((13, 9, 3), np.float32)
    x_hat = restorer(y)
    assert x_hat.shape == (26, 18, 3)
    assert x_hat.dtype == np.float32
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 1), (1, 3, 9, 9)])
def test_arrays_of_another_shape(restorer, shape):
    with pytest.raises(InputError, match=r"takes arrays \(height, width, 3\)"):
        restorer(np.zeros(shape, np.float32))


def test_pictures_keep_their_kind(pictures, run, tmp_path):
    """Gray stays gray, alpha stays (resized), 16 bit stays 16 bit."""
    written = api.infer(run.folder, pictures, tmp_path / "out", device_target="CPU")
    assert [path.name for path in written] == ["a_rgb.png", "b_gray.png", "c_rgba.png", "d_16.png"]
    for path in written:
        before, after = read_picture(pictures / path.name), read_picture(path)
        height, width, colours = before.pixels.shape
        assert after.pixels.shape == (2 * height, 2 * width, colours)
        assert after.pixels.dtype == before.pixels.dtype
        assert (after.alpha is None) == (before.alpha is None)
    before, after = (read_picture(folder / "c_rgba.png") for folder in (pictures, tmp_path / "out"))
    shrunk = after.alpha.astype(float).reshape(61, 2, 75, 2).mean(axis=(1, 3))
    assert np.abs(shrunk - before.alpha).max() < 3


def test_infer_equals_the_array_interface(restorer, pictures, run, tmp_path):
    api.infer(run.folder, pictures / "a_rgb.png", tmp_path / "out.png", device_target="CPU")
    y = np.asarray(PIL.Image.open(pictures / "a_rgb.png"), np.float32) / 255
    expected = np.round(restorer(y) * 255)
    assert (np.asarray(PIL.Image.open(tmp_path / "out.png")) == expected).all()


def test_inputs_that_would_share_an_output(run, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "a.bmp"):
        PIL.Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "in" / name)
    with pytest.raises(InputError, match=r"several images would be written as a.png"):
        api.infer(run.folder, tmp_path / "in", tmp_path / "out", device_target="CPU")
    assert not (tmp_path / "out").exists()


def test_colour_picture_for_a_gray_model(tiny, pictures, tmp_path):
    settings = {"network.channels": 1, "eval.protocol": "gray"}
    options = {"device_target": "CPU", "max_steps": 1, "settings": settings}
    run = api.train(tiny, data_dir=pictures, output_dir=tmp_path / "run", **options)
    with pytest.raises(InputError, match=r"a_rgb.png: tiny is a model for gray images"):
        api.infer(run.folder, pictures / "a_rgb.png", tmp_path / "x.png", device_target="CPU")
    api.infer(run.folder, pictures / "b_gray.png", tmp_path / "x.png", device_target="CPU")
    assert read_picture(tmp_path / "x.png").pixels.shape == (102, 146, 1)


def test_evaluation_of_a_folder(run, pictures, tmp_path):
    metrics = api.evaluate(
        run.folder,
        data_dir=pictures,
        output_dir=tmp_path / "e",
        device_target="CPU",
        protocol="rgb",
    )
    assert metrics["protocol"] == "rgb"
    assert [row["name"] for row in metrics["images"]] == ["a_rgb", "b_gray", "c_rgba", "d_16"]
    names = sorted(path.name for path in (tmp_path / "e" / "comparisons").iterdir())
    assert names == ["a_rgb.png", "b_gray.png", "c_rgba.png", "d_16.png"]
