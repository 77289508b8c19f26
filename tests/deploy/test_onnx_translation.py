"""Graphs that MindSpore exports, as ONNX: they compute the same at every size."""

import tempfile
from collections import Counter

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn, ops

from ms_restore import api
from ms_restore.contracts import Geometry
from ms_restore.deploy.translation import onnx_graph
from ms_restore.deploy.translation.operators import TABLE
from ms_restore.errors import InputError
from ms_restore.inference.mindspore_engine import MindSporeEngine
from ms_restore.inference.onnxruntime_engine import OnnxRuntimeEngine
from ms_restore.networks.dncnn import DnCNN
from ms_restore.networks.edsr import EDSR
from ms_restore.networks.noise2noise import Noise2Noise
from ms_restore.networks.noise2noise_mri import Noise2NoiseMRI
from ms_restore.networks.sid import SID
from tests.deploy.cells import CELLS, Cell, randomised

pytest.importorskip("onnxruntime", reason="ONNX Runtime is an optional peer")

_EDSR = {"Sub": 1, "Conv": 6, "Relu": 1, "Add": 2, "DepthToSpace": 1}
_UNET = {"Conv": 18, "LeakyRelu": 17, "MaxPool": 5, "ConvTranspose": 5}
_SID = {"Conv": 19, "LeakyRelu": 18, "MaxPool": 4, "ConvTranspose": 4}
NETWORKS = {  # with what their graphs hold
    "edsr_x2": (EDSR, {"blocks": 1, "filters": 4}, _EDSR),
    "edsr_x3_gray": (EDSR, {"scale": 3, "channels": 1, "blocks": 1, "filters": 4}, _EDSR),
    "edsr_x4": (
        EDSR,
        {"scale": 4, "blocks": 1, "filters": 4, "normalisation": "imagenet"},
        {**_EDSR, "Div": 1, "Conv": 7, "DepthToSpace": 2},
    ),
    "dncnn": (
        DnCNN,
        {"layers": 4, "filters": 4, "channels": 3},
        {"Conv": 4, "Relu": 3, "Sub": 1},
    ),
    "dncnn_plain": (
        DnCNN,
        {"layers": 4, "filters": 4, "batch_norm": False},
        {"Conv": 4, "Relu": 3, "Sub": 1},
    ),
    "noise2noise": (Noise2Noise, {"width": 3}, {**_UNET, "Sub": 1, "Add": 10}),
    "sid": (
        SID,
        {"width": 2, "channels": 9, "up_bias": True},
        {**_SID, "Concat": 4, "DepthToSpace": 1},
    ),
}
SIZES = ((1, 13, 18), (2, 24, 11), (1, 16, 16))  # batch, height, width


def engine_of(network):
    return OnnxRuntimeEngine(onnx_graph.model_of(network).SerializeToString())


def built(name):
    kind, settings, _ = NETWORKS[name]
    return randomised(kind(**settings))


def image(network, batch, height, width, multiple=1):
    shape = (batch, Geometry.of(network).input_channels, height * multiple, width * multiple)
    return np.random.default_rng(1).random(shape, np.float32)


def difference(x_hat, expected):
    """Of the largest value, so that it can be told from rounding."""
    assert x_hat.shape == expected.shape
    assert np.ptp(expected) > 0.01
    return np.abs(x_hat - expected).max() / max(1, np.abs(expected).max())


def kinds(model):
    return Counter(node.op_type for node in model.graph.node)


def dimensions(value):
    return [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]


@pytest.mark.slow
@pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)
def test_operators_equal_mindspore(kind):
    cell = randomised(kind())
    ours, theirs = MindSporeEngine(cell), engine_of(cell)
    for size in SIZES:
        y = image(cell, *size, kind.multiple)
        assert difference(theirs(y), ours(y)) < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_equal_mindspore(name):
    """Sizes, weights of weights, biases, gains and shuffles have become a few operators."""
    network = built(name)
    model = onnx_graph.model_of(network)
    assert kinds(model) == {**NETWORKS[name][2], "Identity": 1}
    ours, theirs = MindSporeEngine(network), OnnxRuntimeEngine(model.SerializeToString())
    for size in ((1, 2, 3), (2, 3, 1)):
        y = image(network, *size, max(13, network.size_multiple))
        assert difference(theirs(y), ours(y)) < 1e-5


@pytest.mark.slow
def test_the_network_of_one_size():
    network = Noise2NoiseMRI(width=3, side=31).set_train(False)
    model = onnx_graph.model_of(network)
    assert dimensions(model.graph.input[0]) == ["batch", 2, 31, 31]
    assert dimensions(model.graph.output[0]) == ["batch", 1, 31, 31]
    y = image(network, 2, 31, 31)
    y[:, 1] = np.where(y[:, 1] > 0.6, y[:, 1], 0)
    x_hat = OnnxRuntimeEngine(model.SerializeToString())(y)
    assert difference(x_hat, MindSporeEngine(network)(y)) < 1e-5


