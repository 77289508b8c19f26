"""Files that are written whole or not at all, folders that one process writes at a time."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

from ms_restore.errors import InputError

_LOCK = "lock"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends without an error.

    It lies in a folder of its own beside ``path``, so that nothing a writer leaves there stays.
    """
    folder = path.with_name(f".{path.name}.{os.getpid()}")
    temporary = folder / path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # MindSpore writes its files with mode 0400
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def exclusive_folder(folder: Path, busy: str) -> Iterator[None]:
    """Make the folder and keep other processes out of it; InputError ``busy`` where one is in.

    The lock file stays (its removal would let two in); the system frees it when the process ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{folder}: {busy}") from None
        yield


def sha256(path: Path, most: Optional[int] = None) -> Optional[str]:
    """The hash of a file's first ``most`` bytes, or of all; None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            if most is not None:
                return hashlib.sha256(file.read(most)).hexdigest()
            for part in iter(lambda: file.read(1 << 20), b""):
                digest.update(part)
    except OSError:
        return None
    return digest.hexdigest()


_MASK = threading.Lock()  # two threads at once would leave the mask at 0


def _umask() -> int:
    with _MASK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
