"""Scenes of See in the Dark: raw files of short exposures and the long exposure they share.

Chen et al. 2018 keep the files in the folders short/ and long/; ``data.exposures`` describes their
names. Their list files have a pair on each line:
``./Sony/short/00001_00_0.1s.ARW ./Sony/long/00001_00_10s.ARW ISO200 F8``.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Optional

from ms_restore.data.exposures import FILE_NAME
from ms_restore.errors import InputError, comma_list
from ms_restore.images import raw
from ms_restore.report.terminal import say
from ms_restore.texts import read_text

_PARTS = {"train": "0", "test": "1", "valid": "2"}
_LISTS = {"train": "*train_list.txt", "test": "*test_list.txt", "valid": "*val_list.txt"}


@dataclasses.dataclass
class Scene:
    """The file of a long exposure, and those of the short exposures whose target it is."""

    long: Path
    shorts: list[Path]


Parts = dict[str, list[Scene]]


def find(source: Path) -> Optional[tuple[Parts, list[str]]]:
    """Return the scenes by part, and a line for each kind of problem with them.

    The parts are those of train, valid and test that are present, or "" for a single list file.
    Returns None where the source holds no pairs of raw files. Raises InputError where a list file
    is malformed or names files that are missing, or no pair is found.
    """
    if source.suffix.lower() == ".txt" and source.is_file():
        return {"": _read_list(source)}, []
    if (source / "short").is_dir() and (source / "long").is_dir():
        return _find_by_name(source)
    lists = {part: sorted(source.glob(pattern)) for part, pattern in _LISTS.items()}
    found = {part: _read_list(paths[0]) for part, paths in lists.items() if paths}
    return (found, []) if found else None


def _find_by_name(source: Path) -> tuple[Parts, list[str]]:
    shorts, longs = _list_raw_files(source / "short"), _list_raw_files(source / "long")
    targets = {_scene(path): path for path in longs}
    scenes: dict[str, Scene] = {}
    unnamed, alone = [], []
    for path in shorts:
        name = _scene(path)
        if name is None:
            unnamed.append(path.name)
        elif name not in targets:
            alone.append(path.name)
        else:
            scenes.setdefault(name, Scene(targets[name], [])).shorts.append(path)
    problems = []
    if unnamed:
        problems.append(
            f"{source / 'short'}: {len(unnamed)} files are not named as 00001_00_0.1s.ARW "
            f"(part, scene, number, seconds): {comma_list(unnamed, 20)}"
        )
    if alone:
        problems.append(
            f"{source / 'short'}: {len(alone)} files have no long exposure in {source / 'long'}: "
            f"{comma_list(alone, 20)}"
        )
    unused = [path.name for path in longs if _scene(path) not in scenes]
    if unused:
        say(f"{source / 'long'}: {len(unused)} without a short exposure: {comma_list(unused, 20)}")
    if not scenes:
        raise InputError(
            *problems,
            f"{source}: no pair of raw files; expected names such as short/00001_00_0.1s.ARW and "
            "long/00001_00_10s.ARW",
        )
    names = sorted(scenes)
    parts = {
        part: [scenes[name] for name in names if name.startswith(digit)]
        for part, digit in _PARTS.items()
    }
    return {part: found for part, found in parts.items() if found}, problems


def _scene(path: Path) -> Optional[str]:
    """Return the part and number of a file's scene, such as 00001, or None."""
    match = FILE_NAME.fullmatch(path.stem)
    return match["part"] + match["scene"] if match else None


def _list_raw_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in raw.SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: no raw file (such as .ARW, .RAF, .DNG) in it")
    return paths


def _read_list(file: Path) -> list[Scene]:
    """Return the scenes of a list file, whose paths are relative to its folder."""
    scenes: dict[Path, Scene] = {}
    for number, line in enumerate(read_text(file).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2:
            raise InputError(
                f"{file}, line {number}: got {line!r}, expected a short and a long file (and ISO "
                "and aperture)"
            )
        short, long = (file.parent / word for word in words[:2])
        missing = [str(path) for path in (short, long) if not path.is_file()]
        if missing:
            raise InputError(f"{file}, line {number}: {comma_list(missing)}: no such file")
        scenes.setdefault(long, Scene(long, [])).shorts.append(short)
    if not scenes:
        raise InputError(f"{file}: no pair of raw files in it")
    return list(scenes.values())
