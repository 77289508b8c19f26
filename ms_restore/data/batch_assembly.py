"""Assembly of training batches: stored patches are augmented, degraded and converted to float32."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, Optional

import numpy as np

from ms_restore.contracts import Degradation, SpectralDegradation
from ms_restore.degradations import kspace
from ms_restore.images.arrays import to_float


@dataclasses.dataclass(frozen=True)
class BatchAssembler:
    """Turns stored patches into a batch of network inputs y and training targets.

    Args:
        degradation: makes y from the clean patch x.
        target: what the network learns to give: "clean" is x, or what the degradation's ``goal``
            makes of it, "degraded" is a second degradation of x, independent of y.
        translation: x is shifted at random by up to this many pixels in each direction; pixels
            that leave on one side come back on the opposite one.
        shuffle_channels: permute red, green and blue at random.
    """

    degradation: Degradation
    target: Literal["clean", "degraded"] = "clean"
    translation: int = 0
    shuffle_channels: bool = False

    def __call__(
        self,
        x: np.ndarray,
        y: Optional[np.ndarray],
        symmetries: Sequence[int],
        rngs: Sequence[np.random.Generator],
        spectra: Optional[np.ndarray] = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch (y, target), float32 (N, C, h, w) and (N, C, H, W) in [0, 1].

        Args:
            x: clean patches (N, H, W, C), uint8, uint16 or float32; where ``y`` is None, with the
                degradation's margin around them.
            y: degraded patches (N, h, w, C) read from storage; None makes them from x.
            symmetries: the symmetry applied to each patch, see ``apply_symmetries``.
            rngs: a random generator for each patch, for everything else that is random about it.
            spectra: half spectra of x for a ``SpectralDegradation``, where they are stored.
        """
        x = apply_symmetries(x, symmetries)
        if y is not None:
            return to_float(apply_symmetries(y, symmetries)), to_float(x)
        if self.shuffle_channels:
            for patch, rng in zip(x, rngs):
                patch[:] = patch[rng.permutation(len(patch))]
        moves = []
        if self.translation:
            reach = self.translation
            moves = [rng.integers(-reach, reach + 1, 2) for rng in rngs]
            for patch, move in zip(x, moves):
                patch[:] = np.roll(patch, move, axis=(1, 2))
        if isinstance(self.degradation, SpectralDegradation) and spectra is not None:
            spectra = kspace.shift_spectra(spectra, moves, x.shape[2:]) if moves else spectra
            return self._from_spectra(self.degradation, x, rngs, spectra)
        if self.target == "degraded":
            y, target = self.degradation.pairs(x, rngs)
            return to_float(y), to_float(target)
        return to_float(self.degradation.patches(x, rngs)), self._clean(x)

    def _from_spectra(
        self,
        degradation: SpectralDegradation,
        x: np.ndarray,
        rngs: Sequence[np.random.Generator],
        spectra: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.target == "degraded":
            return degradation.spectral_pairs(x, rngs, spectra)
        return to_float(degradation.spectral_patches(x, rngs, spectra)), self._clean(x)

    def _clean(self, x: np.ndarray) -> np.ndarray:
        """Return what is to be learnt as float32, without the margin."""
        margin = self.degradation.margin
        x = self.degradation.goal(x)
        return to_float(x[:, :, margin:-margin, margin:-margin] if margin else x)


def apply_symmetries(patches: np.ndarray, symmetries: Sequence[int]) -> np.ndarray:
    """Return square patches (N, H, W, C) as (N, C, H, W), each flipped or rotated.

    Args:
        patches: any dtype, which is kept.
        symmetries: for each patch a number from 0 to 7: bit 0 flips it left to right, bit 1 top to
            bottom, and bit 2 then transposes it.
    """
    count, height, width, channels = patches.shape
    planes = np.empty((count, channels, height, width), patches.dtype)
    chosen = np.asarray(symmetries)
    for symmetry in set(symmetries):  # all patches with the same symmetry at once: fewer calls
        group = np.flatnonzero(chosen == symmetry)
        part = patches[group].transpose(0, 3, 1, 2)
        if symmetry & 1:
            part = part[:, :, :, ::-1]
        if symmetry & 2:
            part = part[:, :, ::-1]
        planes[group] = part.swapaxes(2, 3) if symmetry & 4 else part
    return planes
