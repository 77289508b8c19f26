"""Raw files as a source of prepared sets: packed short exposures and developed long ones.

Each file is decoded once, even where several short exposures share a long one. A frame is cut into
tiles that do not overlap, ``TILE`` packed pixels high and wide, so that a crop reads little more
than its own pixels and nothing is stored twice. A record is a tile (channels, h, w) of uint16.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import numpy as np

from ms_restore.data import exposures
from ms_restore.data.prepared.manifest import FRAMES
from ms_restore.errors import InputError, comma_list
from ms_restore.files import sha256
from ms_restore.images import raw
from ms_restore.images.mosaic import Mosaic
from ms_restore.preparation.pieces import PieceSource
from ms_restore.preparation.scenes import Scene
from ms_restore.preparation.shard_writer import LoadedPiece, ManifestEntry, Record

TILE = 128
_AT_ONCE = 3  # frames in memory: developing one of 24 megapixels takes half a gigabyte


class RawFrames(PieceSource):
    """The raw frames of scenes: each long exposure, followed by the short ones that belong to it.

    Args:
        source: folder or list file of the raw files.
        found: the scenes.
        mosaic: colour mosaic that the model takes.
        problems: what is already known to be wrong, a line for each kind of problem.
    """

    columns = ("tile",)
    unit = "raw files"
    max_in_memory = _AT_ONCE

    def __init__(
        self, source: Path, found: list[Scene], mosaic: Mosaic, problems: list[str]
    ) -> None:
        self.source = source
        self._mosaic = mosaic
        self._frames = [(path, scene) for scene in found for path in (scene.long, *scene.shorts)]
        self.max_record_bytes = 2 * 3 * (TILE * mosaic.block) ** 2
        self.settings = {"layout": FRAMES, "mosaic": mosaic.name, "tile": TILE}
        self._long_size = functools.lru_cache(maxsize=1)(raw.size)
        self._found = [self._problem(scene, path) for path, scene in self._frames]
        pairs = zip(self._frames, self._found)
        bad = [f"{path.name}: {problem}" for (path, _), problem in pairs if problem]
        count = f"{len(bad)} of {len(self._frames)} raw files cannot be used"
        self.problems = [
            *problems,
            *([f"{source}: {count}: {comma_list(bad, 20)}"] if bad else []),
        ]

    def __len__(self) -> int:
        return len(self._frames)

    def count_for(self, limit: int) -> int:
        """Return the number of frames in the first ``limit`` scenes."""
        ends = [number for number, (path, scene) in enumerate(self._frames) if path == scene.long]
        return [*ends, len(self)][min(limit, len(ends))]

    def identify(self, index: int) -> ManifestEntry:
        """Return the manifest entry of a frame: its file's name and hash."""
        path, _ = self._frames[index]
        return {"name": path.name, "sha256": sha256(path)}

    def load(self, index: int) -> LoadedPiece:
        """Decode a raw file; where it cannot be used, its entry has a ``reason``."""
        path, scene = self._frames[index]
        entry = self.identify(index)
        try:
            problem = self._found[index]
            if problem:
                raise InputError(problem)
            if path == scene.long:
                picture, frame = raw.develop(path, self._mosaic)
                planes = frame.extend(picture, self._mosaic.period).transpose(2, 0, 1)
            else:
                read = raw.read(path, self._mosaic)
                planes, frame = read.planes, read.frame
                entry.update(
                    long=scene.long.name,
                    ratio=exposures.exposure_ratio(path, scene.long),
                    ranges=read.ranges,
                    camera=read.camera,
                )
        except InputError as error:
            return LoadedPiece({**entry, "reason": str(error).replace(f"{path}: ", "")})
        side = TILE * (self._mosaic.block if path == scene.long else 1)
        entry.update(height=planes.shape[1], width=planes.shape[2], frame=list(frame))
        nbytes = planes.nbytes
        return LoadedPiece(entry, nbytes, nbytes, _tiles(planes, side))

    def _problem(self, scene: Scene, path: Path) -> Optional[str]:
        """Return what the headers show to be wrong with a frame, or None."""
        try:
            size = raw.size(path)
            if path == scene.long:
                return None
            exposures.exposure_ratio(path, scene.long)
            target = self._long_size(scene.long)
        except InputError as error:
            return str(error).replace(f"{path}: ", "")
        if size != target:
            return (
                f"{size[1]}x{size[0]} pixels, but its long exposure {scene.long.name} has "
                f"{target[1]}x{target[0]}"
            )
        return None


def _tiles(planes: np.ndarray, side: int) -> Iterator[list[Record]]:
    """Yield the records of a frame's tiles, row by row."""
    for top in range(0, planes.shape[1], side):
        yield [
            {"tile": planes[:, top : top + side, left : left + side].tobytes()}
            for left in range(0, planes.shape[2], side)
        ]
