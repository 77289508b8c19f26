"""The compiled operators against MindSpore's own, forward and all gradients."""

import mindspore as ms
import numpy as np
import psutil
import pytest
from mindspore import nn, ops

from ms_restore import recipe, registry
from ms_restore.contracts import Geometry
from ms_restore.networks.layers import (
    ChannelScale,
    LeakyReLU,
    NormalizedReLU,
    PlaneMean,
    PReLU,
    SimpleGate,
)
from ms_restore.networks.nafnet import ChannelNorm
from ms_restore.networks.window_attention import WindowAttention
from ms_restore.training.cpu_operators import (
    convolution_cells,
    euclidean_norm,
    library,
    replace_operators,
)
from ms_restore.training.step_builder import build_step
from tests.conftest import reduced

pytestmark = pytest.mark.usefixtures("compiled")
RTOL = 2e-5  # of the largest number


class _Squares(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, y):
        x = self.cell(y)
        return (x * x).sum(), x


def _values_and_gradients(cell, y):
    weights = tuple(cell.trainable_params()) or None
    function = ops.value_and_grad(_Squares(cell), 0, weights, has_aux=True)
    (_, x), gradients = function(ms.Tensor(y))
    of_input, of_weights = gradients if weights else (gradients, ())
    return [x.asnumpy(), of_input.asnumpy(), *(g.asnumpy() for g in of_weights)]


def _close(ours, expected):
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= RTOL * np.abs(other).max()


class _Scaled(nn.Cell):
    """By a weight for each channel, or by the image's own means."""

    def __init__(self, by_image):
        super().__init__()
        self.by_image, self.scale = by_image, ChannelScale()
        self.weight = ms.Parameter(np.ones((1, 10, 1, 1), np.float32))

    def construct(self, x):
        return self.scale(
            x, self.weight * x.mean((2, 3), keep_dims=True) if self.by_image else self.weight
        )


class _Attending(nn.Cell):
    """To itself, with positions that it learns; two images of two windows each."""

    def __init__(self, masked):
        super().__init__()
        self.attend = WindowAttention(3, masked)
        self.position = ms.Parameter(np.ones((1, 3, 49, 49), np.float32))
        far = np.random.default_rng(5).random((2, 1, 49, 49)) > 0.7
        self.mask = ms.Tensor(far.astype(np.float32) * -100)

    def construct(self, x):
        return self.attend(x, self.position, self.mask)


class _Normalised(nn.Cell):
    """In training, and weighted, or its sum of squares would depend on nothing."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(10, momentum=0.8)
        self.weights = ms.Tensor(np.random.default_rng(6).random((3, 10, 17, 9), np.float32))
        self.set_train()

    def construct(self, x):
        return self.norm(x) * self.weights


class _NormalisedReLU(NormalizedReLU):
    """In training, too."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(10, momentum=0.8)
        self.set_train()

    def construct(self, x):
        return self.activate(x)


