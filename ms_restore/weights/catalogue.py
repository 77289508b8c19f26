"""Weights by a model's name: those that come along, those downloaded before, and where others are.

Loads no MindSpore, so that lists and slips are answered at once.
"""

from __future__ import annotations

import dataclasses
import glob
import os
from pathlib import Path
from typing import Any, Optional, Union

from ms_restore import recipe as recipes
from ms_restore import texts
from ms_restore.errors import InputError, did_you_mean
from ms_restore.files import cache_folder, sha256

DEFAULT_PRIOR = "prior_small"
"""The model whose weights ``restore`` takes where no prior is named."""
_DIGITS = 16  # of a downloaded file's hash, in its name


@dataclasses.dataclass(frozen=True)
class Published:
    """Weights that are published elsewhere, as models/weights.yaml lists them.

    Attributes:
        model: our model that they fit.
        file: the publisher's name of the file, whose suffix says how it is read.
        address: of the file.
        megabytes: about how large it is.
        licence: of the repository that publishes it.
        source: address of its page.
        bytes: its exact size, where that is known.
        sha256: its hash or the first digits of it as hexadecimal, where that is known.
        figure: what its publisher states that it reaches.
        settings: of the recipe, where the file needs them to be converted.
    """

    model: str
    file: str
    address: str
    megabytes: float
    licence: str
    source: str
    bytes: Optional[int] = None
    sha256: Optional[str] = None
    figure: str = ""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def published() -> dict[str, Published]:
    """Return the weights that can be downloaded, by the name of the model that they fit."""
    path = recipes.folder() / "weights.yaml"
    listed = texts.parse_yaml(texts.read_text(path), str(path))
    return {model: Published(model, **fields) for model, fields in listed.items()}


def downloads_folder() -> Path:
    """Return the folder of the weights that were downloaded."""
    return cache_folder() / "weights"


def downloaded_path(model: str, digest: str) -> Path:
    """Return where a model's converted weights of this SHA-256 are kept."""
    return downloads_folder() / f"{model}-{digest[:_DIGITS]}.ckpt"


def downloaded(model: str) -> Optional[Path]:
    """Return the checkpoint of a model that was downloaded; None where there is none."""
    pattern = f"{glob.escape(model)}-{'[0-9a-f]' * _DIGITS}.ckpt"
    return next(iter(sorted(downloads_folder().glob(pattern))), None)


def is_changed(path: Path) -> bool:
    """Return whether a downloaded checkpoint is not what was written."""
    return not (sha256(path) or "").startswith(path.stem[-_DIGITS:])


def shipped(model: str) -> Optional[Path]:
    """Return the checkpoint of a model that comes with the package; None where there is none."""
    return next(recipes.folder().glob(f"*/weights/{glob.escape(model)}.ckpt"), None)


def is_solver(model: str) -> bool:
    """Return whether a shipped model is a solver, which has no weights but those of a prior."""
    return bool(recipes.raw_recipes().get(model, {}).get("solver"))


def is_kept_for_all(checkpoint: Path) -> bool:
    """Return whether a checkpoint lies with the package or in the cache folder.

    Nothing is written beside such a one.
    """
    folder = checkpoint.resolve().parent
    return folder == downloads_folder().resolve() or (
        folder.name == "weights" and folder.parent.parent == recipes.folder().resolve()
    )


def weights_of(model: str) -> Path:
    """Return the checkpoint of a model's name: what comes along, else what was downloaded.

    Raises InputError for an unknown model, for one without weights, which says how to come by
    some, and for a file that was changed after its download.
    """
    if model.endswith((".yaml", ".yml")):
        raise InputError(
            f"{model}: a recipe file has no weights; name a checkpoint or a run folder with "
            "--checkpoint"
        )
    recipes.name_of(model)  # raises for an unknown one
    path = shipped(model)
    if path is not None:
        return path
    path = downloaded(model)
    if path is None:
        raise InputError(f"{model}: {_way_to(model)}")
    if is_changed(path):
        raise InputError(
            f"{path}: damaged, it is not what was downloaded; fetch it again by "
            f"ms-restore weights --download {model}"
        )
    return path


def _way_to(model: str) -> str:
    """Return what to do about a model without weights."""
    if model in published():
        return f"its weights are not here; fetch them by ms-restore weights --download {model}"
    if is_solver(model):
        return "a solver, which has no weights but a prior's; use ms-restore restore, or eval"
    return (
        f"no weights of it come along; train it by ms-restore train --model {model}, or convert "
        f"a file by ms-restore convert --source FILE --model {model} --output {model}.ckpt, and "
        "name the run or the file with --checkpoint"
    )


def prior_of_name(prior: Optional[Union[str, os.PathLike[str]]]) -> Path:
    """Return the checkpoint of a prior, see ``resolve``; None: of the one that comes along.

    Raises InputError where that is not here.
    """
    if prior is not None:
        return resolve(prior)
    path = shipped(DEFAULT_PRIOR)
    if path is None:
        raise InputError(
            f"no prior: the weights of {DEFAULT_PRIOR} are not here; name a denoiser, of one noise "
            "level or told it, with --prior, a checkpoint or a run folder"
        )
    return path


def resolve(checkpoint: Union[str, os.PathLike[str]]) -> Path:
    """Return the path of a checkpoint that is named by its path or by a model's name.

    A path wins. What is neither is returned as it is, for the message of who reads it, unless it
    resembles a model's name. Raises InputError as ``weights_of`` does.
    """
    path = Path(checkpoint)
    name = str(path)
    if path.exists():
        return path
    if name in recipes.files():
        return weights_of(name)
    hint = did_you_mean(name, recipes.files()) if not path.suffix and len(path.parts) == 1 else ""
    if hint:
        raise InputError(f"{name}: no such file or run folder, and no such model{hint}")
    return path
