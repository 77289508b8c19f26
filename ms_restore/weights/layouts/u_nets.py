"""Layouts of networks with several scales: DRUNet."""

from __future__ import annotations

from typing import Any, Optional

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import Layout, ParameterMapping, layer_numbers

_FINER = 3  # scales of DRUNet beside the coarsest


def _drunet_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    blocks = layer_numbers(r"m_body\.(\d+)\.res\.0\.weight", arrays, dimensions=4)
    first, last = arrays.get("m_head.weight"), arrays.get("m_tail.weight")
    if not blocks or first is None or last is None or first.shape[1] != last.shape[0] + 1:
        return None
    return {"channels": last.shape[0], "width": first.shape[0], "blocks": len(blocks)}


def _drunet_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion from names that count a scale's blocks and its change of size."""
    blocks = settings["blocks"]
    names = [("first", "m_head"), ("last", "m_tail")]
    places = [("body", "m_body", 0)]
    for level in range(_FINER):
        down, up = f"m_down{level + 1}", f"m_up{_FINER - level}"
        names += [(f"down.{level}", f"{down}.{blocks}"), (f"up.{level}", f"{up}.0")]
        places += [(f"encoder.{level}", down, 0), (f"decoder.{level}", up, 1)]
    names += [
        (f"{ours}.{number}.conv{k + 1}", f"{theirs}.{number + before}.res.{2 * k}")
        for ours, theirs, before in places
        for number in range(blocks)
        for k in range(2)
    ]
    return [ParameterMapping(f"{ours}.weight", f"{theirs}.weight") for ours, theirs in names]


LAYOUTS = (
    Layout(
        "DRUNet of KAIR",
        "drunet",
        _drunet_settings,
        _drunet_entries,
        decided_by_file=("width", "blocks"),
    ),
)
