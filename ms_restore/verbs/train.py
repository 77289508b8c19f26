"""train: a model into a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from ms_restore import recipe as recipes
from ms_restore import runtime
from ms_restore.errors import InputError
from ms_restore.recipe import Recipe
from ms_restore.training import folder as run_folder
from ms_restore.training import performance as measuring
from ms_restore.training import run
from ms_restore.training.run import Run
from ms_restore.verbs.loading import PathLike, Settings, merged


def train(
    model: Optional[str] = None,
    *,
    data_dir: Optional[PathLike] = None,
    output_dir: Optional[PathLike] = None,
    max_steps: Optional[int] = None,
    pretrained: Optional[PathLike] = None,
    resume: Optional[PathLike] = None,
    allow_changes: bool = False,
    logger: str = "jsonl",
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> Run:
    """Train a model (a name or a recipe file) into ``output_dir``, by default runs/MODEL.

    Args:
        data_dir: folder of images, or with the subfolders DIV2K_train_HR and DIV2K_valid_HR;
            none: the embedded photos.
        max_steps: end early, after so many steps of the run; its schedule stays.
        pretrained: start from these weights, as far as they fit.
        resume: run folder to go on with, from its last checkpoint, bit for bit as if it had
            never stopped; ``model`` may then be left out.
        allow_changes: resume although settings differ from those the run was made with.
        logger: comma-separated list of jsonl (always written), tensorboard, mindinsight.
        settings: recipe keys such as ``{"train.lr": 5e-4}``.
    """
    if max_steps is not None and max_steps < 1:
        raise InputError(f"max_steps {max_steps}: expected at least 1")
    asked = merged(settings, data_dir=data_dir, seed=seed)
    if resume is None:
        if model is None:
            raise InputError("no model: name one with --model, or a run folder with --resume")
        recipe = recipes.load(model, asked)
        folder = Path(output_dir or Path("runs") / recipe.model)
    else:
        folder = Path(resume)
        if pretrained is not None or (output_dir is not None and Path(output_dir) != folder):
            other = "--pretrained" if pretrained else "another --output_dir"
            raise InputError(f"--resume {resume} and {other} exclude each other; leave one out")
        saved = run_folder.saved_recipe(folder)
        recipe = recipes.load(model, asked) if model else recipes.parse(saved.to_yaml(), asked)
        run_folder.check_unchanged(saved, recipe, allow_changes)
    check_trainable(recipe)
    device = runtime.start(device_target, device_id, mode, recipe.seed)
    return run.train(
        recipe,
        folder,
        device_target=device,
        max_steps=max_steps,
        pretrained=Path(pretrained) if pretrained else None,
        resumed=run_folder.last_checkpoint(folder) if resume else None,
        logger_names=logger,
    )


def performance(
    model: str,
    *,
    data_dir: Optional[PathLike] = None,
    output_dir: Optional[PathLike] = None,
    max_steps: Optional[int] = None,
    device_target: Optional[str] = None,
    device_id: int = 0,
    mode: str = "graph",
    seed: Optional[int] = None,
    settings: Optional[Settings] = None,
) -> dict[str, Any]:
    """Measure a model's training steps: images/s after a warm-up, data wait apart.

    30 steps, or ``max_steps``, without validation and checkpoints; also written as
    performance.json into ``output_dir`` where that is given. Returns the figures.
    """
    recipe = recipes.load(model, merged(settings, data_dir=data_dir, seed=seed))
    check_trainable(recipe)
    device = runtime.start(device_target, device_id, mode, recipe.seed)
    output = Path(output_dir) if output_dir else None
    return measuring.run(recipe, device, max_steps or measuring.STEPS, output)


def check_trainable(recipe: Recipe) -> None:
    """InputError for a solver."""
    if recipe.solver is not None:
        raise InputError(
            f"{recipe.model} is a solver, which is not trained; train its prior, such as dmsp_dae"
        )
