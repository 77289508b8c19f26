"""The solver on small pictures, with a prior that merely smooths."""

import numpy as np
import pytest

from ms_restore.contracts import Geometry
from ms_restore.data import photos
from ms_restore.degradations import demosaicing, kernels
from ms_restore.degradations.bayer_mosaic import BayerMosaic
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.deploy.translation import onnx_graph
from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.metrics.quality import psnr
from ms_restore.solvers.dmsp import DMSP
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.verbs.network_loading import network_of

KERNEL = kernels.load("motion:7:30")
KERNEL = kernels.normalise(KERNEL * np.arange(1, 1 + KERNEL.shape[1]))  # without symmetry
ENGINES = ["mindspore", "onnxruntime"]


@pytest.fixture(scope="module")
def prior(smoother):
    return DenoiserPrior(LoadedNetwork.of(*network_of(smoother, None, None)))


@pytest.fixture(scope="module")
def x():
    """(1, 3, 49, 57), smooth enough for the prior."""
    photo = photos.load("astronaut")[20:216, 120:348].astype(float)
    return photo.reshape(49, 4, 57, 4, 3).mean(axis=(1, 3)).transpose(2, 0, 1)[None] / 255


def _solver(prior, engine="mindspore", **options):
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="ONNX Runtime is an optional peer")
        cell = prior.loaded.cell
        by = OnnxRuntimeEngine(onnx_graph.model_of(cell).SerializeToString())
        prior = DenoiserPrior(LoadedNetwork(by, Geometry.of(cell), prior.recipe))
    return DMSP(prior, **{"iterations": 30, **options})


def _noisy(y, sigma_255=2.55):
    return y + np.random.default_rng(0).standard_normal(y.shape) * sigma_255 / 255


