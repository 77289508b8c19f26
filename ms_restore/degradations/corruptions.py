"""Corruptions that lose pixels, of Lehtinen et al. 2018 (arXiv 1803.04189), section 3.

Of each, a training patch draws its own strength; evaluation has a fixed one.
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
    """An image is corrupted by ``corrupt(x, share, rng)``, x and the result (C, H, W) float32."""

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
    """y = m x, the mask m 0 for a share of the pixels, all channels together.

    As a target it is the corrupted image and behind it the mask, for the loss ``masked_mse``.

    Args:
        share: of pixels lost in training at most; each patch draws from 0 to this.
        eval_share: of pixels lost in evaluation.
    """

    def __init__(self, *, share: Share = 0.95, eval_share: Share = 0.5) -> None:
        super().__init__(share=share, eval_share=eval_share)

    def corrupt(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        return x * self._mask(x, share, rng)

    def targets(self, x: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """(N, C + 1, H, W)"""
        x = to_float(x)
        masks = [self._mask(p, rng.uniform(0, self._share), rng) for p, rng in zip(x, rngs)]
        mask = np.stack(masks)[:, None]
        return np.concatenate([x * mask, mask], axis=1)

    def _mask(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        return (rng.random(x.shape[1:], np.float32) >= share).astype(np.float32)


class Impulse(_Corruption):
    """A share of the pixels is replaced by random colours, uniform in [0, 1].

    Args:
        share: of pixels replaced in training at most; each patch draws from 0 to this.
        eval_share: of pixels replaced in evaluation.
    """

    def __init__(self, *, share: Share = 0.95, eval_share: Share = 0.7) -> None:
        super().__init__(share=share, eval_share=eval_share)

    def corrupt(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        replaced = rng.random(x.shape[1:], np.float32) < share
        return np.where(replaced, rng.random(x.shape, np.float32), x)


class Text(_Corruption):
    """Lines of random letters, sizes and colours over the image, until they cover a share of it.

    Args:
        share: of the image covered in training at most; each patch draws from 0 to this.
        eval_share: of the image covered in evaluation.
    """

    def __init__(self, *, share: Share = 0.5, eval_share: Share = 0.25) -> None:
        super().__init__(share=share, eval_share=eval_share)

    def corrupt(self, x: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
        y = x.transpose(1, 2, 0).copy(order="C")  # of gray too, whose view OpenCV does not take
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
