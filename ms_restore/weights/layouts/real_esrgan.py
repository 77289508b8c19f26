"""Layouts of RRDBNet (ESRGAN, Real-ESRGAN) and SRVGG, which compute in [0, 1] as we do."""

from __future__ import annotations

import re
from typing import Any, Callable, Optional

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import Layout, ParameterMapping, layer_numbers

_OUTSIDE = ("conv_first", "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
_OLD = ("model.0", "model.1.sub.{}", "model.3", "model.6", "model.8", "model.10")
_OLD_BODY = r"model\.1\.sub\.(\d+)\."
_BODY = r"body\.(\d+)\.rdb"
_DENSE = [(block, layer) for block in (1, 2, 3) for layer in (1, 2, 3, 4, 5)]


def _rrdbnet_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    numbers = _numbers(_BODY, arrays)
    if not numbers or "conv_up1.weight" not in arrays:
        return None
    return _sizes(arrays, "conv_first", "conv_last", "body.{}.rdb{}.conv{}", numbers[-1] + 1)


def _old_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    """The convolution after the blocks has the next number, which tells how many there are."""
    after = layer_numbers(r"model\.1\.sub\.(\d+)\.weight", arrays, dimensions=4)
    if not _numbers(_OLD_BODY + "RDB", arrays) or len(after) != 1:
        return None
    return _sizes(arrays, "model.0", "model.10", "model.1.sub.{}.RDB{}.conv{}.0", after[0])


def _numbers(pattern: str, arrays: Arrays) -> list[int]:
    found = (re.match(pattern, name) for name in arrays)
    return sorted({int(match.group(1)) for match in found if match})


def _sizes(
    arrays: Arrays, first: str, last: str, dense: str, blocks: int
) -> Optional[dict[str, Any]]:
    """Return the settings; the first convolution takes 16, 4 or 1 numbers of each channel."""
    head, channels = arrays[f"{first}.weight"], arrays[f"{last}.weight"].shape[0]
    scale = {channels: 4, 4 * channels: 2, 16 * channels: 1}.get(head.shape[1])
    grown = (arrays.get(dense.format(n, 1, 1) + ".weight") for n in range(blocks))
    growth = next((array.shape[0] for array in grown if array is not None), None)
    if scale is None or growth is None or channels not in (1, 3):
        return None
    return {
        "scale": scale,
        "channels": channels,
        "blocks": blocks,
        "filters": head.shape[0],
        "growth": growth,
    }


def _rrdbnet_entries(
    outside: tuple[str, ...], dense: str
) -> Callable[[dict[str, Any]], list[ParameterMapping]]:
    """Return the conversion; ``dense`` names a convolution by block, dense block and layer."""

    def entries(settings: dict[str, Any]) -> list[ParameterMapping]:
        blocks = settings["blocks"]
        names = [(ours, theirs.format(blocks)) for ours, theirs in zip(_OUTSIDE, outside)]
        for number in range(blocks):
            for block, layer in _DENSE:
                ours = f"body.{number}.rdb{block}.conv{layer}"
                names.append((ours, dense.format(number, block, layer)))
        return [
            ParameterMapping(f"{ours}.{kind}", f"{theirs}.{kind}")
            for ours, theirs in names
            for kind in ("weight", "bias")
        ]

    return entries


def _srvgg_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    numbers = layer_numbers(r"body\.(\d+)\.weight", arrays, dimensions=4)
    if len(numbers) < 2:
        return None
    first, last = (arrays[f"body.{number}.weight"] for number in (numbers[0], numbers[-1]))
    scale = round((last.shape[0] / first.shape[1]) ** 0.5)
    if first.shape[1] not in (1, 3) or scale**2 * first.shape[1] != last.shape[0]:
        return None
    return {
        "scale": scale,
        "channels": first.shape[1],
        "convolutions": numbers[-1] // 2 - 1,
        "filters": first.shape[0],
    }


def _srvgg_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion of convolutions and PReLUs, which ``body.N`` counts together."""
    names = []
    for number in range(settings["convolutions"] + 2):
        names += [f"body.{2 * number}.weight", f"body.{2 * number}.bias"]
        names.append(f"body.{2 * number + 1}.weight")
    return [ParameterMapping(name, name) for name in names[:-1]]


LAYOUTS = (
    Layout(
        "RRDBNet of BasicSR",
        "rrdbnet",
        _rrdbnet_settings,
        _rrdbnet_entries(_OUTSIDE, "body.{}.rdb{}.conv{}"),
        decided_by_file=("blocks", "filters", "growth"),
    ),
    Layout(
        "RRDBNet of ESRGAN's first names",
        "rrdbnet",
        _old_settings,
        _rrdbnet_entries(_OLD, "model.1.sub.{}.RDB{}.conv{}.0"),
        decided_by_file=("blocks", "filters", "growth"),
    ),
    Layout(
        "SRVGG of Real-ESRGAN",
        "srvgg",
        _srvgg_settings,
        _srvgg_entries,
        decided_by_file=("convolutions", "filters"),
    ),
)