def test_names_and_sizes_of_the_axes():
    network = built("edsr_x2")
    model = onnx_graph.model_of(network)
    assert model.opset_import[0].version == 15 and model.ir_version == 8
    assert [value.name for value in model.graph.input] == ["y"]
    assert [value.name for value in model.graph.output] == ["x_hat"]
    assert dimensions(model.graph.input[0]) == ["batch", 3, "height_y", "width_y"]
    assert dimensions(model.graph.output[0]) == ["batch", 3, "height_x_hat", "width_x_hat"]
    fixed = onnx_graph.model_of(network, (12, 10))
    assert dimensions(fixed.graph.input[0]) == ["batch", 3, 12, 10]
    assert dimensions(fixed.graph.output[0]) == ["batch", 3, 24, 20]
    assert kinds(fixed) == kinds(model)
    assert kinds(model) == {
        "Sub": 1,
        "Conv": 6,
        "Relu": 1,
        "Add": 2,
        "DepthToSpace": 1,
        "Identity": 1,
    }
    y = image(network, 3, 12, 10)
    x_hat = OnnxRuntimeEngine(fixed.SerializeToString())(y)
    assert difference(x_hat, MindSporeEngine(network)(y)) < 1e-5


def test_batch_normalisation_without_a_folded_form_joins_its_convolution():
    class Plain(nn.Cell):
        channels = 1

        def __init__(self):
            super().__init__()
            self.inner = DnCNN(layers=4, filters=4)

        def construct(self, y):
            return self.inner(y)

    network = randomised(Plain())
    model = onnx_graph.model_of(network)
    assert kinds(model) == {"Conv": 4, "Relu": 3, "Sub": 1, "Identity": 1}
    y = image(network, 1, 13, 18)
    x_hat = OnnxRuntimeEngine(model.SerializeToString())(y)
    assert difference(x_hat, MindSporeEngine(network)(y)) < 1e-5


class Spectrum(Cell):
    def construct(self, x):
        return ops.cat((ops.cumsum(x, 1), ops.sort(x, 1)[0], ops.lgamma(x + 1)), axis=1)


class Branch(Cell):
    def construct(self, x):
        return x * 2 if x.shape[2] > 20 else x * 3


class Constant(Cell):
    def construct(self, x):
        return ops.ones((1, 4, 8, 8), ms.float32)


class Pair(Cell):
    def construct(self, x):
        return x, x


def test_every_missing_operator_is_named_at_once():
    with pytest.raises(InputError) as caught:
        onnx_graph.model_of(Spectrum())
    assert str(caught.value) == (
        "Spectrum has operators that cannot be written as ONNX: Sort, Lgamma; "
        "it trains and runs on MindSpore (--engine mindspore)"
    )


def test_a_branch_on_the_size_of_the_image_is_refused():
    with pytest.raises(
        InputError, match=r"ScalarGt \(its answer depends on the image's size\); it"
    ):
        onnx_graph.model_of(Branch())
    y = image(Branch(), 1, 24, 10)
    fixed = OnnxRuntimeEngine(onnx_graph.model_of(Branch(), (24, 10)).SerializeToString())
    np.testing.assert_array_equal(fixed(y), y * 2)


def test_what_is_no_network_for_images():
    for kind in (Pair, Constant):
        with pytest.raises(InputError, match=f"{kind.__name__} does not give one image"):
            onnx_graph.model_of(kind())
    with pytest.raises(InputError, match="Conv2d cannot be exported by MindSpore"):
        onnx_graph.model_of(nn.Conv2d(4, 4, 3))  # it says nothing, so 3 channels


def test_nothing_stays_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    network = built("edsr_x2").set_train(True)
    onnx_graph.model_of(network)
    assert list(tmp_path.iterdir()) == []
    assert network.training


def test_auto_takes_mindspore_for_a_network_without_translation(run, monkeypatch, capsys, tmp_path):
    y = np.random.default_rng(0).random((20, 24, 3), np.float32)
    expected = api.load_model(run.folder, engine="mindspore", device_target="CPU")(y)
    monkeypatch.delitem(TABLE, "ReLU")
    monkeypatch.setattr("ms_restore.deploy.export_cache.load", lambda *_: None)
    x_hat = api.load_model(run.folder, device_target="CPU")(y)
    np.testing.assert_allclose(x_hat, expected, atol=1e-6)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(said) == 1 and "EDSR has operators that cannot be written as ONNX: ReLU;" in said[0]
    with pytest.raises(InputError, match="EDSR has operators that cannot be written as ONNX: ReLU"):
        api.load_model(run.folder, engine="onnxruntime", device_target="CPU")
    with pytest.raises(InputError, match="cannot be written as ONNX: ReLU"):
        api.export(run.folder, tmp_path / "net", file_format="ONNX", device_target="CPU")


