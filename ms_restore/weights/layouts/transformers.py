"""Layouts of transformers on windows: SwinIR, as its authors' files name it.

What such a file holds beside weights follows from the settings: where two pixels of a window lie
to each other, and the mask of shifted windows for the pictures that it was trained on.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import Layout, ParameterMapping, layer_numbers

_DERIVED = ("attn_mask", "relative_position_index")
_BLOCK = r"layers\.{}\.residual_group\.blocks\.(\d+)\.attn\.qkv\.weight"
_IN_BLOCK = {  # ours, theirs
    "attention.qkv": "attn.qkv",
    "attention.proj": "attn.proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}
_FAR = -100.0  # in the mask, where pixels must not see each other


def _settings(arrays: Arrays) -> Optional[dict[str, Any]]:
    first, last = arrays.get("conv_first.weight"), arrays.get("conv_last.weight")
    table = arrays.get("layers.0.residual_group.blocks.0.attn.relative_position_bias_table")
    if first is None or table is None:
        return None
    groups: tuple[int, ...] = ()
    while count := len(layer_numbers(_BLOCK.format(len(groups)), arrays, dimensions=2)):
        groups = (*groups, count)
    upsampler, scale = "none", 1
    stages = layer_numbers(r"upsample\.(\d+)\.weight", arrays, dimensions=4)
    if "conv_up1.weight" in arrays:
        upsampler, scale = "nearest+conv", 4 if "conv_up2.weight" in arrays else 2
    elif stages:
        wide = arrays["upsample.0.weight"].shape[0]
        upsampler = "pixelshuffledirect" if last is None else "pixelshuffle"
        narrow = first.shape[1] if last is None else last.shape[1]
        scale = round((wide / narrow) ** 0.5) ** len(stages)
    return {
        "scale": scale,
        "channels": first.shape[1],
        "width": first.shape[0],
        "groups": groups,
        "heads": table.shape[1],
        "window": round((table.shape[0] ** 0.5 + 1) / 2),
        "upsampler": upsampler,
        "three_convs": "layers.0.conv.0.weight" in arrays,
    }


def _entries(settings: dict[str, Any]) -> list[ParameterMapping]:
    ends = ("conv.0", "conv.2", "conv.4") if settings["three_convs"] else ("conv",)
    plain = [("conv_first", "conv_first")]
    plain += [(f"conv_after_body{e[4:]}", f"conv_after_body{e[4:]}") for e in ends]
    norms = [("norm_first", "patch_embed.norm"), ("norm_last", "norm")]
    tables = []
    for group, count in enumerate(settings["groups"]):
        plain += [(f"groups.{group}.{end}", f"layers.{group}.{end}") for end in ends]
        for block in range(count):
            ours = f"groups.{group}.blocks.{block}"
            theirs = f"layers.{group}.residual_group.blocks.{block}"
            norms += [(f"{ours}.norm{k}", f"{theirs}.norm{k}") for k in (1, 2)]
            plain += [(f"{ours}.{a}", f"{theirs}.{b}") for a, b in _IN_BLOCK.items()]
            tables.append(
                ParameterMapping(
                    f"{ours}.attention.position.table",
                    f"{theirs}.attn.relative_position_bias_table",
                )
            )
    plain += [(f"reconstruction.{name}", name) for name in _reconstruction(settings)]
    return [
        *(
            ParameterMapping(f"{ours}.{kind}", f"{theirs}.{kind}")
            for ours, theirs in plain
            for kind in ("weight", "bias")
        ),
        *(
            ParameterMapping(f"{ours}.{mine}", f"{theirs}.{kind}")
            for ours, theirs in norms
            for mine, kind in (("gamma", "weight"), ("beta", "bias"))
        ),
        *tables,
    ]


def _reconstruction(settings: dict[str, Any]) -> list[str]:
    """Return the names of the convolutions after the transformer."""
    scale, upsampler = settings["scale"], settings["upsampler"]
    stages = 1 if scale == 3 else max(1, scale.bit_length() - 1)
    if upsampler == "none":
        return ["conv_last"]
    if upsampler == "pixelshuffledirect":
        return ["upsample.0"]
    names = ["conv_before_upsample.0", "conv_last"]
    if upsampler == "pixelshuffle":
        return names + [f"upsample.{2 * stage}" for stage in range(stages)]
    return [*names, "conv_hr", "conv_up1", *(["conv_up2"] if scale == 4 else [])]


def _derived(settings: dict[str, Any], side: int) -> Arrays:
    """Return the buffers of PyTorch's network for pictures of this side, as it registers them."""
    window = settings["window"]
    index, mask = _positions(window), _mask(side, window)
    made: Arrays = {}
    for group, count in enumerate(settings["groups"]):
        for block in range(count):
            place = f"layers.{group}.residual_group.blocks.{block}"
            made[f"{place}.attn.relative_position_index"] = index
            if block % 2:
                made[f"{place}.attn_mask"] = mask
    return made


def _positions(window: int) -> np.ndarray:
    """Return the row of the table of biases for each two pixels of a window, int64."""
    row, column = (place.ravel() for place in np.indices((window, window)))
    down, across = (place[:, None] - place[None] + window - 1 for place in (row, column))
    return (down * (2 * window - 1) + across).astype(np.int64)


def _mask(side: int, window: int) -> np.ndarray:
    """Return the mask of shifted windows of a square picture, (windows, pixels, pixels)."""
    side -= side % window
    places = np.arange(side)
    line = (places >= side - window).astype(int) + (places >= side - window // 2)
    regions = 3 * line[:, None] + line[None]
    cut = regions.reshape(side // window, window, side // window, window)
    windows = cut.transpose(0, 2, 1, 3).reshape(-1, window * window)
    return np.where(windows[:, :, None] == windows[:, None], 0, _FAR).astype(np.float32)


LAYOUTS = (
    Layout(
        "SwinIR",
        "swinir",
        _settings,
        _entries,
        decided_if_new=("width", "groups", "heads"),
        derived=_DERIVED,
        derive=_derived,
    ),
)
