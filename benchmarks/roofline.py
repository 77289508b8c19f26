"""What every shipped recipe asks of an Ascend 910, on paper: computed, not measured.

    python benchmarks/roofline.py [--output FILE.json] [--markdown]

Operations and bytes are counted from the network's graph (that of the ONNX export, sizes inferred
by the package onnx) at the recipe's patch: additions and multiplications of convolutions and matrix
products, and what every node reads and writes in float16. A training step counts three times the
forward pass, and for each weight 38 bytes: its cast to float16 (6), its gradient written and read
(8), weight and two moments read and written in float32 (24). The roofline is the larger of two
times: operations over 256 TFLOP/s, bytes over 1.2 TB/s.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import publish

from ms_restore import recipe as recipes
from ms_restore import registry, runtime
from ms_restore.deploy.translation.onnx_graph import model_of
from ms_restore.report.terminal import say
from ms_restore.settings import Recipe

PEAK = 256e12  # float16 operations a second of an Ascend 910, its data sheet
_BANDWIDTH = 1.2e12  # bytes a second
_HALF = 2  # bytes
_BYTES_OF_A_WEIGHT = 38


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("roofline.json"))
    parser.add_argument("--markdown", action="store_true", help="print the table of the docs")
    options = parser.parse_args()
    runtime.start("CPU")
    loaded = {name: recipes.load(name) for name in recipes.files()}
    figures = {name: of_step(recipe) for name, recipe in loaded.items() if recipe.solver is None}
    publish(figures, options.output)
    if options.markdown:
        header = list(next(iter(figures.values())))
        say(f"| model | {' | '.join(header)} |\n|{'---|' * (len(header) + 1)}")
        for name, row in figures.items():
            say(f"| `{name}` | {' | '.join(str(value) for value in row.values())} |")


def of_step(recipe: Recipe) -> dict[str, Any]:
    """Of one device."""
    network = registry.build("network", recipe.network)
    side = recipe.data.patch_size // network.scale
    operations, moved = of_forward(network, side)
    images = recipe.train.batch_size * recipe.train.accumulate
    weights = sum(parameter.size for parameter in network.trainable_params())
    step = 3 * operations * images
    traffic = 3 * moved * images + _BYTES_OF_A_WEIGHT * weights
    computing, moving = step / PEAK, traffic / _BANDWIDTH
    bound = max(computing, moving)
    return {
        "images": images,
        "GFLOP": round(step / 1e9, 1),
        "MB": round(traffic / 1e6),
        "FLOP/byte": round(step / traffic),
        "computing (ms)": round(1e3 * computing, 2),
        "moving (ms)": round(1e3 * moving, 2),
        "bound by": "computing" if computing > moving else "memory",
        "images/s at most": round(images / bound),
    }


def of_forward(network: Any, side: int) -> tuple[int, int]:
    """Operations, and bytes in float16 read and written, for one image of side x side."""
    import onnx

    model = model_of(network, (side, side))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {weight.name: list(weight.dims) for weight in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    sizes = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    operations = moved = 0
    for node in graph.node:
        if node.op_type == "Identity":
            continue
        moved += _HALF * sum(sizes[name] for name in (*node.input, *node.output) if name)
        result = sizes[node.output[0]]
        if node.op_type == "Conv":
            operations += 2 * result * int(np.prod(shapes[node.input[1]][1:]))
        elif node.op_type == "ConvTranspose":
            operations += 2 * sizes[node.input[0]] * int(np.prod(shapes[node.input[1]][1:]))
        elif node.op_type == "MatMul":
            operations += 2 * result * shapes[node.input[0]][-1]
    return operations, moved


if __name__ == "__main__":
    main()
