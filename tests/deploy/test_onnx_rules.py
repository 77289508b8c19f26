"""What the rules leave of a graph, and the sizes that they rest on."""

import numpy as np
import pytest

from ms_restore.deploy.translation.onnx_nodes import Graph, Lowering, SizeVector, Tensor, constant
from ms_restore.deploy.translation.onnx_rules import RULES
from ms_restore.deploy.translation.onnx_simplify import simplify
from ms_restore.deploy.translation.sizes import Undecided, compared, equal, extent, least

onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is an optional peer")
HEIGHT, WIDTH = extent("y", 2), extent("y", 3)
SIZES = (1, 4, HEIGHT, WIDTH)


class Small:
    """A graph of y (1, 4, H, W), one operator after another."""

    def __init__(self):
        self.graph = Graph()
        self.graph.sizes["y"] = SIZES
        self.y = Tensor("y", SIZES, np.float32)

    def __call__(self, kind, *inputs, sizes=SIZES, **attributes):
        made = self.graph.node(kind, *inputs, **attributes)
        return self.graph.described(made, sizes, np.float32)

    def result(self, output, y):
        from onnx import TensorProto, helper

        lowering = Lowering()
        for node in self.graph.nodes:
            lowering.add(node)
        y_info = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, "h", "w"])
        made = helper.make_tensor_value_info(output.name, TensorProto.FLOAT, None)
        whole = helper.make_graph(lowering.nodes, "g", [y_info], [made], lowering.initialisers)
        model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return session.run(None, {"y": y})[0]

    def simplified(self, output):
        """The kinds of what is left, after a check that it computes the same."""
        y = np.random.default_rng(0).normal(size=(1, 4, 6, 5)).astype(np.float32)
        before = self.result(output, y)
        simplify(self.graph, output.name, RULES)
        np.testing.assert_allclose(self.result(output, y), before, rtol=1e-5, atol=1e-5)
        return [node.kind for node in self.graph.nodes]


def number(value):
    return constant(value, np.float32)


def weights(*shape):
    return number(np.random.default_rng(1).normal(size=shape))


def test_what_changes_nothing_goes():
    g = Small()
    x = g("Div", g("Mul", g("Add", g("Relu", g.y), number(0)), number(1)), number(1))
    x = g("Relu", g("Neg", g("Neg", g("Sub", x, number(np.zeros((1, 4, 1, 1)))))))
    assert g.simplified(x) == ["Relu", "Relu"]


def test_one_that_changes_the_shape_stays():
    g = Small()
    mean = g("ReduceMean", g.y, axes=[1], keepdims=1, sizes=(1, 1, HEIGHT, WIDTH))
    assert g.simplified(g("Add", mean, number(np.zeros((1, 4, 1, 1))))) == ["Conv", "Add"]


def test_negative_summands():
    g = Small()
    one, two = g("Exp", g.y), g("Relu", g.y)
    first = g("Add", g("Neg", one), two)
    assert g.simplified(g("Sub", first, g("Neg", one))) == ["Exp", "Relu", "Sub", "Add"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("slope", "share"), [(0.25, 0.75), (0.25, 0.8)])
def test_leaky_relu(order, slope, share):
    g = Small()
    parts = [g("Mul", g.y, number(slope)), g("Mul", number(share), g("Relu", g.y))]
    left = g.simplified(g("Add", *parts[::order]))
    is_one = slope + share == 1
    assert left == (["LeakyRelu"] if is_one else ["Mul", "Relu", "Mul", "Add"])


@pytest.mark.parametrize("slope", [0.25, 1.5])
def test_leaky_relu_as_a_maximum(slope):
    g = Small()
    left = g.simplified(g("Max", g("Mul", g.y, number(slope)), g.y))
    assert left == (["LeakyRelu"] if slope < 1 else ["Mul", "Max"])


