"""The text of an ncnn graph (.param) as a list of layers, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

_MAGIC = "7767517"


class Layer(NamedTuple):
    """A line of the text.

    Attributes:
        kind: of the layer, such as "Convolution".
        name: of the layer.
        inputs: names of the blobs that it takes.
        outputs: names of the blobs that it gives.
        settings: by their numbers, as text.
    """

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    settings: dict[str, str]

    def number(self, key: str, otherwise: int) -> int:
        """Return a setting that is a whole number, or the given one where it is left out."""
        return int(self.settings.get(key, otherwise))


def read_layers(text: str) -> list[Layer]:
    """Return the layers of a graph; lines of comments are passed over."""
    layers = []
    for line in text.splitlines()[2:]:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        given = 4 + int(words[2])
        end = given + int(words[3])
        settings = dict(word.split("=", 1) for word in words[end:])
        layers.append(Layer(words[0], words[1], words[4:given], words[given:end], settings))
    return layers


def write_layers(layers: Iterable[Layer]) -> str:
    """Return the text of a graph."""
    lines, blobs = [], 0
    for layer in layers:
        counts = (str(len(layer.inputs)), str(len(layer.outputs)))
        settings = (f"{key}={value}" for key, value in layer.settings.items())
        words = (layer.kind, layer.name, *counts, *layer.inputs, *layer.outputs, *settings)
        lines.append(" ".join(words))
        blobs += len(layer.outputs)
    return "\n".join([_MAGIC, f"{len(lines)} {blobs}", *lines, ""])
