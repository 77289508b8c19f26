"""Known layouts of weights: the names and scaling of parameters in published implementations.

A layout is recognised by the names in a file, and the shapes give the network's settings. Sources
of the names, ranges and constants are the public repositories SaoYan/DnCNN-PyTorch, cszn/KAIR,
sanghyun-son/EDSR-PyTorch, XPixelGroup/BasicSR, siavashBigdeli/DMSP,
cchen156/Learning-to-See-in-the-Dark and lavi135246/pytorch-Learning-to-See-in-the-Dark.

"Ours" is a parameter of this package's network, "theirs" that of the published implementation.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from ms_restore.weights.foreign import Arrays

_OUR_EPS = 1e-5  # epsilon of MindSpore's and PyTorch's batch normalisation
_KAIR_EPS = 1e-4
_HWIO = (3, 2, 0, 1)  # transposes TensorFlow's kernels to ours
_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


_Recogniser = Callable[[Arrays], Optional[dict[str, Any]]]


class ParameterMapping(NamedTuple):
    """How a parameter is converted: ours = theirs * factor + offset, after the steps below.

    Attributes:
        ours: name of our parameter.
        theirs: name of their parameter.
        factor: of the formula.
        offset: of the formula.
        reversed_axis: axis along which the channels are reversed (BGR and RGB), last of the steps.
        axes: transposition of their array to ours, first of the steps.
        permutation: index n of the first axis takes their index ``permutation[n]``.
    """

    ours: str
    theirs: str
    factor: float = 1.0
    offset: float = 0.0
    reversed_axis: Optional[int] = None
    axes: Optional[tuple[int, ...]] = None
    permutation: Optional[tuple[int, ...]] = None

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of their parameter, given that of ours."""
        return tuple(ours[axis] for axis in np.argsort(self.axes)) if self.axes else ours

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """Return our parameter, float32, given theirs."""
        if self.axes:
            array = array.transpose(self.axes)
        if self.permutation:
            array = array[list(self.permutation)]
        return (self._reversed(array).astype(np.float64) * self.factor + self.offset).astype("f4")

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """Return their parameter, float32, given ours; the inverse of ``to_ours``."""
        array = self._reversed((array.astype(np.float64) - self.offset) / self.factor)
        if self.permutation:
            array = array[np.argsort(self.permutation)]
        return (array.transpose(np.argsort(self.axes)) if self.axes else array).astype("f4")

    def _reversed(self, array: np.ndarray) -> np.ndarray:
        return array if self.reversed_axis is None else np.flip(array, self.reversed_axis)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The names and scaling of a network's parameters in one implementation.

    Attributes:
        name: of the layout.
        network: name of the network.
        settings: returns the network's settings, given the arrays of a file; None where their
            names are not of this layout.
        entries: returns the conversion of every parameter, given the network's settings.
        constants: returns further arrays that a file may hold, which must have these values.
        decided_by_file: settings that a file may have different from the model's recipe.
        model: the only model with weights of this layout; None if there are several.
    """

    name: str
    network: str
    settings: _Recogniser
    entries: Callable[[dict[str, Any]], list[ParameterMapping]]
    constants: Callable[[dict[str, Any]], Arrays] = lambda settings: {}
    decided_by_file: tuple[str, ...] = ()
    model: Optional[str] = None


def _dncnn_settings(prefix: str) -> _Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        convolutions = _layer_numbers(rf"{prefix}\.(\d+)\.weight", arrays, dimensions=4)
        if len(convolutions) < 2:
            return None
        first = arrays[f"{prefix}.{convolutions[0]}.weight"]
        return {
            "channels": first.shape[1],
            "layers": len(convolutions),
            "filters": first.shape[0],
            "batch_norm": any(name.endswith(".running_mean") for name in arrays),
            "bias": f"{prefix}.{convolutions[0]}.bias" in arrays,
        }

    return settings


def _dncnn_entries(prefix: str, eps: float) -> Callable[[dict[str, Any]], list[ParameterMapping]]:
    """Return the conversion of a sequence of layers, of which ``prefix.N`` also counts ReLUs."""
    norm = {
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }

    def entries(settings: dict[str, Any]) -> list[ParameterMapping]:
        made, number = [], 0
        for name in _dncnn_convolutions(settings["layers"]):
            made.append(ParameterMapping(f"{name}.weight", f"{prefix}.{number}.weight"))
            if settings["bias"]:
                made.append(ParameterMapping(f"{name}.bias", f"{prefix}.{number}.bias"))
            number += 1
            if settings["batch_norm"] and name.endswith(".conv"):
                for ours, theirs in norm.items():
                    offset = eps - _OUR_EPS if theirs == "running_var" else 0.0
                    layer = name[: -len("conv")] + "norm"
                    made.append(
                        ParameterMapping(
                            f"{layer}.{ours}", f"{prefix}.{number}.{theirs}", 1, offset
                        )
                    )
                number += 1
            number += 1
        return made

    return entries


def _dncnn_convolutions(layers: int) -> list[str]:
    return ["first", *(f"middle.{n}.conv" for n in range(layers - 2)), "last"]


def _dae_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    settings = _dncnn_settings("layers")(arrays)
    return {**settings, "batch_norm": False, "bias": True} if settings else None


def _dae_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion from y + f(y) on BGR in [0, 255] to y - R(y) on RGB in [0, 1].

    Hence R(y) = -f(255 y) / 255.
    """
    made = []
    names = _dncnn_convolutions(settings["layers"])
    for number, name in enumerate(names):
        factor, axis = 1.0, None
        if name == "first":
            factor, axis = 255.0, 1
        elif name == "last":
            factor, axis = -1 / 255, 0
        made.append(ParameterMapping(f"{name}.weight", f"layers.{number}.weight", factor, 0, axis))
        last = name == "last"
        bias = f"layers.{number}.bias"
        made.append(
            ParameterMapping(f"{name}.bias", bias, factor if last else 1.0, 0, 0 if last else None)
        )
    return made


