import numpy as np
import pytest

from ms_restore.metrics.protocols import ScoringProtocol, protocol_named
from ms_restore.metrics.quality import luma, psnr, ssim
from ms_restore.registry import REGISTRY

SCALES = (1, 2, 3, 4)


def images(height, width, channels=3):
    """(x_hat, x): float32 in [0, 1], the restored one 0.03 off."""
    rng = np.random.default_rng([height, width])
    x = rng.random((height, width, channels)).astype(np.float32)
    x_hat = np.clip(x + rng.normal(0, 0.03, x.shape), 0, 1).astype(np.float32)
    return x_hat, x


def eight_bit(values):
    return np.round(values.astype(np.float64) * 255)


def border_of(name, scale):
    return {
        "sr-y": scale,
        "sr-rgb-div2k": scale + 6,
        "gray": 0,
        "rgb": 0,
        "rgb-float": 0,
        "n2n-rgb": 0,
        "sid-rgb": 0,
    }[name]


def test_the_protocols():
    names = ["gray", "n2n-rgb", "rgb", "rgb-float", "sid-rgb", "sr-rgb-div2k", "sr-y"]
    assert sorted(REGISTRY["protocol"]) == names
    for protocol in map(protocol_named, names):
        assert protocol.description


# What each compares


@pytest.mark.parametrize("scale", SCALES)
def test_sr_y(scale):
    x_hat, x = images(40, 44)
    inside = (slice(scale, -scale), slice(scale, -scale))
    ours, original = luma(eight_bit(x_hat)[inside]), luma(x.astype(np.float64)[inside] * 255)
    measured = protocol_named("sr-y").measure(x_hat, x, scale)
    assert list(measured) == ["psnr", "ssim"]
    assert measured["psnr"] == pytest.approx(psnr(ours, original), abs=1e-9)
    assert measured["ssim"] == pytest.approx(ssim(ours, original), abs=1e-9)


@pytest.mark.parametrize("scale", SCALES)
def test_sr_rgb_div2k(scale):
    x_hat, x = images(40, 44)
    cut = scale + 6
    inside = (slice(cut, -cut), slice(cut, -cut))
    ours, original = eight_bit(x_hat)[inside], x.astype(np.float64)[inside] * 255
    measured = protocol_named("sr-rgb-div2k").measure(x_hat, x, scale)
    assert measured["psnr"] == pytest.approx(psnr(ours, original), abs=1e-9)
    assert measured["ssim"] == pytest.approx(ssim(ours, original), abs=1e-9)


def test_rgb():
    x_hat, x = images(20, 24)
    measured = protocol_named("rgb").measure(x_hat, x, 1)
    assert measured["psnr"] == pytest.approx(psnr(eight_bit(x_hat), x * 255.0), abs=1e-5)
    assert measured["psnr"] != pytest.approx(psnr(x_hat * 255.0, x * 255.0), abs=1e-5)
    assert measured["ssim"] == pytest.approx(ssim(eight_bit(x_hat), x * 255.0), abs=1e-6)


def test_sid_rgb():
    """Both in 8 bit, also an original of 16."""
    x_hat, x = images(20, 24)
    measured = protocol_named("sid-rgb").measure(x_hat, x, 2)
    assert measured["psnr"] == pytest.approx(psnr(eight_bit(x_hat), eight_bit(x)), abs=1e-9)
    assert measured["ssim"] == pytest.approx(ssim(eight_bit(x_hat), eight_bit(x)), abs=1e-9)
    assert measured["psnr"] != pytest.approx(psnr(eight_bit(x_hat), x * 255.0), abs=1e-5)


def test_gray():
    x_hat, x = images(20, 24, channels=1)
    measured = protocol_named("gray").measure(x_hat, x, 1)
    assert measured["psnr"] == pytest.approx(psnr(x_hat * 255.0, x * 255.0), abs=1e-5)
    assert measured["psnr"] != pytest.approx(psnr(eight_bit(x_hat), x * 255.0), abs=1e-5)
    assert measured["ssim"] == pytest.approx(ssim(x_hat * 255.0, x * 255.0), abs=1e-6)


def test_sr_y_of_gray_is_that_of_the_same_picture_in_rgb():
    """On a scale of 16 to 235, whichever network restored it."""
    x_hat, x = images(30, 34, channels=1)
    measured = protocol_named("sr-y").measure(x_hat, x, 2)
    coloured = protocol_named("sr-y").measure(x_hat.repeat(3, axis=2), x.repeat(3, axis=2), 2)
    assert measured["psnr"] == pytest.approx(coloured["psnr"], abs=1e-6)
    assert measured["ssim"] == pytest.approx(coloured["ssim"], abs=1e-9)


def test_luma_forgives_what_rgb_does_not():
    """Blue weighs 24.966 of 219: an error there is 20 log10(255 / 24.966) dB less on Y."""
    x = np.full((30, 30, 3), 0.4, np.float32)
    x_hat = x.copy()
    x_hat[:, :, 2] += 0.2  # 0.4 and 0.6 are the levels 102 and 153
    assert protocol_named("sr-y").psnr(x_hat, x, 2) == pytest.approx(
        20 * np.log10(255 / (51 * 24.966 / 255)), abs=1e-4
    )
    assert protocol_named("rgb").psnr(x_hat, x, 2) == pytest.approx(
        20 * np.log10(255 / (51 / np.sqrt(3))), abs=1e-4
    )


