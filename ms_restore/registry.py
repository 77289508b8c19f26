"""The named parts that a recipe puts together: networks, degradations, losses and so on.

A recipe writes a part as ``{name: NAME, setting: value, ...}`` or, without settings, as ``NAME``.
NAME is one of the registered names, or ``package.module:Class`` of anyone's own. The settings are
the keyword-only parameters of the class or function that NAME stands for, so their types and
defaults are written once, there. Nothing is imported until a part is asked for.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, Literal, Optional

import pydantic

from ms_restore.contracts import Degradation, Geometry
from ms_restore.errors import InputError, comma_list, did_you_mean
from ms_restore.settings import PartSettings

_LOG = logging.getLogger(__name__)
Kind = Literal[
    "network", "degradation", "loss", "optimizer", "schedule", "solver", "protocol", "metric"
]

REGISTRY: dict[Kind, dict[str, str]] = {
    "network": {
        "edsr": "ms_restore.networks.edsr:EDSR",
        "dncnn": "ms_restore.networks.dncnn:DnCNN",
        "noise2noise": "ms_restore.networks.noise2noise:Noise2Noise",
        "noise2noise_mri": "ms_restore.networks.noise2noise_mri:Noise2NoiseMRI",
        "sid": "ms_restore.networks.sid:SID",
        "ffdnet": "ms_restore.networks.ffdnet:FFDNet",
        "fdncnn": "ms_restore.networks.fdncnn:FDnCNN",
        "ircnn": "ms_restore.networks.ircnn:IRCNN",
        "swinir": "ms_restore.networks.swinir:SwinIR",
        "nafnet": "ms_restore.networks.nafnet:NAFNet",
        "drunet": "ms_restore.networks.drunet:DRUNet",
        "rrdbnet": "ms_restore.networks.rrdbnet:RRDBNet",
        "srvgg": "ms_restore.networks.srvgg:SRVGG",
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
        "real_world": "ms_restore.degradations.real_world:RealWorld",
        "blur": "ms_restore.degradations.linear:Blurred",
        "blur_downsample": "ms_restore.degradations.linear:Downsampled",
        "bayer": "ms_restore.degradations.linear:Mosaic",
        "low_light": "ms_restore.degradations.low_light:LowLight",
    },
    "solver": {
        "dmsp": "ms_restore.solvers.dmsp:DMSP",
        "dpir": "ms_restore.solvers.dpir:DPIR",
    },
    "loss": {
        "l1": "ms_restore.training.losses:L1",
        "mse": "ms_restore.training.losses:MSE",
        "masked_mse": "ms_restore.training.losses:MaskedMSE",
        "annealed_l0": "ms_restore.training.losses:AnnealedL0",
        "sum_squared": "ms_restore.training.losses:SumSquared",
        "charbonnier": "ms_restore.training.losses:Charbonnier",
        "psnr": "ms_restore.training.losses:PSNR",
    },
    "optimizer": {
        "adam": "ms_restore.training.optimizers:adam",
        "adam_w": "ms_restore.training.optimizers:adam_w",
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
    "protocol": {
        "sr-y": "ms_restore.metrics.protocols:SR_Y",
        "sr-rgb-div2k": "ms_restore.metrics.protocols:SR_RGB_DIV2K",
        "gray": "ms_restore.metrics.protocols:GRAY",
        "rgb-float": "ms_restore.metrics.protocols:RGB_FLOAT",
        "rgb": "ms_restore.metrics.protocols:RGB",
        "sid-rgb": "ms_restore.metrics.protocols:SID_RGB",
        "n2n-rgb": "ms_restore.metrics.protocols:N2N_RGB",
    },
    "metric": {
        "psnr": "ms_restore.metrics.quality:PSNR",
        "ssim": "ms_restore.metrics.quality:SSIM",
        "niqe": "ms_restore.metrics.niqe:NIQE",
        "lpips": "ms_restore.metrics.perceptual:LPIPS",
    },
}
# What the caller passes by position; everything else is a setting.
_POSITIONAL: dict[Kind, tuple[str, ...]] = {
    "network": (),
    "degradation": (),
    "loss": (),
    "optimizer": ("parameters", "rates"),
    "schedule": ("step", "steps"),
    "solver": ("prior",),
}


def find(kind: Kind, name: object) -> Any:
    """Return the class or function that a registered name or ``package.module:Class`` stands for.

    Raises InputError for a name that is neither, and for a class that does not keep to the
    contract of its kind.
    """
    if not isinstance(name, str):
        raise InputError(f"{kind} {name!r}: expected a name, such as {next(iter(REGISTRY[kind]))}")
    if ":" not in name:
        if name not in REGISTRY[kind]:
            known = REGISTRY[kind]
            hint = did_you_mean(name, known) or f"; known: {comma_list(known, 12)}"
            raise InputError(f"unknown {kind} {name!r}{hint}")
        module, _, attribute = REGISTRY[kind][name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    target = _imported(kind, name)
    _check_class(kind, name, target)
    return target


def _imported(kind: Kind, name: str) -> Any:
    """The object ``package.module:Class``; modules of the working directory are found too."""
    module, _, attribute = name.partition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last, so that it hides nothing that is installed
    if module == _module_of_script():
        module = "__main__"  # which would run again if it were imported
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{kind} {name}: the module {error.name} is not installed here; install its package, "
            "or start in the folder that holds it"
        ) from None
    except (Exception, SystemExit) as error:  # whatever the module does when it is imported
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{kind} {name}: its module cannot be imported ({reason})") from None
    if attribute not in vars(found):
        if module == "__main__":
            raise InputError(
                f"{kind} {name}: it was defined in a session that has ended; put it into a module "
                "of its own and train again"
            )
        hint = did_you_mean(attribute, vars(found))
        raise InputError(f"{kind} {name}: the module {module} has no {attribute}{hint}")
    return vars(found)[attribute]


def _module_of_script() -> str:
    """The name under which another process finds what the running script defines."""
    main = sys.modules["__main__"]
    if main.__spec__ is not None:
        return main.__spec__.name
    file = vars(main).get("__file__")
    return Path(file).stem if file else "__main__"


def _check_class(kind: Kind, name: str, target: Any) -> None:
    """InputError where a caller's class or function does not keep to the contract of its kind."""
    expected = _base_of(kind)
    if expected is not None and not (inspect.isclass(target) and issubclass(target, expected)):
        what = f"derived from {expected.__module__.split('.')[0]}'s {expected.__name__}"
        raise InputError(f"{kind} {name}: got {_described(target)}, expected a class {what}")
    if kind in ("protocol", "metric"):  # objects, which those who ask for them check
        return
    if not callable(target):
        raise InputError(f"{kind} {name}: got {_described(target)}, expected a class or function")
    parameters = _parameters(target)
    given = _POSITIONAL[kind]
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for parameter in by_position[len(given) :]:
        raise InputError(
            f"{kind} {name}: its argument {parameter.name} can be given by position, but settings "
            f"are keyword-only; write ({', '.join([*given, '*', parameter.name])}: ...)"
        )
    if len(by_position) < len(given):
        raise InputError(
            f"{kind} {name}: it takes {len(by_position)} arguments by position, expected "
            f"{len(given)} ({', '.join(given)})"
        )
    for parameter in parameters[len(given) :]:
        if parameter.kind is not parameter.KEYWORD_ONLY:
            raise InputError(f"{kind} {name}: *args and **kwargs are no settings; name each one")
        if parameter.annotation is parameter.empty:
            raise InputError(
                f"{kind} {name}: its argument {parameter.name} has no type, so a recipe cannot "
                f"check it; write {parameter.name}: int, or what it is"
            )


