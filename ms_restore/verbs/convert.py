"""convert: weights of other frameworks as checkpoints, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Optional

from ms_restore import runtime
from ms_restore.errors import InputError
from ms_restore.files import sha256
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike, Settings
from ms_restore.verbs.network_loading import network_of
from ms_restore.weights import checkpoint as checkpoints
from ms_restore.weights import conversion as converting


def convert(
    source: PathLike,
    output: PathLike,
    *,
    model: Optional[str] = None,
    to: Literal["mindspore", "torch"] = "mindspore",
    settings: Optional[Settings] = None,
) -> Path:
    """Turn published weights into a checkpoint, or a checkpoint into PyTorch's names.

    Args:
        source: .pth, .pt, .safetensors, .npz or MatConvNet .mat of a known layout, which is
            recognised by its names and shapes; with ``to="torch"`` a checkpoint or a run folder.
        output: .ckpt; with ``to="torch"`` .safetensors.
        model: which model the weights are; needed where several have the same network.
        to: "mindspore", or "torch" for the way back.
        settings: recipe keys such as ``{"degradation.sigma_255": 15}``, which chooses the network
            of a file with one for each noise level.

    Raises InputError unless every parameter matches by name and shape. Returns the file written.
    """
    source, output = Path(source), Path(output)
    suffix = ".ckpt" if to == "mindspore" else ".safetensors"
    if output.suffix != suffix:
        raise InputError(f"{output}: expected a file name that ends in {suffix}")
    runtime.start("CPU")
    if to == "torch":
        network, recipe = network_of(source, model, settings, deployed=False)
        layout = converting.to_torch(network, recipe, output)
        say(f"{recipe.model} -> {output} ({layout})")
        return output
    network, recipe, layout = converting.from_file(source, model, settings)
    facts = {"source": source.name, "sha256": sha256(source), "layout": layout}
    checkpoints.save(output, network, recipe, facts)
    count = sum(parameter.size for parameter in network.trainable_params())
    arguments = ", ".join(f"{k} {v}" for k, v in recipe.network.items() if k != "name")
    say(f"{source}: {layout}, {count:,} parameters ({arguments})")
    say(f"{recipe.model} -> {output}")
    return output