CELLS = {
    "3x3": ((5, 24, 13, 18), lambda: nn.Conv2d(24, 40, 3, pad_mode="pad", padding=1)),
    "3x3 same, bias": ((2, 3, 17, 9), lambda: nn.Conv2d(3, 64, 3, has_bias=True)),
    "a large batch": ((6, 24, 128, 128), lambda: nn.Conv2d(24, 40, 3, has_bias=True)),
    "one image": ((1, 64, 16, 16), lambda: nn.Conv2d(64, 48, 3)),
    "one image, few channels": ((1, 16, 12, 12), lambda: nn.Conv2d(16, 3, 1)),
    "more weights than pixels": ((2, 64, 5, 4), lambda: nn.Conv2d(64, 96, 3, has_bias=True)),
    "more weights than pixels, one image": ((1, 96, 5, 4), lambda: nn.Conv2d(96, 64, 3)),
    "even kernel, same": ((3, 8, 10, 12), lambda: nn.Conv2d(8, 16, 4)),
    "valid": ((4, 8, 11, 12), lambda: nn.Conv2d(8, 16, (5, 3), pad_mode="valid")),
    "uneven padding": (
        (2, 8, 11, 12),
        lambda: nn.Conv2d(8, 16, 3, pad_mode="pad", padding=(0, 1, 2, 0)),
    ),
    "dilated": (
        (2, 24, 15, 18),
        lambda: nn.Conv2d(24, 40, 3, pad_mode="pad", padding=3, dilation=3, has_bias=True),
    ),
    "dilated, same": ((2, 8, 11, 12), lambda: nn.Conv2d(8, 16, 4, dilation=2)),
    "dilated, few channels": ((2, 3, 16, 9), lambda: nn.Conv2d(3, 3, 3, dilation=(4, 2))),
    "transposed": ((2, 32, 9, 7), lambda: nn.Conv2dTranspose(32, 16, 2, stride=2)),
    "transposed, padding": (
        (3, 16, 6, 8),
        lambda: nn.Conv2dTranspose(16, 8, 4, stride=2, pad_mode="pad", padding=1),
    ),
    "transposed, valid": (
        (3, 16, 6, 8),
        lambda: nn.Conv2dTranspose(16, 8, 5, stride=2, pad_mode="valid"),
    ),
    "transposed, one image": (
        (1, 64, 9, 7),
        lambda: nn.Conv2dTranspose(64, 32, 2, stride=2, has_bias=True),
    ),
    "depthwise": (
        (3, 5, 13, 18),
        lambda: nn.Conv2d(5, 5, 3, pad_mode="pad", padding=1, group=5, has_bias=True),
    ),
    "depthwise, other windows": (
        (2, 4, 11, 12),
        lambda: nn.Conv2d(4, 4, (5, 2), pad_mode="pad", padding=(0, 1, 2, 0), group=4),
    ),
    "depthwise, valid": ((2, 4, 40, 50), lambda: nn.Conv2d(4, 4, 7, pad_mode="valid", group=4)),
    "batch normalisation": ((3, 10, 17, 9), _Normalised),
    "batch normalisation and ReLU": ((3, 10, 17, 9), _NormalisedReLU),
    "normalisation over channels": ((2, 24, 33, 21), lambda: ChannelNorm(24)),
    "normalisation over many channels": ((2, 1500, 3, 7), lambda: ChannelNorm(1500)),
    "a factor for each channel": ((3, 10, 7, 9), lambda: _Scaled(False)),
    "a factor for each channel of each image": ((3, 10, 7, 9), lambda: _Scaled(True)),
    "layer norm": ((2, 33, 17, 12), lambda: nn.LayerNorm((12,), epsilon=1e-5)),
    "attention": ((5, 49, 36), lambda: _Attending(False)),
    "attention with a mask": ((4, 49, 36), lambda: _Attending(True)),
    "attention of wide heads": ((2, 49, 180), lambda: _Attending(False)),
    "mean": ((2, 3, 50, 70), PlaneMean),
    "gate": ((2, 10, 7, 9), lambda: SimpleGate(5)),
    "pixel shuffle by 2": ((2, 12, 5, 7), lambda: nn.PixelShuffle(2)),
    "pixel shuffle by 3": ((1, 27, 4, 1), lambda: nn.PixelShuffle(3)),
    "leaky ReLU": ((3, 5, 150, 170), lambda: LeakyReLU(0.2)),
    "parametric ReLU": ((3, 5, 15, 17), lambda: PReLU(5)),
    "2x2 max pooling": ((3, 5, 12, 14), lambda: nn.MaxPool2d(2, 2)),
    "2x2 max pooling, odd": ((2, 3, 7, 9), lambda: nn.MaxPool2d(2, 2)),
}


@pytest.mark.parametrize("name", CELLS)
def test_like_mindspore(name):
    shape, make = CELLS[name]
    rng = np.random.default_rng(1)
    y = rng.standard_normal(shape).astype(np.float32)
    cell = nn.SequentialCell(make())
    for parameter in cell.trainable_params():
        values = rng.standard_normal(parameter.shape).astype(np.float32)
        parameter.set_data(ms.Tensor(values / values[0].size))
    expected = _values_and_gradients(cell, y)
    assert replace_operators(cell) == 1
    _close(_values_and_gradients(cell, y), expected)


def test_the_first_of_equal_pixels_has_the_gradient():
    cell = nn.SequentialCell(nn.MaxPool2d(2, 2))
    replace_operators(cell)
    y = np.ones((1, 1, 2, 6), np.float32)
    y[0, 0, 0, 2] = y[0, 0, :, 4] = 0
    _, of_input = _values_and_gradients(cell, y)
    np.testing.assert_array_equal(of_input[0, 0], [[2, 0, 0, 2, 0, 2], [0, 0, 0, 0, 0, 0]])


@pytest.mark.parametrize("shape", [(7,), (3, 40_000), (40, 64, 3, 3)])
def test_the_norm_of_a_gradient(shape):
    norm = euclidean_norm()
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    for gradient in (x, x * np.float32(1e30)):  # whose squares are too large for a float
        expected = np.sqrt(np.square(gradient.astype(np.float64)).sum())
        np.testing.assert_allclose(norm(ms.Tensor(gradient)).asnumpy(), [expected], rtol=1e-5)
    for wrong in (np.inf, -np.inf, np.nan):
        x.ravel()[-2] = wrong
        assert not np.isfinite(norm(ms.Tensor(x)).asnumpy()).any()


def test_batches_change_the_moving_mean_and_variance_alike():
    rng = np.random.default_rng(7)
    batches = (rng.standard_normal((3, 2, 4, 5, 6)) * 3 + 1).astype(np.float32)
    moved = []
    for compiled in (False, True):
        cell = nn.SequentialCell(nn.BatchNorm2d(4, momentum=0.7)).set_train()
        assert not compiled or replace_operators(cell) == 1
        for batch in batches:
            cell(ms.Tensor(batch))
        cell.set_train(False)
        moved.append([cell[0].moving_mean.asnumpy(), cell[0].moving_variance.asnumpy()])
        moved[-1].append(cell(ms.Tensor(batches[0])).asnumpy())
    _close(moved[1], moved[0])


