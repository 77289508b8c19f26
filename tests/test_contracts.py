"""Every registered part and those of examples/ keep to their contracts."""

from __future__ import annotations

import functools
import inspect
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from ms_restore import registry
from ms_restore.contracts import Degradation, Geometry, PatchLocation, PatchRequest
from ms_restore.data import sources
from ms_restore.data.prepared.image_set import PreparedSet, RecordSource
from ms_restore.degradations.bayer_mosaic import BayerMosaic
from ms_restore.degradations.operators import Blur, BlurDownsample, Mask
from ms_restore.images.mosaic import BAYER
from ms_restore.inference.engine_selection import EngineOptions
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.preparation.selection import prepare
from ms_restore.solvers.priors import DenoiserPrior
from ms_restore.training.losses import MSE
from ms_restore.training.step import LossScale, NetworkWithLoss, TrainStep
from ms_restore.verbs.loading import load_network
from tests.conftest import REDUCED

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.append(str(EXAMPLES))  # as a package of one's own is found
OWN = {
    "network": "my_parts.networks:GatedNet",
    "degradation": "my_parts.degradations:Speckle",
    "loss": "my_parts.losses:Cauchy",
    "schedule": "my_parts.schedules:warm_restarts",
    "optimizer": "my_parts.optimizers:rms_prop",
    "solver": "my_parts.solvers:PlugAndPlay",
}
NEEDED = {  # settings without a default, of whichever part has them
    "factor": 3,
    "factors": [2, 3],
    "quality": 40,
    "kernel": "gaussian:1.0",
    "scale": 2,
    "sigma_255": [5.0, 50.0],
    "photons": [10.0, 50.0],
    "every": 3,
    "milestones": [4],
    "final": 0.1,
    "epoch": 2,
}


def names(kind):
    return [*registry.REGISTRY[kind], OWN[kind]]


def part(kind, name, **settings):
    """The part with its needed settings, checked as a recipe's."""
    parameters = inspect.signature(registry.find(kind, name)).parameters.values()
    wanted = {
        p.name: NEEDED[p.name]
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    }
    if name == "mixture":
        wanted["quality"] = [20, 60]
    if name.startswith("blur"):
        wanted.pop("sigma_255", None)
    checked, problems = registry.check(kind, {"name": name, **wanted, **settings}, kind)
    assert not problems
    return checked


@functools.cache
def network(name):
    return registry.build("network", part("network", name, **REDUCED.get(name, {})))


@pytest.mark.parametrize("name", names("network"))
def test_networks_give_the_shape_that_they_say(name):
    cell, geometry = network(name), Geometry.of(network(name))
    assert isinstance(cell, nn.Cell)
    engine = MindSporeEngine(cell)
    for height, width in geometry.example_sizes():
        y = np.random.default_rng(0).random((2, geometry.input_channels, height, width), np.float32)
        x_hat = engine(y)
        sides = (height * geometry.scale, width * geometry.scale)
        assert x_hat.shape == (2, geometry.output_channels, *sides)
        assert x_hat.dtype == np.float32
        assert np.isfinite(x_hat).all()


@pytest.mark.parametrize("multiple", [1, 2, 7, 8, 16, 32])
def test_sizes_to_try_a_network_with_are_small(multiple):
    """SwinIR's attention in MindSpore takes gigabytes for pictures of some hundred pixels."""
    sizes = Geometry(1, 3, None, 1, multiple, 3, None).example_sizes()
    assert len(set(sizes)) == 3
    assert all(side % multiple == 0 for size in sizes for side in size)
    assert max(map(max, sizes)) <= max(70, 3 * multiple)


@pytest.mark.slow
@pytest.mark.parametrize("name", names("network"))
def test_every_weight_gets_a_finite_gradient(name):
    cell, geometry = network(name), Geometry.of(network(name))
    side = geometry.side or 2 * geometry.size_multiple * (8 if geometry.size_multiple == 1 else 1)
    rng = np.random.default_rng(1)
    for parameter in cell.trainable_params():  # zeros at the start would hide what is behind them
        if not parameter.asnumpy().any():
            noise = rng.normal(0, 0.1, parameter.shape).astype(np.float32)
            parameter.set_data(ms.Tensor(noise))
    y = ms.Tensor(rng.random((1, geometry.input_channels, side, side), np.float32))
    large = geometry.scale * side
    x = ms.Tensor(rng.random((1, geometry.output_channels, large, large), np.float32))
    cell.set_train()
    weights = cell.trainable_params()
    gradients = ops.grad(NetworkWithLoss(cell, MSE()), None, weights)(y, x)
    cell.set_train(False)
    for parameter, gradient in zip(weights, gradients):
        values = gradient.asnumpy()
        assert np.isfinite(values).all(), parameter.name
        assert np.abs(values).max() > 0, parameter.name


