"""Recipes: typed settings <- YAML <- command line, checked together and saved beside the weights.

A model's name is its recipe's file stem: ``models/edsr/edsr_x4.yaml`` is the model ``edsr_x4``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pydantic
import yaml
from pydantic.dataclasses import dataclass

from ms_restore import registry
from ms_restore.contracts import Coupled
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.registry import Kind, PartSettings

_STRICT = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True)


@dataclass(config=_STRICT)
class DataSettings:
    """Settings that say which images are used, and how training patches are cut from them."""

    dir: Optional[str] = None
    """Folder of training images; none: the embedded photos."""
    valid_dir: Optional[str] = None
    """Folder of validation images; none: part of `dir`, or the held-out embedded photos."""
    valid_images: Optional[pydantic.PositiveInt] = None
    """How many of the validation images are scored while training; none: all."""
    patch_size: pydantic.PositiveInt = 96
    """Side of the clean training patch in pixels."""
    stride: Optional[pydantic.PositiveInt] = None
    """An epoch is every patch on a grid of this stride; none: a patch anywhere in every image."""
    scales: list[Annotated[float, pydantic.Field(gt=0, le=1)]] = dataclasses.field(
        default_factory=lambda: [1.0]
    )
    """Patches come from the images and from copies of them, resized by these factors."""
    embedded: Literal["photos", "colour_photos", "phantoms"] = "photos"
    """What is taken where `dir` names nothing: photos, of these the coloured ones to train on, or
    synthetic slices through a head."""
    translation: pydantic.NonNegativeInt = 0
    """Patches are moved by up to this number of pixels in each direction; what leaves them on one
    side comes back on the other."""
    shuffle_channels: bool = False
    """Red, green and blue change places at random: for sets of few images, which lack colours."""
    target: Literal["clean", "degraded"] = "clean"
    """What the network learns to give: the clean patch, or an independent corruption of it."""
    augment: Literal["none", "flips", "flips_rotations"] = "flips_rotations"
    """Random flips, and with rotations all eight symmetries of the square."""
    workers: pydantic.PositiveInt = 2
    """Threads that make batches."""


@dataclass(config=_STRICT)
class TrainSettings:
    """Settings of a training run."""

    steps: pydantic.PositiveInt = 1000
    """Optimizer updates of the whole schedule."""
    batch_size: pydantic.PositiveInt = 16
    """Patches computed at a time, by each rank."""
    global_batch: Optional[pydantic.PositiveInt] = None
    """Patches in a step of all ranks together, where that must be kept; none: as it comes."""
    all_reduce: Literal["fused", "overlapped"] = "fused"
    """Ranks average all gradients at once after the backward pass, or each while it goes on."""
    scale_lr: Literal["none", "linear"] = "none"
    """linear: the learning rate is multiplied by the number of ranks."""
    accumulate: pydantic.PositiveInt = 1
    """Batches in a step, their gradients averaged: a larger batch in the memory of a small one."""
    loss: PartSettings = dataclasses.field(default_factory=lambda: {"name": "l1"})
    """l1, mse, sum_squared, masked_mse or annealed_l0."""
    optimizer: PartSettings = dataclasses.field(default_factory=lambda: {"name": "adam"})
    """adam or sgd, with its arguments."""
    lr: pydantic.PositiveFloat = 1e-4
    """Learning rate at the start of the schedule."""
    schedule: PartSettings = dataclasses.field(default_factory=lambda: {"name": "constant"})
    """constant, step, multi_step, exponential, cosine, ramp_down or epoch_ramps."""
    warm_up: pydantic.NonNegativeInt = 0
    """Steps over which the learning rate rises linearly to the schedule's."""
    amp_level: Literal["O0", "O2"] = "O0"
    """O2: the network computes in float16, its weights and their update stay float32."""
    amp_dtype: Literal["float16", "bfloat16"] = "float16"
    """What O2 computes in: bfloat16, of float32's range, is for an Ascend A2 or later."""
    cpu_convolutions: Literal["onednn", "mindspore"] = "onednn"
    """On a CPU at O0: onednn takes them, and what is between them, from ``cpu_operators``."""
    loss_scale: Optional[Literal["none", "fixed", "dynamic"]] = None
    """Factor on the loss that keeps small gradients in float16; by default dynamic where O2
    computes in that, else none."""
    loss_scale_window: pydantic.PositiveInt = 1000
    """Steps without overflow after which the dynamic loss scale doubles."""
    clip_norm: Optional[pydantic.PositiveFloat] = None
    """The gradients' global norm is cut to this."""
    ema_decay: Annotated[float, pydantic.Field(ge=0, lt=1)] = 0.0
    """Decay of the weights' moving average, which is then what is validated; 0: none."""
    validate_every: pydantic.PositiveInt = 1000
    """Steps between two validations; the best weights are kept."""
    checkpoint_every: pydantic.PositiveInt = 1000
    """Steps between two checkpoints that the run can be resumed from."""
    keep: pydantic.PositiveInt = 3
    """How many of the last checkpoints are kept."""


@dataclass(config=_STRICT)
class EvalSettings:
    """How a restored image is scored."""

    protocol: str = "rgb"
    """Named protocol, see ms_restore.metrics."""
    crop: Optional[pydantic.PositiveInt] = None
    """With a solver: the centre square of this side is scored; none: the whole image."""


