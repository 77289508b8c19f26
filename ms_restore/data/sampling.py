"""Sampling of training batches: the seed alone fixes each patch, its augmentation and its noise.

Samples are numbered over all batches and ranks of a run, and (seed, i) fixes sample i: the
epoch's permutation gives its image (or, with a stride, its patch), and a random generator of its
own gives its place, orientation and noise. So the samples do not depend on the number of workers
or ranks, and a run can resume at any sample.
"""

from __future__ import annotations

import copy
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
from ms_restore.data.batch_assembly import BatchAssembler
from ms_restore.data.image_source import grid_shape
from ms_restore.settings import Recipe

if TYPE_CHECKING:
    from mindspore.dataset import GeneratorDataset

_SYMMETRIES = {"none": 1, "flips": 4, "flips_rotations": 8}
_Batch = tuple[np.ndarray, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How training patches are drawn and augmented.

    The fields are those of the recipe's ``data`` section, where they are explained;
    ``patch_size``, ``stride`` and ``translation`` are in pixels of the clean image.
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
        """Return the sampling settings of a recipe."""
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
        """Return the request for patches that a source has to meet."""
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
    """Which samples of a run belong to this process.

    Batch b of this rank holds the ``batch_size`` samples that begin with number
    first_sample + (b ranks + rank) batch_size.

    Attributes:
        steps: number of batches.
        batch_size: samples in a batch of this rank.
        first_sample: number of the sample with which the first batch of rank 0 begins.
        rank: number of this rank, from 0.
        ranks: number of ranks that compute a batch each at the same time.
    """

    steps: int
    batch_size: int
    first_sample: int = 0
    rank: int = 0
    ranks: int = 1

    def part(self, first: int, steps: int) -> BatchPlan:
        """Return the plan of ``steps`` batches from number ``first`` on."""
        skipped = first * self.ranks * self.batch_size
        return dataclasses.replace(self, steps=steps, first_sample=self.first_sample + skipped)

    def samples(self, batch: int) -> range:
        """Return the numbers of the samples in a batch of this rank."""
        first = self.first_sample + (batch * self.ranks + self.rank) * self.batch_size
        return range(first, first + self.batch_size)


class TrainingBatches:
    """The batches (y, target) of a training run, by number.

    y is (N, C, h, w) and target (N, C, H, W), float32 in [0, 1].

    Args:
        source: clean images or prepared patches.
        degradation: makes y from the clean patches.
        sampling: how patches are drawn and augmented.
        plan: which samples of the run belong to this process.

    Raises:
        InputError: the source cannot give such patches.
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
        self._assemble = BatchAssembler(
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

    def part(self, first: int, steps: int) -> TrainingBatches:
        """Return ``steps`` of these batches from number ``first`` on."""
        batches = copy.copy(self)
        batches._plan = self._plan.part(first, steps)
        return batches

    def stream(self) -> Iterator[_Batch]:
        """Yield all batches in order, while the source reads ahead."""
        samples = itertools.chain.from_iterable(map(self._plan.samples, range(len(self))))
        patches = self.source.patches(map(self._locate, samples), self._request)
        for _ in range(len(self)):
            yield self._join([*itertools.islice(patches, self._plan.batch_size)])

    def _locate(self, sample: int) -> PatchLocation:
        """Return where a sample lies; its row and column are multiples of the scale."""
        seed, request = self._sampling.seed, self._request
        count = int(self._ends[-1])
        epoch, position = divmod(sample, count)
        number = int(_permutation(seed, epoch, count)[position])
        image = int(np.searchsorted(self._ends, number, side="right"))
        rng = seeds.sample_rng(seed, sample)
        size = self.source.size(image)
        if request.stride is None:
            scale = request.scale
            top, left = (
                scale * int(rng.integers((side - side % scale - request.patch_size) // scale + 1))
                for side in size
            )
        else:
            _, columns = grid_shape(size, request)
            before = int(self._ends[image - 1]) if image else 0
            top, left = (request.stride * step for step in divmod(number - before, columns))
        return PatchLocation(image, top, left, int(rng.integers(self._symmetries)), rng)

    def _join(self, found: list[tuple[PatchLocation, StoredPatch]]) -> _Batch:
        """Return a batch of patches, which may differ in dtype."""
        groups = [found]
        if len({(patch.x.dtype, patch.y is None or patch.y.dtype) for _, patch in found}) > 1:
            groups = [[pair] for pair in found]  # 8 and 16 bit images in one batch
        made = [self._batch(group) for group in groups]
        if len(made) == 1:
            return made[0]
        ys, xs = zip(*made)
        return np.concatenate(ys), np.concatenate(xs)

    def _batch(self, found: list[tuple[PatchLocation, StoredPatch]]) -> _Batch:
        """Return a batch of patches that share a dtype."""
        locations, patches = zip(*found)
        symmetries = [location.symmetry for location in locations]
        rngs = [location.rng for location in locations]
        y = _stacked([patch.y for patch in patches])
        spectra = _stacked([patch.spectrum for patch in patches])
        x = _stacked([patch.x for patch in patches])
        assert x is not None
        return self._assemble(x, y, symmetries, rngs, spectra)


def _stacked(arrays: Sequence[Optional[np.ndarray]]) -> Optional[np.ndarray]:
    """Return the arrays stacked, or None if one is missing; a single one is not copied."""
    found = [array for array in arrays if array is not None]
    if len(found) < len(arrays):
        return None
    return found[0][None] if len(found) == 1 else np.stack(found)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


class _BatchStream:
    """An iterable of batches, as ``GeneratorDataset`` takes it for sequential reading."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[_Batch]:
        return self._batches.stream()


def as_dataset(batches: TrainingBatches, workers: int) -> GeneratorDataset:
    """Return the batches, in order, as a MindSpore dataset with the columns y and x.

    ``workers`` is the number of threads that make batches. A streamed source uses one, since its
    files are read ahead by threads of MindSpore's own.
    """
    from mindspore.dataset import GeneratorDataset

    streamed = batches.source.streamed
    return GeneratorDataset(
        _BatchStream(batches) if streamed else batches,
        ["y", "x"],
        shuffle=False,
        num_parallel_workers=1 if streamed else min(workers, os.cpu_count() or 1),
        python_multiprocessing=False,
    )