@pytest.mark.parametrize("name", names("degradation"))
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_degradations_of_whole_images(name, dtype):
    """The size that the scale says, the same for the same generator, and a baseline of x's size."""
    made = registry.build("degradation", part("degradation", name))
    assert isinstance(made, Degradation)
    for size in [(48, 60), (41, 53)]:
        size = tuple(side - side % made.scale for side in size)
        channels = 1 if name == "undersampled" else 3
        x = (np.random.default_rng(0).random((*size, channels)) * scale_of(dtype)).astype(dtype)
        before = x.copy()
        first, again = (made(x, np.random.default_rng(3)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(x, before)
        assert np.isfinite(first).all()
        assert first.dtype in (np.uint8, np.uint16, np.float32)
        lost = 2 * made.margin if name in ("blur", "blur_downsample") else 0
        assert first.shape[:2] == tuple(-(-(side - lost) // made.scale) for side in size)
        if not lost:
            assert made.baseline(first).shape[:2] == size


def scale_of(dtype):
    return 1 if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max


TRAINABLE = [n for n in names("degradation") if n not in ("blur", "blur_downsample", "bayer")]


@pytest.mark.parametrize("name", TRAINABLE)
def test_degradations_of_patches(name):
    """A patch depends on its own generator alone; a pair is of two independent ones."""
    made = registry.build("degradation", part("degradation", name))
    side = 24 + 2 * made.margin
    channels = 1 if name == "undersampled" else 3
    x = np.random.default_rng(0).integers(0, 256, (3, channels, side, side)).astype(np.uint8)
    y = made.patches(x.copy(), [np.random.default_rng(n) for n in range(3)])
    assert y.shape[0] == 3
    assert y.shape[2:] == (24 // made.scale,) * 2
    alone = made.patches(x[1:2].copy(), [np.random.default_rng(1)])
    np.testing.assert_allclose(y[1:2], alone, atol=1e-6)
    first, target = made.pairs(x.copy(), [np.random.default_rng(n) for n in range(3)])
    np.testing.assert_allclose(first, y, atol=1e-6)
    assert target.shape[0] == 3
    random = name not in ("bicubic", "bicubic_upsampled")
    assert (not np.array_equal(first, target[:, : first.shape[1]])) == random


def test_a_degradation_keeps_its_settings():
    made = registry.build("degradation", part("degradation", OWN["degradation"], strength=0.3))
    assert made.settings == {"strength": 0.3}


@pytest.mark.parametrize("name", names("loss"))
def test_losses_are_finite_scalars_with_gradients(name):
    loss = registry.build("loss", part("loss", name))
    rng = np.random.default_rng(0)
    x_hat, x = (ms.Tensor(rng.random((2, 3, 7, 5), np.float32)) for _ in range(2))
    value, gradient = ops.value_and_grad(loss)(x_hat, x)
    assert value.shape == ()
    assert value.dtype == ms.float32
    assert np.isfinite(float(value))
    assert gradient.shape == x_hat.shape
    assert np.isfinite(gradient.asnumpy()).all()


@pytest.mark.parametrize("name", names("schedule"))
def test_schedules_give_a_factor_for_every_step(name):
    factor = registry.bound("schedule", part("schedule", name))
    values = [factor(step, 12) for step in range(12)]
    assert all(isinstance(value, float) and 0 <= value <= 1 for value in values)
    assert max(values) > 0


@pytest.mark.parametrize("name", names("optimizer"))
def test_optimizers_take_a_rate_for_every_update(name):
    """The first rate is 0, so the first update changes nothing; the second goes downhill."""
    dense = nn.Dense(1, 1, weight_init="ones", has_bias=False)
    optimizer = registry.build(
        "optimizer", part("optimizer", name), dense.trainable_params(), [0.0, 0.05]
    )
    step = TrainStep(NetworkWithLoss(dense, MSE()), optimizer, LossScale("none", 1)).set_train()
    y, x = (ms.Tensor(np.array([[value]], np.float32)) for value in (2.0, 1.0))
    step(y, x)
    assert float(dense.weight) == 1
    step(y, x)
    assert 0.5 < float(dense.weight) < 1


@pytest.mark.parametrize("name", names("solver"))
@pytest.mark.parametrize(
    "operator",
    [
        Blur(np.full((3, 3), 1 / 9)),
        BlurDownsample(np.full((3, 3), 1 / 9), 2),
        Mask(np.indices((14, 11)).sum(axis=0) % 3 > 0),
        BayerMosaic(),
    ],
    ids=lambda operator: operator.name,
)
def test_solvers_restore_a_batch(name, operator, smoother, told_smoother):
    told_prior = name == "dpir"
    loaded = load_network(
        told_smoother if told_prior else smoother, options=EngineOptions("onnxruntime")
    )
    solver = registry.build("solver", part("solver", name, iterations=3), DenoiserPrior(loaded))
    x = np.random.default_rng(0).random((2, 3, 14, 11), np.float32)
    y = operator.forward(x)
    told = []
    solutions = [solver(y, operator, sigma_255=5.0, seed=4, monitor=told.append) for _ in range(2)]
    assert solutions[0].x_hat.shape[:2] == (2, 3)
    rows, columns = operator.input_size(*y.shape[2:])
    assert solutions[0].x_hat.shape[2:] == (rows, columns)
    assert 0 <= solutions[0].x_hat.min() <= solutions[0].x_hat.max() <= 1
    np.testing.assert_array_equal(solutions[0].x_hat, solutions[1].x_hat)
    assert solutions[0].iterations == solver.iterations == 3
    assert told[0].iteration == 1
    assert told[-1].iteration == 3
    assert solver.prior.recipe.model == ("ffdnet_color" if told_prior else "dmsp_dae")


def test_engines_have_a_name_and_a_shape(smoother):
    y = np.random.default_rng(0).random((1, 3, 9, 8), np.float32)
    made = {}
    for name in ("mindspore", "mindir", "onnxruntime"):
        engine = load_network(smoother, options=EngineOptions(name)).engine
        assert (engine.name, engine.shape) == (name, None)
        made[name] = engine(y)
        assert made[name].dtype == np.float32
    np.testing.assert_allclose(made["mindir"], made["mindspore"], atol=1e-6)
    np.testing.assert_allclose(made["onnxruntime"], made["mindspore"], atol=1e-6)


@pytest.fixture(scope="module")
def image_sources(pictures, tmp_path_factory):
    """Every kind of image source; all have patches of 24 pixels."""
    output = tmp_path_factory.mktemp("contract") / "set"
    prepare(pictures, output, model="tiny", scale=2, patch_size=24, margin=4)
    stored = PreparedSet(output)
    files = sorted(pictures.iterdir())
    folder = sources.FolderSource(files, 3, 24)
    return {
        "photos": sources.PhotoSource("held_out", 3, 24),
        "phantoms": sources.PhantomSource("held_out", 31),
        "folder": folder,
        "rescaled": sources.RescaledSource(folder, [1.0, 0.6], 24),
        "prepared": RecordSource(stored, range(len(stored)), 3, 24, 1 << 30),
        "streamed": RecordSource(stored, range(len(stored)), 3, 24, 0),
    }


@pytest.mark.parametrize(
    "kind", ["photos", "phantoms", "folder", "rescaled", "prepared", "streamed"]
)
def test_image_sources_agree_with_themselves(image_sources, kind):
    """Sizes and names are those of the images, and patches are cut from them."""
    source = image_sources[kind]
    assert len(source) == len(source.names) == len(source.sizes) == len(set(source.names))
    request = PatchRequest(24, margin=4, scale=2)
    source.check(request)
    assert list(source.patch_counts(request)) == [1] * len(source)
    places = []
    for index, size in enumerate(source.sizes):
        image = source[index]
        assert image.shape[:2] == size == source.size(index)
        assert image.dtype in (np.uint8, np.uint16)
        assert source.degraded(index) is None
        top, left = (2 * int((side - 24) // 4) for side in size)
        places.append(PatchLocation(index, top, left, 0, np.random.default_rng(index)))
    for place, patch in source.patches(iter(places), request):
        whole = source[place.image]
        height, width = (side - side % 2 for side in whole.shape[:2])
        around = np.pad(whole[:height, :width], ((4, 4), (4, 4), (0, 0)), mode="symmetric")
        expected = around[place.top : place.top + 32, place.left : place.left + 32]
        np.testing.assert_array_equal(patch.x, expected)
        assert patch.y is None


def test_a_mosaic_belongs_to_the_degradation_that_has_one():
    mosaics = {
        name: registry.build("degradation", part("degradation", name)).mosaic
        for name in names("degradation")
    }
    assert {name for name, mosaic in mosaics.items() if mosaic is not None} == {"low_light"}
    assert mosaics["low_light"] is BAYER


def test_a_cell_that_says_nothing_has_the_contracts_values():
    class Plain(nn.Cell):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 20, 3)

    assert Geometry.of(Plain()) == Geometry(
        scale=1,
        channels=3,
        receptive_radius=None,
        floats_per_pixel=80,
        size_multiple=1,
        output_channels=3,
        side=None,
    )
    assert LoadedNetwork.__dataclass_fields__["cell"].default is None
