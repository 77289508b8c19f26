"""What an exported file says of itself: its model, recipe, sizes and range."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Optional, get_args

from ms_restore import recipe as recipes
from ms_restore.contracts import Geometry, Padding
from ms_restore.errors import InputError, comma_list
from ms_restore.files import to_json
from ms_restore.settings import Recipe
from ms_restore.version import __version__

KEY = "ms_restore"  # under which a file holds it
RANGE = "[0, 1]"
_LARGEST = {  # of each of the geometry's numbers
    "scale": 16,
    "channels": 64,
    "output_channels": 64,
    "receptive_radius": 1 << 16,
    "floats_per_pixel": 1 << 20,
    "size_multiple": 1 << 12,
    "side": 1 << 16,
}


@dataclasses.dataclass(frozen=True)
class Metadata:
    """Describes an exported network, whose input and output are NCHW float32 in [0, 1].

    ``shape`` is the only (height, width) that the file takes, None: it takes any.
    ``sha256`` is that of the checkpoint, ``version`` the package's that exported it.
    """

    recipe: Recipe
    geometry: Geometry
    shape: Optional[tuple[int, int]]
    sha256: Optional[str]
    version: str = __version__

    def to_text(self) -> str:
        """Return the description as JSON, for the exported file."""
        fields = {
            "version": self.version,
            "model": self.recipe.model,
            "range": RANGE,
            "scale": self.geometry.scale,
            "recipe": self.recipe.to_yaml(),
            "geometry": dataclasses.asdict(self.geometry),
            "shape": self.shape,
            "sha256": self.sha256,
        }
        return to_json(fields)

    @classmethod
    def from_text(cls, text: Optional[str], origin: str) -> Metadata:
        """Parse what a file says of itself; raise InputError where it says nothing."""
        try:
            fields = json.loads(text or "")
            if fields["range"] != RANGE:
                raise InputError(f"{origin}: its range is {fields['range']}, expected {RANGE}")
            if not isinstance(fields["recipe"], str):
                raise TypeError("a recipe that is no text")
            read = recipes.stored if fields["version"] == __version__ else _of_another_version
            return cls(
                read(fields["recipe"], origin),
                _geometry(fields["geometry"]),
                _shape(fields["shape"]),
                fields["sha256"],
                fields["version"],
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, InputError):
                raise
            said = (
                f"damaged, it says {error}"
                if isinstance(error, _Unfit)
                else ("not exported by ms-restore (it says nothing of its model)")
            )
            raise InputError(f"{origin}: {said}; export the checkpoint again") from None


def _of_another_version(text: str, origin: str) -> Recipe:
    return recipes.parse(text, origin=origin)


class _Unfit(ValueError):
    """Names a value that no network has."""


def _geometry(fields: dict[str, Any]) -> Geometry:
    """Return the geometry; raise ValueError where a value is none that a network has."""
    for key, most in _LARGEST.items():
        value = fields[key]
        if value is None and key in ("receptive_radius", "side"):
            continue
        _check_number(key, value, 0 if key == "receptive_radius" else 1, most)
    padding = fields.get("padding", "reflect")  # none: by an older version
    if padding not in get_args(Padding):
        raise _Unfit(f"padding {padding!r}, expected {comma_list(get_args(Padding))}")
    return Geometry(**fields)


def _shape(value: Any) -> Optional[tuple[int, int]]:
    if value is None:
        return None
    height, width = value
    _check_number("height", height, 1, _LARGEST["side"])
    _check_number("width", width, 1, _LARGEST["side"])
    return height, width


def _check_number(key: str, value: Any, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Unfit(f"{key} {value!r}, expected {least} to {most}")
