"""Compiled iterations of solvers, kept for other images of their operator and size."""

from __future__ import annotations

import collections
from collections.abc import Hashable
from typing import Callable, Generic, TypeVar

from mindspore import nn

from ms_restore import runtime
from ms_restore.contracts import LinearOperator

_Cell = TypeVar("_Cell", bound=nn.Cell)
_MOST = 4


class KeptCells(Generic[_Cell]):
    """The last few cells that were asked for, by operator and what else they depend on."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[Hashable, tuple[LinearOperator, _Cell]]
        self._kept = collections.OrderedDict()

    @property
    def cells(self) -> list[_Cell]:
        """Those that are kept, the one that was asked for last at the end."""
        return [cell for _, cell in self._kept.values()]

    def get(self, operator: LinearOperator, key: Hashable, make: Callable[[], _Cell]) -> _Cell:
        """Return the cell of an operator and a key; ``make`` makes it where none is kept."""
        key = (id(operator), key)
        if key not in self._kept:
            made = make()
            made.set_train(False)
            runtime.use_jit_level(made)
            self._kept[key] = (operator, made)  # holds the operator, so that its id stays its own
        self._kept.move_to_end(key)
        while len(self._kept) > _MOST:
            self._kept.popitem(last=False)
        return self._kept[key][1]
