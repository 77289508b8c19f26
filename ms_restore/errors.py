"""InputError, the exception for every mistake in what the user gives."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class InputError(ValueError):
    """A mistake in what the user gives: what was found, what was expected, and how to mend it.

    At the command line, each of the ``problems`` is printed as a line, and the exit code is 2.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def check_utf8(path: Path) -> None:
    """Raise InputError where a path is not UTF-8, for files that MindSpore opens by itself."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{path}: a name in this path is not UTF-8, which MindSpore cannot open; rename it, or "
            "choose another"
        ) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x' or 'y'?)"`` for known words similar to ``word``, or ``""``."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def comma_list(words: Iterable[str], most: int = 5) -> str:
    """Return the first ``most`` words, separated by commas, and how many more there are."""
    words = list(words)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
