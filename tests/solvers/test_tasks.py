import numpy as np
import PIL.Image
import pytest

from ms_restore.degradations.bayer_mosaic import BayerMosaic
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.solvers import tasks
from ms_restore.solvers.dmsp import DMSP
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.verbs.network_loading import network_of


@pytest.fixture(scope="module")
def solver(smoother):
    return DMSP(DenoiserPrior(LoadedNetwork.of(*network_of(smoother, None, None))), iterations=4)


def test_operators_of_the_tasks(tmp_path):
    mask = np.full((6, 8), 255, np.uint8)
    mask[2, 3] = 0
    PIL.Image.fromarray(mask).save(tmp_path / "mask.png")
    blur = tasks.task_operator("deblur", kernel="motion:5:0")
    assert isinstance(blur, Blur)
    assert blur.kernel.shape == (1, 5)
    larger = tasks.task_operator("super_resolve", scale=3)
    assert isinstance(larger, BlurDownsample)
    assert (larger.scale, larger.kernel.shape) == (3, (11, 11))
    mosaic = tasks.task_operator("demosaic", pattern="BGGR")
    assert isinstance(mosaic, BayerMosaic)
    assert mosaic.pattern == "BGGR"
    holes = tasks.task_operator("inpaint", mask=tmp_path / "mask.png")
    assert isinstance(holes, Mask)
    assert holes.mask.sum() == 47
    assert holes.mask[2, 3] == 0
    assert tasks.task_operator("denoise").kernel.size == 1


@pytest.mark.parametrize(
    ("task", "options", "expected"),
    [
        ("deblurr", {}, "task 'deblurr' is not known .did you mean 'deblur'"),
        ("deblur", {}, "deblur needs the kernel"),
        ("super_resolve", {}, "super_resolve needs --scale"),
        ("super_resolve", {"scale": 1}, "super_resolve needs --scale"),
        ("inpaint", {}, "inpaint needs --mask"),
        ("denoise", {"kernel": "disk:2"}, "--kernel belongs to deblur and super_resolve, not to"),
        ("deblur", {"kernel": "disk:2", "scale": 2}, "--scale belongs to super_resolve, not to"),
        ("denoise", {"pattern": "RGGB"}, "--pattern belongs to demosaic, not to denoise"),
    ],
)
def test_options_that_do_not_fit_the_task(task, options, expected):
    with pytest.raises(InputError, match=expected):
        tasks.task_operator(task, **options)


def test_noise_that_is_assumed():
    assert tasks.task_sigma_255("deblur", 2.55, False) == 2.55
    assert tasks.task_sigma_255("deblur", None, False) is None
    assert tasks.task_sigma_255("demosaic", None, True) is None
    assert tasks.task_sigma_255("demosaic", None, False) > 0
    with pytest.raises(InputError, match="exclude each other"):
        tasks.task_sigma_255("deblur", 2.55, True)
    with pytest.raises(InputError, match="sigma_255 -3: expected 0 to 255"):
        tasks.task_sigma_255("deblur", -3.0, False)
    with pytest.raises(InputError, match="denoise needs the noise"):
        tasks.task_sigma_255("denoise", None, False)


@pytest.mark.parametrize(
    ("operator", "channels", "whole", "expected"),
    [
        (Blur(np.full((3, 5), 1 / 15)), 3, True, (22, 30, 3)),
        (Blur(np.full((3, 5), 1 / 15)), 3, False, (20, 26, 3)),
        (Blur(np.full((3, 5), 1 / 15)), 1, False, (20, 26, 1)),
        (BlurDownsample(np.full((3, 5), 1 / 15), 2), 3, False, (40, 52, 3)),
        (BayerMosaic(), 1, False, (20, 26, 3)),
    ],
)
def test_sizes_and_channels(solver, operator, channels, whole, expected):
    y = np.random.default_rng(0).random((20, 26, channels), np.float32)
    x_hat, solution = tasks.restore_image(solver, y, operator, sigma_255=5, whole=whole)
    assert x_hat.shape == expected
    assert solution.iterations == 4


def test_images_that_do_not_fit_the_operator(solver):
    rgb = np.zeros((10, 12, 3), np.float32)
    with pytest.raises(InputError, match=r"mosaic of one channel, this image has 3"):
        tasks.restore_image(solver, rgb, BayerMosaic(), sigma_255=5)
    with pytest.raises(InputError, match=r"kernel is 11x11 .* larger than the image of 10x12"):
        tasks.restore_image(solver, rgb, Blur(np.ones((11, 11))), sigma_255=5)
    with pytest.raises(InputError, match=r"mask is 5x5, the image 12x10"):
        tasks.restore_image(solver, rgb, Mask(np.ones((5, 5))), sigma_255=5)
