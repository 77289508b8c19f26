"""A network that is told the noise: by a number, a map or an estimate; slips in one line."""

import numpy as np
import pytest

from ms_restore import api, recipe
from ms_restore.data import photos
from ms_restore.degradations.noise import Gaussian
from ms_restore.errors import InputError
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.inference.noise_level import NoiseLevel
from ms_restore.metrics.noise_estimate import estimate_sigma

ENGINE = {"engine": "onnxruntime", "device_target": "CPU"}


@pytest.fixture(scope="module")
def photo():
    return photos.load("coffee")[:121, :143]  # odd sides


@pytest.mark.parametrize("sigma", [5, 15, 25, 50])
def test_the_estimate_is_near_the_truth(sigma):
    """On photographs in colour, which have a little noise of their own."""
    errors = []
    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        x = photos.load(name) / np.float32(255)
        noise = np.random.default_rng(0).standard_normal(x.shape, np.float32) * sigma / 255
        errors.append(255 * estimate_sigma(x + noise) - sigma)
    assert np.abs(errors).max() < 0.6


def test_an_image_without_room_for_patches():
    assert estimate_sigma(np.ones((9, 40, 3), np.float32)) == 0


def test_number_map_and_own_channel_agree(told_smoother, photo, tmp_path):
    """The network of the test does not heed what it is told, so the plane is looked at itself."""
    y = photo / np.float32(255)
    sigma = np.full((*y.shape[:2], 1), 25 / 255, np.float32)
    expected = api.load_model(told_smoother, **ENGINE)(np.concatenate((y, sigma), axis=2))
    told = api.load_model(told_smoother, sigma_255=25, **ENGINE)
    np.testing.assert_array_equal(told(y), expected)
    tiled = api.load_model(told_smoother, sigma_255=25, tile=32, **ENGINE)
    np.testing.assert_allclose(tiled(y), expected, atol=1e-6)
    for level in (NoiseLevel(25.0), NoiseLevel(sigma_map=np.full(y.shape[:2], 25.0))):
        np.testing.assert_allclose(level.of(y), sigma[:, :, 0], atol=1e-7)
    gray = np.full((*y.shape[:2], 1), 25, np.uint8)
    write_picture(tmp_path / "map.png", Picture(gray))
    np.save(tmp_path / "map.npy", gray[:, :, 0].astype(np.float64))
    for name in ("map.png", "map.npy"):
        found = NoiseLevel(sigma_map=tmp_path / name).of(y)
        np.testing.assert_allclose(found, sigma[:, :, 0], atol=1e-7)


def test_what_is_told_reaches_the_network(photo, tmp_path):
    """A network whose output is the map itself, in tiles of a map that varies."""
    from ms_restore import registry
    from ms_restore.weights import checkpoint

    loaded = recipe.load("ffdnet_gray", {"network.layers": 2, "network.filters": 4})
    network = registry.build("network", loaded.network)
    import mindspore as ms

    first, last = np.zeros((4, 5, 3, 3), np.float32), np.zeros((4, 4, 3, 3), np.float32)
    first[:, 4, 1, 1] = 1
    last[:, :, 1, 1] = 0.25
    for convolution, weight in zip(network.convolutions, (first, last)):
        convolution.weight.set_data(ms.Tensor(weight))
    checkpoint.save(tmp_path / "net.ckpt", network, loaded, {})
    levels = np.repeat(np.repeat(np.arange(30 * 20).reshape(30, 20) % 200, 2, 0), 2, 1)
    np.save(tmp_path / "map.npy", levels.astype(np.float32))
    write_picture(tmp_path / "in.png", Picture(np.zeros((60, 40, 1), np.uint8)))
    out = tmp_path / "out.png"
    for tile in (None, 24):
        api.infer(
            tmp_path / "net.ckpt",
            tmp_path / "in.png",
            out,
            sigma_map=tmp_path / "map.npy",
            tile=tile,
            **ENGINE,
        )
        np.testing.assert_array_equal(read_picture(out).pixels[:, :, 0], levels)


def test_infer_is_told(told_smoother, photo, tmp_path, command_line):
    write_picture(tmp_path / "in.png", Picture(photo))
    common = ["infer", "--checkpoint", told_smoother, "--input", tmp_path / "in.png"]
    common += ["--output", tmp_path / "out.png", "--device_target", "CPU"]
    for words in (["--sigma_255", "25"], ["--sigma_255", "auto"]):
        done = command_line(*common, *words)
        assert done.returncode == 0, done.stderr
        assert read_picture(tmp_path / "out.png").pixels.shape == photo.shape
        (tmp_path / "out.png").unlink()
    done = command_line(*common)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "name its standard deviation with --sigma_255 25" in done.stderr
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ({"sigma_255": 300.0}, "sigma_255 300: expected 0 to 255, or auto"),
        ({"sigma_255": float("nan")}, "sigma_255 nan: expected 0 to 255"),
        ({}, "name the noise by sigma_255 or by sigma_map"),
        ({"sigma_255": 5.0, "sigma_map": np.ones((4, 4))}, "not by both"),
    ],
)
def test_levels_that_are_none(level, expected):
    with pytest.raises(InputError, match=expected):
        NoiseLevel(**level)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.ones((5, 6)), r"a map of 5x6 \(height x width\), but the image is 4x6"),
        (np.full((4, 6), np.nan), "expected finite numbers"),
        (np.full((4, 6), -1.0), "values from -1 to -1, expected 0 to 255"),
        (np.full((4, 6), "a"), "expected finite numbers|expected numbers"),
    ],
)
def test_maps_that_do_not_fit(values, expected):
    with pytest.raises(InputError, match=expected):
        NoiseLevel(sigma_map=values).of(np.zeros((4, 6, 3), np.float32))


def test_a_network_that_is_not_told(run, tmp_path):
    with pytest.raises(InputError, match="is not told the noise: leave --sigma_255"):
        api.load_model(run.folder, sigma_255=25, device_target="CPU")
    with pytest.raises(InputError, match="degradation.noise_map is true, but network dncnn is not"):
        recipe.load("dncnn_s25", {"degradation.noise_map": True})
    with pytest.raises(InputError, match="network ffdnet is told how strong .*degradation jpeg"):
        settings = {"degradation.name": "jpeg", "degradation.quality": 10}
        recipe.load("ffdnet_gray", settings)
    assert recipe.load("ffdnet_gray").degradation["noise_map"] is True
    blind = recipe.load("ffdnet_gray", {"network.noise_map": False})
    assert blind.degradation["noise_map"] is False


def test_each_patch_is_told_its_own_level():
    degradation = Gaussian(sigma_255=[0, 75], noise_map=True)
    x = np.full((3, 1, 200, 200), 0.5, np.float32)
    rngs = [np.random.default_rng(n) for n in range(3)]
    y = degradation.patches(x, rngs)
    assert y.shape == (3, 2, 200, 200)
    for noisy, level in y:
        assert np.ptp(level) == 0
        assert (noisy - 0.5).std() == pytest.approx(level[0, 0], rel=0.02)
    assert len({float(level[0, 0]) for _, level in y}) == 3
    plain = Gaussian(sigma_255=[0, 75]).patches(x, [np.random.default_rng(n) for n in range(3)])
    np.testing.assert_array_equal(plain, y[:, :1])
    assert degradation.targets(x, rngs).shape == x.shape
    whole = degradation(x[0].transpose(1, 2, 0), np.random.default_rng(0))
    assert whole.shape == (200, 200, 2)
    assert degradation.baseline(whole).shape == (200, 200, 1)
