import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture


@pytest.fixture(scope="module")
def restorer(run):
    return api.load_model(run.folder, device_target="CPU")


def test_arrays_in_and_out(restorer):
    y = np.random.default_rng(0).random((13, 9, 3), np.float32)
    x_hat = restorer(y)
    assert x_hat.shape == (26, 18, 3)
    assert x_hat.dtype == np.float32
    assert 0 <= x_hat.min() <= x_hat.max() <= 1


@pytest.mark.parametrize("shape", [(9, 9, 2), (9, 9, 4), (2, 9, 9, 5)])
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
    gray = read_picture(tmp_path / "x.png").pixels
    assert gray.shape == (102, 146, 1)
    y = read_picture(pictures / "b_gray.png").pixels
    write_picture(tmp_path / "equal.png", Picture(np.repeat(y, 3, axis=2)))
    api.infer(run.folder, tmp_path / "equal.png", tmp_path / "x.png", device_target="CPU")
    x_hat = read_picture(tmp_path / "x.png").pixels
    np.testing.assert_array_equal(x_hat, np.repeat(gray, 3, axis=2))


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


def test_gray_arrays_stay_gray(restorer):
    y = np.random.default_rng(0).random((13, 9), np.float32)
    x_hat = restorer(y)
    assert x_hat.shape == (26, 18)
    np.testing.assert_array_equal(restorer(y[:, :, None])[:, :, 0], x_hat)


def test_batches_are_restored_one_by_one(restorer):
    batch = np.random.default_rng(0).random((2, 13, 9, 3), np.float32)
    x_hat = restorer(batch)
    assert x_hat.shape == (2, 26, 18, 3)
    np.testing.assert_array_equal(x_hat[1], restorer(batch[1]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integer_arrays_stand_for_0_to_1_and_keep_their_dtype(restorer, dtype):
    y = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (13, 9, 3)).astype(dtype)
    x_hat = restorer(y)
    assert x_hat.dtype == dtype
    expected = np.round(restorer(y / np.float32(np.iinfo(dtype).max)) * np.iinfo(dtype).max)
    np.testing.assert_allclose(x_hat, expected, atol=1)


def test_bool_and_float64_arrays(restorer):
    y = np.random.default_rng(0).random((13, 9, 3)) > 0.5
    np.testing.assert_array_equal(restorer(y), restorer(y.astype(np.float64)))


def test_pillow_images_and_paths(restorer, pictures):
    with PIL.Image.open(pictures / "c_rgba.png") as image:
        restored = restorer(image)
    assert (restored.mode, restored.size) == ("RGBA", (150, 122))
    x_hat = restorer(pictures / "a_rgb.png")
    np.testing.assert_array_equal(x_hat, restorer(read_picture(pictures / "a_rgb.png").pixels))
    assert x_hat.dtype == np.uint8


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.full((9, 9, 3), 200.0), r"values from 200 to 200, expected \[0, 1\]; divide by 255"),
        (np.full((9, 9, 3), np.nan), "NaN or infinity"),
        (np.full((9, 9, 3), np.inf, np.float32), "NaN or infinity"),
        (np.zeros((9, 9, 3), np.int32), "an array of int32; expected"),
        (np.zeros((9, 9, 3), complex), "an array of complex128; expected"),
        (np.zeros((0, 5, 3), np.uint8), r"shape \(0, 5, 3\) has no pixels"),
        (np.zeros((3, 40, 30), np.uint8), r"channels first; turn it by .transpose\(1, 2, 0\)"),
        (np.zeros((2, 3, 40, 30), np.uint8), r"turn it by .transpose\(0, 2, 3, 1\)"),
        (np.zeros(7, np.uint8), r"an array of shape \(7,\); expected"),
        ([[1, 2], [3, 4]], "a list is no image"),
        (None, "a NoneType is no image"),
        (PIL.Image.new("F", (9, 9)), "floating-point pixels are not supported"),
        (PIL.Image.new("RGB", (0, 9)), "an image of 0x9 has no pixels"),
        ("absent.png", r"absent\.png: no such file"),
    ],
)
def test_what_is_no_image_is_one_clear_line(restorer, image, words):
    with pytest.raises(InputError, match=words) as caught:
        restorer(image)
    assert "\n" not in str(caught.value)


def test_image_of_pillow_whose_file_is_cut_is_one_clear_line(restorer, pictures, tmp_path):
    (tmp_path / "cut.png").write_bytes((pictures / "a_rgb.png").read_bytes()[:-60])
    image = PIL.Image.open(tmp_path / "cut.png")
    with pytest.raises(InputError, match="an image of Pillow that cannot be read"):
        restorer(image)
