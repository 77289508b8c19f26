"""Scoring protocols, each with a name, as a score means little without its protocol.

For example, super-resolved images of Set5 score over 2 dB more on Y than on RGB.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np

from ms_restore import registry
from ms_restore.contracts import Metric
from ms_restore.errors import InputError
from ms_restore.metrics.choice import DEFAULT
from ms_restore.metrics.quality import luma, psnr


@dataclasses.dataclass(frozen=True)
class ScoringProtocol:
    """How a restored image is compared with the original, both on a scale of 0 to 255.

    ``border_scales * scale + border_pixels`` pixels are cut off on every side.

    Attributes:
        description: of the protocol, for reports.
        space: "y" (limited-range BT.601 luma, not rounded) or "all" (every channel).
        rounded: round the restored image to 8 bit; otherwise it is only clipped.
        border_scales: multiples of the scale that are cut off.
        border_pixels: pixels that are cut off in addition.
        original_rounded: round the original to 8 bit too.
    """

    description: str
    space: Literal["y", "all"]
    rounded: bool
    border_scales: int = 0
    border_pixels: int = 0
    original_rounded: bool = False

    def border(self, scale: int) -> int:
        """Return the number of pixels that are cut off on every side."""
        return self.border_scales * scale + self.border_pixels

    def smallest(self, scale: int, metrics: Mapping[str, Metric] = DEFAULT) -> int:
        """Return the least side that the metrics can score, a multiple of ``scale``."""
        border = 2 * self.border(scale)
        least = max(m.smallest + (border if m.by_protocol else 0) for m in metrics.values())
        return -(-least // scale) * scale

    def measure(
        self,
        x_hat: np.ndarray,
        x: np.ndarray,
        scale: int,
        metrics: Mapping[str, Metric] = DEFAULT,
    ) -> dict[str, float]:
        """Return the metrics of images (H, W, C) in [0, 1]: by default PSNR in dB and SSIM.

        Those that are not ``by_protocol`` are given the whole images. Raises ValueError if their
        shapes differ.
        """
        compared = self._compared(x_hat, x, scale)
        whole = np.round(np.clip(x_hat.astype(np.float64), 0, 1) * 255), x.astype(np.float64) * 255
        return {
            name: metric.measure(*(compared if metric.by_protocol else whole))
            for name, metric in metrics.items()
        }

    def psnr(self, x_hat: np.ndarray, x: np.ndarray, scale: int) -> float:
        """Return the PSNR in dB as ``measure`` does; without SSIM it is many times faster."""
        return psnr(*self._compared(x_hat, x, scale))

    def _compared(
        self, x_hat: np.ndarray, x: np.ndarray, scale: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the restored and the original image as they are compared, in [0, 255]."""
        if x_hat.shape != x.shape:
            raise ValueError(f"restored image is {x_hat.shape} but the original is {x.shape}")
        restored = np.clip(x_hat.astype(np.float64), 0, 1) * 255
        original = x.astype(np.float64) * 255
        if self.rounded:
            restored = np.round(restored)
        if self.original_rounded:
            original = np.round(original)
        cut = self.border(scale)
        window = slice(cut, -cut or None)
        restored, original = restored[window, window], original[window, window]
        if self.space == "y":
            return luma(restored), luma(original)
        return restored, original


SR_Y = ScoringProtocol("Y of BT.601, border = scale cut, 8 bit", "y", True, border_scales=1)
SR_RGB_DIV2K = ScoringProtocol(
    "RGB, border = scale + 6 cut, 8 bit", "all", True, border_scales=1, border_pixels=6
)
GRAY = ScoringProtocol("gray, whole image, clipped but not rounded", "all", False)
RGB_FLOAT = ScoringProtocol("RGB, whole image, clipped but not rounded", "all", False)
RGB = ScoringProtocol("RGB, whole image, 8 bit", "all", True)
SID_RGB = ScoringProtocol("RGB, whole image, both in 8 bit", "all", True, original_rounded=True)
N2N_RGB = ScoringProtocol("RGB, whole image, 8 bit, as Noise2Noise's authors score", "all", True)


def protocol_named(name: str) -> ScoringProtocol:
    """Return the protocol with a registered name, or that of ``package.module:NAME``.

    Raises InputError for an unknown name.
    """
    protocol = registry.find("protocol", name)
    if not isinstance(protocol, ScoringProtocol):
        raise InputError(f"protocol {name}: got {protocol!r:.60}, expected a ScoringProtocol")
    return protocol