def _edsr_settings(head: str, block: str, upsample: str) -> _Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        blocks = _layer_numbers(block, arrays, dimensions=4)
        stages = _layer_numbers(upsample, arrays, dimensions=4)
        if head not in arrays or not blocks or not stages:
            return None
        first = arrays[head]
        widened = arrays[upsample.replace(r"\.", ".").replace(r"(\d+)", "0")].shape[0]
        return {
            "scale": round((widened / first.shape[0]) ** 0.5) ** len(stages),
            "channels": first.shape[1],
            "blocks": len(blocks),
            "filters": first.shape[0],
            "normalisation": "div2k",
        }

    return settings


def _edsr_entries(
    head: str, block: tuple[str, str], body_end: str, upsample: str, tail: str
) -> Callable[[dict[str, Any]], list[ParameterMapping]]:
    """Return the conversion from [0, 255] to [0, 1], in which only the biases change."""

    def entries(settings: dict[str, Any]) -> list[ParameterMapping]:
        names = [("head", head), ("body_end", body_end.format(settings["blocks"])), ("tail", tail)]
        for number in range(settings["blocks"]):
            names += [(f"blocks.{number}.conv{k + 1}", block[k].format(number)) for k in range(2)]
        stages = 2 if settings["scale"] == 4 else 1
        names += [(f"upsample.{2 * k}", f"{upsample}.{2 * k}") for k in range(stages)]
        return [
            ParameterMapping(f"{ours}.{kind}", f"{theirs}.{kind}", factor)
            for ours, theirs in names
            for kind, factor in (("weight", 1.0), ("bias", 1 / 255))
        ]

    return entries


def _sid_settings(names: str, last: str, axes: tuple[int, ...]) -> _Recogniser:
    """Return the recogniser; ``axes`` are those of a convolution's outputs and inputs."""

    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        first = arrays.get(names.format("1_1"))
        if first is None or first.ndim != 4 or last not in arrays:
            return None
        return {
            "channels": first.shape[axes[1]],
            "width": first.shape[axes[0]],
            "up_bias": "upv6.bias" in arrays,
        }

    return settings


def _sid_layers() -> Iterator[tuple[str, str]]:
    """Yield our convolutions' names, and their numbers in the authors' program."""
    for level in range(9):
        ours = f"encoder.{level}" if level < 5 else f"decoder.{level - 5}"
        for k in (1, 2):
            yield f"{ours}.conv{k}", f"{level + 1}_{k}"


