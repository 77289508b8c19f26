"""What a training step asks of 1, 8 and 64 devices, on paper: computed, not measured.

    python benchmarks/scaling.py [--output FILE.json]

For one recipe of each network: multiply-adds of its convolutions at the recipe's patch (counted
as roofline.py does; a training step is taken as three forward passes), bytes that each device
sends to average the gradients (ring all-reduce, float32), and bytes of patches that the host
delivers. Times are lower bounds from the data sheet's peak and an assumed bandwidth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from common import publish
from roofline import PEAK, of_forward

from ms_restore import recipe, registry, runtime
from ms_restore.contracts import Geometry

_MODELS = (
    "edsr",
    "edsr_baseline_x2",
    "dncnn_s25",
    "noise2noise_gaussian",
    "noise2noise_mri",
    "sid_sony",
    "dmsp_dae",
)
_LINK = 20e9  # bytes a second between devices, assumed
_DEVICES = (1, 8, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("scaling.json"))
    options = parser.parse_args()
    runtime.start("CPU")
    figures = {}
    for model in _MODELS:
        for key, value in on_paper(model).items():
            figures[f"{model}: {key}"] = value
    publish(figures, options.output)


def on_paper(model: str) -> dict[str, Any]:
    loaded = recipe.load(model)
    network = registry.build("network", loaded.network)
    side = loaded.data.patch_size // network.scale
    forward, _ = of_forward(network, side)
    batch = loaded.train.batch_size * loaded.train.accumulate
    step = 3 * forward * batch
    weights = 4 * sum(parameter.size for parameter in network.trainable_params())
    channels = Geometry.of(network).output_channels
    delivered = 4 * batch * (network.channels * side**2 + channels * loaded.data.patch_size**2)
    compute = step / PEAK
    result: dict[str, Any] = {
        "operations of a step (10^9)": round(step / 1e9, 1),
        "gradients (MB)": round(weights / 1e6, 2),
        "patches of a step (MB)": round(delivered / 1e6, 2),
        "least seconds of computing a step (ms)": round(1e3 * compute, 3),
    }
    for count in _DEVICES[1:]:
        sent = 2 * (count - 1) / count * weights / _LINK
        share = compute / (compute + sent)
        result[f"{count} devices, all-reduce not overlapped (ms)"] = round(1e3 * sent, 3)
        result[f"{count} devices, efficiency at peak, not overlapped"] = round(share, 2)
    return result


if __name__ == "__main__":
    main()
