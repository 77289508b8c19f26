"""Recipes: typed settings <- YAML <- command line, checked together and saved beside the weights.

A model's name is its recipe's file stem: ``models/edsr/edsr_x4.yaml`` is the model ``edsr_x4``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Optional

import pydantic

from ms_restore import registry, texts
from ms_restore.contracts import Coupled
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.registry import Kind
from ms_restore.settings import (
    DataSettings,
    EvalSettings,
    PartSettings,
    Recipe,
    RuntimeSettings,
    TrainSettings,
)

_PARTS: dict[str, Kind] = {  # where a recipe names a part, and of which kind it is
    "network": "network",
    "degradation": "degradation",
    "solver": "solver",
    "train.loss": "loss",
    "train.optimizer": "optimizer",
    "train.schedule": "schedule",
}
_OTHER_WORDS = {  # what other programs call a key
    "learning_rate": "train.lr",
    "epochs": "train.steps",
    "batch": "train.batch_size",
    "num_workers": "data.workers",
    "crop_size": "data.patch_size",
    "sigma": "degradation.sigma_255",
}
_DEFAULTS = {"train.loss": "l1", "train.optimizer": "adam", "train.schedule": "constant"}


def files() -> dict[str, Path]:
    """Return the shipped recipes by model name."""
    return {path.stem: path for path in sorted(folder().glob("*/*.yaml"))}


def list_models() -> dict[str, str]:
    """Return the names of the shipped models with a line that describes each."""
    return {name: data["description"] for name, data in raw_recipes().items()}


def raw_recipes() -> dict[str, dict[str, Any]]:
    """Return what the shipped recipes hold, by model name, neither checked nor completed."""
    return {
        name: texts.parse_yaml(texts.read_text(path), str(path)) for name, path in files().items()
    }


def coloured(recipe: Recipe) -> str:
    """Return which shipped models of the recipe's network take colours, for a message."""
    names = [name for name in files() if _takes_colours(load(name), recipe)]
    return f"a model for colours ({comma_list(names, 9)})" if names else "a model with 3 channels"


def _takes_colours(other: Recipe, recipe: Recipe) -> bool:
    same = other.network["name"] == recipe.network["name"] and other.solver is None
    return same and other.network.get("channels") == 3


def folder() -> Path:
    """Return the folder of the models: their recipes, cards, and weights that come along."""
    package = Path(__file__).resolve().parent
    installed = package / "recipes" / "models"  # in a wheel; in a clone they lie beside the package
    return installed if installed.is_dir() else package.parent / "models"


def load(model: str, overrides: Optional[dict[str, Any]] = None) -> Recipe:
    """Load the recipe of a shipped model or of a YAML file, with settings on top.

    Raises InputError with one line for every problem there is.
    """
    path = _path_of(model)
    return parse(texts.read_text(path), overrides, name=path.stem, origin=str(path))


def _path_of(model: str) -> Path:
    if model.endswith((".yaml", ".yml")):
        if not Path(model).is_file():
            raise InputError(f"recipe {model}: no such file")
        return Path(model)
    if model not in files():
        hint = did_you_mean(model, files()) or f"; known: {comma_list(files(), 20)}"
        raise InputError(f"unknown model {model!r}{hint}")
    return files()[model]


def name_of(model: str) -> str:
    """Return the name that a recipe gives its model, without a look at its other settings.

    Raises InputError where there is no such recipe.
    """
    path = _path_of(model)
    data = texts.parse_yaml(texts.read_text(path), str(path))
    return str(data.get("model", path.stem)) if isinstance(data, dict) else path.stem


def all_keys() -> list[str]:
    """Return the keys of a recipe's sections, and those of parts that shipped recipes have."""
    sections = {"train": TrainSettings, "data": DataSettings, "eval": EvalSettings}
    keys = [f"{name}.{f.name}" for name, kind in sections.items() for f in dataclasses.fields(kind)]
    for part in ("network", "degradation", "solver"):
        for settings in (data.get(part) for data in raw_recipes().values()):
            if isinstance(settings, dict):
                keys += [f"{part}.{key}" for key in settings if key != "name"]
    keys += [f"runtime.{field.name}" for field in dataclasses.fields(RuntimeSettings)]
    return list(dict.fromkeys(keys))


