"""Training batches: which patch of which image, turned how, is a function of the seed alone.

Sample number i of a run, counted over all batches and ranks, is fixed by (seed, i): its image (or,
with a stride, its patch) by the epoch's permutation; its place, orientation and noise by a
generator of its own. So any number of workers or ranks gives the same samples, and a run can start
again at any of them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Optional

import numpy as np

from ms_restore import seeds
from ms_restore.data.assembling import Assembler
from ms_restore.data.mindrecord.patches import PatchSource
from ms_restore.data.mindrecord.records import RecordSource
from ms_restore.data.mindrecord.tiles import Place, Tile, TileSource, count_along
from ms_restore.data.sources import ImageSource, TrainingSource, degraded
from ms_restore.errors import InputError

if TYPE_CHECKING:
    from mindspore.dataset import GeneratorDataset

_SYMMETRIES = {"none": 1, "flips": 4, "flips_rotations": 8}
_Batch = tuple[np.ndarray, np.ndarray]


class _Pair(NamedTuple):
    """The degraded patch where it is stored, and the clean one; else the clean one with its margin.

    Both (H, W, C), not yet turned. ``spectrum`` of the clean one, where it is stored.
    """

    y: Optional[np.ndarray]
    x: np.ndarray
    place: Place
    spectrum: Optional[np.ndarray] = None


class TrainingBatches:
    """Item b is (y, target): float32 (N, C, h, w) degraded and (N, C, H, W), both in [0, 1].

    Args:
        stride: an epoch is every patch on a grid of this stride, of every image; None: a patch
            anywhere in every image. Of prepared patches, an epoch is all.
        target, translation, shuffle_channels: see Assembler.
        first_sample: the sample with which the first batch begins.
        rank, ranks: of the ``ranks`` batches that are computed at once, this is number ``rank``:
            item b holds ``batch_size`` samples from first_sample + (b ranks + rank) batch_size on.

    Raises InputError where the source was prepared for other patches than these.
    """

    def __init__(
        self,
        source: TrainingSource,
        degradation: Any,
        *,
        patch_size: int,
        stride: Optional[int] = None,
        batch_size: int,
        augment: str,
        target: Literal["clean", "degraded"] = "clean",
        translation: int = 0,
        shuffle_channels: bool = False,
        seed: int,
        steps: int,
        first_sample: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.source = source
        self._degradation = degradation
        self._assemble = Assembler(degradation, target, translation, shuffle_channels)
        self._patch_size = patch_size
        self._stride = stride
        if isinstance(source, PatchSource):
            source.check(patch_size=patch_size, stride=stride)
            counts = [len(source)]
        else:
            if isinstance(source, TileSource):
                source.check_patches(patch_size, degradation.margin, degradation.scale)
                _check_unpaired(source, target, translation)
            counts = [int(np.prod(self._grid(size))) if stride else 1 for size in source.sizes]
        self._ends = np.cumsum(counts)
        self._batch_size = batch_size
        self._symmetries = _SYMMETRIES[augment]
        self._seed = seed
        self._steps = steps
        self._first_sample = first_sample
        self._rank = rank
        self._ranks = ranks

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, batch: int) -> _Batch:
        samples = self._samples(int(batch))
        if isinstance(self.source, PatchSource):
            return self._of_patches(samples, self.source.take([*map(self._number, samples)]))
        return self._join([self._pair(self.source, sample) for sample in samples])

    def stream(self) -> Iterator[_Batch]:
        """All items in their order, from a prepared set that reads ahead what they need."""
        batches = [self._samples(batch) for batch in range(self._steps)]
        samples = itertools.chain.from_iterable(batches)
        if isinstance(self.source, PatchSource):
            patches = self.source.read(map(self._number, samples))
            for batch in batches:
                x = np.stack([*itertools.islice(patches, self._batch_size)])
                yield self._of_patches(batch, x)
            return
        assert isinstance(self.source, TileSource)
        tiles = self.source.tiles(map(self._place, samples), self._patch_size)
        for batch in batches:
            yield self._join([self._cut(*next(tiles)) for _ in batch])

    def _samples(self, batch: int) -> range:
        first = self._first_sample + (batch * self._ranks + self._rank) * self._batch_size
        return range(first, first + self._batch_size)

    def _number(self, sample: int) -> int:
        """Of the image, or with a stride of the patch, that sample number ``sample`` is."""
        count = int(self._ends[-1])
        epoch, position = divmod(sample, count)
        return int(_permutation(self._seed, epoch, count)[position])

    def _place(self, sample: int) -> Place:
        """Where sample number ``sample`` lies, on the grid of the degradation's scale."""
        assert not isinstance(self.source, PatchSource)
        number = self._number(sample)
        image = int(np.searchsorted(self._ends, number, side="right"))
        rng = seeds.of_sample(self._seed, sample)
        if self._stride is None:
            scale = self._degradation.scale
            top, left = (
                scale * int(rng.integers((side - side % scale - self._patch_size) // scale + 1))
                for side in self.source.sizes[image]
            )
        else:
            _, columns = self._grid(self.source.sizes[image])
            before = int(self._ends[image - 1]) if image else 0
            top, left = (self._stride * step for step in divmod(number - before, columns))
        return Place(image, top, left, int(rng.integers(self._symmetries)), rng)

    def _grid(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches in an image of this height and width."""
        rows, columns = (count_along(side, self._patch_size, self._stride or 1) for side in size)
        return rows, columns

    def _of_patches(self, samples: range, x: np.ndarray) -> _Batch:
        """The batch of prepared patches (N, H, W, C), which end where they end: no margin."""
        rngs = [seeds.of_sample(self._seed, sample) for sample in samples]
        symmetries = [int(rng.integers(self._symmetries)) for rng in rngs]
        margin = (self._degradation.margin,) * 2
        if any(margin):
            x = np.pad(x, ((0, 0), margin, margin, (0, 0)), mode="symmetric")
        return self._assemble(x, None, symmetries, rngs)

    def _pair(self, source: ImageSource, sample: int) -> _Pair:
        place = self._place(sample)
        y = degraded(source, place.image)
        x = source.whole(place.image) if isinstance(source, RecordSource) else None
        x = x or Tile(source[place.image])
        return self._cut(place, x, None if y is None else Tile(y))

    def _cut(self, place: Place, x: Tile, y: Optional[Tile]) -> _Pair:
        assert not isinstance(self.source, PatchSource)
        scale = self._degradation.scale
        height, width = (side - side % scale for side in self.source.sizes[place.image])
        margin = self._degradation.margin if y is None else 0
        side = self._patch_size
        patch = x.cut(place.top, place.left, side, margin, height, width)
        if y is None:
            whole = (side, side) == self.source.sizes[place.image] and not place.symmetry
            return _Pair(None, patch, place, x.spectrum if whole else None)
        top, left, side, height, width = (
            value // scale for value in (place.top, place.left, side, height, width)
        )
        return _Pair(y.cut(top, left, side, 0, height, width), patch, place)

    def _join(self, pairs: list[_Pair]) -> _Batch:
        groups = [pairs]
        kinds = {(pair.x.dtype, pair.y is None or pair.y.dtype) for pair in pairs}
        if len(kinds) > 1:  # 8 and 16 bit
            groups = [[pair] for pair in pairs]
        made = [self._batch(group) for group in groups]
        if len(made) == 1:
            return made[0]
        ys, xs = zip(*made)
        return np.concatenate(ys), np.concatenate(xs)

    def _batch(self, pairs: list[_Pair]) -> _Batch:
        """Pairs of one dtype as float batches."""
        ys, xs, places, spectra = zip(*pairs)
        y = None if ys[0] is None else _stacked(ys)
        symmetries = [place.symmetry for place in places]
        rngs = [place.rng for place in places]
        whole = None if any(spectrum is None for spectrum in spectra) else _stacked(spectra)
        return self._assemble(_stacked(xs), y, symmetries, rngs, whole)


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """One alone is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _check_unpaired(source: TileSource, target: str, translation: int) -> None:
    """InputError where degraded images are stored, but others would have to be made."""
    if source.paired and (target != "clean" or translation):
        asked = f"data.target {target}" if target != "clean" else f"data.translation {translation}"
        raise InputError(
            f"{source.description} has degraded images of its own, but {asked} needs such that "
            "are made on reading; prepare the clean images alone"
        )


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


class _Stream:
    """Batches one after another, for GeneratorDataset."""

    def __init__(self, batches: TrainingBatches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return self._batches.stream()


def as_dataset(batches: TrainingBatches, workers: int) -> GeneratorDataset:
    """The batches as a MindSpore dataset with columns y and x, in their order.

    ``workers`` threads make them; those of a streamed source are made by one, and read by others.
    """
    from mindspore.dataset import GeneratorDataset

    source = batches.source
    streamed = isinstance(source, (PatchSource, TileSource)) and source.streamed
    return GeneratorDataset(
        _Stream(batches) if streamed else batches,
        ["y", "x"],
        shuffle=False,
        num_parallel_workers=1 if streamed else min(workers, os.cpu_count() or 1),
        python_multiprocessing=False,
    )
