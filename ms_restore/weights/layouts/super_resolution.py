"""Layouts of EDSR, which the published implementations compute in [0, 255]."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from ms_restore.weights.foreign import Arrays
from ms_restore.weights.layouts.layout import Layout, ParameterMapping, Recogniser, layer_numbers

_DIV2K_MEAN = (0.4488, 0.4371, 0.4040)
_DECIDED = ("blocks", "filters")  # the scaling of residuals, which goes with them, is in no file


def _edsr_settings(head: str, block: str, upsample: str) -> Recogniser:
    def settings(arrays: Arrays) -> Optional[dict[str, Any]]:
        blocks = layer_numbers(block, arrays, dimensions=4)
        stages = layer_numbers(upsample, arrays, dimensions=4)
        if head not in arrays or not blocks or not stages:
            return None
        first = arrays[head]
        widened = arrays[upsample.replace(r"\.", ".").replace(r"(\d+)", "0")].shape[0]
        return {
            "scale": round((widened / first.shape[0]) ** 0.5) ** len(stages),
            "channels": first.shape[1],
            "blocks": len(blocks),
            "filters": first.shape[0],
            "normalisation": "div2k",
        }

    return settings


def _edsr_entries(
    head: str, block: tuple[str, str], body_end: str, upsample: str, tail: str
) -> Callable[[dict[str, Any]], list[ParameterMapping]]:
    """Return the conversion from [0, 255] to [0, 1], in which only the biases change."""

    def entries(settings: dict[str, Any]) -> list[ParameterMapping]:
        names = [("head", head), ("body_end", body_end.format(settings["blocks"])), ("tail", tail)]
        for number in range(settings["blocks"]):
            names += [(f"blocks.{number}.conv{k + 1}", block[k].format(number)) for k in range(2)]
        stages = 2 if settings["scale"] == 4 else 1
        names += [(f"upsample.{2 * k}", f"{upsample}.{2 * k}") for k in range(stages)]
        return [
            ParameterMapping(f"{ours}.{kind}", f"{theirs}.{kind}", factor)
            for ours, theirs in names
            for kind, factor in (("weight", 1.0), ("bias", 1 / 255))
        ]

    return entries


def _mean_shifts(settings: dict[str, Any]) -> Arrays:
    if settings["channels"] == 1:
        return {}
    shift = 255 * np.array(_DIV2K_MEAN, np.float32)
    identity = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    return {
        "sub_mean.weight": identity,
        "sub_mean.bias": -shift,
        "add_mean.weight": identity,
        "add_mean.bias": shift,
    }


LAYOUTS = (
    Layout(
        "EDSR of EDSR-PyTorch",
        "edsr",
        _edsr_settings("head.0.weight", r"body\.(\d+)\.body\.0\.weight", r"tail\.0\.(\d+)\.weight"),
        _edsr_entries(
            "head.0", ("body.{}.body.0", "body.{}.body.2"), "body.{}", "tail.0", "tail.1"
        ),
        _mean_shifts,
        decided_if_new=_DECIDED,
    ),
    Layout(
        "EDSR of BasicSR",
        "edsr",
        _edsr_settings(
            "conv_first.weight", r"body\.(\d+)\.conv1\.weight", r"upsample\.(\d+)\.weight"
        ),
        _edsr_entries(
            "conv_first",
            ("body.{}.conv1", "body.{}.conv2"),
            "conv_after_body",
            "upsample",
            "conv_last",
        ),
        decided_if_new=_DECIDED,
    ),
)
