"""A gray network on the brightness of colour pictures."""

import numpy as np
import pytest
from skimage import color

from ms_restore import api, registry
from ms_restore import recipe as recipes
from ms_restore.data import photos
from ms_restore.errors import InputError
from ms_restore.images.arrays import to_float
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.images.ycbcr import to_rgb, to_ycbcr
from ms_restore.weights import checkpoint

RGB = photos.load("coffee")[100:141, 200:260]


def test_the_space_is_that_of_matlab():
    expected = color.rgb2ycbcr(RGB) / 255
    np.testing.assert_allclose(to_ycbcr(to_float(RGB)), expected, atol=1e-5)
    np.testing.assert_allclose(to_rgb(to_ycbcr(to_float(RGB))), to_float(RGB), atol=1e-5)


@pytest.fixture(scope="module")
def gray(tmp_path_factory):
    """A checkpoint of a small gray network, which changes a little."""
    recipe = recipes.load("dncnn_s25", {"network.layers": 3, "network.filters": 4})
    network = registry.build("network", recipe.network)
    for parameter in network.get_parameters():
        parameter.set_data(parameter * 1.5 if parameter.ndim == 4 else parameter)
    path = tmp_path_factory.mktemp("gray") / "best.ckpt"
    checkpoint.save(path, network, recipe, {})
    return path


def test_brightness_is_restored_and_colours_are_kept(gray):
    options = {"engine": "mindspore", "device_target": "CPU"}
    by_luma = api.load_model(gray, luma=True, **options)
    plain = api.load_model(gray, **options)
    y = to_float(RGB)
    restored = by_luma(y)
    inside = ((restored > 0) & (restored < 1)).all(axis=2)  # a clipped colour keeps neither
    assert inside.mean() > 0.5
    found = to_ycbcr(restored)
    np.testing.assert_allclose(found[inside, 1:], to_ycbcr(y)[inside, 1:], atol=1e-4)
    brightness = plain(np.ascontiguousarray(to_ycbcr(y)[:, :, :1]))
    np.testing.assert_allclose(found[inside, :1], brightness[inside], atol=1e-4)
    assert np.abs(brightness - to_ycbcr(y)[:, :, :1]).max() > 0.01
    assert by_luma(RGB).dtype == np.uint8
    np.testing.assert_array_equal(by_luma(RGB[:, :, :1]), plain(RGB[:, :, :1]))  # gray stays gray


def test_infer_and_eval_take_colours_with_luma_alone(gray, tmp_path, in_process):
    folder = tmp_path / "photos"
    folder.mkdir()
    write_picture(folder / "a.png", Picture(RGB))
    words = ["--checkpoint", gray, "--device_target", "CPU"]
    one = ["infer", *words, "--input", folder / "a.png", "--output", tmp_path / "o.png"]
    score = ["eval", *words, "--data_dir", folder, "--output_dir", tmp_path / "eval"]
    for verb in (one, score):
        done = in_process(*verb)
        assert done.returncode == 2 and "alone by --luma" in done.stderr
    assert in_process(*one, "--luma").returncode == 0
    assert read_picture(tmp_path / "o.png").pixels.shape == RGB.shape
    done = in_process(*score, "--luma", "--protocol", "sr-y")
    assert done.returncode == 0, done.stderr
    assert "sr-y" in done.stdout


def test_a_model_for_colours_has_no_luma(run):
    with pytest.raises(InputError, match="no model for gray images"):
        api.load_model(run.folder, luma=True, device_target="CPU")
