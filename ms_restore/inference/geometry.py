"""What a caller must know of a network, see ms_restore.networks."""

from __future__ import annotations

import dataclasses
from typing import Any, Optional


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The attributes of a network, without the network; an exported file carries them."""

    scale: int
    channels: int
    receptive_radius: int
    floats_per_pixel: int
    size_multiple: int
    output_channels: int
    side: Optional[int]

    @classmethod
    def of(cls, network: Any) -> Geometry:
        return cls(
            scale=network.scale,
            channels=network.channels,
            receptive_radius=network.receptive_radius,
            floats_per_pixel=network.floats_per_pixel,
            size_multiple=network.size_multiple,
            output_channels=getattr(network, "output_channels", network.channels),
            side=getattr(network, "side", None),
        )

    def sizes(self) -> list[tuple[int, int]]:
        """Three (height, width) that the network takes, odd ones where it takes them."""
        if self.side:
            return [(self.side, self.side)]
        m = self.size_multiple
        return [(h * m, w * m) for h, w in (((1, 1), (2, 1), (1, 3)) if m > 8 else _SMALL)]


_SMALL = ((16, 16), (37, 23), (64, 48))
