"""Which pictures infer and restore read, and which file each becomes."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Optional, Union

from ms_restore.errors import InputError, comma_list
from ms_restore.images.listing import list_folder
from ms_restore.images.picture import SUFFIXES
from ms_restore.images.reading import is_document
from ms_restore.inference.picture_folder import Pair, has_record
from ms_restore.report.terminal import say
from ms_restore.verbs.loading import PathLike

FORMATS = ("png", "jpg", "webp", "tif")
PathsLike = Union[PathLike, Sequence[PathLike]]


@dataclasses.dataclass(frozen=True)
class Naming:
    """How the written files of a folder are named.

    Attributes:
        format: of the files, one of ``FORMATS``; None is PNG, and TIFF for documents of pages.
        suffix: added to the names, as in photo_x2.png.
        recursive: pictures of subfolders are taken too, and their folders are kept.
    """

    format: Optional[str] = None
    suffix: str = ""
    recursive: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in FORMATS:
            raise InputError(f"unknown --format {self.format!r}; choose {', '.join(FORMATS)}")
        if "/" in self.suffix:
            raise InputError(f"--name_suffix {self.suffix!r}: a name has no /")

    def name(self, source: Path) -> str:
        """Return the name of the file that a picture becomes."""
        suffix = self.format or ("tif" if is_document(source) else "png")
        return f"{source.stem}{self.suffix}.{suffix}"


def pairs_of(
    inputs: PathsLike,
    output: PathLike,
    suffixes: Sequence[str] = SUFFIXES,
    naming: Naming = Naming(),
) -> list[Pair]:
    """Return each picture's file with the file to write, and say what of a folder is left out.

    ``inputs`` are files and folders; ``output`` is a file for a single one, else a folder. Raises
    InputError where one does not exist, where two would be written to one file, and where a picture
    would be written over an input.
    """
    sources = [Path(i) for i in ([inputs] if isinstance(inputs, (str, os.PathLike)) else inputs)]
    if not sources:
        raise InputError("no input: name a picture or a folder")
    target = Path(output)
    if len(sources) == 1 and not sources[0].is_dir():
        return [_single(sources[0], output, naming)]
    if target.is_file():
        raise InputError(f"{target} is a file; name a folder for the pictures")
    pairs = [pair for source in sources for pair in _below(source, target, suffixes, naming)]
    counts = collections.Counter(written for _, written in pairs)
    shared = sorted(path.name for path, count in counts.items() if count > 1)
    if shared:
        raise InputError(
            f"{comma_list(map(str, sources))}: several images would be written as "
            f"{comma_list(shared)}; rename them or put them in folders of their own"
        )
    check_kept([path for path, _ in pairs], [written for _, written in pairs])
    return pairs


def check_kept(read: Iterable[Optional[PathLike]], written: Iterable[PathLike]) -> None:
    """Raise InputError where a file that is read would be written over."""
    kept = {Path(path).resolve() for path in read if path is not None}
    for path in map(Path, written):
        if path.resolve() in kept:
            raise InputError(f"{path}: an input would be written over; name another output")


def _single(source: Path, output: PathLike, naming: Naming) -> Pair:
    if not source.is_file():
        what = "neither a file nor a folder" if source.exists() else "no such file or folder"
        raise InputError(f"{source}: {what}")
    target = Path(output)
    if target.is_dir() or os.fspath(output).endswith("/") or not target.suffix:
        target = target / naming.name(source)
    elif naming.format is not None and target.suffix.lower() != f".{naming.format}":
        raise InputError(f"{target} and --format {naming.format} exclude each other")
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the input itself; name another output")
    return source, target


def _below(source: Path, target: Path, suffixes: Sequence[str], naming: Naming) -> list[Pair]:
    if not source.is_dir():
        return [_single(source, f"{target}/", naming)]
    if target.resolve() == source.resolve():
        raise InputError(f"{target} is the input folder itself; name another output")
    listing = list_folder(source, suffixes, naming.recursive)
    note = listing.note(source)
    if note:
        say(note)
    written_before = target.resolve()  # may lie inside of the input
    new = [path for path in listing.pictures if written_before not in path.resolve().parents]
    if len(new) < len(listing.pictures) and not has_record(target):
        raise InputError(
            f"{target} lies in the input and holds pictures that were not restored into it; name "
            "another output"
        )
    return [(path, target / path.relative_to(source).with_name(naming.name(path))) for path in new]
