"""The files of visitors: uploads, previews and results, under names that are ours alone."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import re
import secrets
import threading
import time
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError
from ms_restore.images import raw
from ms_restore.images.picture import SUFFIXES

_SECONDS = 3600.0  # that files are kept
_BYTES = 4 << 30  # and as long as they need no more than this
_SHOWN = 80  # characters of a visitor's name that are shown


@dataclasses.dataclass
class KeptFile:
    """A file in the folder.

    Attributes:
        path: where it lies; the name is ours.
        name: what the visitor calls it, for messages and downloads alone.
        made: when, by the monotonic clock.
        own: a result in the folder that --output_dir names, which stays.
    """

    path: Path
    name: str
    made: float
    own: bool = False


class VisitorFiles:
    """Keeps files in one folder, and forgets the oldest ones.

    Args:
        folder: for all that is temporary.
        results: where results are written; None: in ``folder`` too.
    """

    def __init__(self, folder: Path, results: Optional[Path] = None) -> None:
        self._folder, self._results = folder, results
        self._files: collections.OrderedDict[str, KeptFile] = collections.OrderedDict()
        self._lock = threading.Lock()

    def new(self, name: str, suffix: str) -> str:
        """Return the name of ours for a file to be written, with this suffix."""
        id = secrets.token_urlsafe(16)
        return self._add(id, KeptFile(self._folder / f"{id}{suffix}", name, time.monotonic()))

    def new_upload(self, name: str) -> str:
        """Return the name of ours for an upload; of the visitor's, only a known suffix is taken.

        Raises InputError for the suffix of no picture.
        """
        shown = shown_name(name)
        suffix = Path(shown).suffix.lower()
        if suffix not in (*SUFFIXES, *raw.SUFFIXES):
            raise InputError(
                f"{shown}: {suffix or 'without a suffix, so'} no kind of picture that is known; "
                "expected PNG, JPEG, TIFF, WebP or another picture, or a camera's raw file"
            )
        return self.new(shown, suffix)

    def new_result(self, model: str, name: str) -> str:
        """Return the name of ours for a result, a PNG; ``name`` is what a download is called."""
        if self._results is None:
            return self.new(name, ".png")
        id = secrets.token_urlsafe(16)
        word = re.sub(r"[^\w.-]+", "_", model, flags=re.ASCII).strip("_.")
        file = f"{time.strftime('%Y%m%d_%H%M%S')}_{word}_{secrets.token_hex(4)}.png"
        return self._add(id, KeptFile(self._results / file, name, time.monotonic(), own=True))

    def find(self, id: str) -> KeptFile:
        """Return a file; raise InputError where there is none, or it was removed."""
        found = self._files.get(id)
        if found is None or not found.path.is_file():
            raise InputError("this picture is no longer here; drop it again")
        return found

    def path(self, id: str) -> Path:
        """Return where a file lies, or is to be written."""
        return self._files[id].path

    def drop(self, id: str) -> None:
        """Remove a file, if it is there."""
        with self._lock:
            kept = self._files.pop(id, None)
        if kept is not None:
            _remove(kept)

    def in_words_of_visitor(self, text: str) -> str:
        """Return a message with the visitor's names of files in place of paths of ours."""
        for kept in list(self._files.values()):
            text = text.replace(str(kept.path), kept.name)
        return text.replace(f"{self._folder}/", "")

    def _add(self, id: str, kept: KeptFile) -> str:
        with self._lock:
            self._files[id] = kept
            gone = self._outdated()
        for old in gone:
            _remove(old)
        return id

    def _outdated(self) -> list[KeptFile]:
        """Take the files out of the list that are too old, or too many for the disk."""
        now, sizes = time.monotonic(), {}
        for id, kept in self._files.items():
            with contextlib.suppress(OSError):
                sizes[id] = 0 if kept.own else kept.path.stat().st_size
        total, gone = sum(sizes.values()), []
        for id, kept in list(self._files.items())[:-1]:
            if now - kept.made < _SECONDS and total <= _BYTES:
                break
            total -= sizes.get(id, 0)
            gone.append(self._files.pop(id))
        return gone


def _remove(kept: KeptFile) -> None:
    if not kept.own:
        with contextlib.suppress(OSError):
            kept.path.unlink()


def shown_name(name: str) -> str:
    """Return the last part of a visitor's name of a file, without what cannot be shown."""
    last = re.split(r"[/\\]", name)[-1]
    shown = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", last).strip()
    stem, dot, suffix = shown.rpartition(".")
    shown = f"{stem[:_SHOWN]}{dot}{suffix[:12]}" if dot else shown[:_SHOWN]
    return shown or "picture"