def test_gains_and_biases_of_convolutions():
    g = Small()
    x = g("Conv", g.y, weights(4, 4, 3, 3), pads=[1, 1, 1, 1])
    x = g("Add", g("Mul", x, weights(1, 4, 1, 1)), weights(1, 4, 1, 1))
    x = g("Sub", g("Div", x, number(0.5)), number(3))
    size = (1, 4, HEIGHT * 2, WIDTH * 2)
    x = g("ConvTranspose", x, weights(4, 4, 2, 2), strides=[2, 2], sizes=size)
    x = g("Mul", g("Add", x, weights(4, 1, 1), sizes=size), weights(1, 4, 1, 1), sizes=size)
    assert g.simplified(x) == ["Conv", "ConvTranspose"]


def gate(g, x, axis=1):
    """The product of the halves along an axis."""
    bounds = [constant([n], np.int64) for n in (0, 4, 8)]
    sizes = (1, 4, HEIGHT, WIDTH)
    halves = [
        g("Slice", x, a, b, constant([axis], np.int64), sizes=sizes)
        for a, b in zip(bounds, bounds[1:])
    ]
    return g("Mul", *halves, sizes=sizes)


@pytest.mark.parametrize("of_each", [False, True])
def test_a_gate_becomes_two_convolutions(of_each):
    """With biases, which are merged first; that of each channel takes what is before it along."""
    g, wide = Small(), (1, 8, HEIGHT, WIDTH)
    x = g("Conv", g.y, weights(8, 4, 1, 1), sizes=wide)
    x = g("Add", x, weights(1, 8, 1, 1), sizes=wide)
    if of_each:
        x = g("Conv", x, weights(8, 1, 3, 3), weights(8), sizes=wide, group=8, pads=[1] * 4)
    convolutions = ["Conv", "Conv"] if of_each else ["Conv"]
    assert g.simplified(gate(g, x)) == [*convolutions, *convolutions, "Mul"]


def test_a_gate_of_what_others_need_too_stays():
    g, wide = Small(), (1, 8, HEIGHT, WIDTH)
    x = g("Conv", g.y, weights(8, 4, 1, 1), sizes=wide)
    whole = g("Concat", gate(g, x), g("Relu", x, sizes=wide), sizes=None, axis=1)
    assert g.simplified(whole).count("Conv") == 1
    other = Small()
    x = other("Conv", other.y, weights(8, 4, 1, 1), sizes=wide)
    x = other("Conv", x, weights(8, 2, 3, 3), sizes=wide, group=4, pads=[1] * 4)
    assert other.simplified(gate(other, x)).count("Conv") == 2


def test_a_convolution_that_others_need_too_stays():
    g = Small()
    x = g("Conv", g.y, weights(4, 4, 1, 1))
    total = g("Add", g("Mul", x, number(2)), g("Sub", number(1), x))
    assert g.simplified(total) == ["Conv", "Mul", "Sub", "Add"]


def test_a_number_for_each_column_is_no_bias():
    g = Small()
    x = g("Add", g("Conv", g.y, weights(4, 4, 1, 1)), weights(5))
    assert g.simplified(x) == ["Conv", "Add"]


def vector(*sizes):
    return Tensor("", (len(sizes),), np.int64, None, sizes)


@pytest.mark.parametrize("turn", [[0, 1, 4, 2, 5, 3], [0, 1, 4, 3, 5, 2]])
def test_pixel_shuffle(turn):
    g = Small()
    parts = (1, 1, 2, 2, HEIGHT, WIDTH)
    x = g("Reshape", g.y, vector(*parts), sizes=parts)
    x = g("Transpose", x, perm=turn, sizes=tuple(parts[axis] for axis in turn))
    whole = (1, 1, HEIGHT * 2, WIDTH * 2)
    left = g.simplified(g("Reshape", x, vector(*whole), sizes=whole))
    shuffled = turn == [0, 1, 4, 2, 5, 3]
    assert left == (["DepthToSpace"] if shuffled else ["Reshape", "Transpose", "Reshape"])


