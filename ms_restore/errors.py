"""The one exception type for a user's slip."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave does not fit: what came, what was expected, the way out.

    At the command line every problem becomes one line and the exit code is 2.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x' or 'y'?)"`` for the known words close to ``word``, or ``""``."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, close))}?)" if close else ""


def comma_list(words: Iterable[str], most: int = 5) -> str:
    """A comma-separated list that stays on one line: the first ``most`` words and how many more."""
    words = list(words)
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
