import numpy as np
import pytest
from scipy import stats

from ms_restore import recipe, seeds
from ms_restore.degradations.noise import Gaussian, Poisson, poisson_from_levels
from ms_restore.errors import InputError


def _rngs(count):
    return [seeds.sample_rng(0, sample) for sample in range(count)]


def test_an_image_gets_noise_of_that_deviation_neither_clipped_nor_rounded():
    x = np.full((200, 300, 3), 255, np.uint8)
    y = Gaussian(sigma_255=25)(x, np.random.default_rng(0))
    assert y.dtype == np.float32
    assert y.max() > 1.2
    noise = (y - 1) * 255
    assert noise.std() == pytest.approx(25, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.2)
    red, green = noise[:, :, 0].ravel(), noise[:, :, 1].ravel()
    assert abs(np.corrcoef(red, green)[0, 1]) < 0.02
    assert np.abs(noise - np.round(noise)).max() > 0.4


def test_patches_draw_their_own_sigma_from_the_range():
    x = np.full((200, 1, 40, 40), 128, np.uint8)
    y = Gaussian(sigma_255=[0, 55]).patches(x, _rngs(200))
    sigmas = (y * 255 - 128).std(axis=(1, 2, 3))
    assert sigmas.min() < 3
    assert sigmas.max() > 51
    assert sigmas.mean() == pytest.approx(27.5, abs=4)


def test_a_patch_is_the_same_in_any_batch():
    x = np.arange(3 * 64, dtype=np.uint8).reshape(3, 1, 8, 8)
    degradation = Gaussian(sigma_255=[0, 55])
    together = degradation.patches(x, _rngs(3))
    alone = degradation.patches(x[2:], _rngs(3)[2:])
    np.testing.assert_array_equal(together[2:], alone)
    assert (together[0] - x[0] / 255 != together[1] - x[1] / 255).any()


def test_evaluation_sigma():
    x = np.full((100, 100, 1), 128, np.uint8)

    def deviation(**options):
        y = Gaussian(**options)(x, np.random.default_rng(0))
        return (y * 255).std()

    assert deviation(sigma_255=[0, 55], eval_sigma_255=15) == pytest.approx(15, rel=0.03)
    assert deviation(sigma_255=[0, 55]) == pytest.approx(55, rel=0.03)
    assert deviation(sigma_255=0) == 0


def test_evaluation_noise_is_a_function_of_seed_and_name():
    draw = seeds.image_rng(3, "kodim01").standard_normal(4)
    assert (draw == seeds.image_rng(3, "kodim01").standard_normal(4)).all()
    assert (draw != seeds.image_rng(4, "kodim01").standard_normal(4)).all()
    assert (draw != seeds.image_rng(3, "kodim10").standard_normal(4)).all()
    assert seeds.image_rng(0, "日本").standard_normal() != seeds.image_rng(0, "").standard_normal()


@pytest.mark.parametrize(
    ("sigma", "message"),
    [
        (-1, "sigma_255.*got -1"),
        (300, "sigma_255.*got 300"),
        ("much", "sigma_255.*got 'much'"),
        ([1, 2, 3], "sigma_255"),
    ],
)
def test_sigma_outside_the_sane_range(sigma, message):
    with pytest.raises(InputError, match=message):
        recipe.load("dncnn_b", {"degradation.sigma_255": sigma})


def test_a_range_the_wrong_way_round():
    with pytest.raises(InputError, match=r"expected a number or \[low, high\], such as \[5, 50\]"):
        Gaussian(sigma_255=[50, 5])


# Poisson


def test_photon_noise_has_mean_x_and_variance_x_over_lambda():
    x = np.full((300, 200, 3), 100, np.uint8)
    y = Poisson(photons=[1, 50], eval_photons=30)(x, np.random.default_rng(0))
    assert y.dtype == np.float32
    clean = 100 / 255
    assert y.mean() == pytest.approx(clean, rel=0.005)
    assert y.var() == pytest.approx(clean / 30, rel=0.02)
    counts = y * 30
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("photons", [0.5, 30, 1000])
def test_patches_of_one_lambda(dtype, photons):
    clean = 0.4
    x = np.full((4, 3, 64, 64), clean * np.iinfo(dtype).max, dtype)
    y = Poisson(photons=photons).patches(x, _rngs(4))
    assert y.mean() == pytest.approx(clean, abs=5 * np.sqrt(clean / photons / y.size))
    assert y.var() == pytest.approx(clean / photons, rel=0.06)
    flat = y - y.mean()
    assert abs((flat[:2] * flat[2:]).mean()) < 0.03 * flat.var()


def test_patches_draw_their_own_lambda_from_the_range():
    x = np.full((200, 1, 40, 40), 255, np.uint8)
    y = Poisson(photons=[10, 50]).patches(x, _rngs(200))
    photons = 1 / y.var(axis=(1, 2, 3))
    assert 8 < photons.min() < 13
    assert 45 < photons.max() < 60
    assert photons.mean() == pytest.approx(30, abs=3)


@pytest.mark.parametrize("photons", [0.01, 1, 7.3, 200])
def test_numbers_by_table_are_distributed_as_poissons(photons):
    """Every count as often as it should be, by chi squared; black stays black."""
    means = np.arange(256) * (photons / 255)
    levels = np.repeat(np.array([0, 1, 130, 255], np.uint8), 200_000).reshape(4, 400, 500)
    numbers = poisson_from_levels(levels, means, np.random.default_rng(3))
    assert numbers.shape == levels.shape
    assert not numbers[0].any()
    for row, level in zip(numbers[1:], (1, 130, 255)):
        found = np.bincount(row.ravel().astype(int))
        expected = stats.poisson.pmf(np.arange(len(found)), means[level]) * row.size
        kept = expected > 5
        chi2 = ((found - expected)[kept] ** 2 / expected[kept]).sum()
        assert stats.chi2.sf(chi2, max(kept.sum() - 1, 1)) > 1e-4


@pytest.mark.parametrize(
    ("photons", "message"),
    [(0, "photons.*got 0"), (-3, "photons.*got -3"), (1e9, "photons.*got 1000000000"),
     ([1, 2, 3], "photons")],
)  # fmt: skip
def test_lambda_outside_the_sane_range(photons, message):
    with pytest.raises(InputError, match=message):
        recipe.load("noise2noise_poisson", {"degradation.photons": photons})


def test_a_range_of_photons_the_wrong_way_round():
    with pytest.raises(InputError, match=r"expected a number or \[low, high\], such as \[5, 50\]"):
        Poisson(photons=[50, 5])
