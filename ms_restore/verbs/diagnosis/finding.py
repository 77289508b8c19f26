"""What an examination finds."""

from __future__ import annotations

from typing import Literal, NamedTuple, Optional

Level = Literal["ok", "note", "problem"]


class Finding(NamedTuple):
    """One line of a diagnosis.

    Attributes:
        level: "problem" for what stands in the way, "note" for what is slower or left out, "ok".
        text: what was found.
        remedy: what mends it, a command where there is one.
    """

    level: Level
    text: str
    remedy: Optional[str] = None
