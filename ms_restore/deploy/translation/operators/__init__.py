"""How MindSpore's operators are written as ONNX; see ``table``."""

from ms_restore.deploy.translation.operators import (
    convolutions,
    elementwise,
    matrices,
    normalisation,
    numbers,
    pooling,
    resizing,
    shapes,
)
from ms_restore.deploy.translation.operators.table import TABLE, Operator, Unsupported, broadcast

__all__ = [
    "TABLE",
    "Operator",
    "Unsupported",
    "broadcast",
    "convolutions",
    "elementwise",
    "matrices",
    "normalisation",
    "numbers",
    "pooling",
    "resizing",
    "shapes",
]