@pytest.mark.parametrize("times", [(1, 1, 1, 2, 1, 3), (1, 1, 2, 1, 1, 1)])
def test_repeated_pixels(times):
    g = Small()
    parts = (1, 4, HEIGHT, 1, WIDTH, 1)
    x = g("Reshape", g.y, vector(*parts), sizes=parts)
    tiled = tuple(size * count for size, count in zip(parts, times))
    x = g("Tile", x, constant(times, np.int64), sizes=tiled)
    whole = (1, 4, HEIGHT * times[2] * times[3], WIDTH * times[5])
    left = g.simplified(g("Reshape", x, vector(*whole), sizes=whole))
    assert left == (["Resize"] if times[2] == 1 else ["Reshape", "Tile", "Reshape"])


@pytest.mark.parametrize(
    ("axes", "keep", "kind"),
    [
        ([1], 1, "Conv"),
        ([-3], 1, "Conv"),
        ([2, 3], 1, "GlobalAveragePool"),
        ([-1, -2], 1, "GlobalAveragePool"),
        ([1], 0, "ReduceMean"),
        ([1, 2], 1, "ReduceMean"),
    ],
)
def test_means(axes, keep, kind):
    g = Small()
    sizes = [1 if axis in (a % 4 for a in axes) else size for axis, size in enumerate(SIZES)]
    if not keep:
        sizes = [size for axis, size in enumerate(SIZES) if axis != 1]
    mean = g("ReduceMean", g.y, axes=axes, keepdims=keep, sizes=tuple(sizes))
    assert g.simplified(mean) == [kind]


def test_transpositions_and_reshapings():
    g = Small()
    turned = (1, HEIGHT, WIDTH, 4)
    x = g("Transpose", g("Exp", g.y), perm=[0, 2, 3, 1], sizes=turned)
    x = g("Relu", g("Transpose", x, perm=[0, 3, 1, 2]))
    flat = (1, 4, HEIGHT * WIDTH)
    x = g("Reshape", g("Reshape", x, vector(*flat), sizes=flat), vector(*SIZES))
    assert g.simplified(g("Exp", x)) == ["Exp", "Relu", "Exp"]


def test_sizes_are_equal_however_they_are_calculated():
    assert (HEIGHT * 2 + 4) // 2 == HEIGHT + 2
    assert HEIGHT - HEIGHT == 0
    assert (HEIGHT * WIDTH * 6) // (WIDTH * 2) == HEIGHT * 3
    assert (HEIGHT // 2) // 4 == HEIGHT // 8
    assert (HEIGHT + 5) // 2 == (HEIGHT + 1) // 2 + 2
    assert (HEIGHT * 8) % 8 == 0
    padded = HEIGHT + (8 - HEIGHT % 8) % 8
    assert (padded // 8) * 8 == padded


def test_what_is_known_of_sizes():
    assert least(HEIGHT * 2 + WIDTH - 1) == 2
    assert least(HEIGHT // 2) == 0
    assert least(HEIGHT - WIDTH) is None
    assert compared(HEIGHT + 1, 0) == 1 and compared(0, HEIGHT) == -1
    assert not equal(HEIGHT, -2)
    for undecided in (
        lambda: compared(HEIGHT, 8),
        lambda: equal(HEIGHT, WIDTH),
        lambda: 8 // HEIGHT,
    ):
        with pytest.raises(Undecided):
            undecided()


@pytest.mark.parametrize("height", [1, 7, 8, 9, 16])
def test_sizes_as_nodes(height):
    """With quotients of negative numbers, which ONNX rounds up."""

    def expressions(h, w):
        return (h, h * 2 + 3, h // 3, (5 - h) // 4, h * w - w, h % 4, (8 - h % 8) % 8, -h, 7)

    g = Small()
    filled = SizeVector(expressions(HEIGHT, WIDTH))
    g.graph.nodes.clear()
    made = g("Cast", Tensor("", None, np.int64, None, filled.values), to=1, sizes=(9,))
    result = g.result(made, np.zeros((1, 4, height, 5), np.float32))
    assert result.tolist() == list(expressions(height, 5))