@dataclass(config=_STRICT)
class RuntimeSettings:
    """Settings of the device: how an Ascend computes. A CPU heeds the compile cache alone.

    Each process sets them once, before it computes. Verbs other than train take them from the
    command line, not from the checkpoint's recipe.
    """

    hf32: bool = False
    """Convolutions and matrix products of float32 may use HF32 (about 10 bits of mantissa instead
    of 23): faster, but off the float32 result by more than the export's check allows."""
    precision_mode: Literal[
        "must_keep_origin_dtype",
        "force_fp16",
        "allow_fp32_to_fp16",
        "allow_mix_precision",
        "force_fp32",
        "allow_fp32_to_bf16",
        "allow_mix_precision_fp16",
        "allow_mix_precision_bf16",
    ] = "must_keep_origin_dtype"
    """In which type CANN computes an operator; the default keeps the network's own."""
    deterministic: bool = False
    """The same bits every time, as an exact resume on an Ascend needs; slower."""
    jit_level: Optional[Literal["O0", "O1", "O2"]] = None
    """O1 fuses chains of element-wise operators, O2 hands whole graphs to the device and is
    deprecated since MindSpore 2.9; none: MindSpore's own for the device."""
    max_device_memory: Optional[Annotated[str, pydantic.Field(pattern=r"^\d+(\.\d+)?GB$")]] = None
    """The most of the device's memory that is taken, such as 28GB; none: all."""
    compile_cache: Optional[str] = None
    """Folder where compiled graphs are kept for the next process; none: they are not kept."""


@dataclass(config=_STRICT)
class Recipe:
    """Everything that defines a model: how it is built, trained and scored."""

    model: str
    """Name of the model: the recipe's file stem."""
    description: str
    """One line for the list of models."""
    network: PartSettings
    """Network and its arguments."""
    degradation: PartSettings
    """How the degraded image is made from the clean one."""
    solver: Optional[PartSettings] = None
    """Restores without training for it, by a trained denoiser; none: the network restores."""
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    train: TrainSettings = dataclasses.field(default_factory=TrainSettings)
    eval: EvalSettings = dataclasses.field(default_factory=EvalSettings)
    runtime: RuntimeSettings = dataclasses.field(default_factory=RuntimeSettings)
    seed: pydantic.NonNegativeInt = 0
    """Seed of weights, data order and noise."""

    def to_yaml(self) -> str:
        """Return the recipe as YAML, every setting written out."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True)


_PARTS: dict[str, Kind] = {  # where a recipe names a part, and of which kind it is
    "network": "network",
    "degradation": "degradation",
    "solver": "solver",
    "train.loss": "loss",
    "train.optimizer": "optimizer",
    "train.schedule": "schedule",
}
_DEFAULTS = {"train.loss": "l1", "train.optimizer": "adam", "train.schedule": "constant"}


def files() -> dict[str, Path]:
    """Return the shipped recipes by model name."""
    return {path.stem: path for path in sorted(_folder().glob("*/*.yaml"))}


def list_models() -> dict[str, str]:
    """Return the names of the shipped models with a line that describes each."""
    return {
        name: yaml.safe_load(path.read_text(encoding="utf-8"))["description"]
        for name, path in files().items()
    }


def coloured(recipe: Recipe) -> str:
    """Return which shipped models of the recipe's network take colours, for a message."""
    names = [name for name in files() if _takes_colours(load(name), recipe)]
    return f"a model for colours ({comma_list(names, 9)})" if names else "a model with 3 channels"


def _takes_colours(other: Recipe, recipe: Recipe) -> bool:
    same = other.network["name"] == recipe.network["name"] and other.solver is None
    return same and other.network.get("channels") == 3


def _folder() -> Path:
    package = Path(__file__).resolve().parent
    installed = package / "recipes" / "models"  # in a wheel; in a clone they lie beside the package
    return installed if installed.is_dir() else package.parent / "models"


def load(model: str, overrides: Optional[dict[str, Any]] = None) -> Recipe:
    """Load the recipe of a shipped model or of a YAML file, with settings on top.

    Raises InputError with one line for every problem there is.
    """
    if model.endswith((".yaml", ".yml")):
        path = Path(model)
        if not path.is_file():
            raise InputError(f"recipe {model}: no such file")
    elif model in files():
        path = files()[model]
    else:
        hint = did_you_mean(model, files()) or f"; known: {comma_list(files(), 20)}"
        raise InputError(f"unknown model {model!r}{hint}")
    return parse(path.read_text(encoding="utf-8"), overrides, name=path.stem, origin=str(path))


def parse(
    text: str,
    overrides: Optional[dict[str, Any]] = None,
    name: str = "model",
    origin: str = "recipe",
) -> Recipe:
    """Parse a recipe from YAML text."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{origin}: not valid YAML: {' '.join(str(error).split())}") from None
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
    adapter = pydantic.TypeAdapter(Recipe)
    try:
        recipe = adapter.validate_python(data)
    except pydantic.ValidationError as error:
        problems += registry.describe(error, "", _known_keys)
        for finding in error.errors():  # what is left is checked for contradictions all the same
            _drop(data, finding["loc"])
        try:
            recipe = adapter.validate_python(data)
        except pydantic.ValidationError:
            raise InputError(*problems) from None
    problems += _contradictions(recipe, broken)
    if problems:
        raise InputError(*problems)
    return recipe


def _is_left_out(where: str, part: Any) -> bool:
    return where == "solver" and part is None


def _drop(data: dict[str, Any], location: tuple[Any, ...]) -> None:
    for step in location[:-1]:
        data = data[step]
    data.pop(location[-1], None)


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
