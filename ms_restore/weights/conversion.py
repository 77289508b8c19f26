"""Conversion of weights from other frameworks to checkpoints, and to PyTorch."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import Any, NamedTuple, Optional

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
_TORCH_LAYOUTS = {
    "fdncnn": "FDnCNN of KAIR",
    "ffdnet": "FFDNet of KAIR",
    "ircnn": "IRCNN of KAIR",
    "drunet": "DRUNet of KAIR",
    "nafnet": "NAFNet",
    "swinir": "SwinIR",
    "edsr": "EDSR of EDSR-PyTorch",
    "rrdbnet": "RRDBNet of BasicSR",
    "srvgg": "SRVGG of Real-ESRGAN",
    "sid": "SeeInDark of pytorch-Learning-to-See-in-the-Dark",
}


class _Match(NamedTuple):
    """A layout that a file's names are of, what it tells of the network, and the arrays by name."""

    layout: Layout
    found: dict[str, Any]
    arrays: Arrays

    def __str__(self) -> str:
        described = ", ".join(f"{key} {value}" for key, value in self.found.items())
        return f"{self.layout.name} ({described})"


def from_file(
    path: Path, model: Optional[str], settings: Optional[dict[str, Any]]
) -> tuple[nn.Cell, Recipe, str]:
    """Return the network with a file's weights, its recipe, and the name of the file's layout.

    Args:
        path: file of another framework, see ``foreign.read``.
        model: name of the model; None finds the only one whose network the weights fit.
        settings: changes to the model's recipe; ``degradation.sigma_255`` also chooses the network
            of a file with one for each noise level.

    Raises:
        InputError: the file cannot be read, its names are of no known layout, a parameter is
            missing, left over or of another shape, or the weights do not fit the model.
    """
    settings = settings or {}
    matches = _matches(path, settings.get("degradation.sigma_255"))
    match, recipe = _choose(path, matches, model, settings)
    return _network(path, match, recipe.network), recipe, match.layout.name


def for_training(path: Path, recipe: Recipe) -> tuple[nn.Cell, str]:
    """Return a network of the recipe's kind and the file's size with its weights, and the layout.

    Raises InputError as ``from_file`` does, and where the weights are of another kind of network.
    """
    matches = _matches(path, recipe.degradation.get("sigma_255"))
    for match in matches:
        if _is_of(match, recipe):
            return _network(path, match, recipe.network), match.layout.name
    raise InputError(f"{path}: {matches[0]}, not {recipe.network['name']}")


def _matches(path: Path, sigma_255: Any) -> list[_Match]:
    """Return the layouts of a file, at least one; several where shapes do not tell them apart."""
    level = sigma_255 if isinstance(sigma_255, (int, float)) else None
    read = foreign.one_network(path, foreign.read(path), level)
    read = {name: array for name, array in read.items() if not name.endswith(_COUNTERS)}
    for arrays in foreign.without_prefixes(read):
        matches = []
        for layout in LAYOUTS:
            with contextlib.suppress(KeyError, IndexError, ZeroDivisionError):  # a part of one
                found = layout.settings(arrays)
                if found is not None:
                    matches.append(_Match(layout, found, arrays))
        if matches:
            return matches
    known = comma_list(dict.fromkeys(layout.name for layout in LAYOUTS), 9)
    raise InputError(
        f"{path}: no known layout of weights; its names are {comma_list(read)}; known: {known}"
    )


def _choose(
    path: Path, matches: list[_Match], model: Optional[str], settings: dict[str, Any]
) -> tuple[_Match, Recipe]:
    """Return the layout, and the model's recipe with the settings that the file decides."""
    if model is None:
        model = _only_model(path, matches)
    recipe = recipes.load(model, settings)
    match = next((match for match in matches if _is_of(match, recipe)), matches[0])
    fitting = _fitting(match)
    own = match.layout.decided_by_file + (() if fitting else match.layout.decided_if_new)
    differing = _differences(match, recipe, own)
    if differing:
        fits = f"; {comma_list(fitting, 9)} would fit" if fitting else ""
        if not fitting and {text.split(" ")[0] for text in differing} == {"scale"}:
            fits = f"; add --network.scale {match.found['scale']}"
        raise InputError(f"{path}: {match}, not {model} ({comma_list(differing, 9)}){fits}")
    decided = {f"network.{key}": match.found[key] for key in own if key in match.found}
    clashes = [
        f"{key} {settings[key]} (the file has {value})"
        for key, value in decided.items()
        if settings.get(key, value) != value
    ]
    if clashes:
        raise InputError(f"{path}: its weights decide {comma_list(clashes)}; leave the option out")
    return match, recipes.load(model, {**settings, **decided})


def _only_model(path: Path, matches: list[_Match]) -> str:
    """Return the only model that has the file's network; raise InputError if that is uncertain."""
    for match in matches:
        if match.layout.model in _fitting(match):
            return match.layout.model
    decided = [(m, m.layout.decided_by_file + m.layout.decided_if_new) for m in matches]
    fitting = [name for match in matches for name in _fitting(match)]
    near = [name for match, own in decided for name in _fitting(match, own)]
    kinds = {match.layout.network for match in matches}
    if len(fitting) == 1 and len(kinds) == 1:
        return fitting[0]
    names = comma_list(near if len(kinds) > 1 else fitting or near, 12)
    described = " or ".join(map(str, matches))
    if not names:
        raise InputError(
            f"{path}: {described}, which no shipped model has; name a recipe of it with --model"
        )
    raise InputError(
        f"{path}: {described}, the model is not certain; name one of {names} with --model "
        "(of a prior: with that of convert)"
    )


