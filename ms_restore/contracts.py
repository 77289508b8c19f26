"""Contracts: what each kind of part must have, ours and those that others bring.

Images are float32 in [0, 1] wherever nothing else is said. Arrays of whole images are (H, W, C),
batches are (N, C, H, W). A caller's own class that keeps to its contract serves everywhere as ours
do: in recipes, in training, in evaluation, in tiles and in exported files.

| part | what to write |
| --- | --- |
| network | a ``mindspore.nn.Cell``; ``Network`` says which attributes it may add |
| degradation | a class derived from ``Degradation`` |
| loss | a ``mindspore.nn.Cell`` from (x_hat, x) to a scalar; see ``Loss`` |
| optimizer | a function (parameters, rates, \\*, ...) that gives a ``mindspore.nn.Optimizer`` |
| schedule | a function (step, steps, \\*, ...) that gives the factor on the learning rate |
| solver | a class whose constructor takes the prior; see ``Solver`` |
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import (
    TYPE_CHECKING,
    Callable,
    ClassVar,
    NamedTuple,
    Optional,
    Protocol,
    TypeVar,
    runtime_checkable,
)

import numpy as np

if TYPE_CHECKING:
    from mindspore import Parameter, Tensor, nn

    from ms_restore.images.mosaic import Mosaic
    from ms_restore.recipe import Recipe

Size = tuple[int, int]
"""Height and width in pixels."""


class Network(Protocol):
    """A network from a degraded image to a restored one.

    It is a ``mindspore.nn.Cell`` whose ``construct`` takes y (N, channels, H, W) and gives x_hat
    (N, output_channels, scale * H, scale * W), both float32 in [0, 1]. Each attribute may be left
    out and then has the value named here.
    """

    scale: int
    """Output pixels for each input pixel along a side; 1."""
    channels: int
    """Channels of the input; 3."""
    output_channels: int
    """Channels of the output; as many as ``channels``."""
    size_multiple: int
    """The input's height and width must be multiples of this; 1."""
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
        )

    def example_sizes(self) -> list[Size]:
        """Three (height, width) that the network takes, odd ones where it takes them."""
        if self.side:
            return [(self.side, self.side)]
        multiple = self.size_multiple
        factors = ((1, 1), (2, 1), (1, 3)) if multiple > 8 else ((16, 16), (37, 23), (64, 48))
        return [(height * multiple, width * multiple) for height, width in factors]


_D = TypeVar("_D", bound="Degradation")


