"""The settings of a model as typed records: data, training, evaluation, the device."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from typing import Annotated, Any, Literal, Optional

import pydantic
import yaml
from pydantic.dataclasses import dataclass

from ms_restore.seeds import SEEDS

PartSettings = dict[str, Any]
"""A part as a recipe has it: its name and its settings."""
_STRICT = pydantic.ConfigDict(extra="forbid", defer_build=True)  # for a quick start


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
    """l1, mse, charbonnier, psnr, sum_squared, masked_mse or annealed_l0."""
    optimizer: PartSettings = dataclasses.field(default_factory=lambda: {"name": "adam"})
    """adam, adam_w or sgd, with its arguments."""
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
    """Settings of the process: how an Ascend computes, and what a file may take.

    Of these, a CPU heeds the compile cache and the limit of pixels.

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
    max_megapixels: pydantic.PositiveInt = 512
    """Pictures and arrays of more millions of pixels are refused before they take memory."""
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
    seed: Annotated[int, pydantic.Field(ge=0, lt=SEEDS)] = 0
    """Seed of weights, data order and noise."""

    def to_yaml(self) -> str:
        """Return the recipe as YAML, every setting written out."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True)


def descriptions(section: type) -> dict[str, str]:
    """Return what the docstring below each setting of a section says, by the setting's name."""
    (definition,) = ast.parse(inspect.getsource(section)).body
    lines = definition.body if isinstance(definition, ast.ClassDef) else []
    found = {}
    for setting, below in zip(lines, lines[1:]):
        if isinstance(setting, ast.AnnAssign) and isinstance(setting.target, ast.Name):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(text, ast.Constant):
                found[setting.target.id] = inspect.cleandoc(str(text.value))
    return found