def test_two_sizes_in_turn():
    cell = nn.SequentialCell(nn.Conv2d(16, 16, 3))
    small, large = (np.ones((2, 16, side, side), np.float32) for side in (8, 20))
    expected = [_values_and_gradients(cell, y) for y in (small, large, small)]
    replace_operators(cell)
    for y, wanted in zip((small, large, small), expected):
        _close(_values_and_gradients(cell, y), wanted)


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_any_number_of_threads(threads, monkeypatch, fresh):
    """Of 8, two images make two parts, each of four groups of channels."""
    monkeypatch.setattr(library, "_threads", lambda: threads)
    y = np.random.default_rng(2).standard_normal((2, 64, 8, 9)).astype(np.float32)
    cell = nn.SequentialCell(nn.Conv2d(64, 80, 3, has_bias=True))
    expected = _values_and_gradients(cell, y)
    replace_operators(cell)
    _close(_values_and_gradients(cell, y), expected)


@pytest.mark.parametrize(
    "cell",
    [
        lambda: nn.Conv2d(8, 8, 3, group=2),
        lambda: nn.Conv2d(8, 16, 3, group=8),
        lambda: nn.Conv2d(8, 8, 3, dilation=2, group=8),
        lambda: nn.Conv2d(8, 8, 3, stride=2),
        lambda: nn.Conv2dTranspose(8, 8, 1, stride=2),
        lambda: nn.MaxPool2d(3, 2),
        lambda: nn.MaxPool2d(2, 2, pad_mode="same"),
    ],
    ids=[
        "groups",
        "two of each",
        "depthwise dilation",
        "stride",
        "transposed with gaps",
        "large pools",
        "padded pools",
    ],
)
def test_others_stay(cell):
    assert replace_operators(nn.SequentialCell(cell())) == 0


MODELS = ["edsr_quickstart", "noise2noise_quickstart", "nafnet_quickstart", "swinir_light_x2"]
MODELS += ["ircnn_gray"]
OTHERS = ["dncnn_quickstart", "sid_quickstart", "dmsp_dae_quickstart"]  # of the same operators
MODELS += [pytest.param(model, marks=pytest.mark.long) for model in OTHERS]


def _network(model):
    settings = {} if model.endswith("quickstart") else reduced(model)
    ms.set_seed(1)  # with others a ReLU may be given a number that rounding turns to one beside 0
    return registry.build("network", recipe.load(model, settings).network)


@pytest.mark.parametrize("model", MODELS)
def test_every_network_keeps_its_weights(model):
    network = _network(model)
    before = [(p.name, p.shape) for p in network.trainable_params()]
    kernels = sum(len(shape) == 4 for _, shape in before)
    assert replace_operators(network) >= kernels
    assert [(p.name, p.shape) for p in network.trainable_params()] == before


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_every_network_is_the_same(model):
    network = _network(model)
    side = network.size_multiple
    shape = (2, Geometry.of(network).input_channels, max(side, 8), 2 * max(side, 8))
    y = np.random.default_rng(4).random(shape, np.float32)
    expected = _values_and_gradients(network, y)
    replace_operators(network)
    _close(_values_and_gradients(network, y), expected)


@pytest.mark.slow
def test_a_step_of_training_is_the_same():
    rng = np.random.default_rng(3)
    y = ms.Tensor(rng.random((2, 1, 24, 24), np.float32))
    x = ms.Tensor(rng.random((2, 1, 24, 24), np.float32))
    weights = []
    for kind in ("mindspore", "onednn"):
        ours = recipe.load("dncnn_quickstart", {"train.cpu_convolutions": kind})
        ms.set_seed(5)
        network = registry.build("network", ours.network)
        step = build_step(network, ours).set_train()
        for _ in range(3):
            step(y, x)
        weights.append([p.asnumpy() for p in network.trainable_params()])
    for one, other in zip(*weights):
        # Adam enlarges rounding where gradients are small
        np.testing.assert_allclose(one, other, rtol=0, atol=3e-5)


@pytest.mark.slow
def test_a_convolution_of_one_image_keeps_nothing():
    """Whose operands the threads copy together; what it keeps of each call was 0.9 KB once."""
    cell = nn.SequentialCell(nn.Conv2d(32, 32, 3))
    replace_operators(cell)
    y = ms.Tensor(np.ones((1, 32, 8, 8), np.float32))
    sizes = []
    for _ in range(3):
        for _ in range(3000):
            x = cell(y)
        x.asnumpy()
        sizes.append(psutil.Process().memory_info().rss)
    assert sizes[-1] - sizes[0] < 2e6


def test_a_failure_of_onednn_is_an_error():
    windows = convolution_cells.Windows((1, 1), (0, 0, 0, 0), (1, 1))
    cell = convolution_cells.Convolution(windows)
    cell.windows = ms.Tensor([1, 1, 5, 5, 5, 5, 1, 1], ms.int64)  # not of the result's size
    with pytest.raises(RuntimeError, match=r"function\(Forward\) is 1"):
        cell(
            ms.Tensor(np.ones((2, 4, 8, 8), np.float32)),
            ms.Tensor(np.ones((4, 4, 3, 3), np.float32)),
        )
