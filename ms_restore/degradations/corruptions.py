"""Corruptions that destroy pixels, from Lehtinen et al. 2018 (arXiv 1803.04189), section 3.

Each training patch draws its own strength of the corruption; in evaluation it is fixed.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Annotated, Any, Callable

import cv2
import numpy as np
from pydantic import Field

from ms_restore.contracts import Degradation
from ms_restore.images.arrays import to_float

Share = Annotated[float, Field(ge=0, le=1)]
_HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)
_LETTERS = np.array(list(string.ascii_letters + string.digits + "     "))


class _Corruption(Degradation):
    """Base class: ``corrupt(x, share, rng)`` corrupts a share of the pixels of x (C, H, W)."""

    baseline_name = "corrupted"
    corrupt: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

    def __init__(self, *, share: Share, eval_share: Share) -> None:
        self._share = share
        self._eval_share = eval_share

    def __call__(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        planes = to_float(x).transpose(2, 0, 1)
        return np.ascontiguousarray(self.corrupt(planes, self._eval_share, rng).transpose(1, 2, 0))

    def patches(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        drawn = [(patch, rng.uniform(0, self._share), rng) for patch, rng in zip(to_float(x), rngs)]
        return np.stack([self.corrupt(*arguments) for arguments in drawn])


class Bernoulli(_Corruption):
    """Multiplicative Bernoulli noise y = m x: a share of the pixels is set to 0.

    The mask m is 0 or 1 and shared by all channels. A training target holds the corrupted image
    and, as its last channel, the mask, for the loss ``masked_mse``.

    Args:
        share: largest share of lost pixels in training; each patch draws from 0 to this.
        eval_share: share of lost pixels in evaluation.
    """

    def __init__(self, *, share: Share = 0.95, eval_share: Share = 0.5) -> None:
        super().__init__(share=share, eval_share=eval_share)

    def corrupt(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """Return x (C, H, W) float32 with a share of the pixels set to 0."""
        return x * self._mask(x, share, rng)

    def targets(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the corrupted patches and their masks, (N, C + 1, H, W) float32."""
        x = to_float(x)
        masks = [self._mask(p, rng.uniform(0, self._share), rng) for p, rng in zip(x, rngs)]
        mask = np.stack(masks)[:, None]
        return np.concatenate([x * mask, mask], axis=1)

    def _mask(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(x.shape[1:], np.float32) >= share).astype(np.float32)


class Impulse(_Corruption):
    """Random-valued impulse noise: a share of the pixels is replaced by random colours.

    The colours are uniform in [0, 1].

    Args:
        share: largest share of replaced pixels in training; each patch draws from 0 to this.
        eval_share: share of replaced pixels in evaluation.
    """

    def __init__(self, *, share: Share = 0.95, eval_share: Share = 0.7) -> None:
        super().__init__(share=share, eval_share=eval_share)

    def corrupt(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """Return x (C, H, W) float32 with a share of the pixels replaced."""
        replaced = rng.random(x.shape[1:], np.float32) < share
        return np.where(replaced, rng.random(x.shape, np.float32), x)


class Text(_Corruption):
    """Text over the image: lines of random letters, sizes and colours, until they cover a share.

    Args:
        share: largest share of the image covered in training; each patch draws from 0 to this.
        eval_share: share of the image covered in evaluation.
    """

    def __init__(self, *, share: Share = 0.5, eval_share: Share = 0.25) -> None:
        super().__init__(share=share, eval_share=eval_share)

    def corrupt(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        """Return x (C, H, W) float32 with text over a share of the pixels."""
        y = x.transpose(1, 2, 0).copy(order="C")  # OpenCV cannot draw on a view
        height, width, channels = y.shape
        covered = np.zeros((height, width), np.uint8)
        while covered.mean() < share:
            line: dict[str, Any] = {
                "text": "".join(rng.choice(_LETTERS, rng.integers(5, 20))),
                "org": tuple(int(v) for v in rng.integers((-width // 4, 0), (width, height + 10))),
                "fontFace": int(rng.choice(_HERSHEY)),
                "fontScale": float(rng.uniform(0.4, 1.2)),
                "thickness": int(rng.integers(1, 4)),
            }
            cv2.putText(y, color=tuple(rng.random(channels).tolist()), **line)
            cv2.putText(covered, color=(1,), **line)
        return y.reshape(height, width, channels).transpose(2, 0, 1)
