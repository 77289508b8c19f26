"""Writes models/facts.yaml, which ``ms-restore models`` reads: parameters and operations of each.

    python scripts/list_facts.py [--model NAME ...]

Operations are the multiplications and additions of convolutions and dense layers for an input of
256x256, counted on a smaller one and scaled by its area.
"""

from __future__ import annotations

import argparse
from typing import Any

import mindspore as ms
import numpy as np
import yaml
from mindspore import nn

from ms_restore import recipe as recipes
from ms_restore import registry
from ms_restore.contracts import Geometry
from ms_restore.files import write_text

SIDE = 256
_COUNTED = (nn.Conv2d, nn.Conv2dTranspose, nn.Dense)
_TRIED = 64  # pixels along a side of the image that is computed


def facts(model: str) -> dict[str, Any]:
    """Return the number of parameters and the GFLOPs of a model."""
    network = registry.build("network", recipes.load(model).network).set_train(False)
    geometry = Geometry.of(network)
    parameters = sum(parameter.size for parameter in network.trainable_params())
    multiple = geometry.size_multiple
    side = geometry.side or -(-_TRIED // multiple) * multiple
    total = 0

    def count(cell: nn.Cell, inputs: Any, output: Any) -> None:
        nonlocal total
        weight = cell.weight
        inner = weight.size // weight.shape[0]  # multiplications of each output value
        values = output.size
        if isinstance(cell, nn.Conv2dTranspose):
            values, inner = inputs[0].size, weight.size // weight.shape[0]
        total += 2 * values * inner

    for _, cell in network.cells_and_names():
        if isinstance(cell, _COUNTED):
            cell.register_forward_hook(count)
    network(ms.Tensor(np.zeros((1, geometry.input_channels, side, side), np.float32)))
    flops = total * (SIDE / side) ** 2
    return {"parameters": parameters, "gigaflops": float(f"{flops / 1e9:.3g}")}


def main() -> None:
    """Write the facts of the models that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", help="of these alone (default: of all)")
    options = parser.parse_args()
    ms.set_context(mode=ms.PYNATIVE_MODE)
    path = recipes.folder() / "facts.yaml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    known: dict[str, dict[str, Any]] = {}  # by network, of which several models are
    for model in options.model or recipes.files():
        recipe = recipes.load(model)
        if recipe.solver is None:
            key = str(sorted(recipe.network.items()))
            known[key] = known.get(key) or facts(model)
            listed[model] = {**listed.get(model, {}), **known[key]}
            print(model, listed[model], flush=True)
    head = f"# By scripts/list_facts.py: parameters, and GFLOPs for an input of {SIDE}x{SIDE}.\n"
    body = yaml.safe_dump(dict(sorted(listed.items())), default_flow_style=None, width=120)
    write_text(path, head + body)


if __name__ == "__main__":
    main()
