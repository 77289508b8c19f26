"""Conversion of weights from other frameworks to checkpoints, and to PyTorch."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
import numpy as np
from mindspore import nn

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.errors import InputError, comma_list
from ms_restore.files import atomic_write
from ms_restore.settings import Recipe
from ms_restore.weights import foreign
from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts import LAYOUTS, Layout

_COUNTERS = "num_batches_tracked"  # counters of batch normalisation, which are never used


def from_file(
    path: Path, model: Optional[str], settings: Optional[dict[str, Any]]
) -> tuple[nn.Cell, Recipe, str]:
    """Return the network with a file's weights, its recipe, and the name of the file's layout.

    Args:
        path: file of another framework, see ``foreign.read``.
        model: name of the model; None finds the only one whose network the weights fit.
        settings: changes to the model's recipe.

    Raises:
        InputError: the file cannot be read, its names are of no known layout, a parameter is
            missing, left over or of another shape, or the weights do not fit the model.
    """
    layout, found, arrays = _recognise_layout(path, foreign.read(path))
    recipe = _recipe(path, layout, found, model, settings or {})
    network = registry.build("network", recipe.network)
    entries = layout.entries(recipe.network | found)
    _check_constants(path, layout.constants(found), arrays)
    faults = _set_parameters(network, entries, arrays)
    left = set(arrays) - {entry.theirs for entry in entries} - set(layout.constants(found))
    faults += [f"{name} {arrays[name].shape} is left over" for name in sorted(left)]
    if faults:
        raise InputError(
            f"{path}: {layout.name}, but its weights do not fit: {comma_list(faults, 4)}"
        )
    return network, recipe, layout.name


def _recognise_layout(path: Path, read: Arrays) -> tuple[Layout, dict[str, Any], Arrays]:
    """Return the layout, the settings, and the arrays without what stands before its names."""
    read = {name: array for name, array in read.items() if not name.endswith(_COUNTERS)}
    for arrays in foreign.without_prefixes(read):
        for layout in LAYOUTS:
            found = None
            with contextlib.suppress(KeyError, IndexError, ZeroDivisionError):  # a part of one
                found = layout.settings(arrays)
            if found is not None:
                return layout, found, arrays
    known = comma_list((layout.name for layout in LAYOUTS), 9)
    raise InputError(
        f"{path}: no known layout of weights; its names are {comma_list(read)}; known: {known}"
    )


def _recipe(
    path: Path,
    layout: Layout,
    found: dict[str, Any],
    model: Optional[str],
    settings: dict[str, Any],
) -> Recipe:
    """Return the model's recipe, with the network settings that the file decides."""
    candidates = [layout.model] if layout.model else recipes.files()
    shipped = {name: recipes.load(name) for name in candidates}
    fitting = [
        name
        for name, recipe in shipped.items()
        if recipe.solver is None and not _differences(layout, found, recipe)
    ]
    described = ", ".join(f"{key} {value}" for key, value in found.items())
    if model is None:
        if len(fitting) != 1:
            names = f"one of {comma_list(fitting, 9)}" if fitting else "the nearest one"
            raise InputError(
                f"{path}: {layout.name} ({described}), the model is not certain; "
                f"name {names} with --model"
            )
        model = fitting[0]
    differing = _differences(layout, found, recipes.load(model, settings), layout.decided_by_file)
    if differing:
        fits = f"; {comma_list(fitting, 9)} would fit" if fitting else ""
        raise InputError(
            f"{path}: {layout.name} ({described}), not {model} ({comma_list(differing, 9)}){fits}"
        )
    decided = {f"network.{key}": found[key] for key in layout.decided_by_file if key in found}
    clashes = [
        f"{key} {settings[key]} (the file has {value})"
        for key, value in decided.items()
        if settings.get(key, value) != value
    ]
    if clashes:
        raise InputError(f"{path}: its weights decide {comma_list(clashes)}; leave the option out")
    return recipes.load(model, {**settings, **decided})


def _differences(
    layout: Layout,
    found: dict[str, Any],
    recipe: Recipe,
    skipped: tuple[str, ...] = ("batch_norm", "bias"),
) -> list[str]:
    """Return the settings in which the recipe's network differs from the file's."""
    network = recipe.network
    if network["name"] != layout.network:
        return [f"network {network['name']}"]
    return [
        f"{key} {network[key]}"
        for key, value in found.items()
        if key not in skipped and network[key] != value
    ]


def _check_constants(path: Path, constants: Arrays, arrays: Arrays) -> None:
    for name, value in constants.items():
        if name in arrays and not np.allclose(arrays[name], value, rtol=1e-3):
            raise InputError(
                f"{path}: {name} is not the DIV2K mean that belongs to this layout; "
                "these weights expect other inputs"
            )


def _set_parameters(network: nn.Cell, entries: list[Any], arrays: Arrays) -> list[str]:
    """Set every parameter; return a line for each that is missing or of another shape."""
    parameters = dict(network.parameters_and_names())
    faults = [f"{name} has no counterpart" for name in set(parameters) - {e.ours for e in entries}]
    for entry in entries:
        if entry.theirs not in arrays:
            faults.append(f"{entry.theirs} is missing")
            continue
        array = arrays[entry.theirs]
        expected = entry.shape(tuple(parameters[entry.ours].shape))
        if array.shape != expected:
            faults.append(f"{entry.theirs} is {array.shape}, expected {expected}")
            continue
        parameters[entry.ours].set_data(ms.Tensor(np.ascontiguousarray(entry.to_ours(array))))
    return faults


def to_torch(network: nn.Cell, recipe: Recipe, path: Path) -> str:
    """Write a network's parameters as .safetensors for PyTorch, and return the layout's name.

    The names are those of DnCNN-PyTorch (DnCNN with batch normalisation), KAIR (DnCNN without),
    EDSR-PyTorch or pytorch-Learning-to-See-in-the-Dark. Raises InputError for a network without a
    known PyTorch layout, and where the package safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise InputError(f"{path}: {foreign.missing_package('safetensors')}") from None
    settings = dict(recipe.network)
    name = settings["name"]
    if name == "dncnn":
        settings["bias"] = "first.bias" in dict(network.parameters_and_names())
        name = "DnCNN of DnCNN-PyTorch" if settings["batch_norm"] else "DnCNN of KAIR"
    elif name == "edsr" and settings["normalisation"] == "div2k":
        name = "EDSR of EDSR-PyTorch"
    elif name == "sid":
        name = "SeeInDark of pytorch-Learning-to-See-in-the-Dark"
    layout = next((layout for layout in LAYOUTS if layout.name == name), None)
    if layout is None:
        raise InputError(
            f"{recipe.model}: no PyTorch layout is known for this network "
            f"({comma_list((f'{k} {v}' for k, v in settings.items()), 9)})"
        )
    parameters = {name: p.asnumpy() for name, p in network.parameters_and_names()}
    arrays = {e.theirs: e.to_theirs(parameters[e.ours]) for e in layout.entries(settings)}
    arrays.update(layout.constants(settings))
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name in [name for name in arrays if name.endswith(".running_var")]:  # PyTorch requires it
        arrays[name.replace("running_var", _COUNTERS)] = np.array(0, np.int64)
    encoded = save(arrays, metadata={"model": recipe.model, "layout": layout.name})
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)
    return layout.name