def _parameters(target: Any) -> list[inspect.Parameter]:
    """What a function or a class's own constructor takes; a class may leave that to its base."""
    if not inspect.isclass(target):
        return list(inspect.signature(target).parameters.values())
    makers = [c for c in target.__mro__ if "__init__" in vars(c)]
    if makers[0] is object or makers[0].__module__.startswith("mindspore"):
        return []
    return list(inspect.signature(target.__init__).parameters.values())[1:]


def _base_of(kind: Kind) -> Optional[type]:
    """The class that parts of a kind are derived from, where there is one."""
    if kind in ("network", "loss"):
        from mindspore import nn

        return nn.Cell
    return Degradation if kind == "degradation" else None


def _described(target: Any) -> str:
    return f"the class {target.__name__}" if inspect.isclass(target) else f"{target!r:.60}"


def is_outside(part: PartSettings) -> bool:
    """Tell whether a recipe names a part that is not one of ours."""
    return ":" in part["name"]


def bound(kind: Kind, part: PartSettings) -> Callable[..., Any]:
    """Return the part's class or function with its settings filled in."""
    settings = {key: value for key, value in part.items() if key != "name"}
    return functools.partial(find(kind, part["name"]), **settings)


def build(kind: Kind, part: PartSettings, *positional: object) -> Any:
    """Make the part that a recipe names; ``positional`` is what its kind takes by position.

    The result keeps to the contract of its kind, see ``contracts``.
    """
    return bound(kind, part)(*positional)


def network_geometry(part: PartSettings) -> Geometry:
    """Return the attributes of the network that a recipe names, without making its weights."""
    from mindspore.nn.utils import no_init_parameters

    with no_init_parameters():
        return Geometry.of(build("network", part))


