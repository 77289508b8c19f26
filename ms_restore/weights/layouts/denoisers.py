"""Layouts of denoisers, each a chain of convolutions: DnCNN, FDnCNN, FFDNet and IRCNN.

KAIR gives all of them the names ``model.N``, MatConvNet's files have none: their shapes tell them
apart. The networks' channels are those of the first convolution's inputs: C (DnCNN, IRCNN), C + 1
with the noise (FDnCNN), 4 C + 1 (FFDNet).
"""

from __future__ import annotations

import re
from typing import Any, Callable, NamedTuple, Optional

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import (
    Layout,
    ParameterMapping,
    Recogniser,
    layer_numbers,
)

_OUR_EPS = 1e-5  # epsilon of MindSpore's and PyTorch's batch normalisation
_KAIR_EPS = 1e-4
_IRCNN_LAYERS = 7
_CHANNELS = (1, 3)
_SUB_IMAGES = 4  # of FFDNet
_SIZES = ("layers", "filters")
_DNCNN_DECIDED = (*_SIZES, "batch_norm", "bias")
_Entries = Callable[[dict[str, Any]], list[ParameterMapping]]


class _Chain(NamedTuple):
    """What the names and shapes of a chain of convolutions tell."""

    inputs: int
    outputs: int
    layers: int
    filters: int
    batch_norm: bool
    bias: bool


def _chain(arrays: Arrays, prefix: str) -> Optional[_Chain]:
    """Return the chain whose convolutions are named ``prefix.N``; None where there is none."""
    numbers = layer_numbers(rf"{prefix}\.(\d+)\.weight", arrays, dimensions=4)
    own = [name for name in arrays if name.startswith(f"{prefix}.")]
    if len(numbers) < 2 or not all(re.fullmatch(rf"{prefix}\.\d+\.\w+", name) for name in own):
        return None
    first, last = (arrays[f"{prefix}.{number}.weight"] for number in (numbers[0], numbers[-1]))
    return _Chain(
        inputs=first.shape[1],
        outputs=last.shape[0],
        layers=len(numbers),
        filters=first.shape[0],
        batch_norm=any(name.endswith(".running_mean") for name in arrays),
        bias=f"{prefix}.{numbers[0]}.bias" in arrays,
    )


def _dncnn_settings(prefix: str) -> Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        chain = _chain(arrays, prefix)
        if chain is None or chain.inputs not in _CHANNELS or chain.outputs != chain.inputs:
            return None
        return {
            "channels": chain.inputs,
            "layers": chain.layers,
            "filters": chain.filters,
            "batch_norm": chain.batch_norm,
            "bias": chain.bias,
        }

    return settings


def _fdncnn_settings(prefix: str) -> Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        chain = _chain(arrays, prefix)
        if chain is None or chain.outputs not in _CHANNELS or chain.inputs != chain.outputs + 1:
            return None
        return {"channels": chain.outputs, "layers": chain.layers, "filters": chain.filters}

    return settings


def _ffdnet_settings(prefix: str) -> Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        chain = _chain(arrays, prefix)
        if chain is None or chain.outputs not in [_SUB_IMAGES * c for c in _CHANNELS]:
            return None
        if chain.inputs not in (chain.outputs, chain.outputs + 1):
            return None
        return {
            "channels": chain.outputs // _SUB_IMAGES,
            "layers": chain.layers,
            "filters": chain.filters,
            "noise_map": chain.inputs > chain.outputs,
        }

    return settings


def _ircnn_settings(prefix: str) -> Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        chain = _chain(arrays, prefix)
        if chain is None or chain.layers != _IRCNN_LAYERS or chain.batch_norm:
            return None
        if chain.inputs not in _CHANNELS or chain.outputs != chain.inputs:
            return None
        return {"channels": chain.inputs, "filters": chain.filters}

    return settings


def _dncnn_entries(prefix: str, eps: float = _OUR_EPS) -> _Entries:
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


