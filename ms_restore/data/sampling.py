"""Training batches: which patch of which image, turned how, is a function of the seed alone.

Sample number i of a run, counted over all batches and ranks, is fixed by (seed, i): its image (or,
with a stride, its patch) by the epoch's permutation; its place, orientation and noise by a
generator of its own. So any number of workers or ranks gives the same samples, and a run can start
again at any of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Optional

import numpy as np

from ms_restore import seeds
from ms_restore.contracts import (
    Degradation,
    PatchLocation,
    PatchRequest,
    StoredPatch,
    TrainingSource,
)
from ms_restore.data.batch_assembly import Assembler
from ms_restore.data.image_source import grid_of
from ms_restore.recipe import Recipe

if TYPE_CHECKING:
    from mindspore.dataset import GeneratorDataset

_SYMMETRIES = {"none": 1, "flips": 4, "flips_rotations": 8}
_Batch = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How patches are drawn and what becomes of them; the recipe's ``data`` explains the fields.

    ``patch_size`` and ``stride`` are in pixels of the clean image.
    """

    patch_size: int
    stride: Optional[int] = None
    augment: Literal["none", "flips", "flips_rotations"] = "flips_rotations"
    target: Literal["clean", "degraded"] = "clean"
    translation: int = 0
    shuffle_channels: bool = False
    seed: int = 0

    @classmethod
    def of(cls, recipe: Recipe) -> Sampling:
        """Take the settings of a recipe."""
        data = recipe.data
        return cls(
            data.patch_size,
            data.stride,
            data.augment,
            data.target,
            data.translation,
            data.shuffle_channels,
            recipe.seed,
        )

    def request(self, degradation: Degradation) -> PatchRequest:
        """Return what such patches ask of a source."""
        changed_by = None
        if self.target != "clean":
            changed_by = f"data.target {self.target}"
        elif self.translation:
            changed_by = f"data.translation {self.translation}"
        return PatchRequest(
            self.patch_size, self.stride, degradation.margin, degradation.scale, changed_by
        )


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """Which samples of a run are this process's.

    Attributes:
        steps: batches in all.
        batch_size: samples in a batch of this rank.
        first_sample: the sample with which the first batch begins.
        rank, ranks: of the ``ranks`` batches that are computed at once this is number ``rank``:
            batch b holds ``batch_size`` samples from first_sample + (b ranks + rank) batch_size on.
    """

    steps: int
    batch_size: int
    first_sample: int = 0
    rank: int = 0
    ranks: int = 1

    def samples(self, batch: int) -> range:
        """Return the numbers of the samples in a batch."""
        first = self.first_sample + (batch * self.ranks + self.rank) * self.batch_size
        return range(first, first + self.batch_size)


class TrainingBatches:
    """Batches by number: (y, target), float32 (N, C, h, w) and (N, C, H, W), both in [0, 1].

    Raises InputError where the source cannot give such patches.

    Args:
        source: the clean images, or patches that were prepared.
        degradation: makes y of them.
        sampling: which patches.
        plan: which samples of the run.
    """

    def __init__(
        self,
        source: TrainingSource,
        degradation: Degradation,
        sampling: Sampling,
        plan: BatchPlan,
    ) -> None:
        self.source = source
        self._sampling = sampling
        self._plan = plan
        self._request = sampling.request(degradation)
        self._assemble = Assembler(
            degradation, sampling.target, sampling.translation, sampling.shuffle_channels
        )
        source.check(self._request)
        self._ends = np.cumsum(source.patch_counts(self._request))
        self._symmetries = _SYMMETRIES[sampling.augment]

    def __len__(self) -> int:
        return self._plan.steps

    def __getitem__(self, batch: int) -> _Batch:
        locations = map(self._locate, self._plan.samples(int(batch)))
        return self._join([*self.source.patches(locations, self._request)])

    def stream(self) -> Iterator[_Batch]:
        """Yield all batches in their order, from a source that reads ahead what they need."""
        samples = itertools.chain.from_iterable(map(self._plan.samples, range(len(self))))
        patches = self.source.patches(map(self._locate, samples), self._request)
        for _ in range(len(self)):
            yield self._join([*itertools.islice(patches, self._plan.batch_size)])

    def _locate(self, sample: int) -> PatchLocation:
        """Where sample number ``sample`` lies, on the grid of the degradation's scale."""
        seed, request = self._sampling.seed, self._request
        count = int(self._ends[-1])
        epoch, position = divmod(sample, count)
        number = int(_permutation(seed, epoch, count)[position])
        image = int(np.searchsorted(self._ends, number, side="right"))
        rng = seeds.of_sample(seed, sample)
        size = self.source.size(image)
        if request.stride is None:
            scale = request.scale
            top, left = (
                scale * int(rng.integers((side - side % scale - request.patch_size) // scale + 1))
                for side in size
            )
        else:
            _, columns = grid_of(size, request)
            before = int(self._ends[image - 1]) if image else 0
            top, left = (request.stride * step for step in divmod(number - before, columns))
        return PatchLocation(image, top, left, int(rng.integers(self._symmetries)), rng)

    def _join(self, found: list[tuple[PatchLocation, StoredPatch]]) -> _Batch:
        """One batch of patches, which may be of different dtypes."""
        groups = [found]
        if len({(patch.x.dtype, patch.y is None or patch.y.dtype) for _, patch in found}) > 1:
            groups = [[pair] for pair in found]  # 8 and 16 bit
        made = [self._batch(group) for group in groups]
        if len(made) == 1:
            return made[0]
        ys, xs = zip(*made)
        return np.concatenate(ys), np.concatenate(xs)

    def _batch(self, found: list[tuple[PatchLocation, StoredPatch]]) -> _Batch:
        """One batch of patches of one dtype."""
        locations, patches = zip(*found)
        symmetries = [location.symmetry for location in locations]
        rngs = [location.rng for location in locations]
        y = _stacked([patch.y for patch in patches])
        spectra = _stacked([patch.spectrum for patch in patches])
        x = _stacked([patch.x for patch in patches])
        assert x is not None
        return self._assemble(x, y, symmetries, rngs, spectra)


def _stacked(arrays: Sequence[Optional[np.ndarray]]) -> Optional[np.ndarray]:
    """All of them as one array, one alone without a copy; None where one is missing."""
    found = [array for array in arrays if array is not None]
    if len(found) < len(arrays):
        return None
    return found[0][None] if len(found) == 1 else np.stack(found)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


class _Stream:
    """Batches one after another, for GeneratorDataset."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[_Batch]:
        return self._batches.stream()


def as_dataset(batches: TrainingBatches, workers: int) -> GeneratorDataset:
    """Return the batches as a MindSpore dataset with columns y and x, in their order.

    ``workers`` threads make them; those of a streamed source are made by one, and read by others.
    """
    from mindspore.dataset import GeneratorDataset

    streamed = batches.source.streamed
    return GeneratorDataset(
        _Stream(batches) if streamed else batches,
        ["y", "x"],
        shuffle=False,
        num_parallel_workers=1 if streamed else min(workers, os.cpu_count() or 1),
        python_multiprocessing=False,
    )