# The border


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_exactly_the_border_is_left_out(name, scale):
    protocol = protocol_named(name)
    cut = border_of(name, scale)
    assert protocol.border(scale) == cut
    _, x = images(40, 44)
    x = eight_bit(x) / 255
    clean = protocol.psnr(x, x, scale)  # infinite, but for rounding in the last place
    assert clean > 200
    for ring in range(20):
        x_hat = x.copy()
        x_hat[ring, 22] = 1 - np.round(x[ring, 22])
        for turned, original in (
            (x_hat, x),
            (x_hat[::-1], x[::-1]),
            (x_hat.transpose(1, 0, 2), x.transpose(1, 0, 2)),
            (x_hat.transpose(1, 0, 2)[:, ::-1], x.transpose(1, 0, 2)[:, ::-1]),
        ):
            assert (protocol.psnr(turned, original, scale) > 200) == (ring < cut)


# Rounding and clipping


@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_beyond_the_range_counts_as_the_end_of_it(name):
    protocol = protocol_named(name)
    x_hat, x = images(40, 44)
    x_hat[10:20, 10:20], x_hat[20:30, 10:20] = 1.0, 0.0
    beyond = x_hat.copy()
    beyond[10:20, 10:20], beyond[20:30, 10:20] = 1.2, -0.7
    assert protocol.measure(beyond, x, 2) == protocol.measure(x_hat, x, 2)


@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_restored_is_rounded_but_for_denoising(name):
    protocol = protocol_named(name)
    x = np.full((40, 44, 1 if name == "gray" else 3), 100 / 255, np.float32)
    nearly = protocol.psnr(x + np.float32(0.4 / 255), x, 2)  # 0.4 of a level
    if name in ("gray", "rgb-float"):
        assert nearly == pytest.approx(20 * np.log10(255 / 0.4), abs=1e-3)
    else:
        assert nearly > 100
        step = 219 / 255 if name == "sr-y" else 1
        assert protocol.psnr(x + np.float32(0.6 / 255), x, 2) == pytest.approx(
            20 * np.log10(255 / step), abs=1e-3
        )


@pytest.mark.parametrize(
    "name", [n for n in REGISTRY["protocol"] if not protocol_named(n).original_rounded]
)
def test_original_is_not_rounded(name):
    """A 16 bit original keeps its levels: half a level off is 0.4 of one from the rounded."""
    x = np.full((40, 44, 1), 100.4 / 255, np.float32)
    x_hat = np.full((40, 44, 1), 100 / 255, np.float32)
    level = 219 / 255 if name == "sr-y" else 1
    expected = 20 * np.log10(255 / (0.4 * level))
    assert protocol_named(name).psnr(x_hat, x, 2) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_precision_of_the_images_does_not_matter(name):
    x_hat, x = images(40, 44)
    double = protocol_named(name).measure(x_hat.astype(np.float64), x.astype(np.float64), 2)
    assert protocol_named(name).measure(x_hat, x, 2) == pytest.approx(double, abs=1e-9)


@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_images_are_not_altered(name):
    x_hat, x = images(40, 44)
    before = x_hat.copy(), x.copy()
    protocol_named(name).measure(x_hat, x, 2)
    np.testing.assert_array_equal(x_hat, before[0])
    np.testing.assert_array_equal(x, before[1])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_psnr_alone_is_the_same(name, scale):
    x_hat, x = images(40, 44)
    protocol = protocol_named(name)
    assert protocol.psnr(x_hat, x, scale) == protocol.measure(x_hat, x, scale)["psnr"]


@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_equal_images_score_the_most(name):
    _, x = images(40, 44)
    x = (eight_bit(x) / 255).astype(np.float32)
    measured = protocol_named(name).measure(x, x.copy(), 2)
    assert measured["psnr"] > 120
    assert measured["ssim"] == pytest.approx(1, abs=1e-9)


# Sizes


@pytest.mark.parametrize("shape", [(40, 43, 3), (39, 44, 3), (44, 40, 3), (40, 44, 1), (40, 44)])
@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_sizes_that_differ_are_refused(name, shape):
    _, x = images(40, 44)
    x_hat = np.zeros(shape, np.float32)
    for figure in (protocol_named(name).measure, protocol_named(name).psnr):
        with pytest.raises(ValueError) as caught:
            figure(x_hat, x, 2)
        assert str(x_hat.shape) in str(caught.value)
        assert str(x.shape) in str(caught.value)


def scored(protocol, side, scale):
    """Whether a square of ``side`` works, cut to a multiple of the scale as evaluation does."""
    side -= side % scale
    try:
        protocol.measure(*images(side, side), scale)
    except ValueError as error:
        assert "win_size exceeds image extent" in str(error)
        return False
    return True


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_smallest_works_and_all_above(name, scale):
    smallest = protocol_named(name).smallest(scale)
    assert all(scored(protocol_named(name), smallest + more, scale) for more in range(scale + 1))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_one_pixel_of_y_below_smallest_fails(name, scale):
    assert not scored(protocol_named(name), protocol_named(name).smallest(scale) - scale, scale)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", REGISTRY["protocol"])
def test_one_pixel_below_smallest_fails(name, scale):
    """It is "the least side in pixels that can be scored"."""
    assert not scored(protocol_named(name), protocol_named(name).smallest(scale) - 1, scale)


def test_a_border_of_ones_own():
    protocol = ScoringProtocol(
        "two pixels and half of y", "all", False, border_scales=2, border_pixels=1
    )
    assert [protocol.border(scale) for scale in SCALES] == [3, 5, 7, 9]
