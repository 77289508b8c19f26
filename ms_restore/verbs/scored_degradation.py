"""Which degradation eval scores: a training range gives way to the value that evaluation takes."""

from __future__ import annotations

from typing import Any, Optional

from ms_restore.errors import InputError
from ms_restore.settings import PartSettings
from ms_restore.verbs.loading import Settings

_TWIN = "eval_"  # eval_sigma_255 is what evaluation takes instead of sigma_255


def with_given(part: PartSettings, settings: Optional[Settings]) -> PartSettings:
    """Return the degradation of a recipe, in which the settings that eval was given count.

    ``degradation.sigma_255`` then stands for ``degradation.eval_sigma_255``, unless that is given
    too. Raises InputError where it is a range, from which training draws, and evaluation cannot.
    """
    part, prefix = dict(part), "degradation."
    given = {k[len(prefix) :]: v for k, v in (settings or {}).items() if k.startswith(prefix)}
    for key in given:
        twin = _TWIN + key
        if twin not in part or twin in given:
            continue
        if isinstance(part[key], list):
            raise InputError(
                f"{prefix}{key} {part[key]}: training draws from a range, eval scores one value; "
                f"name it with --{prefix}{twin}"
            )
        part[twin] = part[key]
    return part


def described(part: PartSettings) -> str:
    """Return what is scored in words, such as "gaussian, sigma 25/255"."""
    words = [str(part["name"])]
    for key, value in part.items():
        if key == "name" or key.startswith(_TWIN) or value is None:
            continue
        twin = part.get(_TWIN + key)
        if twin is not None:
            value = twin
        elif _TWIN + key in part and isinstance(value, list):
            value = value[-1]  # of a range, evaluation takes the upper end
        words.append(_setting(key, value))
    return ", ".join(words)


def _setting(key: str, value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        value = f"{value[0]} to {value[1]}"
    elif isinstance(value, float):
        value = f"{value:g}"
    name = key.removesuffix("_255")
    return f"{name} {value}/255" if name != key else f"{key.replace('_', ' ')} {value}"
