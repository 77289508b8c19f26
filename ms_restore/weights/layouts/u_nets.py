"""Layouts of networks with several scales: DRUNet and NAFNet."""

from __future__ import annotations

from typing import Any, Optional

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import Layout, ParameterMapping, layer_numbers

_FINER = 3  # scales of DRUNet beside the coarsest


def _drunet_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    counts = tuple(
        len(layer_numbers(rf"{place}\.(\d+)\.res\.0\.weight", arrays, dimensions=4))
        for place in ("m_down1", "m_down2", "m_down3", "m_body")
    )
    first, last = arrays.get("m_head.weight"), arrays.get("m_tail.weight")
    if not all(counts) or first is None or last is None or first.shape[1] != last.shape[0] + 1:
        return None
    blocks = counts if len(set(counts)) > 1 else counts[0]
    return {"channels": last.shape[0], "width": first.shape[0], "blocks": blocks}


def _drunet_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion from names that count a scale's blocks and its change of size."""
    blocks = settings["blocks"]
    counts = (blocks,) * (_FINER + 1) if isinstance(blocks, int) else blocks
    names = [("first", "m_head"), ("last", "m_tail")]
    places = [("body", "m_body", 0, counts[-1])]
    for level in range(_FINER):
        down, up = f"m_down{level + 1}", f"m_up{_FINER - level}"
        names += [(f"down.{level}", f"{down}.{counts[level]}"), (f"up.{level}", f"{up}.0")]
        places += [
            (f"encoder.{level}", down, 0, counts[level]),
            (f"decoder.{level}", up, 1, counts[_FINER - 1 - level]),
        ]
    names += [
        (f"{ours}.{number}.conv{k + 1}", f"{theirs}.{number + before}.res.{2 * k}")
        for ours, theirs, before, count in places
        for number in range(count)
        for k in range(2)
    ]
    return [ParameterMapping(f"{ours}.weight", f"{theirs}.weight") for ours, theirs in names]


def _nafnet_settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    scales = len(layer_numbers(r"downs\.(\d+)\.weight", arrays, dimensions=4))
    intro = arrays.get("intro.weight")
    if not scales or intro is None or "ending.weight" not in arrays:
        return None

    def count(prefix: str) -> int:
        return len(layer_numbers(rf"{prefix}\.(\d+)\.conv3\.weight", arrays, dimensions=4))

    return {
        "width": intro.shape[0],
        "encoder": tuple(count(rf"encoders\.{scale}") for scale in range(scales)),
        "middle": count("middle_blks"),
        "decoder": tuple(count(rf"decoders\.{scale}") for scale in range(scales)),
    }


def _nafnet_entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    """Return the conversion, in which the names are ours but for that of the attention."""
    layers = [f"norm{k}" for k in (1, 2)] + [f"conv{k}" for k in range(1, 6)]
    made = [("intro", "intro"), ("ending", "ending")]
    places = [f"middle_blks.{number}" for number in range(settings["middle"])]
    for side in ("encoder", "decoder"):
        for scale, count in enumerate(settings[side]):
            places += [f"{side}s.{scale}.{number}" for number in range(count)]
    made += [(f"downs.{scale}",) * 2 for scale in range(len(settings["encoder"]))]
    for place in places:
        made += [(f"{place}.{layer}",) * 2 for layer in layers]
        made.append((f"{place}.sca", f"{place}.sca.1"))
    entries = [
        ParameterMapping(f"{ours}.{kind}", f"{theirs}.{kind}")
        for ours, theirs in made
        for kind in ("weight", "bias")
    ]
    alike = [f"{place}.{factor}" for place in places for factor in ("beta", "gamma")]
    alike += [f"ups.{scale}.0.weight" for scale in range(len(settings["decoder"]))]
    return entries + [ParameterMapping(name, name) for name in alike]


LAYOUTS = (
    Layout(
        "NAFNet",
        "nafnet",
        _nafnet_settings,
        _nafnet_entries,
        decided_if_new=("width", "encoder", "middle", "decoder"),
    ),
    Layout(
        "DRUNet of KAIR",
        "drunet",
        _drunet_settings,
        _drunet_entries,
        decided_by_file=("width", "blocks"),
    ),
)
