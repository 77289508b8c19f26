"""Pieces of HTML, in which every text that comes from elsewhere is escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from typing import Any


def escaped(value: object) -> str:
    r"""Return a value as text for HTML and for attributes in quotes.

    What UTF-8 does not have, as in names of other encodings, and control characters become \\x1b
    and the like.
    """
    text = str(value).encode("utf-8", "backslashreplace").decode()
    shown = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda found: repr(found[0])[1:-1], text)
    return html.escape(shown)


def decimals(value: float, digits: int) -> str:
    """Return a figure with this number of digits after the point; "inf" and "nan" in words."""
    return f"{value:.{digits}f}" if math.isfinite(value) else str(value)


def facts(pairs: Iterable[tuple[str, Any]]) -> str:
    """Return a list of names and values; those that are None or empty are left out."""
    entries = "".join(
        f"<div><dt>{escaped(name)}</dt><dd>{escaped(value)}</dd></div>"
        for name, value in pairs
        if value not in (None, "", {}, [])
    )
    return f'<dl class="facts">{entries}</dl>\n'


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Return large figures, each with its name and a line below."""
    shown = "".join(
        f"<div><span>{escaped(name)}</span><strong>{escaped(value)}</strong>"
        f"<small>{escaped(note)}</small></div>"
        for name, value, note in entries
    )
    return f'<div class="tiles">{shown}</div>\n'


def folded(title: str, text: str, opened: bool = False) -> str:
    """Return a text of several lines below a title that opens and closes it."""
    state = " open" if opened else ""
    return (
        f"<details{state}><summary>{escaped(title)}</summary>"
        f'<pre tabindex="0">{escaped(text)}</pre></details>\n'
    )
