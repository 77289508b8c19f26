"""From patches as they are stored to a batch: turned, degraded, as float32 planes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal, Optional

import numpy as np

from ms_restore.contracts import Degradation, SpectralDegradation
from ms_restore.degradations import kspace
from ms_restore.images.arrays import to_float


@dataclasses.dataclass(frozen=True)
class Assembler:
    """Makes (y, target), float32 (N, C, h, w) and (N, C, H, W) in [0, 1].

    Args:
        degradation: makes y of x.
        target: "clean": x; "degraded": another degradation of x, independent of y.
        translation: x is moved by up to so many pixels in each direction, what leaves it on one
            side comes back on the other.
        shuffle_channels: red, green and blue change places at random.
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
        """A batch.

        Args:
            x: clean patches (N, H, W, C), with the degradation's margin around them where ``y`` is
                to be made of them.
            y: degraded patches (N, h, w, C) that were stored; None: they are made.
            symmetries: how each patch is turned, see ``apply_symmetries``.
            rngs: for what else is random about each patch.
            spectra: of x, where they are stored and the degradation works on them.
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
            spectra = kspace.moved(spectra, moves, x.shape[2:]) if moves else spectra
            return self._of_spectra(self.degradation, x, rngs, spectra)
        if self.target == "degraded":
            y, target = self.degradation.pairs(x, rngs)
            return to_float(y), to_float(target)
        return to_float(self.degradation.patches(x, rngs)), self._clean(x)

    def _of_spectra(
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
        """The patches without their margin."""
        margin = self.degradation.margin
        return to_float(x[:, :, margin:-margin, margin:-margin] if margin else x)


def apply_symmetries(patches: np.ndarray, symmetries: Sequence[int]) -> np.ndarray:
    """Square patches (N, H, W, C) as planes (N, C, H, W), each turned by a symmetry of the square.

    Bit 0 of the symmetry exchanges left and right, bit 1 top and bottom, bit 2 then transposes.
    """
    count, height, width, channels = patches.shape
    planes = np.empty((count, channels, height, width), patches.dtype)
    chosen = np.asarray(symmetries)
    for symmetry in set(symmetries):  # all patches of one at a time: few calls
        group = np.flatnonzero(chosen == symmetry)
        part = patches[group].transpose(0, 3, 1, 2)
        if symmetry & 1:
            part = part[:, :, :, ::-1]
        if symmetry & 2:
            part = part[:, :, ::-1]
        planes[group] = part.swapaxes(2, 3) if symmetry & 4 else part
    return planes