def _plain_entries(prefix: str) -> _Entries:
    """Return the conversion of convolutions and ReLUs, which ``prefix.N`` counts together."""

    def entries(settings: dict[str, Any]) -> list[ParameterMapping]:
        return [
            ParameterMapping(f"convolutions.{number}.{kind}", f"{prefix}.{2 * number}.{kind}")
            for number in range(settings.get("layers", _IRCNN_LAYERS))
            for kind in ("weight", "bias")
        ]

    return entries


def _matconvnet_ffdnet_entries(prefix: str) -> _Entries:
    """Return the conversion of FFDNet from MATLAB, which counts the sub-images down the columns.

    There they are those of (row, column) (0, 0), (1, 0), (0, 1), (1, 1) of each colour, here (0, 0)
    (0, 1), (1, 0), (1, 1). The noise is the last input of both.
    """

    def entries(settings: dict[str, Any]) -> list[ParameterMapping]:
        made = _plain_entries(prefix)(settings)
        order = tuple(
            _SUB_IMAGES * colour + place
            for colour in range(settings["channels"])
            for place in (0, 2, 1, 3)
        )
        noise = (len(order),) if settings["noise_map"] else ()
        made[0] = made[0]._replace(permutation=order + noise, permuted_axis=1)
        made[-2:] = [entry._replace(permutation=order) for entry in made[-2:]]
        return made

    return entries


def _dae_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion from y + f(y) on BGR in [0, 255] to y - R(y) on RGB in [0, 1].

    Hence R(y) = -f(255 y) / 255. The filters are taken as (width, height), as the authors' ports
    do, with which the published figures were compared.
    """
    made = [
        entry._replace(axes=(0, 1, 3, 2)) if entry.ours.endswith(".weight") else entry
        for entry in _dncnn_entries("cell")(settings)
    ]
    made[0] = made[0]._replace(factor=255.0, reversed_axis=1)
    made[-2:] = [entry._replace(factor=-1 / 255, reversed_axis=0) for entry in made[-2:]]
    return made


def _family(
    source: str, prefix: str, ffdnet: Callable[[str], _Entries], eps: float = _OUR_EPS
) -> tuple[Layout, ...]:
    """Return the layouts of a source that names the convolutions of all networks alike."""
    return (
        Layout(
            f"DnCNN of {source}",
            "dncnn",
            _dncnn_settings(prefix),
            _dncnn_entries(prefix, eps),
            decided_by_file=_DNCNN_DECIDED,
        ),
        Layout(
            f"FDnCNN of {source}",
            "fdncnn",
            _fdncnn_settings(prefix),
            _plain_entries(prefix),
            decided_by_file=_SIZES,
        ),
        Layout(
            f"FFDNet of {source}",
            "ffdnet",
            _ffdnet_settings(prefix),
            ffdnet(prefix),
            decided_by_file=(*_SIZES, "noise_map"),
        ),
    )


def _ircnn(source: str, prefix: str) -> Layout:
    return Layout(
        f"IRCNN of {source}",
        "ircnn",
        _ircnn_settings(prefix),
        _plain_entries(prefix),
        decided_by_file=("filters",),
    )


LAYOUTS = (
    Layout(
        "DnCNN of DnCNN-PyTorch",
        "dncnn",
        _dncnn_settings("dncnn"),
        _dncnn_entries("dncnn"),
        decided_by_file=_DNCNN_DECIDED,
    ),
    *_family("KAIR", "model", _plain_entries, _KAIR_EPS),
    _ircnn("KAIR", "model"),
    Layout(
        "DAE of DMSP",
        "dncnn",
        _dncnn_settings("cell"),
        _dae_entries,
        decided_by_file=_DNCNN_DECIDED,
        model="dmsp_dae",
    ),
    *_family("MatConvNet", "layers", _matconvnet_ffdnet_entries),
    *_family("MatConvNet", "cell", _matconvnet_ffdnet_entries),
    _ircnn("MatConvNet", "dilated"),
)