def key_named(word: str) -> Optional[str]:
    """Return the key that an option without its section means, such as train.lr for lr."""
    if word in _OTHER_WORDS:
        return _OTHER_WORDS[word]
    return next((key for key in all_keys() if key.rpartition(".")[2] == word), None)


def parse(
    text: str,
    overrides: Optional[dict[str, Any]] = None,
    name: str = "model",
    origin: str = "recipe",
) -> Recipe:
    """Parse a recipe from YAML text."""
    data = texts.parse_yaml(text, origin)
    if not isinstance(data, dict):
        raise InputError(f"{origin}: expected a mapping of settings, got {type(data).__name__}")
    return assemble(data, overrides, name)


def assemble(
    data: dict[str, Any], overrides: Optional[dict[str, Any]] = None, name: str = "model"
) -> Recipe:
    """Return the recipe of these settings, as YAML holds them, with others on top."""
    data.setdefault("model", name)
    problems = []
    for key, value in (overrides or {}).items():
        problems += _override(data, key, value)
    return _check(data, problems)


def stored(text: str, origin: str) -> Recipe:
    """Read a recipe that this version checked, completed and wrote.

    Its parts are not looked up again, which would load MindSpore. Raises InputError where the text
    is no such recipe.
    """
    data = texts.parse_yaml(text, origin)
    try:
        recipe = pydantic.TypeAdapter(Recipe).validate_python(data)
        train = recipe.train
        parts = [recipe.network, recipe.degradation, train.loss, train.optimizer, train.schedule]
        if not all(isinstance(part["name"], str) for part in parts):
            raise KeyError("name")
    except (pydantic.ValidationError, KeyError, TypeError):
        raise InputError(f"{origin}: its recipe is damaged; make the file again") from None
    return recipe


def changed(recipe: Recipe, overrides: Optional[dict[str, Any]]) -> Recipe:
    """Return a recipe with other settings, checked together; without any it is the same one.

    Where neither a part nor what a part follows is changed, no part is looked up.
    """
    if not overrides:
        return recipe
    if not all(key == "seed" or key.startswith("runtime.") for key in overrides):
        return parse(recipe.to_yaml(), overrides)
    data = texts.parse_yaml(recipe.to_yaml(), recipe.model)
    problems = [line for key, value in overrides.items() for line in _override(data, key, value)]
    found = _typed(data, problems)
    if problems:
        raise InputError(*problems)
    return found


def runtime_of(overrides: Optional[dict[str, Any]]) -> RuntimeSettings:
    """Return the settings ``runtime.*`` among these, for what starts before it reads a recipe."""
    prefix = "runtime."
    found = {k[len(prefix) :]: v for k, v in (overrides or {}).items() if k.startswith(prefix)}
    try:
        return pydantic.TypeAdapter(RuntimeSettings).validate_python(found)
    except pydantic.ValidationError as error:
        problems = registry.describe(error, "runtime", lambda _: _known_keys(("runtime",)))
        raise InputError(*problems) from None


def _override(data: dict[str, Any], key: str, value: Any) -> list[str]:
    """Put one command-line setting into the recipe's data; a part's new name resets the part."""
    *sections, last = key.split(".")
    for depth, section in enumerate(sections):
        inner = data.get(section)
        if inner is None or isinstance(inner, str):  # a part written by its name alone
            inner = data[section] = {} if inner is None else {"name": inner}
        if not isinstance(inner, dict):
            return [f"{key}: {'.'.join(sections[: depth + 1])} has no keys of its own"]
        data = inner
    if last == "name" and data.get("name") != value:
        data.clear()
    data[last] = value
    return []


