"""Training batches: which patch of which image, turned how, is a function of the seed alone.

Sample number i of a run, counted over all batches (and devices), is fixed by (seed, i): its image
by the epoch's permutation, its place and orientation by a generator of its own. So any number of
workers gives the same batches, and a run can start again at any sample.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ms_restore.data.images import to_float
from ms_restore.data.sources import ImageSource
from ms_restore.degradations.bicubic import mirror

if TYPE_CHECKING:
    from mindspore.dataset import GeneratorDataset

_SYMMETRIES = {"none": 1, "flips": 4, "flips_rotations": 8}


class TrainingBatches:
    """Item b is (y, x): float32 (N, C, h, w) degraded and (N, C, H, W) clean, both in [0, 1]."""

    def __init__(
        self,
        source: ImageSource,
        degradation: Any,
        *,
        patch_size: int,
        batch_size: int,
        augment: str,
        seed: int,
        steps: int,
    ) -> None:
        self._source = source
        self._degradation = degradation
        self._patch_size = patch_size
        self._batch_size = batch_size
        self._symmetries = _SYMMETRIES[augment]
        self._seed = seed
        self._steps = steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        first = int(batch) * self._batch_size
        patches = np.stack([self._patch(first + i) for i in range(self._batch_size)])
        patches = np.ascontiguousarray(patches.transpose(0, 3, 1, 2))
        margin = self._degradation.margin
        y = self._degradation.patches(patches)
        x = patches[:, :, margin:-margin, margin:-margin] if margin else patches
        return to_float(y), to_float(x)

    def _patch(self, sample: int) -> np.ndarray:
        """The clean patch with the degradation's margin around it, (H, W, C)."""
        epoch, position = divmod(sample, len(self._source))
        image = self._source[_permutation(self._seed, epoch, len(self._source))[position]]
        rng = np.random.Generator(np.random.Philox(key=[self._seed, sample]))
        rows = self._span(image.shape[0], rng)
        columns = self._span(image.shape[1], rng)
        patch = image[rows[:, None], columns]
        symmetry = int(rng.integers(self._symmetries))
        if symmetry & 1:
            patch = patch[:, ::-1]
        if symmetry & 2:
            patch = patch[::-1]
        return patch.transpose(1, 0, 2) if symmetry & 4 else patch

    def _span(self, length: int, rng: np.random.Generator) -> np.ndarray:
        """Indices of a random patch and its margin along one side, mirrored at the borders."""
        scale, margin = self._degradation.scale, self._degradation.margin
        length -= length % scale
        start = scale * int(rng.integers((length - self._patch_size) // scale + 1))
        return mirror(np.arange(start - margin, start + self._patch_size + margin), length)


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(length)


def as_dataset(batches: TrainingBatches, workers: int) -> GeneratorDataset:
    """The batches as a MindSpore dataset with columns y and x, in their order."""
    from mindspore.dataset import GeneratorDataset

    return GeneratorDataset(
        batches,
        ["y", "x"],
        shuffle=False,
        num_parallel_workers=workers,
        python_multiprocessing=False,
    )
