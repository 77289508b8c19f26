"""Checks of the parts that a caller brought, before a run begins with them.

Our own parts are tested against their contracts; those of others are tried once, on a small input.
"""

from __future__ import annotations

import numpy as np
from mindspore import Tensor, nn

from ms_restore import registry, seeds
from ms_restore.contracts import Degradation, Geometry
from ms_restore.errors import InputError
from ms_restore.settings import Recipe

_DTYPES = ("uint8", "uint16", "float32")


def check_same_kind(network: nn.Cell, second: nn.Cell, name: str) -> None:
    """Raise InputError unless the settings that a checkpoint would name make the same network.

    Args:
        network: the caller's object.
        second: made by its class with the settings that were read off the object.
        name: ``module:Class``, for the message.
    """
    shapes = [
        {parameter.name: parameter.shape for parameter in cell.get_parameters()}
        for cell in (network, second)
    ]
    differing = sorted(dict(shapes[0].items() ^ shapes[1].items()))
    if differing:
        raise InputError(
            f"network {name}: made again from the settings that the object keeps, it has other "
            f"parameters ({differing[0]} {shapes[0].get(differing[0])} and "
            f"{shapes[1].get(differing[0])}); keep every argument of its constructor as an "
            "attribute of the same name, such as self.width = width"
        )


def check_outside_parts(network: nn.Cell, degradation: Degradation, recipe: Recipe) -> None:
    """Raise InputError where a part of the caller's does not give what its contract says."""
    geometry = Geometry.of(network)
    size = recipe.data.patch_size
    if registry.is_outside(recipe.degradation):
        _check_degradation(degradation, geometry, recipe)
    if not (registry.is_outside(recipe.network) or registry.is_outside(recipe.train.loss)):
        return
    name = recipe.network["name"]
    given = (1, geometry.input_channels, size // geometry.scale, size // geometry.scale)
    expected = (1, geometry.output_channels, size, size)
    network.set_train(False)
    y = Tensor(np.full(given, 0.5, np.float32))
    try:
        x_hat = network(y)
    except Exception as error:  # whatever the caller's code and MindSpore's compiler raise
        raise InputError(f"network {name}: fails on an input {given}: {_first(error)}") from None
    finally:
        network.set_train()
    _check_tensor(f"network {name}: for an input {given} it", x_hat, expected)
    loss = registry.build("loss", recipe.train.loss)
    label = f"loss {recipe.train.loss['name']}"
    try:
        value = loss(x_hat, Tensor(np.zeros(expected, np.float32)))
    except Exception as error:
        raise InputError(f"{label}: fails on two images {expected}: {_first(error)}") from None
    _check_tensor(f"{label}: it", value, ())


def _check_tensor(what: str, value: object, shape: tuple[int, ...]) -> None:
    found = f"{value!r:.60}"
    if isinstance(value, Tensor):
        if tuple(value.shape) == shape and str(value.dtype) == "Float32":
            return
        found = f"{str(value.dtype).lower()} of shape {tuple(value.shape)}"
    raise InputError(f"{what} gives {found}, expected float32 of shape {shape}")


def _check_degradation(degradation: Degradation, geometry: Geometry, recipe: Recipe) -> None:
    name = recipe.degradation["name"]
    if degradation.scale != geometry.scale:
        raise InputError(
            f"degradation {name}: its scale is {degradation.scale}, but that of the network "
            f"{recipe.network['name']} is {geometry.scale}"
        )
    side = recipe.data.patch_size + 2 * degradation.margin
    small = recipe.data.patch_size // degradation.scale
    x = np.random.default_rng(0).integers(0, 256, (2, geometry.output_channels, side, side))
    expected = (2, geometry.input_channels, small, small)
    try:
        y = degradation.patches(x.astype(np.uint8), [seeds.sample_rng(0, n) for n in range(2)])
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"degradation {name}: fails on {x.shape}: {_first(error)}") from None
    if not isinstance(y, np.ndarray) or y.shape != expected or str(y.dtype) not in _DTYPES:
        found = f"{y.dtype} of shape {y.shape}" if isinstance(y, np.ndarray) else f"{y!r:.60}"
        raise InputError(
            f"degradation {name}: for patches {x.shape} it gives {found}, expected "
            f"{' or '.join(_DTYPES)} of shape {expected}"
        )


def _first(error: Exception) -> str:
    lines = [line.strip(" -") for line in str(error).splitlines()]
    return f"{type(error).__name__}: {next(filter(None, lines), 'no message')}"
