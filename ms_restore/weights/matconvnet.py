"""Reading of MatConvNet's networks of convolutions and ReLUs, which MATLAB files hold.

The file has a variable ``net``: a struct with the cell array ``layers``, or that array itself; or a
variable of any name that is a cell array of such networks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

import numpy as np

from ms_restore.errors import InputError, comma_list
from ms_restore.matlab_files import read_mat

_IRCNN_DILATIONS = [1, 2, 3, 4, 3, 2, 1]
_BESIDE = ("SubP", "concat")  # FFDNet's sub-images and the noise, which the shapes tell too


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the convolutions by name: ``layers.N.weight`` and ``layers.N.bias``.

    N counts ReLUs too. Instead of ``layers``, the word is ``cell`` where the network is the cell
    array itself, and ``dilated`` where its convolutions are dilated as IRCNN's. With several
    networks, each name begins with the number of its network, from 0.

    MATLAB's filters (height, width, in, out) are returned as (out, in, height, width). Raises
    InputError for a file without such a network, or with another kind of layer.
    """
    content = read_mat(path)
    if _layers(content.get("net")) is not None:
        networks = [content["net"]]
    else:
        cells = [value for value in content.values() if isinstance(value, list) and value]
        networks = next((c for c in cells if all(_layers(n) is not None for n in c)), [])
    if not networks:
        raise InputError(
            f"{path}: no network 'net' of MatConvNet layers in it; it holds {comma_list(content)}"
        )
    arrays: dict[str, np.ndarray] = {}
    for number, network in enumerate(networks):
        before = f"{number}." if len(networks) > 1 else ""
        for name, array in _convolutions(path, network).items():
            arrays[before + name] = np.ascontiguousarray(array, np.float32)
    return arrays


def _layers(net: Any) -> Optional[list[dict[str, Any]]]:
    """Return the layers of a network; None where the value is none."""
    layers = net.get("layers") if isinstance(net, dict) else net
    if not isinstance(layers, list) or not layers:
        return None
    return layers if all(isinstance(x, dict) and "type" in x for x in layers) else None


def _convolutions(path: Path, net: Any) -> dict[str, np.ndarray]:
    layers = _layers(net) or []
    chain = [layer for layer in layers if layer["type"] not in _BESIDE]
    arrays: dict[str, np.ndarray] = {}
    dilations = []
    for number, layer in enumerate(chain):
        try:
            kind, leak = str(layer["type"]), layer.get("leak")
            expected = "relu" if number % 2 else "conv"
            if kind != expected or (kind == "relu" and leak is not None and np.any(leak)):
                raise InputError(f"{path}: layer {number + 1} is {kind}, expected {expected}")
            if kind == "relu":
                continue
            weight, bias = layer["weights"]
            dilations.append(_dilation(path, number, layer))
            weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
            arrays[f"{number}.weight"] = weight.transpose(3, 2, 0, 1)
            arrays[f"{number}.bias"] = bias.ravel()
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError):
            raise InputError(
                f"{path}: layer {number + 1} is not one of MatConvNet, with a type and weights"
            ) from None
    word = "cell" if isinstance(net, list) else "layers"
    if dilations == _IRCNN_DILATIONS:
        word = "dilated"
    elif any(dilation != 1 for dilation in dilations):
        raise InputError(f"{path}: dilations {dilations}, expected none or those of IRCNN")
    return {f"{word}.{name}": array for name, array in arrays.items()}


def _dilation(path: Path, number: int, layer: dict[str, Any]) -> int:
    """Return how far apart a filter's values are; the padding must keep the size."""
    dilation, stride, pad = (
        set(np.ravel(layer.get(key, default)).tolist())
        for key, default in (("dilate", 1), ("stride", 1), ("pad", layer.get("dilate", 1)))
    )
    if len(dilation) != 1 or stride != {1} or pad != dilation:
        raise InputError(
            f"{path}: layer {number + 1} has stride {sorted(stride)}, padding {sorted(pad)}, "
            f"dilation {sorted(dilation)}; expected a convolution that keeps the size"
        )
    return int(dilation.pop())
