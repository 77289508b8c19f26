r"""Contracts: what each kind of part must have, ours and those that others bring.

Images are float32 in [0, 1] wherever nothing else is said. Arrays of whole images are (H, W, C),
batches are (N, C, H, W). A caller's own class that keeps to its contract serves everywhere as ours
do: in recipes, in training, in evaluation, in tiles and in exported files.

| part | what to write |
| --- | --- |
| network | a ``mindspore.nn.Cell``; ``Network`` says which attributes it may add |
| degradation | a class derived from ``Degradation`` |
| loss | a ``mindspore.nn.Cell`` from (x_hat, x) to a scalar; see ``Loss`` |
| optimizer | a function (parameters, rates, \*, ...) that gives a ``mindspore.nn.Optimizer`` |
| schedule | a function (step, steps, \*, ...) that gives the factor on the learning rate |
| solver | a class whose constructor takes the prior; see ``Solver`` |
| metric | a ``Metric``: a function from (x_hat, x), and how its values are called |
"""

from ms_restore.contracts.degradation import Degradation, SpectralDegradation
from ms_restore.contracts.metric import Figure, Metric
from ms_restore.contracts.network import (
    BandEngine,
    Coupled,
    Engine,
    EngineMemory,
    Foldable,
    FollowsSteps,
    Geometry,
    Loss,
    Network,
    Padding,
    PartlyFloat16,
    ReadPart,
    Size,
    Steps,
    WritePart,
)
from ms_restore.contracts.solver import LinearOperator, Prior, Progress, Solution, Solver
from ms_restore.contracts.source import (
    ImageEntry,
    ImageSource,
    PatchLocation,
    PatchRequest,
    StoredPatch,
    TrainingSource,
)

__all__ = [
    "BandEngine",
    "Coupled",
    "Degradation",
    "Engine",
    "EngineMemory",
    "Figure",
    "Foldable",
    "FollowsSteps",
    "Geometry",
    "ImageEntry",
    "ImageSource",
    "LinearOperator",
    "Loss",
    "Metric",
    "Network",
    "Padding",
    "PartlyFloat16",
    "PatchLocation",
    "PatchRequest",
    "Prior",
    "Progress",
    "ReadPart",
    "Size",
    "Solution",
    "Solver",
    "SpectralDegradation",
    "Steps",
    "StoredPatch",
    "TrainingSource",
    "WritePart",
]
