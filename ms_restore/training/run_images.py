"""The images of a run, which are kept in its folder and compared when it is resumed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

from ms_restore.contracts import ImageEntry, TrainingSource
from ms_restore.data.sources import EarlierImages
from ms_restore.errors import InputError, comma_list
from ms_restore.files import write_json
from ms_restore.report.terminal import say
from ms_restore.texts import parse_json, read_text
from ms_restore.training.run_files import DATA

_MOST_BYTES = 1 << 30


@dataclasses.dataclass(frozen=True)
class RunImages:
    """The names and sizes of the images of a run.

    Attributes:
        training: images that patches are cut from.
        validation: images that are scored while training.
    """

    training: list[ImageEntry]
    validation: list[ImageEntry]

    @classmethod
    def of(cls, train: TrainingSource, valid: TrainingSource) -> RunImages:
        """Return the images of a training and a validation source."""
        return cls(train.entries(), valid.entries())

    def earlier(self) -> EarlierImages:
        """Return what a resumption has to know to hold out the same images."""
        return EarlierImages(
            trained=frozenset(entry.name for entry in self.training),
            validated=frozenset(entry.name for entry in self.validation),
        )

    def write(self, folder: Path) -> None:
        """Write data.json into the run folder."""
        parts = {"training": self.training, "validation": self.validation}
        content = {
            name: {"count": len(entries), "sha256": _hash(entries), "images": entries}
            for name, entries in parts.items()
        }
        write_json(folder / DATA, content, indent=0)

    def check_unchanged(self, before: RunImages, allowed: bool) -> None:
        """Raise InputError that names what differs from the run's images before, or say it."""
        changes = [
            *_changes("training", before.training, self.training),
            *_changes("validation", before.validation, self.validation),
        ]
        if not changes:
            return
        if not allowed:
            raise InputError(
                f"the images are not those that the run began with ({'; '.join(changes)}); put "
                "them back, or resume with --allow_changes: held-out images then stay held out"
            )
        say(f"resumed with other images: {'; '.join(changes)}")


def read(folder: Path) -> Optional[RunImages]:
    """Return the images of the run in the folder; None where a run of an older version kept none.

    Raises InputError where data.json is not what ``RunImages.write`` wrote.
    """
    path = folder / DATA
    if not path.exists():
        return None
    content = parse_json(read_text(path, _MOST_BYTES), str(path))
    try:
        return RunImages(_entries(content["training"]), _entries(content["validation"]))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: damaged; remove it to resume without comparing the images"
        ) from None


def _entries(part: dict[str, Any]) -> list[ImageEntry]:
    entries = [ImageEntry(str(name), int(w), int(h)) for name, w, h in part["images"]]
    if _hash(entries) != part["sha256"]:
        raise ValueError("another hash")
    return entries


def _hash(entries: Sequence[ImageEntry]) -> str:
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def _changes(part: str, before: list[ImageEntry], after: list[ImageEntry]) -> list[str]:
    old, new = ({entry.name: entry for entry in entries} for entries in (before, after))
    kinds = {
        "added": [name for name in new if name not in old],
        "gone": [name for name in old if name not in new],
        "of another size": [name for name in new if name in old and new[name] != old[name]],
    }
    return [
        f"{part}: {len(names)} {kind}: {comma_list(names, 3)}"
        for kind, names in kinds.items()
        if names
    ]