def _gain(x, x_hat, start, cut=8):
    window = (..., slice(cut, -cut), slice(cut, -cut))
    return psnr(x_hat[window], x[window], 1) - psnr(start[window].clip(0, 1), x[window], 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("blind", [False, True])
def test_deblurring(prior, x, engine, blind):
    operator = Blur(KERNEL)
    y = _noisy(operator.forward(x))
    solver = _solver(prior, engine, noise_blind=blind)
    solution = solver(y, operator, sigma_255=2.55)
    assert solution.x_hat.shape == x.shape
    assert solution.x_hat.dtype == np.float32
    assert solution.engine == engine
    assert 0 <= solution.x_hat.min() <= solution.x_hat.max() <= 1
    assert _gain(x, solution.x_hat, operator.start(y)) > (1 if blind else 3)
    misfit = operator.forward(solution.x_hat.astype(float)) - y
    assert solution.misfit_255[0] == pytest.approx(255 * np.sqrt(np.mean(misfit**2)), rel=0.15)


def test_one_iteration_is_the_formula(prior, x):
    """Against the update written out, with SciPy's convolution, on a prior asked without noise."""
    from scipy.signal import convolve2d

    operator = Blur(KERNEL)
    y = _noisy(operator.forward(x))
    for sigma in (5.0, None):
        descent = _solver(prior).descent(y, operator, sigma_255=sigma)
        descent._noise.sigma = 0.0
        descent.advance()
        start = operator.start(y)
        denoise = prior.cell()
        import mindspore as ms

        g_p = start - denoise(ms.Tensor(start, ms.float32)).asnumpy()
        e = operator.forward(start) - y
        g_d = np.stack([convolve2d(plane, KERNEL, "full") for plane in e[0]])[None]
        if sigma is None:
            lam = e.size / ((e**2).sum() + e.size * 2 * (11 / 255) ** 2 * (KERNEL**2).sum())
            w = lam / (lam + (11 / 255) ** -2)
        else:
            w = sigma**-2 / (sigma**-2 + 11**-2)
        expected = np.clip(start - 0.1 * (w * g_d + (1 - w) * g_p), 0, 1)
        assert np.abs(descent.image() - expected).max() < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_seed_decides(prior, x, engine):
    operator = Mask(np.random.default_rng(2).random(x.shape[2:]) > 0.4)
    y = operator.forward(x)
    solver = _solver(prior, engine, iterations=3)
    first, again, other = (solver(y, operator, sigma_255=2.55, seed=s).x_hat for s in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("operator", "sigma_255", "least"),
    [
        (lambda x: BlurDownsample(KERNEL, 2), 2.55, 2),
        (lambda x: BayerMosaic(), 2.55, -1),
        (lambda x: Mask(np.random.default_rng(2).random(x.shape[2:]) > 0.5), 2.55, 0),
        (lambda x: Blur(), 25, 0.8),
    ],
    ids=["super-resolution", "demosaicing", "inpainting", "denoising"],
)
def test_other_tasks(prior, x, operator, sigma_255, least, monkeypatch):
    """A prior that smooths knows no more than the bilinear start of the mosaic: that must stay."""
    monkeypatch.setattr(demosaicing, "is_installed", lambda: False)
    half = operator(x).half
    x = x[:, :, : 40 + 2 * half[0], : 40 + 2 * half[1]]
    built = operator(x)
    y = _noisy(built.forward(x), sigma_255)
    solution = _solver(prior)(y, built, sigma_255=sigma_255)
    assert solution.x_hat.shape == x.shape
    assert _gain(x, solution.x_hat, built.start(y)) > least


def test_a_batch_is_its_images(prior, x):
    """Noise-blind estimates one level for each image, not one for all."""
    operator = Blur(KERNEL)
    clean = operator.forward(x)
    y = np.concatenate([_noisy(clean, 1), _noisy(clean, 20)])
    descents = [
        _solver(prior).descent(part, operator, sigma_255=None) for part in (y, y[:1], y[1:])
    ]
    for descent in descents:
        descent._noise.sigma = 0.0
        for _ in range(3):
            descent.advance()
    together, *alone = (descent.image() for descent in descents)
    assert np.abs(together - np.concatenate(alone)).max() < 1e-5
    misfits = descents[0].figures()[0]
    assert misfits.shape == (2,)
    assert misfits[1] > misfits[0] + 5


def test_ends_when_updates_are_small(prior, x):
    seen = []
    solution = _solver(prior, iterations=100, tolerance=0.5)(
        x, Blur(), sigma_255=2.55, monitor=lambda progress: seen.append(progress.iteration)
    )
    assert solution.iterations == 20
    whole = _solver(prior, iterations=25)(
        x, Blur(), sigma_255=2.55, monitor=lambda progress: seen.append(progress.iteration)
    )
    assert whole.iterations == 25
    assert seen == [1, 10, 20, 1, 10, 20, 25]


def test_float16_prior(prior, x, smoother):
    operator = Blur(KERNEL)
    y = _noisy(operator.forward(x))
    single = _solver(prior)(y, operator, sigma_255=2.55).x_hat
    own = DenoiserPrior(LoadedNetwork.of(*network_of(smoother, None, None)))
    half = _solver(own, amp_level="O2")(y, operator, sigma_255=2.55).x_hat
    assert half.dtype == np.float32
    assert 0 < np.abs(half - single).max() < 0.02


def test_without_noise_is_with_the_noise_of_rounding(prior, x):
    solver = _solver(prior, iterations=3)
    zero = solver(x, Blur(), sigma_255=0).x_hat
    rounding = solver(x, Blur(), sigma_255=12**-0.5).x_hat
    assert (zero == rounding).all()


def test_slips(prior, x):
    with pytest.raises(InputError, match="sigma_255 -1: expected 0 to 255"):
        _solver(prior)(x, Blur(), sigma_255=-1)
    with pytest.raises(InputError, match="O2 needs engine mindspore"):
        _solver(prior, "onnxruntime", amp_level="O2")


def test_pictures_of_one_size_share_a_graph(prior, x, monkeypatch):
    """A folder is compiled once for each size; the noise begins anew for each picture."""
    from ms_restore.solvers.dmsp import DMSPIteration

    compiled, compile_ = [], DMSPIteration.compile
    monkeypatch.setattr(
        DMSPIteration,
        "compile",
        lambda self, *arguments, **options: (
            compiled.append(arguments[0].shape),
            compile_(self, *arguments, **options),
        )[1],
    )
    operator = Blur(KERNEL)
    solver = _solver(prior, iterations=3)
    pictures = [x, x[:, :, ::-1], x[:, :, :40], x]
    restored = [solver(operator.forward(p), operator, sigma_255=2.55).x_hat for p in pictures]
    assert (restored[0] == restored[3]).all()
    assert len(set(compiled)) == 2
    assert len(set(map(id, solver._kept.cells))) == 2
    solver(operator.forward(x), Blur(KERNEL), sigma_255=2.55)
    assert len(solver._kept.cells) == 3
    for level in (1.0, 2.0, 3.0):
        solver(operator.forward(x), operator, sigma_255=level)
    assert len(solver._kept.cells) == 4
