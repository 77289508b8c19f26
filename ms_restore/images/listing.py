"""The picture files of a folder, and what of it is left out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError, comma_list
from ms_restore.images.picture import SUFFIXES


@dataclasses.dataclass
class Listing:
    """The picture files of a folder.

    Attributes:
        pictures: sorted by name.
        left_out: names of the other entries, except hidden ones; folders end with "/".
    """

    pictures: list[Path] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)

    def note(self, folder: Path) -> Optional[str]:
        """Return a line that says what is left out of a folder, or None."""
        if not self.left_out:
            return None
        folders = any(name.endswith("/") for name in self.left_out)
        hint = "; infer takes subfolders by --recursive" if folders else ""
        return (
            f"note: {len(self.left_out)} of {len(self.left_out) + len(self.pictures)} entries of "
            f"{folder} are no pictures that can be read, and are left out: "
            f"{comma_list(self.left_out)}{hint}"
        )


def list_folder(
    folder: Path, suffixes: Sequence[str] = SUFFIXES, recursive: bool = False
) -> Listing:
    """List the picture files of a folder, and with ``recursive`` of the folders below it.

    Hidden files, whose names begin with a dot, are no pictures: macOS writes such files beside
    pictures of the same suffix.

    Raises InputError where the folder does not exist or holds no picture.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: {'not a folder' if folder.exists() else 'no such folder'}; "
            "expected a folder of images"
        )
    found = Listing()
    _collect(folder, "", suffixes, recursive, found)
    if not found.pictures:
        raise InputError(
            f"{folder}: no image ({', '.join(suffixes)}) in it{_way_out(folder, suffixes)}"
        )
    return found


def list_pictures(folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """Return the picture files of a folder, sorted by name; raise InputError as ``list_folder``."""
    return list_folder(folder, suffixes).pictures


def _collect(
    folder: Path, prefix: str, suffixes: Sequence[str], recursive: bool, found: Listing
) -> None:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        name, path = prefix + entry.name, Path(entry.path)
        if entry.name.startswith("."):
            continue
        if path.is_dir():  # unlike the entry's, it takes links in a circle as broken ones
            # A link to a folder may lead back to one above it
            if recursive and not entry.is_symlink():
                _collect(path, f"{name}/", suffixes, recursive, found)
            else:
                found.left_out.append(f"{name}/")
        elif path.suffix.lower() in suffixes and path.is_file():
            found.pictures.append(path)
        else:
            found.left_out.append(name + (" (a broken link)" if entry.is_symlink() else ""))


def _way_out(folder: Path, suffixes: Sequence[str]) -> str:
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inside = [
        path.name
        for path in entries
        if path.is_dir() and any(file.suffix.lower() in suffixes for file in path.iterdir())
    ]
    if inside:
        return f"; its subfolders {comma_list(inside)} hold some: name one of them"
    if entries:
        return f"; it holds {comma_list(path.name for path in entries)}"
    return ": it is empty"


def unique_names(files: list[str]) -> list[str]:
    """Return file names without their suffixes, or with them if two would be the same."""
    stems = [Path(file).stem for file in files]
    return stems if len(set(stems)) == len(stems) else files
