"""Networks, losses and engines: what computes an image, and what judges it in training."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import (
    TYPE_CHECKING,
    Literal,
    NamedTuple,
    Optional,
    Protocol,
    runtime_checkable,
)

import numpy as np

if TYPE_CHECKING:
    from mindspore import Parameter, Tensor, nn

    from ms_restore.settings import Recipe

Size = tuple[int, int]
"""Height and width in pixels."""
Padding = Literal["reflect", "edge", "constant"]
"""A mode of ``numpy.pad``."""


class Network(Protocol):
    """A network from a degraded image to a restored one.

    It is a ``mindspore.nn.Cell`` whose ``construct`` takes y (N, channels, H, W), with a noise map
    (N, channels + 1, H, W), and gives x_hat (N, output_channels, scale * H, scale * W), all float32
    in [0, 1]. Each attribute may be left out and then has the value named here.
    """

    scale: int
    """Output pixels for each input pixel along a side; 1."""
    channels: int
    """Channels of the input; 3."""
    output_channels: int
    """Channels of the output; as many as ``channels``."""
    noise_map: bool
    """Whether the input has one more channel behind the image's: the standard deviation of the
    noise at each pixel, in the range of the image; False."""
    size_multiple: int
    """The input's height and width must be multiples of this; 1."""
    padding: Padding
    """How an image of other sides is continued below and to the right, in NumPy's words: "reflect",
    the value where nothing is said, "edge" (its last pixels) or "constant" (zeros)."""
    side: Optional[int]
    """The only height and width that the network takes, in pixels; None, which means any."""
    receptive_radius: Optional[int]
    """How many input pixels away an output pixel can still depend on the input. None, the value
    where nothing is said, means the whole picture: it is then never computed in tiles."""
    floats_per_pixel: int
    """About how many float32 numbers inference holds at once for each input pixel; four times the
    most channels that any of the weights gives."""


@runtime_checkable
class Foldable(Protocol):
    """A network with another form for inference, such as one without batch normalisation."""

    def folded(self) -> nn.Cell:
        """Return the same function of an image in the form that is run and exported."""
        ...


@runtime_checkable
class PartlyFloat16(Protocol):
    """A network of which only one cell may compute in float16 at level O2.

    The network casts what that cell gives back to float32.
    """

    float16_part: nn.Cell


@runtime_checkable
class Loss(Protocol):
    """A loss, which is a ``mindspore.nn.Cell``.

    Its ``construct`` takes x_hat and x, both (N, C, H, W) float32, and gives a scalar. x is the
    clean patch, or with ``data.target: degraded`` an independent corruption of it, with the further
    channels that the degradation's ``targets`` adds behind it.
    """

    def construct(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """Return the scalar loss of a batch."""
        ...


@runtime_checkable
class FollowsSteps(Protocol):
    """A loss that changes over the run."""

    def follow(self, step: Parameter, steps: int) -> None:
        """Take the counter of updates, and how many updates the run has in all."""
        ...


@runtime_checkable
class Coupled(Protocol):
    """A class of parts whose settings must agree with other settings of the recipe."""

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return one line for each contradiction; settings that follow others may be set here."""
        ...


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The attributes of a network without the network; an exported file carries them.

    The fields are explained at ``Network``.
    """

    scale: int
    channels: int
    receptive_radius: Optional[int]
    floats_per_pixel: int
    size_multiple: int
    output_channels: int
    side: Optional[int]
    noise_map: bool = False
    padding: Padding = "reflect"

    @property
    def input_channels(self) -> int:
        """Channels of the input with the noise map, where there is one."""
        return self.channels + self.noise_map

    @classmethod
    def of(cls, network: nn.Cell) -> Geometry:
        """Read the attributes of a network, with the contract's values for what it leaves out."""
        channels = getattr(network, "channels", 3)
        widths = [p.shape[0] for p in network.get_parameters() if p.ndim > 1]
        return cls(
            scale=getattr(network, "scale", 1),
            channels=channels,
            receptive_radius=getattr(network, "receptive_radius", None),
            floats_per_pixel=getattr(
                network, "floats_per_pixel", 4 * max(widths, default=channels)
            ),
            size_multiple=getattr(network, "size_multiple", 1),
            output_channels=getattr(network, "output_channels", channels),
            side=getattr(network, "side", None),
            noise_map=getattr(network, "noise_map", False),
            padding=getattr(network, "padding", "reflect"),
        )

    def example_sizes(self) -> list[Size]:
        """Three (height, width) that the network takes, odd ones where it takes them."""
        if self.side:
            return [(self.side, self.side)]
        multiple = self.size_multiple
        if multiple > 8:
            sizes = [(multiple, multiple), (2 * multiple, multiple), (multiple, 3 * multiple)]
        else:
            sizes = [(16, 16), (37, 23), (64, 48)]
        return [(height + -height % multiple, width + -width % multiple) for height, width in sizes]


class EngineMemory(NamedTuple):
    """The memory that an engine needs for a picture, in float32 numbers.

    Attributes:
        factor: what each pixel needs, about, as a multiple of the network's ``floats_per_pixel``.
        bands_from: from that many pixels the engine computes a picture in bands of rows; None:
            it never does.
        floats_per_column: what it then needs for each column, instead of for each pixel.
        columns: the most columns that are computed at once.
    """

    factor: float = 1.0
    bands_from: Optional[int] = None
    floats_per_column: int = 0
    columns: int = sys.maxsize

    def in_bands(self, height: int, width: int) -> bool:
        """Return whether a picture of that many pixels is computed in bands."""
        return self.bands_from is not None and height * width >= self.bands_from


class Steps:
    """Work that is done while it is iterated over, which yields before each step.

    Args:
        count: of the steps, which is its length.
        work: yields before each step.
    """

    def __init__(self, count: int, work: Iterable[None]) -> None:
        self._count, self._work = count, work

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[None]:
        return iter(self._work)


class Engine(Protocol):
    """What computes a network's output, (N, C, H, W) float32 arrays in and out."""

    name: str
    """As ``--engine`` names it."""
    shape: Optional[Size]
    """The only height and width that it takes; None: any that the network takes."""
    memory: EngineMemory
    """What it needs for a picture."""

    def __call__(self, y: np.ndarray) -> np.ndarray:
        """Compute x_hat of y."""
        ...


ReadPart = Callable[[slice, slice], np.ndarray]
"""Returns rows and columns of a picture, (C, rows, columns) float32."""
WritePart = Callable[[int, int, np.ndarray], None]
"""Takes a part (C, rows, columns) float32 of the result, from its top row and left column on."""


@runtime_checkable
class BandEngine(Engine, Protocol):
    """An engine that computes a picture in bands of rows where ``memory.in_bands`` says so.

    It reads and writes the picture in parts, so that no float32 copy of it is needed.
    """

    def in_bands(self, size: Size, read: ReadPart, write: WritePart) -> Steps:
        """Return the steps that compute a picture (height, width); several threads take part."""
        ...
