"""Writing and reading of checkpoints, which are MindSpore ``.ckpt`` files with the recipe inside.

A MindSpore checkpoint of another origin can be read too; ``--model`` then names its recipe.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import mindspore as ms
import numpy as np
from mindspore import nn

from ms_restore import recipe as recipes
from ms_restore.errors import InputError, comma_list
from ms_restore.files import atomic_write, to_json
from ms_restore.runtime import without_mindspore_log
from ms_restore.settings import Recipe
from ms_restore.version import __version__
from ms_restore.weights import ckpt_structure, conversion, foreign
from ms_restore.weights.run_checkpoints import locate

_META = "ms_restore"  # entry that holds everything but parameters, as JSON
_TRAINING = "training/"  # prefix of the parameters that only a resumed run needs


@dataclasses.dataclass
class Checkpoint:
    """The content of a checkpoint file.

    Attributes:
        path: of the file.
        parameters: of the network, by name.
        recipe: of the model; None in a file of another origin.
        facts: further values, such as the step.
        training: state of the optimizer, loss scale and weight averages by name, if there is any.
    """

    path: Path
    parameters: dict[str, ms.Parameter]
    recipe: Optional[Recipe]
    facts: dict[str, Any]
    training: dict[str, ms.Parameter]


def save(
    path: Path,
    network: nn.Cell,
    recipe: Recipe,
    facts: Mapping[str, Any],
    training: Optional[dict[str, ms.Parameter]] = None,
) -> None:
    """Write a checkpoint file, completely or not at all.

    Args:
        path: of the file.
        network: its parameters are written.
        recipe: of the model.
        facts: further values, such as the step, that JSON can hold.
        training: state of training, which a resumed run needs.

    Raises:
        InputError: the file cannot be written.
    """
    meta = {"version": __version__, "recipe": recipe.to_yaml(), "facts": facts}
    content = [{"name": name, "data": data} for name, data in network.parameters_and_names()]
    content += [{"name": _TRAINING + name, "data": d} for name, d in (training or {}).items()]
    with atomic_write(path) as temporary, without_mindspore_log():
        ms.save_checkpoint(content, str(temporary), append_dict={_META: to_json(meta)})


def read(path: Path) -> Checkpoint:
    """Read a checkpoint file, or the best one of a run folder.

    Raises InputError where it is missing or no MindSpore checkpoint.
    """
    path = locate(path)
    try:
        ckpt_structure.check(path)
        with without_mindspore_log():
            content = ms.load_checkpoint(str(path))
    except Exception as error:  # MindSpore raises many types for a file that it cannot parse
        reason = " ".join(str(error).split()) if isinstance(error, ValueError) else "damaged"
        raise InputError(
            f"{path}: not a MindSpore checkpoint, or a damaged or truncated one ({reason}); "
            "expected a whole .ckpt file"
        ) from None
    meta = content.pop(_META, None)
    training = {
        name[len(_TRAINING) :]: content.pop(name)
        for name in list(content)
        if name.startswith(_TRAINING)
    }
    if any(not isinstance(parameter, ms.Parameter) for parameter in content.values()):
        raise InputError(f"{path}: holds text beside its weights; expected a checkpoint of weights")
    if meta is None:
        return Checkpoint(path, content, None, {}, {})
    recipe, facts = _described(path, meta)
    return Checkpoint(path, content, recipe, facts, training)


def read_pretrained(path: Path, recipe: Recipe) -> Checkpoint:
    """Read the weights that training of a recipe's network starts from, of any framework.

    Raises InputError as ``read`` and ``conversion.for_training`` do.
    """
    path = locate(path)
    if not foreign.is_foreign(path):
        return read(path)
    network, layout = conversion.for_training(path, recipe)
    return Checkpoint(path, dict(network.parameters_and_names()), None, {"layout": layout}, {})


def _described(path: Path, meta: Any) -> tuple[Recipe, dict[str, Any]]:
    """Return the recipe and the facts that a checkpoint carries as JSON."""
    try:
        fields = json.loads(meta)
        text, facts = fields["recipe"], fields["facts"]
    except (ValueError, KeyError, TypeError, RecursionError):
        text, facts = None, None
    if not isinstance(text, str) or not isinstance(facts, dict):
        raise InputError(
            f"{path}: damaged, what it says of its model cannot be read; use another checkpoint"
        )
    return recipes.parse(text, origin=str(path)), facts


def _mismatch(network: nn.Cell, checkpoint: Checkpoint) -> tuple[list[str], list[str], list[str]]:
    """Return the parameters that are missing from a checkpoint, unknown, and of another shape."""
    expected = {name: tuple(p.shape) for name, p in network.parameters_and_names()}
    given = {name: tuple(p.shape) for name, p in checkpoint.parameters.items()}
    shapes = [
        f"{name} {given[name]} instead of {expected[name]}"
        for name in expected
        if name in given and given[name] != expected[name]
    ]
    return [n for n in expected if n not in given], [n for n in given if n not in expected], shapes


def load_strictly(network: nn.Cell, checkpoint: Checkpoint) -> None:
    """Load every parameter of a checkpoint into the network.

    Raises InputError unless names and shapes match one to one and all values are finite.
    """
    missing, unknown, shapes = _mismatch(network, checkpoint)
    faults = [
        f"{word}: {comma_list(names, 3)}"
        for word, names in (("missing", missing), ("unknown", unknown), ("other shape", shapes))
        if names
    ]
    if faults:
        raise InputError(
            f"{checkpoint.path}: these weights do not fit the network ({'; '.join(faults)}); "
            "is it the checkpoint of another model?"
        )
    broken = [n for n, p in checkpoint.parameters.items() if not np.isfinite(p.asnumpy()).all()]
    if broken:
        raise InputError(
            f"{checkpoint.path}: NaN or infinity in {comma_list(broken, 3)}; "
            "use an earlier checkpoint of the run"
        )
    ms.load_param_into_net(network, checkpoint.parameters, strict_load=True)


def load_pretrained(network: nn.Cell, checkpoint: Checkpoint) -> str:
    """Load the parameters that match by name and shape, to begin training from them.

    Returns a line for the terminal that says which were loaded and which were not. Raises
    InputError if none matches.
    """
    missing, unknown, shapes = _mismatch(network, checkpoint)
    left = missing + [text.split(" ")[0] for text in shapes]
    fitting = {
        name: parameter
        for name, parameter in checkpoint.parameters.items()
        if name not in unknown and name not in left
    }
    if not fitting:
        raise InputError(
            f"{checkpoint.path}: none of its parameters fits the network; "
            "training would start from random weights"
        )
    ms.load_param_into_net(network, fitting)
    layout = f" ({checkpoint.facts['layout']})" if "layout" in checkpoint.facts else ""
    summary = f"pretrained: {len(fitting)} parameters loaded from {checkpoint.path}{layout}"
    return summary + (f", left as initialised: {comma_list(left, 8)}" if left else "")
