"""Writing of files completely or not at all, locking of folders, and hashes of files."""

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
    """Yield a temporary path, which replaces ``path`` when the block ends without an error.

    It lies in a folder of its own beside ``path``, which is removed with everything left in it.
    Raises InputError where it cannot be written.
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
    """Create a folder and lock it against other processes that use this function.

    Raises InputError with the message ``busy`` where another process has locked it, and where it
    cannot be written. The lock file is not removed, as two processes could then lock the folder;
    the operating system releases the lock when the process ends.
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
    """Return the SHA-256 of a file's first ``most`` bytes, or of the whole file, as hexadecimal.

    Returns None where the file cannot be read.
    """
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


_UMASK_LOCK = threading.Lock()  # two threads at the same time could leave the mask at 0


def _umask() -> int:
    with _UMASK_LOCK:
        mask = os.umask(0)
        os.umask(mask)
    return mask