def _fitting(match: _Match, own: tuple[str, ...] = ("batch_norm", "bias")) -> list[str]:
    """Return the models whose networks are the file's, apart from its own settings."""
    others = {layout.model for layout in LAYOUTS} - {match.layout.model}
    return [
        name
        for name, recipe in _loaded(tuple(recipes.files().items()))
        if recipe.solver is None
        and name not in others
        and match.layout.model in (None, name)
        and not _differences(match, recipe, own)
    ]


@functools.lru_cache(maxsize=1)
def _loaded(files: tuple[tuple[str, Path], ...]) -> list[tuple[str, Recipe]]:
    """Return the shipped recipes by model, which take a second to read and are never changed."""
    return [(name, recipes.load(name)) for name, _ in files]


def _is_of(match: _Match, recipe: Recipe) -> bool:
    same = match.layout.network == recipe.network["name"]
    return same and match.layout.model in (None, recipe.model)


def _differences(match: _Match, recipe: Recipe, own: tuple[str, ...]) -> list[str]:
    """Return the settings in which the recipe's network differs from the file's."""
    network = recipe.network
    if network["name"] != match.layout.network:
        return [f"network {network['name']}"]
    return [
        f"{key} {network[key]}"
        for key, value in match.found.items()
        if key not in own and network[key] != value
    ]


def _network(path: Path, match: _Match, settings: dict[str, Any]) -> nn.Cell:
    """Return a network of these settings and what the file decides, with all of the weights."""
    layout, found, arrays = match
    settings = settings | found
    network = registry.build("network", settings)
    entries, constants = layout.entries(settings), layout.constants(found)
    _check_constants(path, constants, arrays)
    faults = _set_parameters(network, entries, arrays)
    derived = {name for name in arrays if name.rpartition(".")[2] in layout.derived}
    left = set(arrays) - {entry.theirs for entry in entries} - set(constants) - derived
    faults += [f"{name} {arrays[name].shape} is left over" for name in sorted(left)]
    if faults:
        raise InputError(
            f"{path}: {layout.name}, but its weights do not fit: {comma_list(faults, 4)}"
        )
    return network


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
            missing = f"{_absent(entry.theirs, arrays)} is missing"
            faults += [missing] if missing not in faults else []
            continue
        array = arrays[entry.theirs]
        expected = entry.shape(tuple(parameters[entry.ours].shape))
        if array.shape != expected:
            faults.append(f"{entry.theirs} is {array.shape}, expected {expected}")
            continue
        parameters[entry.ours].set_data(ms.Tensor(np.ascontiguousarray(entry.to_ours(array))))
    return faults


def _absent(name: str, arrays: Arrays) -> str:
    """Return the whole part, such as a block, that the file lacks with this parameter."""
    words = name.split(".")
    starts = (".".join(words[:count]) for count in range(1, len(words)))
    return next((s for s in starts if not any(n.startswith(f"{s}.") for n in arrays)), name)


def to_torch(network: nn.Cell, recipe: Recipe, path: Path) -> str:
    """Write a network's parameters as .safetensors for PyTorch, and return the layout's name.

    The names are those of DnCNN-PyTorch (DnCNN with batch normalisation), KAIR (DnCNN without,
    FDnCNN, FFDNet, IRCNN, DRUNet), EDSR-PyTorch, BasicSR (RRDBNet), Real-ESRGAN (SRVGG), the
    authors of NAFNet and SwinIR, or pytorch-Learning-to-See-in-the-Dark. Raises InputError for a
    network without a known PyTorch layout, and where the package safetensors is not installed.
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise InputError(f"{path}: {foreign.missing_package('safetensors')}") from None
    settings = dict(recipe.network)
    name = _TORCH_LAYOUTS.get(settings["name"])
    if settings["name"] == "dncnn":
        settings["bias"] = "first.bias" in dict(network.parameters_and_names())
        name = "DnCNN of DnCNN-PyTorch" if settings["batch_norm"] else "DnCNN of KAIR"
    layout = next((layout for layout in LAYOUTS if layout.name == name), None)
    if layout is None or settings.get("normalisation", "div2k") != "div2k":
        raise InputError(
            f"{recipe.model}: no PyTorch layout is known for this network "
            f"({comma_list((f'{k} {v}' for k, v in settings.items()), 9)})"
        )
    parameters = {name: p.asnumpy() for name, p in network.parameters_and_names()}
    arrays = {e.theirs: e.to_theirs(parameters[e.ours]) for e in layout.entries(settings)}
    arrays.update(layout.constants(settings))
    arrays.update(layout.derive(settings, recipe.data.patch_size // network.scale))
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    for name in [name for name in arrays if name.endswith(".running_var")]:  # PyTorch requires it
        arrays[name.replace("running_var", _COUNTERS)] = np.array(0, np.int64)
    encoded = save(arrays, metadata={"model": recipe.model, "layout": layout.name})
    with atomic_write(path) as temporary:
        temporary.write_bytes(encoded)
    return layout.name
