"""From patches as they are stored to a batch: turned, degraded, as float32 planes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from ms_restore.data.images import to_float


def assemble(
    degradation: Any,
    x: np.ndarray,
    y: Optional[np.ndarray],
    symmetries: Sequence[int],
    rngs: Sequence[np.random.Generator],
) -> tuple[np.ndarray, np.ndarray]:
    """(y, x): float32 (N, C, h, w) and (N, C, H, W) in [0, 1].

    Args:
        x: clean patches (N, H, W, C), with the degradation's margin around them where ``y`` is
            to be made of them.
        y: degraded patches (N, h, w, C) that were stored; None: they are made.
        symmetries: how each patch is turned, see ``turned``.
        rngs: for what is random about each patch's degradation.
    """
    x = turned(x, symmetries)
    if y is not None:
        return to_float(turned(y, symmetries)), to_float(x)
    y = degradation.patches(x, rngs)
    margin = degradation.margin
    return to_float(y), to_float(x[:, :, margin:-margin, margin:-margin] if margin else x)


def turned(patches: np.ndarray, symmetries: Sequence[int]) -> np.ndarray:
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
