"""The state of a run: what its checkpoints hold, and how it is put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

import mindspore as ms
from mindspore import nn

from ms_restore.errors import InputError
from ms_restore.settings import Recipe
from ms_restore.training.step import TrainStep
from ms_restore.weights import checkpoint
from ms_restore.weights.checkpoint import Checkpoint

_DERIVED = "learning_rate"  # a table that the recipe gives, not a state


class RunState:
    """The weights of a run, the state of its step, and the network that is validated.

    Args:
        network: is trained.
        step_cell: trains it.
        validated: a second network of the same kind, which takes the weights that are scored:
            float32 whatever the training's precision.
        recipe: of the run, written into every checkpoint.
    """

    def __init__(
        self, network: nn.Cell, step_cell: TrainStep, validated: nn.Cell, recipe: Recipe
    ) -> None:
        self._network = network
        self._step_cell = step_cell
        self.validated = validated
        self._recipe = recipe

    def validations(self) -> dict[str, Callable[[], None]]:
        """Return what copies weights to the network that is validated, by the weights' name.

        "average" are the averages where the run keeps them, "raw" the weights themselves.
        """
        averages = {p.name[len("ema.") :]: p for p in self._step_cell.averages}
        found = {"average": lambda: self._copy(averages)} if averages else {}
        return found | {"raw": lambda: self._copy({})}

    def _copy(self, averages: Mapping[str, ms.Parameter]) -> None:
        """Copy the averages, and the weights that have none, to the validated network."""
        weights = self._network.parameters_dict()
        for name, parameter in self.validated.parameters_and_names():
            parameter.set_data(ms.Tensor(averages.get(name, weights[name]).asnumpy()))

    def save_best(self, path: Path, facts: Mapping[str, object]) -> None:
        """Write the weights that were validated last."""
        checkpoint.save(path, self.validated, self._recipe, facts)

    def save(self, path: Path, facts: Mapping[str, object]) -> None:
        """Write everything that the run needs to go on."""
        checkpoint.save(path, self._network, self._recipe, facts, self._training())

    def restore(self, resumed: Optional[Checkpoint]) -> None:
        """Put back the weights and the state of a checkpoint, every parameter of both."""
        if resumed is None:
            return
        checkpoint.load_strictly(self._network, resumed)
        wanted = self._training()
        if set(wanted) != set(resumed.training):
            differing = sorted(set(wanted) ^ set(resumed.training))
            raise InputError(
                f"{resumed.path}: its state of training does not fit the recipe ({differing[0]} "
                "...); start anew from its weights with --pretrained"
            )
        for name, parameter in wanted.items():
            parameter.set_data(ms.Tensor(resumed.training[name].asnumpy()))

    def _training(self) -> dict[str, ms.Parameter]:
        """The parameters of training that are not the network's."""
        weights = self._network.parameters_dict()
        named = {parameter.name: parameter for parameter in self._step_cell.get_parameters()}
        return {name: p for name, p in named.items() if name not in weights and name != _DERIVED}
