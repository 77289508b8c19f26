"""What an exported file says of itself: its model, recipe, sizes and range."""

from __future__ import annotations

import dataclasses
import json
from typing import Optional

from ms_restore import recipe as recipes
from ms_restore.contracts import Geometry
from ms_restore.errors import InputError
from ms_restore.files import to_json
from ms_restore.settings import Recipe
from ms_restore.version import __version__

KEY = "ms_restore"  # under which a file holds it
RANGE = "[0, 1]"


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
            shape = fields["shape"]
            if fields["range"] != RANGE:
                raise InputError(f"{origin}: its range is {fields['range']}, expected {RANGE}")
            return cls(
                recipes.parse(fields["recipe"], origin=origin),
                Geometry(**fields["geometry"]),
                (shape[0], shape[1]) if shape else None,
                fields["sha256"],
                fields["version"],
            )
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{origin}: not exported by ms-restore (it says nothing of its model); "
                "export the checkpoint again"
            ) from None
