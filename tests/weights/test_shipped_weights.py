"""What the weights that come along reach on the embedded photos, which they were not trained on."""

import numpy as np

from ms_restore import api, registry
from ms_restore.data.sources import open_evaluation
from ms_restore.images.arrays import to_float
from ms_restore.metrics import scoring
from ms_restore.metrics.quality import psnr


def test_sid_small_is_clean_and_keeps_the_colours():
    restorer = api.load_model("sid_small", device_target="CPU")
    degradation = registry.build("degradation", restorer.recipe.degradation)
    photos = open_evaluation(None, restorer.recipe.data, 3, 1)
    values = []
    for trial in scoring.restored_images(restorer, degradation, photos, restorer.recipe.seed):
        x_hat, x = trial.x_hat.astype(np.float64), trial.x.astype(np.float64)
        colour = x.mean((0, 1))
        off = np.linalg.norm(x_hat.mean((0, 1)) - colour) / np.linalg.norm(colour)
        assert off < 0.03, trial.name
        values.append(psnr(trial.x_hat, trial.x, peak=1.0))
    assert len(values) == 4
    assert np.mean(values) > 25.5


def test_photo_small_x2_is_better_than_enlarging_a_degraded_photo():
    restorer = api.load_model("photo_small_x2", device_target="CPU")
    degradation = registry.build("degradation", restorer.recipe.degradation)
    photos = open_evaluation(None, restorer.recipe.data, 3, 1)
    gains = []
    for trial in scoring.restored_images(restorer, degradation, photos, 0):
        enlarged = to_float(degradation.baseline(trial.y))
        gains.append(psnr(trial.x_hat, trial.x, peak=1.0) - psnr(enlarged, trial.x, peak=1.0))
    assert len(gains) == 4
    assert min(gains) > 0
    assert np.mean(gains) > 0.8
