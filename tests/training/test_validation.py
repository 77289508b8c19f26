"""Which weights validation takes for the best."""

import functools

import numpy as np
import pytest

from ms_restore import recipe, registry
from ms_restore.data.image_source import CutSource
from ms_restore.training.validation import Scorer


class _Pictures(CutSource):
    """A flat picture and one with noise."""

    description = "two pictures"

    def __init__(self):
        self.names, self.sizes, self.coloured = ["flat", "noise"], [(32, 32)] * 2, []

    def __len__(self):
        return 2

    def __getitem__(self, index):
        noise = np.random.default_rng(0).integers(50, 200, (32, 32, 3), np.uint8)
        return noise if index else np.full((32, 32, 3), 128, np.uint8)


class _Restorer:
    """Adds an error to the first picture and to the second one."""

    def __init__(self, *errors):
        self.recipe = recipe.load("edsr_quickstart", {"eval.protocol": "rgb"})
        self._errors = iter(errors)

    def __call__(self, y):
        return y + np.float32(next(self._errors) / 255)


def test_a_picture_without_any_error_counts_100_db():
    """So that the mean stays finite, and weights that are better on it never count for less."""
    degradation = registry.build("degradation", {"name": "gaussian", "sigma_255": 0.0})

    def score(*errors):
        return Scorer(_Restorer(*errors), degradation, _Pictures(), {"raw": lambda: None})().psnr

    noise = 20 * np.log10(255 / 4)
    assert score(0, 4) == pytest.approx((100 + noise) / 2)
    assert score(2, 4) < score(1, 4) < score(0, 4) < score(0, 3) < score(0, 0) == 100
    assert np.isnan(score(float("nan"), 4))


@pytest.mark.parametrize("average, raw, better", [(4, 2, "raw"), (2, 4, "average")])
def test_the_better_of_raw_and_averaged_weights_counts_and_is_left(average, raw, better):
    degradation = registry.build("degradation", {"name": "gaussian", "sigma_255": 0.0})
    put = []
    weights = {name: functools.partial(put.append, name) for name in ("average", "raw")}
    score = Scorer(_Restorer(average, average, raw, raw), degradation, _Pictures(), weights)()
    assert score.psnr == score.each[better] == pytest.approx(20 * np.log10(255 / 2))
    assert score.each == pytest.approx(
        {"average": 20 * np.log10(255 / average), "raw": 20 * np.log10(255 / raw)}
    )
    assert put[-1] == better