class Rolled(Cell):
    def construct(self, x):
        return ops.roll(x, (1, -2), (2, 3))


class Turned(Cell):
    def construct(self, x):
        return x[:, 1:-1, :, ::-1]


def test_what_mindspore_computes_on_no_cpu_equals_numpy():
    """It has no kernel of Roll, and gives another slice where one axis is turned round."""
    for size in SIZES:
        y = image(Rolled(), *size)
        rolled = engine_of(Rolled())(y)
        np.testing.assert_array_equal(rolled, np.roll(y, (1, -2), (2, 3)))
        np.testing.assert_array_equal(engine_of(Turned())(y), y[:, 1:-1, :, ::-1])


class MintLayers(Cell):
    """Layers of mint without a kernel on CPUs; ``Layers`` is what they compute."""

    def __init__(self):
        super().__init__()
        self.conv = mint.nn.Conv2d(4, 4, 3, padding=1)
        self.up = mint.nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.norm = mint.nn.LayerNorm(4, eps=1e-3)
        self.batch = mint.nn.BatchNorm2d(4)
        self.mean = mint.nn.AvgPool2d(3, 1, padding=1)
        self.most = mint.nn.MaxPool2d(3, 1, padding=1)
        self.all = mint.nn.AdaptiveAvgPool2d(1)
        self.instance = nn.InstanceNorm2d(4)

    def construct(self, x):
        h, w = x.shape[2:]
        f = mint.nn.functional
        y = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        a = self.conv(x), y, self.batch(x), self.mean(x), self.most(x), self.all(x) * x
        b = f.gelu(x), f.leaky_relu(x - 0.5, 0.1), f.elu(x - 0.5), f.mish(x), f.relu6(9 * x - 1)
        c = mint.var(x, 1, keepdim=True), mint.std(x, 1, keepdim=True), self.instance(x)
        d = self.up(x)[:, :, :h, :w], mint.repeat_interleave(x, 2, 2)[:, :, :h]
        e = mint.norm(x, 2, 1, keepdim=True), f.gelu(x, approximate="tanh")
        return mint.cat((*a, *b, *c, *d, *e), 1)


class Layers(Cell):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, pad_mode="pad", padding=1, has_bias=True)
        self.up = nn.Conv2dTranspose(4, 4, 2, stride=2, pad_mode="valid", has_bias=True)
        self.norm = nn.LayerNorm((4,), epsilon=1e-3)
        self.batch = nn.BatchNorm2d(4)
        self.mean = nn.AvgPool2d(3, 1, pad_mode="pad", padding=1)
        self.most = nn.MaxPool2d(3, 1, pad_mode="pad", padding=1)
        self.all = nn.AdaptiveAvgPool2d(1)
        self.instance = nn.GroupNorm(4, 4)

    def construct(self, x):
        h, w = x.shape[2:]
        y = self.norm(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
        a = self.conv(x), y, self.batch(x), self.mean(x), self.most(x), self.all(x) * x
        b = ops.gelu(x, approximate="none"), ops.leaky_relu(x - 0.5, 0.1), ops.elu(x - 0.5)
        b = *b, ops.mish(x), ops.relu6(9 * x - 1)
        deviation = x.std(axis=1, ddof=1, keepdims=True)
        c = deviation**2, deviation, self.instance(x)
        d = self.up(x)[:, :, :h, :w], x.repeat_interleave(2, 2)[:, :, :h]
        e = ops.norm(x, dim=1, keepdim=True), ops.gelu(x, approximate="tanh")
        return ops.cat((*a, *b, *c, *d, *e), axis=1)


def test_layers_without_a_kernel_equal_those_with_one():
    ours, theirs = randomised(Layers()), randomised(MintLayers())
    names = {"gamma": "weight", "beta": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    of_theirs = dict(theirs.parameters_and_names())
    for name, parameter in ours.parameters_and_names():
        layer, part = name.split(".")
        other = part if layer == "instance" else names.get(part, part)
        of_theirs[f"{layer}.{other}"].set_data(Tensor(parameter.asnumpy()))
    engine, expected = engine_of(theirs), MindSporeEngine(ours)
    for size in SIZES:
        y = image(ours, *size)
        assert difference(engine(y), expected(y)) < 1e-5


class Half(Cell):
    def construct(self, x):
        return (x.astype(ms.float16) * 2).astype(ms.float32)


def test_float16_within_a_network():
    y = image(Half(), 1, 5, 6)
    x_hat = engine_of(Half())(y)  # it may compute more exactly
    np.testing.assert_allclose(x_hat, MindSporeEngine(Half())(y), atol=1e-3)
