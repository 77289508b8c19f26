"""The named parts that a recipe puts together: networks, degradations, losses, ...

A recipe writes a part as ``{name: NAME, argument: value, ...}`` or, without arguments, as ``NAME``.
The arguments are the keyword-only parameters of the class or function that the name stands for, so
their types and defaults are written once, there. Nothing is imported until a part is asked for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Iterable
from typing import Any, Callable

import pydantic

from ms_restore.errors import listed, nearest

REGISTRY: dict[str, dict[str, str]] = {
    "network": {
        "edsr": "ms_restore.networks.edsr:EDSR",
        "dncnn": "ms_restore.networks.dncnn:DnCNN",
        "noise2noise": "ms_restore.networks.noise2noise:Noise2Noise",
        "noise2noise_mri": "ms_restore.networks.noise2noise_mri:Noise2NoiseMRI",
        "sid": "ms_restore.networks.sid:SID",
    },
    "degradation": {
        "bicubic": "ms_restore.degradations.bicubic:BicubicDownsample",
        "bicubic_upsampled": "ms_restore.degradations.bicubic:BicubicUpsampled",
        "gaussian": "ms_restore.degradations.noise:Gaussian",
        "poisson": "ms_restore.degradations.noise:Poisson",
        "bernoulli": "ms_restore.degradations.corruptions:Bernoulli",
        "impulse": "ms_restore.degradations.corruptions:Impulse",
        "text": "ms_restore.degradations.corruptions:Text",
        "undersampled": "ms_restore.degradations.kspace:Undersampled",
        "jpeg": "ms_restore.degradations.jpeg:JPEG",
        "mixture": "ms_restore.degradations.mixture:Mixture",
        "blur": "ms_restore.degradations.linear:Blurred",
        "blur_downsample": "ms_restore.degradations.linear:Downsampled",
        "bayer": "ms_restore.degradations.linear:Mosaic",
        "low_light": "ms_restore.degradations.low_light:LowLight",
    },
    "solver": {
        "dmsp": "ms_restore.solvers.dmsp:DMSP",
    },
    "loss": {
        "l1": "ms_restore.training.losses:L1",
        "mse": "ms_restore.training.losses:MSE",
        "masked_mse": "ms_restore.training.losses:MaskedMSE",
        "annealed_l0": "ms_restore.training.losses:AnnealedL0",
        "sum_squared": "ms_restore.training.losses:SumSquared",
    },
    "optimizer": {
        "adam": "ms_restore.training.optimizers:adam",
        "sgd": "ms_restore.training.optimizers:sgd",
    },
    "schedule": {
        "constant": "ms_restore.training.schedules:constant",
        "step": "ms_restore.training.schedules:step",
        "multi_step": "ms_restore.training.schedules:multi_step",
        "exponential": "ms_restore.training.schedules:exponential",
        "cosine": "ms_restore.training.schedules:cosine",
        "ramp_down": "ms_restore.training.schedules:ramp_down",
        "epoch_ramps": "ms_restore.training.schedules:epoch_ramps",
    },
}


def find(kind: str, name: str) -> Any:
    """The class or function that ``name`` stands for."""
    module, _, attribute = REGISTRY[kind][name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def bound(kind: str, part: dict[str, Any]) -> Callable[..., Any]:
    """The part's class or function with its recipe's own arguments."""
    arguments = {key: value for key, value in part.items() if key != "name"}
    return functools.partial(find(kind, part["name"]), **arguments)


def build(kind: str, part: dict[str, Any], *positional: Any) -> Any:
    """Call the part's class or function with the positional arguments and its recipe's own."""
    return bound(kind, part)(*positional)


def check(kind: str, part: Any, where: str) -> tuple[dict[str, Any], list[str]]:
    """Return the part with its defaults filled in, or as it is and what is wrong, one line each."""
    if isinstance(part, str):
        part = {"name": part}
    known = REGISTRY[kind]
    if not isinstance(part, dict) or "name" not in part:
        return {}, [f"{where}: got {part!r}, expected a name or {{name: ..., ...}}"]
    name = part["name"]
    if name not in known:
        hint = nearest(str(name), known) or f"; known: {listed(known, 12)}"
        return part, [f"{where}.name: unknown {kind} {name!r}{hint}"]
    arguments = {key: value for key, value in part.items() if key != "name"}
    model = _argument_model(find(kind, name))
    try:
        return {"name": name, **model(**arguments).model_dump()}, []
    except pydantic.ValidationError as error:
        return part, describe(error, where, lambda _: model.model_fields)


def _argument_model(target: Any) -> type[pydantic.BaseModel]:
    function = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    config = pydantic.ConfigDict(extra="forbid", protected_namespaces=())
    return pydantic.create_model(target.__name__, __config__=config, **fields)


def describe(
    error: pydantic.ValidationError,
    where: str,
    known_in: Callable[[tuple[Any, ...]], Iterable[str]],
) -> list[str]:
    """One line for each of pydantic's findings; ``known_in`` gives the keys of a section."""
    lines = []
    for finding in error.errors():
        path = ".".join(str(step) for step in (*filter(None, [where]), *finding["loc"]))
        if finding["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            key = str(finding["loc"][-1])
            known = known_in(finding["loc"][:-1])
            hint = nearest(key, known) or f"; known: {listed(known, 12)}"
            lines.append(f"{path}: unknown key{hint}")
        elif finding["type"].startswith("missing"):
            lines.append(f"{path}: missing")
        else:
            message = finding["msg"].replace("Input should be", "expected")
            lines.append(f"{path}: got {finding['input']!r}, {message}")
    return lines
