"""train: a network into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.contracts import Degradation
from ms_restore.errors import InputError
from ms_restore.settings import Recipe
from ms_restore.training import going_back, run_folder
from ms_restore.training import performance as measuring
from ms_restore.training.part_checks import check_outside_parts, check_same_kind
from ms_restore.training.profiling import steps_of
from ms_restore.training.run_files import check_free, check_measured_steps, check_steps
from ms_restore.training.trainer import Run, Trainer
from ms_restore.verbs.loading import PathLike, Settings, with_options
from ms_restore.weights import catalogue

if TYPE_CHECKING:
    from mindspore import nn

PartLike = Union[str, dict[str, Any], type, Callable[..., Any]]
"""A part by its name, its name and settings, its class or function, or ``functools.partial``."""


def train(
    model: Optional[Union[str, nn.Cell]] = None,
    *,
    degradation: Optional[Union[PartLike, Degradation]] = None,
    loss: Optional[Union[PartLike, nn.Cell]] = None,
    optimizer: Optional[PartLike] = None,
    schedule: Optional[PartLike] = None,
    steps: Optional[int] = None,
    data_dir: Optional[PathLike] = None,
    output_dir: Optional[PathLike] = None,
    max_steps: Optional[int] = None,
    pretrained: Optional[PathLike] = None,
    resume: Optional[PathLike] = None,
    allow_changes: bool = False,
    logger: str = "jsonl",
    profile: Optional[str] = None,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> Run:
    """Train a model into ``output_dir``, by default runs/MODEL.

    Args:
        model: a model's name, a recipe file, or a network of your own: a ``mindspore.nn.Cell``, see
            ``contracts.Network``. It is trained in place, and is named in the checkpoints by its
            class, so that must be found again when they are loaded.
        degradation: how degraded images are made: a name such as "gaussian", a mapping with its
            settings, or an object of your own class; none: the recipe's.
        loss: the same of the loss.
        optimizer: the same of the optimizer, except an object.
        schedule: the same of the learning rate's schedule, except an object.
        steps: of the whole schedule; none: the recipe's.
        data_dir: folder of images, or one with the subfolders DIV2K_train_HR and DIV2K_valid_HR;
            none: the embedded photos.
        output_dir: the run folder.
        max_steps: end after this number of steps; the schedule stays that of the whole run.
        pretrained: start from these weights, as far as they fit; a model's name is one of those
            that ``load_model`` takes.
        resume: run folder to go on with, from its last checkpoint, on a CPU with as many
            processors bit for bit as if it had never stopped; ``model`` may then be left out. A
            file RUN/checkpoints/step_N.ckpt goes back to that step: what is later is removed once
            the run has written a checkpoint of its own.
        allow_changes: resume although settings or images differ from those the run was made with.
        logger: comma-separated list of jsonl (always written), tensorboard, and mindinsight,
            which is out of date.
        profile: the first and the last step to profile into RUN/profile, such as "20:30".
        device_target: CPU, Ascend or GPU; none: an Ascend where there is one, else the CPU.
        device_id: which device; none: that of the variable DEVICE_ID, else the first.
        mode: "graph" (compiled) or "pynative" (operation by operation, for debugging).
        seed: of weights, data order and noise; none: the recipe's.
        settings: recipe keys such as ``{"train.lr": 5e-4}``.
    """
    if max_steps is not None:
        check_steps(max_steps)
    parts = {
        "degradation": registry.settings_of("degradation", degradation),
        "train.loss": registry.settings_of("loss", loss),
        "train.optimizer": registry.settings_of("optimizer", optimizer),
        "train.schedule": registry.settings_of("schedule", schedule),
        "train.steps": steps,
    }
    asked = with_options({**_given(parts), **(settings or {})}, data_dir=data_dir, seed=seed)
    if resume is None:
        recipe = _recipe(model, asked)
        folder, named = Path(output_dir or Path("runs") / recipe.model), None
        check_free(folder)
    else:
        folder, named = going_back.resume_point(Path(resume))
        if pretrained is not None or (output_dir is not None and Path(output_dir) != folder):
            raise _excluded(resume, "--pretrained" if pretrained else "another --output_dir")
        recipe = _resumed_recipe(folder, model, asked, allow_changes)
    check_trainable(recipe)
    device = runtime.start(device_target, device_id, mode, recipe.seed, recipe.runtime)
    network = registry.build("network", recipe.network)
    if model is not None and not isinstance(model, str):
        check_same_kind(model, network, recipe.network["name"])
        network = model
    built = registry.build("degradation", recipe.degradation)
    check_outside_parts(network, built, recipe)
    found = run_folder.checkpoint_of(folder, named) if resume is not None else None
    trainer = Trainer(network, built, recipe, folder, found, max_steps)
    return trainer.run(
        pretrained=catalogue.resolve(pretrained) if pretrained else None,
        logger_names=logger,
        profile=steps_of(profile) if profile else None,
        sink=device == "Ascend",
        allow_changes=allow_changes,
        back=named is not None,
    )


def _excluded(resume: PathLike, other: str) -> InputError:
    return InputError(f"--resume {resume} and {other} exclude each other; leave one out")


def _resumed_recipe(
    folder: Path, model: Optional[Union[str, nn.Cell]], asked: Settings, allow_changes: bool
) -> Recipe:
    """The recipe of the run in the folder, with changes where they are allowed."""
    saved = run_folder.saved_recipe(folder)
    base = saved.to_yaml()
    recipe = _recipe(model, asked) if model is not None else recipes.parse(base, asked)
    run_folder.check_unchanged(saved, recipe, allow_changes)
    return recipe


def _given(settings: Settings) -> Settings:
    return {key: value for key, value in settings.items() if value is not None}


def _recipe(model: Optional[Union[str, nn.Cell]], asked: Settings) -> Recipe:
    """The recipe of a model's name, or of a network object with the other parts."""
    if model is None:
        raise InputError("no model: name one with --model, or a run folder with --resume")
    if isinstance(model, str):
        return recipes.load(model, asked)
    network = registry.settings_of("network", model)
    if "degradation" not in asked:
        raise InputError(
            "a network of your own needs to know what it is to undo; name a degradation, such as "
            'degradation="gaussian"'
        )
    data = {
        "description": f"{type(model).__name__}, a network of your own",
        "network": network,
        "degradation": asked["degradation"],
    }
    others = {key: value for key, value in asked.items() if key != "degradation"}
    return recipes.assemble(data, others, name=type(model).__name__.lower())


def performance(
    model: str,
    *,
    data_dir: Optional[PathLike] = None,
    output_dir: Optional[PathLike] = None,
    max_steps: Optional[int] = None,
    device_target: Optional[str] = None,
    device_id: Optional[int] = None,
    mode: str = "graph",
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> dict[str, Any]:
    """Measure a model's training steps: images/s after a warm-up, data wait apart.

    30 steps, or ``max_steps``, without validation and checkpoints; also written as
    performance.json into ``output_dir`` where that is given. Returns the figures.
    """
    check_measured_steps(max_steps or measuring.STEPS)
    recipe = recipes.load(model, with_options(settings, data_dir=data_dir, seed=seed))
    check_trainable(recipe)
    device = runtime.start(device_target, device_id, mode, recipe.seed, recipe.runtime)
    output = Path(output_dir) if output_dir else None
    return measuring.run(recipe, device, max_steps or measuring.STEPS, output)


def check_trainable(recipe: Recipe) -> None:
    """Raise InputError for a solver."""
    if recipe.solver is not None:
        raise InputError(
            f"{recipe.model} is a solver, which is not trained; train its prior, such as dmsp_dae"
        )