def _check(data: dict[str, Any], problems: list[str]) -> Recipe:
    broken = []  # parts whose own settings are wrong
    for where, kind in _PARTS.items():
        *sections, key = where.split(".")
        section = data
        for name in sections:
            section = section.setdefault(name, {})
        if isinstance(section, dict) and where in _DEFAULTS:
            section.setdefault(key, _DEFAULTS[where])
        if isinstance(section, dict) and key in section and not _is_left_out(where, section[key]):
            section[key], found = registry.check(kind, section[key], where)
            problems += found
            broken += [where] if found else []
    recipe = _typed(data, problems)
    problems += _contradictions(recipe, broken)
    if problems:
        raise InputError(*problems)
    return recipe


def _typed(data: dict[str, Any], problems: list[str]) -> Recipe:
    """The data as a recipe, without the values that are wrong, each of which adds a problem."""
    adapter = pydantic.TypeAdapter(Recipe)
    try:
        return adapter.validate_python(data)
    except pydantic.ValidationError as error:
        problems += registry.describe(error, "", _known_keys)
        for finding in error.errors():  # what is left is checked for contradictions all the same
            _drop(data, finding["loc"])
    try:
        return adapter.validate_python(data)
    except pydantic.ValidationError:
        raise InputError(*problems) from None


def _is_left_out(where: str, part: Any) -> bool:
    return where == "solver" and part is None


def _drop(data: dict[str, Any], location: tuple[Any, ...]) -> None:
    """Remove what lies there, or the list or value as a whole that it is a part of."""
    *sections, last = location
    for step in sections:
        inner = data.get(step)
        if not isinstance(inner, dict):
            last = step
            break
        data = inner
    data.pop(last, None)


def _known_keys(section: tuple[Any, ...]) -> list[str]:
    sections: dict[tuple[Any, ...], Any] = {
        ("data",): DataSettings,
        ("train",): TrainSettings,
        ("eval",): EvalSettings,
        ("runtime",): RuntimeSettings,
    }
    return [field.name for field in dataclasses.fields(sections.get(section, Recipe))]


def _contradictions(recipe: Recipe, broken: list[str]) -> list[str]:
    """What no single key shows; fills in the settings that follow from others.

    Parts that are ``broken`` are not asked.
    """
    found = []
    if recipe.train.loss_scale is None:
        in_float16 = recipe.train.amp_level == "O2" and recipe.train.amp_dtype == "float16"
        recipe.train.loss_scale = "dynamic" if in_float16 else "none"
    if "degradation" not in broken:
        found += _follow_network(recipe)
        if "network" not in broken and recipe.solver is None:
            found += _untold_noise(recipe)
    parts: list[tuple[Kind, PartSettings]] = [
        ("network", recipe.network),
        ("degradation", recipe.degradation),
    ]
    for kind, part in parts:
        target = None if kind in broken else registry.find(kind, part["name"])
        if isinstance(target, Coupled):
            found += target.conflicts(recipe)
    try:
        registry.find("protocol", recipe.eval.protocol)
    except InputError as error:
        found.append(f"eval.protocol: {error}")
    if "train.schedule" not in broken:
        try:
            registry.bound("schedule", recipe.train.schedule)(0, recipe.train.steps)
        except InputError as error:
            found += error.problems
    return found


def _follow_network(recipe: Recipe) -> list[str]:
    """Set what the degradation takes from the network; a line where it says otherwise."""
    found = []
    for key in registry.find("degradation", recipe.degradation["name"]).follows_network:
        wanted, given = registry.class_setting(recipe.network, key), recipe.degradation[key]
        if wanted is None:
            continue
        if given not in (None, wanted):
            found.append(
                f"degradation.{key} is {given} but network.{key} is {wanted}; "
                f"leave degradation.{key} out: it follows the network"
            )
        recipe.degradation[key] = wanted
    return found


def _untold_noise(recipe: Recipe) -> list[str]:
    """Return a line where only one of network and degradation has a map of the noise."""
    network, degradation = recipe.network["name"], recipe.degradation["name"]
    takes = bool(registry.class_setting(recipe.network, "noise_map"))
    if takes == bool(recipe.degradation.get("noise_map")):
        return []
    if takes:
        return [
            f"network {network} is told how strong the noise is, which degradation {degradation} "
            "does not say; choose degradation gaussian"
        ]
    return [
        f"degradation.noise_map is true, but network {network} is not told the noise; leave it out"
    ]