def class_setting(part: PartSettings, key: str) -> Optional[int]:
    """Return a number of the network that a recipe names: its setting, or else its class's."""
    try:
        target = find("network", part["name"])
    except (InputError, KeyError):  # said where the part itself is checked
        target = None
    value = part.get(key, inspect.getattr_static(target, key, None))
    return value if isinstance(value, int) else None


def check(kind: Kind, part: object, where: str) -> tuple[PartSettings, list[str]]:
    """Return the part with its defaults filled in, or as it is and what is wrong, one line each."""
    if isinstance(part, str):
        part = {"name": part}
    if not isinstance(part, dict) or "name" not in part:
        return {}, [f"{where}: got {part!r}, expected a name or {{name: ..., ...}}"]
    name = part["name"]
    try:
        target = find(kind, str(name))
    except InputError as error:
        return part, [f"{where}.name: {error}"]
    settings = {key: value for key, value in part.items() if key != "name"}
    model = _settings_model(target)
    try:
        return {"name": name, **model(**settings).model_dump()}, []
    except pydantic.ValidationError as error:
        return part, describe(error, where, lambda _: model.model_fields)


@functools.lru_cache(maxsize=256)
def _settings_model(target: Any) -> type[pydantic.BaseModel]:
    """The settings of a class or function as a pydantic model."""
    function = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        p.name: (hints[p.name], ... if p.default is p.empty else p.default)
        for p in _parameters(target)
        if p.kind is p.KEYWORD_ONLY
    }
    config = pydantic.ConfigDict(extra="forbid", protected_namespaces=())
    return pydantic.create_model(target.__name__, __config__=config, **fields)


def describe(
    error: pydantic.ValidationError,
    where: str,
    known_in: Callable[[tuple[Any, ...]], Iterable[str]],
) -> list[str]:
    """Return one line for each of pydantic's findings; ``known_in`` gives the keys of a section."""
    lines = []
    for finding in error.errors():
        path = ".".join(str(step) for step in (*filter(None, [where]), *finding["loc"]))
        if finding["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            key = str(finding["loc"][-1])
            known = known_in(finding["loc"][:-1])
            hint = did_you_mean(key, known) or f"; known: {comma_list(known, 12)}"
            lines.append(f"{path}: unknown key{hint}")
        elif finding["type"].startswith("missing"):
            lines.append(f"{path}: missing")
        else:
            message = finding["msg"].replace("Input should be", "expected")
            lines.append(f"{path}: got {finding['input']!r}, {message}")
    return lines


def settings_of(kind: Kind, part: object) -> object:
    """Return what a recipe writes for a part that was given as an object.

    Names and mappings stay as they are. A class or function becomes ``module:name``, an object
    also gets the settings that it was made with: those that ``functools.partial`` or a degradation
    keeps, or of a cell the attributes with the names of its constructor's arguments.

    Raises InputError for what another process could not find again.
    """
    if part is None or isinstance(part, (str, dict)):
        return part
    if isinstance(part, functools.partial):
        return {"name": _name_of(kind, part.func), **part.keywords}
    if inspect.isclass(part) or inspect.isfunction(part):
        return {"name": _name_of(kind, part)}
    name = _name_of(kind, type(part))
    if isinstance(part, Degradation):
        return {"name": name, **part.settings}
    return {"name": name, **_attributes(kind, name, part)}


def _name_of(kind: Kind, target: Any) -> str:
    registered = {path: name for name, path in REGISTRY[kind].items()}
    module = target.__module__
    if module == "__main__":
        module = _module_of_script()
        _LOG.warning(
            "note: %s is defined in the script itself, which is imported again where a checkpoint "
            'is loaded; keep the rest of the script under if __name__ == "__main__", or put %s '
            "into a module of its own",
            target.__qualname__,
            target.__qualname__,
        )
    path = f"{module}:{target.__qualname__}"
    if path in registered:
        return registered[path]
    if "." in target.__qualname__:
        raise InputError(
            f"{kind} {target.__qualname__}: it is defined inside of something else, so a "
            "checkpoint could not name it; define it at the top of a module"
        )
    _check_class(kind, path, target)
    return path


def _attributes(kind: Kind, name: str, part: object) -> dict[str, object]:
    """The settings of an object by its attributes of the same names, checked by a second one."""
    parameters = _parameters(type(part))
    found = {p.name: inspect.getattr_static(part, p.name, p.default) for p in parameters}
    missing = [key for key, value in found.items() if value is inspect.Parameter.empty]
    if missing:
        raise InputError(
            f"{kind} {name}: the object does not keep {comma_list(missing)}, which a checkpoint "
            f"needs to make it again; write self.{missing[0]} = {missing[0]} in its constructor"
        )
    return found
