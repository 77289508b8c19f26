"""What libraries in C write to the standard error, kept so that it is said in one line instead."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Callable, Optional

_lock = threading.Lock()
_users = 0
_kept: Optional[int] = None  # the file that stands in for the standard error
_original: Optional[int] = None


@contextlib.contextmanager
def kept(is_known: Callable[[str], bool]) -> Iterator[Callable[[], list[str]]]:
    """Keep what is written to the standard error's descriptor while the block runs.

    Yields a function that returns the lines so far. Several threads share one file, and when the
    last block ends, the lines that are not known are written to the standard error after all.

    Args:
        is_known: whether a line is one of the library's, which is not shown.
    """
    try:
        _begin()
    except (OSError, AttributeError):  # no standard error, or another system than Linux
        yield list
        return
    try:
        yield _lines
    finally:
        _end(is_known)


def _begin() -> None:
    global _users, _kept, _original
    with _lock:
        if _users == 0:
            sys.stderr.flush()
            made = os.memfd_create("messages")
            _original, _kept = os.dup(2), made
            os.dup2(made, 2)
        _users += 1


def _lines() -> list[str]:
    assert _kept is not None
    return os.pread(_kept, os.fstat(_kept).st_size, 0).decode("utf-8", "replace").splitlines()


def _end(is_known: Callable[[str], bool]) -> None:
    global _users, _kept, _original
    with _lock:
        _users -= 1
        if _users:
            return
        assert _kept is not None and _original is not None
        sys.stderr.flush()
        lines = _lines()
        os.dup2(_original, 2)
        os.close(_original)
        os.close(_kept)
        _kept = _original = None
    others = [line for line in lines if line and not is_known(line)]
    if others:
        print("\n".join(others), file=sys.stderr)
