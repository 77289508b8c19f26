"""The published prior and the figures of the authors' solver, where the reference data is there."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from ms_restore import api
from ms_restore.degradations import kernels
from ms_restore.degradations.operators import Blur
from ms_restore.images.reading import read_picture
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.metrics.quality import psnr
from ms_restore.solvers.dmsp import DMSP
from ms_restore.verbs.loading import prior_of
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import foreign

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "dmsp"
pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no reference data: {REFERENCE}")


@pytest.fixture(scope="module")
def dae(tmp_path_factory):
    path = tmp_path_factory.mktemp("dae") / "dae.ckpt"
    return api.convert(REFERENCE / "DAE_sigma11.mat", path)


def test_the_converted_prior_equals_the_published_one(dae):
    """In PyTorch, from the file's own arrays, on BGR in 0..255."""
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    arrays = foreign.read(REFERENCE / "DAE_sigma11.mat")
    y = np.random.default_rng(0).random((1, 3, 40, 52), np.float32)
    theirs = torch.from_numpy(np.ascontiguousarray(y[:, ::-1]) * 255)
    h = theirs
    for layer in range(20):
        weight, bias = (
            torch.from_numpy(arrays[f"cell.{2 * layer}.{k}"]) for k in ("weight", "bias")
        )
        weight = weight.transpose(2, 3)  # as the authors' ports take it
        h = torch.nn.functional.conv2d(h, weight, bias, padding=1)
        h = torch.relu(h) if layer < 19 else h
    expected = (theirs + h).numpy()[:, ::-1] / 255
    network, _ = network_of(dae, None, None)
    ours = network(ms.Tensor(y)).asnumpy()
    assert np.abs(expected - y).max() > 0.05
    assert np.abs(ours - expected).max() < 1e-4


@pytest.mark.long
@pytest.mark.parametrize(("blind", "figure"), [(False, 25.74), (True, 25.51)])
def test_deblurring_gives_the_figures_of_the_authors_solver(dae, blind, figure):
    """Centre 180x180 of the photo, kernel 0, sigma 2.55, 300 iterations, NumPy's legacy seed 0."""
    x = read_picture(REFERENCE / "101085.jpg").pixels[150:330, 70:250].astype(np.float64)
    kernel = kernels.load(f"{REFERENCE / 'kernels.mat'}:0")
    operator = Blur(kernel)
    y = operator.forward(x.transpose(2, 0, 1)[None] / 255)
    noise = np.random.RandomState(0).randn(*y.shape[2:], 3) * 2.55 / 255
    y = y + noise.transpose(2, 0, 1)

    def score(restored):
        rows, columns = operator.half
        inside = (slice(rows, -rows), slice(columns, -columns))
        pixels = np.round(restored[0].transpose(1, 2, 0).clip(0, 1) * 255)
        return psnr(pixels[inside], x[inside])

    assert score(operator.start(y)) == pytest.approx(18.81, abs=0.01)
    solver = DMSP(prior_of(dae, {}, EngineOptions()))
    solution = solver(y, operator, sigma_255=None if blind else 2.55)
    assert solution.iterations == 300
    assert score(solution.x_hat) == pytest.approx(figure, abs=0.1)