class Degradation(abc.ABC):
    """How a degraded image y is made from a clean image x.

    x holds uint8 or uint16, or float32 in [0, 1]. y is of the same kind, or float32 where values
    between and beyond matter, for noise is never clipped. All randomness comes from the generators
    that are given, so that a seed gives the same images anywhere.

    A class derived from this one needs ``__call__`` alone. Its settings are the keyword-only
    arguments of its constructor, which are kept in ``settings``.
    """

    scale: int = 1
    """Pixels of x for each pixel of y along a side."""
    margin: int = 0
    """Pixels of x that a patch needs on every side to be degraded as in the whole image."""
    baseline_name: str = "degraded"
    """What ``baseline`` is called in tables and pictures."""
    mosaic: Optional[Mosaic] = None
    """The colour mosaic of y, where it holds raw pixels."""
    follows_network: ClassVar[tuple[str, ...]] = ()
    """Settings that are those of the network with the same names."""
    settings: dict[str, object]

    def __new__(cls: type[_D], *args: object, **settings: object) -> _D:
        """Keep what the constructor is called with, so that a recipe can name it."""
        made = super().__new__(cls)
        made.settings = settings
        return made

    @property
    def factor(self) -> int:
        """How many times coarser the detail of y is, by which protocols cut borders; ``scale``."""
        return self.scale

    @abc.abstractmethod
    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Degrade a whole image (H, W, C) whose sides are multiples of ``scale``."""

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Degrade a batch of patches.

        Args:
            x: (N, C, H + 2 margin, W + 2 margin), the patches with their margin.
            rngs: a generator for each patch.

        Returns:
            y (N, c, H / scale, W / scale).
        """
        margin, scale = self.margin, self.scale
        made = [self(patch.transpose(1, 2, 0), rng) for patch, rng in zip(x, rngs)]
        batch = np.stack(made).transpose(0, 3, 1, 2)
        cut = slice(margin // scale, -(margin // scale) or None)
        return batch[:, :, cut, cut]

    def pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Degrade a batch twice, independently: y, and a target for learning from noise alone."""
        return self.patches(x, rngs), self.targets(x, rngs)

    def targets(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Degrade a batch as a target of training; further channels are for the loss."""
        return self.patches(x, rngs)

    def baseline(self, y: np.ndarray) -> np.ndarray:
        """Return the customary restoration (H, W, C), which a network has to beat."""
        return y

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line for each contradiction with the recipe's other settings; see Coupled."""
        return []


class SpectralDegradation(Degradation):
    """A degradation that can start from half spectra of x which are stored.

    ``spectra`` is (N, H, W // 2 + 1) complex64, in the order of ``np.fft.rfft2``.
    """

    @abc.abstractmethod
    def spectral_patches(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> np.ndarray:
        """Return what ``patches`` does."""

    @abc.abstractmethod
    def spectral_pairs(
        self, x: np.ndarray, rngs: Sequence[np.random.Generator], spectra: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what ``pairs`` does."""


@dataclasses.dataclass(frozen=True)
class PatchRequest:
    """What training asks of a source, in pixels of the clean image.

    Attributes:
        patch_size: side of a patch.
        stride: distance of the patches on a grid; None: a patch lies anywhere.
        margin: pixels around a patch that the degradation needs.
        scale: clean pixels for each degraded one along a side; patches begin at multiples.
        changed_by: a setting for which stored degraded images cannot serve, since others must be
            made, such as "data.translation 8"; None: they can.
    """

    patch_size: int
    stride: Optional[int] = None
    margin: int = 0
    scale: int = 1
    changed_by: Optional[str] = None


class PatchLocation(NamedTuple):
    """Where a training patch lies: which image, its first row and column, how it is turned.

    ``rng`` gives what else is random about it, such as its noise.
    """

    image: int
    top: int
    left: int
    symmetry: int
    rng: np.random.Generator


class StoredPatch(NamedTuple):
    """A training patch as a source has it, (H, W, C), not yet turned.

    ``x`` is clean, with the margin around it where ``y`` is None and has to be made; else without,
    and ``y`` is the degraded patch that is stored. ``spectrum`` is the half spectrum of x, where it
    is stored.
    """

    x: np.ndarray
    y: Optional[np.ndarray] = None
    spectrum: Optional[np.ndarray] = None


class TrainingSource(Protocol):
    """Where training patches come from."""

    description: str
    """What the source is, for a line on the terminal."""

    @property
    def streamed(self) -> bool:
        """Whether patches are read from files in the order in which they are asked for."""
        ...

    def check(self, request: PatchRequest) -> None:
        """Raise InputError where such patches cannot be had."""
        ...

    def patch_counts(self, request: PatchRequest) -> Sequence[int]:
        """Return how many patches of an epoch each image gives."""
        ...

    def size(self, image: int) -> Size:
        """Return an image's height and width."""
        ...

    def patches(
        self, locations: Iterable[PatchLocation], request: PatchRequest
    ) -> Iterator[tuple[PatchLocation, StoredPatch]]:
        """Yield the patches at these locations, in their order."""
        ...


class ImageSource(TrainingSource, Protocol):
    """Clean images by number, each (H, W, C) uint8 or uint16, for training and for evaluation."""

    names: list[str]
    sizes: list[Size]
    coloured: list[str]
    """Names of the images whose colours were turned to gray."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...

    def degraded(self, index: int) -> Optional[np.ndarray]:
        """Return the degraded image (h, w, C) that is stored beside the clean one; None: none."""
        ...

    def groups(self) -> dict[str, list[str]]:
        """Return names of images whose mean score is of interest, such as those of one ratio."""
        ...


class Engine(Protocol):
    """What computes a network's output, (N, C, H, W) float32 arrays in and out."""

    name: str
    """As ``--engine`` names it."""
    shape: Optional[Size]
    """The only height and width that it takes; None: any that the network takes."""

    def __call__(self, y: np.ndarray) -> np.ndarray: ...


class Progress(NamedTuple):
    """How far a solver has come.

    ``misfit_255`` is the root mean square of A x - y for each image, on a scale of 0 to 255; ``x``
    gives the present images (N, C, H, W) when it is called.
    """

    iteration: int
    misfit_255: np.ndarray
    x: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Solution:
    """x_hat (N, C, H, W) float32 in [0, 1], and how it was found.

    ``seconds_per_iteration`` is the median.
    """

    x_hat: np.ndarray
    iterations: int
    misfit_255: np.ndarray
    seconds_per_iteration: float
    engine: str


class LinearOperator(Protocol):
    """A linear degradation y = A x on batches (N, C, H, W), and its adjoint."""

    scale: int
    """Pixels of x for each pixel of y along a side."""

    @property
    def energy(self) -> float:
        """The sum of the squares of the blur's kernel."""
        ...

    @property
    def half(self) -> Size:
        """Rows and columns of x on each side of A x."""
        ...

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return A x."""
        ...

    def adjoint(self, y: np.ndarray, size: Optional[Size] = None) -> np.ndarray:
        """Return A^T y; ``size`` is x's height and width, where y does not tell."""
        ...

    def start(self, y: np.ndarray) -> np.ndarray:
        """Return a first x of the right size."""
        ...

    def check(self, height: int, width: int) -> None:
        """Raise InputError for an x of this size that A does not take."""
        ...

    def gain(self, y: np.ndarray) -> float:
        """Return how many values of the blurred image there are for each value of y."""
        ...

    def blurred_size(self, height: int, width: int) -> Size:
        """Return the height and width of the blurred image for a y of this size."""
        ...

    def cell(self, height: int, width: int) -> nn.Cell:
        """Return the operator for the device, for an x of this size."""
        ...


class Prior(Protocol):
    """A denoiser of one known level as a solver sees it."""

    recipe: Recipe
    channels: int
    sigma_255: float
    """The level that it was trained for, a standard deviation on a scale of 0 to 255."""

    @property
    def engine(self) -> Optional[Engine]:
        """What computes it; None: MindSpore computes ``cell()``."""
        ...

    def cell(self) -> nn.Cell:
        """Return the denoiser for the device, (N, C, H, W) to the same, any number of channels."""
        ...

    def denoise(self, y: np.ndarray) -> np.ndarray:
        """Denoise a batch by the engine."""
        ...


class Solver(Protocol):
    """A method that undoes a known linear degradation, with a denoiser as prior.

    Its constructor takes the prior, and its settings as keyword-only arguments.
    """

    iterations: int
    """At most how many iterations it makes."""
    noise_blind: bool
    """Whether it estimates the noise even where that is known."""
    engine: str
    """What computes the prior, as ``--engine`` names it."""

    @property
    def prior(self) -> Prior:
        """The denoiser."""
        ...

    def __call__(
        self,
        y: np.ndarray,
        operator: LinearOperator,
        *,
        sigma_255: Optional[float],
        seed: int = 0,
        monitor: Optional[Callable[[Progress], None]] = None,
    ) -> Solution:
        """Restore a batch.

        Args:
            y: (N, C, h, w) in [0, 1], noise not clipped.
            operator: A.
            sigma_255: standard deviation of y's noise on a scale of 0 to 255; None: unknown.
            seed: of what is random in the method.
            monitor: called after some of the iterations, the first and the last included.
        """
        ...
