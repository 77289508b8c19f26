"""DPIR: its data step against the minimum by conjugate gradients, and which prior it takes."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from scipy.sparse.linalg import LinearOperator, cg

from ms_restore import api
from ms_restore.degradations import kernels
from ms_restore.degradations.bayer_mosaic import BayerMosaic
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.errors import InputError
from ms_restore.images.arrays import from_float
from ms_restore.images.picture import Picture
from ms_restore.images.reading import read_picture
from ms_restore.images.writing import write_picture
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.metrics.quality import psnr
from ms_restore.solvers.dpir import DPIR
from ms_restore.verbs.loading import prior_of

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
RNG = np.random.default_rng(0)
KERNEL = RNG.random((5, 3))
KERNEL /= KERNEL.sum()
SIZE = (24, 20)
ALPHA = 0.1
DATA_STEPS = [
    (Mask(RNG.random(SIZE) > 0.5), SIZE, 1e-5),
    (BayerMosaic(), SIZE, 1e-5),
    (BlurDownsample(None, 2), SIZE, 1e-5),
    (Blur(KERNEL), SIZE, 1e-3),
    (BlurDownsample(KERNEL, 2), (25, 22), 1e-3),
    (BlurDownsample(KERNEL, 3), (26, 20), 1e-3),
    (Mask(RNG.random((20, 18)) > 0.5, KERNEL), SIZE, 1e-2),
]
DATA_STEP_IDS = ["mask", "mosaic", "samples", "blur", "x2", "x3", "blur and mask"]
PRIOR = 26.0  # dB, of prior_small in the test of deblurring


@pytest.mark.parametrize(("operator", "size", "tolerance"), DATA_STEPS, ids=DATA_STEP_IDS)
def test_the_data_step_is_the_minimum(operator, size, tolerance):
    """Of |A x - y|^2 + alpha |x - z|^2, for any z."""
    x, z = RNG.random((2, 1, 3, *size)).astype(np.float32)
    y = operator.forward(x)

    def cost(x):
        return ((operator.forward(x) - y) ** 2).sum() + ALPHA * ((x - z) ** 2).sum()

    def normal(v):
        v = v.reshape(z.shape)
        return (operator.adjoint(operator.forward(v), size) + ALPHA * v).ravel()

    equations = LinearOperator((z.size, z.size), matvec=normal, dtype=np.float64)
    right = (operator.adjoint(y.astype(np.float64), size) + ALPHA * z).ravel()
    best, _ = cg(equations, right, rtol=1e-10)
    found = operator.proximal(z, y, ALPHA)
    assert found.dtype == np.float32
    assert cost(found) <= cost(best.reshape(z.shape)) * (1 + tolerance)
    assert cost(z) > 1.5 * cost(found)


@pytest.mark.parametrize(("operator", "size"), [case[:2] for case in DATA_STEPS], ids=DATA_STEP_IDS)
def test_the_data_step_on_the_device_is_that_of_numpy(operator, size):
    x, z = RNG.random((2, 2, 3, *size)).astype(np.float32)
    y = operator.forward(x)
    cell = operator.proximal_cell(y, size)
    held, alpha = ms.Tensor(operator.held(y, size)), ms.Tensor([ALPHA], ms.float32)
    found = cell(ms.Tensor(z), held, alpha).asnumpy()
    assert found.shape == z.shape
    np.testing.assert_allclose(found, operator.proximal(z, y, ALPHA), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("operator", [Blur(KERNEL), BlurDownsample(KERNEL, 2)], ids=["blur", "x2"])
def test_both_ways_restore_alike(operator, told_smoother):
    """All eight turns, of an image that is not square; for another image nothing is compiled."""
    y = operator.forward(RNG.random((2, 1, 3, 25, 22)).astype(np.float32)[0])
    by = {
        engine: DPIR(prior_of(told_smoother, {}, EngineOptions(engine)), iterations=9)
        for engine in ("mindspore", "onnxruntime")
    }
    seen = []
    solutions = {
        engine: solver(y, operator, sigma_255=2.0, monitor=lambda p: seen.append(p.iteration))
        for engine, solver in by.items()
    }
    assert seen == 2 * list(range(1, 10))
    found, expected = solutions["mindspore"], solutions["onnxruntime"]
    np.testing.assert_allclose(found.x_hat, expected.x_hat, atol=1e-4)
    np.testing.assert_allclose(found.misfit_255, expected.misfit_255, atol=0.02)
    assert np.ptp(expected.x_hat) > 0.1
    graphs, _ = by["mindspore"]._cells
    compiled = {cell: list(cell.compile_cache) for cell in graphs.cells}
    assert [len(phases) for phases in compiled.values()] == [1, 1]  # upright and turned
    by["mindspore"](y[:, :, ::-1], operator, sigma_255=2.0)
    assert {cell: list(cell.compile_cache) for cell in graphs.cells} == compiled


def test_a_prior_of_one_level_is_refused(smoother):
    with pytest.raises(InputError, match="told the noise level, such as ffdnet_color; dmsp_dae"):
        DPIR(prior_of(smoother, {}, EngineOptions("onnxruntime")))


@pytest.fixture
def blurred(tmp_path):
    x = np.random.default_rng(1).random((1, 3, 34, 30), np.float32)
    y = Blur(kernels.load("disk:1")).forward(x)[0].transpose(1, 2, 0)
    write_picture(tmp_path / "in.png", Picture(from_float(y, np.dtype(np.uint8))))
    return tmp_path / "in.png"


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["mindspore", "onnxruntime"])
def test_the_prior_decides_which_solver_restores(blurred, smoother, told_smoother, capsys, engine):
    """Odd sizes too, of which the denoiser takes none."""
    options = {"kernel": "disk:1", "sigma_255": 2.0, "device_target": "CPU", "engine": engine}
    few = {"solver.iterations": 2}
    for prior, solver in ((told_smoother, "dpir"), (smoother, "dmsp")):
        out = blurred.with_name(f"{solver}.png")
        api.restore("deblur", prior, blurred, out, settings=few, **options)
        said = capsys.readouterr().out
        assert f"solver {solver}, prior" in said
        assert "at most 2 iterations" in said
        assert read_picture(out).pixels.shape == (34, 30, 3)
    api.restore("deblur", told_smoother, blurred, out, solver="dmsp", settings=few, **options)
    assert "solver dmsp, prior ffdnet_color (any sigma)" in capsys.readouterr().out


def test_slips(blurred, smoother):
    options = {"kernel": "disk:1", "device_target": "CPU"}
    out = blurred.with_name("out.png")
    with pytest.raises(InputError, match="solver dpir needs a denoiser that is told"):
        api.restore("deblur", smoother, blurred, out, solver="dpir", **options)
    with pytest.raises(InputError, match="unknown solver 'dpri' .did you mean 'dpir'"):
        api.restore("deblur", smoother, blurred, out, solver="dpri", **options)
    with pytest.raises(InputError, match="--solver dpir and --model both name a solver"):
        api.restore("deblur", smoother, blurred, out, solver="dpir", model="dmsp_deblur", **options)
    with pytest.raises(InputError, match="solver.setp: unknown key .did you mean 'step'"):
        api.restore("deblur", smoother, blurred, out, settings={"solver.setp": 1}, **options)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no reference data: {REFERENCE}")
@pytest.mark.parametrize(
    ("weights", "expected"),
    [(REFERENCE / "matconvnet" / "FFDNet_color.mat", 26.26), ("prior_small", PRIOR)],
    ids=["ffdnet", "prior_small"],
)
def test_deblurring_beats_dmsp_on_its_authors_test(weights, expected):
    """DMSP with its own authors' prior gives 25.74 dB."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    prior = prior_of(weights, {}, EngineOptions())
    x = read_picture(REFERENCE / "dmsp" / "101085.jpg").pixels[150:330, 70:250].astype(np.float64)
    operator = Blur(kernels.load(f"{REFERENCE / 'dmsp' / 'kernels.mat'}:0"))
    y = operator.forward(x.transpose(2, 0, 1)[None] / 255)
    noise = np.random.RandomState(0).randn(*y.shape[2:], 3) * 2.55 / 255
    x_hat = DPIR(prior)(y + noise.transpose(2, 0, 1), operator, sigma_255=2.55).x_hat
    rows, columns = operator.half
    inside = (slice(rows, -rows), slice(columns, -columns))
    pixels = np.round(x_hat[0].transpose(1, 2, 0) * 255)
    assert psnr(pixels[inside], x[inside]) == pytest.approx(expected, abs=0.05)


@pytest.mark.long
@pytest.mark.skipif(not REFERENCE.is_dir(), reason=f"no reference data: {REFERENCE}")
def test_demosaicing_beats_menon(tmp_path):
    """On McMaster without noise, centre 160x160, with FFDNet of its authors: asked is 1 dB."""
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is optional")
    pytest.importorskip("colour_demosaicing", reason="Menon's is optional")
    weights = tmp_path / "ffdnet.ckpt"
    api.convert(REFERENCE / "matconvnet" / "FFDNet_color.mat", weights)
    metrics = api.evaluate(
        weights,
        model="dpir_demosaic",
        data_dir=REFERENCE / "mcmaster",
        output_dir=tmp_path / "eval",
        settings={"eval.crop": 160},
    )
    assert metrics["baseline"] == "Menon 2007" and len(metrics["images"]) == 18
    assert metrics["mean"]["psnr"] - metrics["mean"]["baseline_psnr"] > 3
