"""Layouts of the network of Learning to See in the Dark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import Layout, ParameterMapping, Recogniser

_HWIO = (3, 2, 0, 1)  # transposes TensorFlow's kernels to ours
_DECIDED = ("channels", "width", "up_bias")


def _sid_settings(names: str, last: str, axes: tuple[int, ...]) -> Recogniser:
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


LAYOUTS = (
    Layout(
        "SeeInDark of pytorch-Learning-to-See-in-the-Dark",
        "sid",
        _sid_settings("conv{}.weight", "conv10_1.weight", (0, 1)),
        _sid_torch_entries,
        decided_by_file=_DECIDED,
    ),
    Layout(
        "TensorFlow of Learning-to-See-in-the-Dark",
        "sid",
        _sid_settings("g_conv{}/weights", "g_conv10/weights", (3, 2)),
        _sid_tensorflow_entries,
        decided_by_file=_DECIDED,
    ),
)
