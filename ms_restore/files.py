"""Writing of files completely or not at all, JSON, locking of folders, and hashes of files."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

from ms_restore.errors import InputError

LOCK = "lock"
"""Name of the file by which a folder is locked."""
_LONGEST_NAME = 255  # bytes, of Linux's file systems
_WRITING = ".writing"  # suffix of the folders in which files are written


def cache_folder() -> Path:
    """Return the folder of what is kept for all runs of a user; it need not exist.

    It is that of the variable ``MS_RESTORE_HOME``, else ``ms_restore`` in ``XDG_CACHE_HOME``, else
    ``~/.cache/ms_restore``. Raises InputError where no home folder is known.
    """
    own, all_programs = os.environ.get("MS_RESTORE_HOME"), os.environ.get("XDG_CACHE_HOME")
    if own:
        return Path(own).absolute()
    if all_programs:
        return Path(all_programs).absolute() / "ms_restore"
    try:
        return Path.home() / ".cache" / "ms_restore"
    except RuntimeError:
        raise InputError(
            "no home folder is known; set MS_RESTORE_HOME to a folder that can be written"
        ) from None


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces ``path`` when the block ends without an error.

    The file is complete on the disk before it replaces an older one. It is written in a folder of
    its own inside ``.NAME.writing`` beside ``path``, which is removed with everything left in it;
    what a killed process left there is removed by the next one that writes the file. Raises
    InputError where it cannot be written.
    """
    try:
        with _private_folder(path.with_name(_writing_name(path.name))) as folder:
            temporary = folder / path.name
            yield temporary
            temporary.chmod(0o666 & ~_umask())  # MindSpore writes its files with mode 0400
            flush_to_disk(temporary)
            temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


def _writing_name(name: str) -> str:
    """Return the name of the folder in which a file is written, which is no longer than allowed."""
    longer = os.fsencode(f".{name}{_WRITING}")
    if len(longer) <= _LONGEST_NAME:
        return os.fsdecode(longer)
    return f".{hashlib.sha256(os.fsencode(name)).hexdigest()}{_WRITING}"


@contextlib.contextmanager
def _private_folder(shared: Path) -> Iterator[Path]:
    """Yield a new folder of this process in a shared one, and remove both in the end.

    The folder is locked while it is in use; those in the shared folder that are not locked were
    left by killed processes, and are removed first. The shared folder stays while others use it.
    """
    folder, lock = _create_locked(shared)
    try:
        for other in shared.iterdir():
            if other != folder:
                _remove_unused(other)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        with contextlib.suppress(OSError):  # another process writes the same file
            shared.rmdir()


def _create_locked(shared: Path) -> tuple[Path, int]:
    while True:
        shared.mkdir(parents=True, exist_ok=True)
        try:
            folder = Path(tempfile.mkdtemp(dir=shared))
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # another process removed the empty shared folder meanwhile
            continue
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():  # else another process removed it before it was locked
            return folder, lock
        os.close(lock)


def _remove_unused(folder: Path) -> None:
    """Remove a private folder, unless a process holds its lock."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        return
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left of the files that they were writing into a folder."""
    for shared in folder.glob(f".*{_WRITING}"):
        for private in shared.iterdir():
            _remove_unused(private)
        with contextlib.suppress(OSError):  # another process writes there
            shared.rmdir()


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text, completely or not at all; see ``atomic_write``."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any, indent: int = 2) -> None:
    """Write a JSON file, completely or not at all; see ``to_json`` and ``atomic_write``."""
    write_text(path, to_json(value, indent) + "\n")


def to_json(value: Any, indent: Optional[int] = None) -> str:
    """Return a value as JSON, in which a number that is not finite is text: "inf", "-inf", "nan".

    JSON has no such numbers; ``float`` turns the text back into them.
    """
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    """Return the value with text in place of every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value


def flush_to_disk(path: Path) -> None:
    """Wait until a file is on the disk; raise OSError where that fails."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def exclusive_folder(folder: Path, busy: str) -> Iterator[None]:
    """Create a folder and lock it against other processes that use this function.

    Raises InputError with the message ``busy`` where another process has locked it, and where it
    cannot be written. The lock file is not removed, as two processes could then lock the folder;
    the operating system releases the lock when the process ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
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