def _sid_torch_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    names = [(ours, f"conv{theirs}") for ours, theirs in _sid_layers()]
    made = [
        ParameterMapping(f"{ours}.{kind}", f"{theirs}.{kind}")
        for ours, theirs in [*names, ("last", "conv10_1")]
        for kind in ("weight", "bias")
    ]
    kinds = ("weight", "bias") if settings["up_bias"] else ("weight",)
    return made + [
        ParameterMapping(f"up.{n}.{kind}", f"upv{n + 6}.{kind}") for n in range(4) for kind in kinds
    ]


def _sid_tensorflow_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion from TensorFlow, whose kernels are (height, width, inputs, outputs).

    TensorFlow's depth-to-space orders channels by (row, column, colour), ours by (colour, row,
    column). The transposed convolutions have only TensorFlow's default names.
    """
    pixels = range(settings["channels"])  # in a block
    permutation = tuple(3 * pixel + colour for colour in range(3) for pixel in pixels)
    made = []
    for ours, theirs in [*_sid_layers(), ("last", "10")]:
        order = permutation if ours == "last" else None
        made.append(
            ParameterMapping(
                f"{ours}.weight", f"g_conv{theirs}/weights", axes=_HWIO, permutation=order
            )
        )
        made.append(ParameterMapping(f"{ours}.bias", f"g_conv{theirs}/biases", permutation=order))
    names = ["Variable", "Variable_1", "Variable_2", "Variable_3"]
    return made + [
        ParameterMapping(f"up.{n}.weight", name, axes=_HWIO) for n, name in enumerate(names)
    ]


def _mean_shifts(settings: dict[str, Any]) -> Arrays:
    if settings["channels"] == 1:
        return {}
    shift = 255 * np.array(_DIV2K_MEAN, np.float32)
    identity = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    return {
        "sub_mean.weight": identity,
        "sub_mean.bias": -shift,
        "add_mean.weight": identity,
        "add_mean.bias": shift,
    }


def _layer_numbers(pattern: str, arrays: Arrays, dimensions: int) -> list[int]:
    """Return the numbers in the names that match, of arrays with this number of dimensions."""
    found: Iterator[Optional[re.Match[str]]] = (
        re.fullmatch(pattern, name) for name, array in arrays.items() if array.ndim == dimensions
    )
    return sorted(int(match.group(1)) for match in found if match)


_SID_DECIDED = ("channels", "width", "up_bias")
_DNCNN_DECIDED = ("layers", "filters", "batch_norm", "bias")
LAYOUTS = (
    Layout(
        "DnCNN of DnCNN-PyTorch",
        "dncnn",
        _dncnn_settings("dncnn"),
        _dncnn_entries("dncnn", _OUR_EPS),
        decided_by_file=_DNCNN_DECIDED,
    ),
    Layout(
        "DnCNN of KAIR",
        "dncnn",
        _dncnn_settings("model"),
        _dncnn_entries("model", _KAIR_EPS),
        decided_by_file=_DNCNN_DECIDED,
    ),
    Layout(
        "DAE of DMSP",
        "dncnn",
        _dae_settings,
        _dae_entries,
        decided_by_file=_DNCNN_DECIDED,
        model="dmsp_dae",
    ),
    Layout(
        "EDSR of EDSR-PyTorch",
        "edsr",
        _edsr_settings("head.0.weight", r"body\.(\d+)\.body\.0\.weight", r"tail\.0\.(\d+)\.weight"),
        _edsr_entries(
            "head.0", ("body.{}.body.0", "body.{}.body.2"), "body.{}", "tail.0", "tail.1"
        ),
        _mean_shifts,
    ),
    Layout(
        "EDSR of BasicSR",
        "edsr",
        _edsr_settings(
            "conv_first.weight", r"body\.(\d+)\.conv1\.weight", r"upsample\.(\d+)\.weight"
        ),
        _edsr_entries(
            "conv_first",
            ("body.{}.conv1", "body.{}.conv2"),
            "conv_after_body",
            "upsample",
            "conv_last",
        ),
    ),
    Layout(
        "SeeInDark of pytorch-Learning-to-See-in-the-Dark",
        "sid",
        _sid_settings("conv{}.weight", "conv10_1.weight", (0, 1)),
        _sid_torch_entries,
        decided_by_file=_SID_DECIDED,
    ),
    Layout(
        "TensorFlow of Learning-to-See-in-the-Dark",
        "sid",
        _sid_settings("g_conv{}/weights", "g_conv10/weights", (3, 2)),
        _sid_tensorflow_entries,
        decided_by_file=_SID_DECIDED,
    ),
)
