"""oneDNN's convolutions against MindSpore's, forward and both gradients."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn, ops

from ms_restore import parts, recipe, runtime
from ms_restore.training import onednn
from ms_restore.training.run import build_step

RTOL = 2e-5  # of the largest number


@pytest.fixture(scope="module", autouse=True)
def device():
    runtime.start("CPU")
    try:
        onednn._operators()
    except onednn.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def fresh():
    """Nothing kept from an earlier opening, before and after."""
    onednn._operators.cache_clear()
    yield
    onednn._operators.cache_clear()


class _Squares(nn.Cell):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def construct(self, y):
        x = self.cell(y)
        return (x * x).sum(), x


def _values_and_gradients(cell, y):
    function = ops.value_and_grad(_Squares(cell), 0, cell.trainable_params(), has_aux=True)
    (_, x), (of_input, of_weights) = function(ms.Tensor(y))
    return [x.asnumpy(), of_input.asnumpy(), *(g.asnumpy() for g in of_weights)]


def _close(ours, expected):
    assert len(ours) == len(expected)
    for one, other in zip(ours, expected):
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= RTOL * np.abs(other).max()


CELLS = {
    "3x3": ((5, 24, 13, 18), lambda: nn.Conv2d(24, 40, 3, pad_mode="pad", padding=1)),
    "3x3 same, bias": ((2, 3, 17, 9), lambda: nn.Conv2d(3, 64, 3, has_bias=True)),
    "one image": ((1, 64, 16, 16), lambda: nn.Conv2d(64, 48, 3)),
    "one image, few channels": ((1, 16, 12, 12), lambda: nn.Conv2d(16, 3, 1)),
    "even kernel, same": ((3, 8, 10, 12), lambda: nn.Conv2d(8, 16, 4)),
    "valid": ((4, 8, 11, 12), lambda: nn.Conv2d(8, 16, (5, 3), pad_mode="valid")),
    "uneven padding": (
        (2, 8, 11, 12),
        lambda: nn.Conv2d(8, 16, 3, pad_mode="pad", padding=(0, 1, 2, 0)),
    ),
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
    assert onednn.replace_convolutions(cell) == 1
    _close(_values_and_gradients(cell, y), expected)


def test_two_sizes_in_turn():
    cell = nn.SequentialCell(nn.Conv2d(16, 16, 3))
    small, large = (np.ones((2, 16, side, side), np.float32) for side in (8, 20))
    expected = [_values_and_gradients(cell, y) for y in (small, large, small)]
    onednn.replace_convolutions(cell)
    for y, wanted in zip((small, large, small), expected):
        _close(_values_and_gradients(cell, y), wanted)


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_any_number_of_threads(threads, monkeypatch, fresh):
    """Of 8, two images make two parts, each of four groups of channels."""
    monkeypatch.setattr(onednn, "_threads", lambda: threads)
    y = np.random.default_rng(2).standard_normal((2, 64, 8, 9)).astype(np.float32)
    cell = nn.SequentialCell(nn.Conv2d(64, 80, 3))
    expected = _values_and_gradients(cell, y)
    onednn.replace_convolutions(cell)
    _close(_values_and_gradients(cell, y), expected)


@pytest.mark.parametrize(
    "cell",
    [
        lambda: nn.Conv2d(8, 8, 3, group=2),
        lambda: nn.Conv2d(8, 8, 3, dilation=2),
        lambda: nn.Conv2d(8, 8, 3, stride=2),
        lambda: nn.Conv2dTranspose(8, 8, 1, stride=2),
    ],
    ids=["groups", "dilation", "stride", "transposed with gaps"],
)
def test_others_stay(cell):
    assert onednn.replace_convolutions(nn.SequentialCell(cell())) == 0


@pytest.mark.parametrize("model", ["edsr", "dncnn", "noise2noise", "sid", "dmsp_dae"])
def test_every_network_keeps_its_weights(model):
    network = parts.build("network", recipe.load(f"{model}_quickstart").network)
    before = [(p.name, p.shape) for p in network.trainable_params()]
    kernels = sum(len(shape) == 4 for _, shape in before)
    assert onednn.replace_convolutions(network) >= kernels
    assert [(p.name, p.shape) for p in network.trainable_params()] == before


def test_a_step_of_training_is_the_same():
    rng = np.random.default_rng(3)
    y = ms.Tensor(rng.random((2, 1, 24, 24), np.float32))
    x = ms.Tensor(rng.random((2, 1, 24, 24), np.float32))
    weights = []
    for kind in ("mindspore", "onednn"):
        ours = recipe.load("dncnn_quickstart", {"train.cpu_convolutions": kind})
        ms.set_seed(5)
        network = parts.build("network", ours.network)
        step = build_step(network, ours).set_train()
        for _ in range(3):
            step(y, x)
        weights.append([p.asnumpy() for p in network.trainable_params()])
    for one, other in zip(*weights):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_without_a_compiler_mindspore_computes(tmp_path, monkeypatch, capsys, fresh):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    ours = recipe.load("dncnn_quickstart")
    network = parts.build("network", ours.network)
    build_step(network, ours)
    line = "convolutions of MindSpore, which train slower than oneDNN's: no C++ compiler found"
    assert line in " ".join(capsys.readouterr().out.split())
    convolutions = [cell for _, cell in network.cells_and_names() if isinstance(cell, nn.Conv2d)]
    assert all(isinstance(cell.conv2d, ops.Conv2D) for cell in convolutions)


def test_a_compiler_that_fails(tmp_path, monkeypatch, fresh):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'no header here' >&2\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(onednn.Unavailable, match=r"g\+\+ failed: no header here"):
        onednn._operators()
    assert list((tmp_path / "cache" / "ms_restore").iterdir()) == []


def test_operators_that_do_not_load(tmp_path, monkeypatch, fresh):
    """As of a home that another machine compiled for."""
    (tmp_path / "operators.so").write_bytes(b"of another kind")
    monkeypatch.setattr(onednn, "_compiled", lambda: tmp_path / "operators.so")
    with pytest.raises(onednn.Unavailable, match=r"operators\.so"):
        onednn._operators()


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, fresh):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(onednn.Unavailable, match="cache/ms_restore cannot be written"):
        onednn._operators()


def test_a_failure_of_onednn_is_an_error():
    cell = onednn._Convolution(onednn._operators(), (1, 1), (0, 0, 0, 0))
    cell.windows = ms.Tensor([1, 1, 5, 5, 5, 5], ms.int64)  # not of the result's size
    with pytest.raises(RuntimeError, match=r"function\(Forward\) is 1"):
        cell(
            ms.Tensor(np.ones((2, 4, 8, 8), np.float32)),
            ms.Tensor(np.ones((4, 4, 3, 3), np.float32)),
        )
