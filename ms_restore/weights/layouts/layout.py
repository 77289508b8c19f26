"""What a layout of weights is: how the parameters of an implementation become ours, and back.

"Ours" is a parameter of this package's network, "theirs" that of the published implementation.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

import numpy as np

from ms_restore.weights.foreign import Arrays

Recogniser = Callable[[Arrays], Optional[dict[str, Any]]]


class ParameterMapping(NamedTuple):
    """How a parameter is converted: ours = theirs * factor + offset, after the steps below.

    Attributes:
        ours: name of our parameter.
        theirs: name of their parameter.
        factor: of the formula.
        offset: of the formula.
        reversed_axis: axis along which the channels are reversed (BGR and RGB), last of the steps.
        axes: transposition of their array to ours, first of the steps.
        permutation: index n of the permuted axis takes their index ``permutation[n]``.
        permuted_axis: of our array.
    """

    ours: str
    theirs: str
    factor: float = 1.0
    offset: float = 0.0
    reversed_axis: Optional[int] = None
    axes: Optional[tuple[int, ...]] = None
    permutation: Optional[tuple[int, ...]] = None
    permuted_axis: int = 0

    def shape(self, ours: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of their parameter, given that of ours."""
        return tuple(ours[axis] for axis in np.argsort(self.axes)) if self.axes else ours

    def to_ours(self, array: np.ndarray) -> np.ndarray:
        """Return our parameter, float32, given theirs."""
        if self.axes:
            array = array.transpose(self.axes)
        if self.permutation:
            array = array.take(self.permutation, self.permuted_axis)
        return (self._reversed(array).astype(np.float64) * self.factor + self.offset).astype("f4")

    def to_theirs(self, array: np.ndarray) -> np.ndarray:
        """Return their parameter, float32, given ours; the inverse of ``to_ours``."""
        array = self._reversed((array.astype(np.float64) - self.offset) / self.factor)
        if self.permutation:
            array = array.take(np.argsort(self.permutation), self.permuted_axis)
        return (array.transpose(np.argsort(self.axes)) if self.axes else array).astype("f4")

    def _reversed(self, array: np.ndarray) -> np.ndarray:
        return array if self.reversed_axis is None else np.flip(array, self.reversed_axis)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The names and scaling of a network's parameters in one implementation.

    Attributes:
        name: of the layout.
        network: name of the network.
        settings: returns the network's settings, given the arrays of a file; None where their
            names are not of this layout.
        entries: returns the conversion of every parameter, given the network's settings.
        constants: returns further arrays that a file may hold, which must have these values.
        decided_by_file: settings that a file may have different from the model's recipe.
        decided_if_new: settings of which this holds only where no shipped recipe has the file's,
            as others that the file does not tell go with them.
        model: the only model with weights of this layout; None if there are several.
        derived: last words of the names of arrays that are no weights, which follow from the
            settings: they are left out when a file is read.
        derive: returns them, given the network's settings and the side of a training patch in
            input pixels.
    """

    name: str
    network: str
    settings: Recogniser
    entries: Callable[[dict[str, Any]], list[ParameterMapping]]
    constants: Callable[[dict[str, Any]], Arrays] = lambda settings: {}
    decided_by_file: tuple[str, ...] = ()
    decided_if_new: tuple[str, ...] = ()
    model: Optional[str] = None
    derived: tuple[str, ...] = ()
    derive: Callable[[dict[str, Any], int], Arrays] = lambda settings, side: {}


def layer_numbers(pattern: str, arrays: Arrays, dimensions: int) -> list[int]:
    """Return the numbers in the names that match, of arrays with this number of dimensions."""
    found: Iterator[Optional[re.Match[str]]] = (
        re.fullmatch(pattern, name) for name, array in arrays.items() if array.ndim == dimensions
    )
    return sorted(int(match.group(1)) for match in found if match)
