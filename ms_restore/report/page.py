"""The page of a report: one HTML file that needs nothing else, written part by part."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from string import Template

from ms_restore.files import atomic_write
from ms_restore.report.markup import escaped
from ms_restore.version import __version__

REPORT = "report.html"


def write_page(path: Path, title: str, sections: Iterable[str]) -> None:
    """Write a report, completely or not at all; ``sections`` of HTML are taken one by one.

    The page's only script is named by its hash, so that a browser runs no other and fetches
    nothing. Raises InputError where the file cannot be written.
    """
    script = _shipped("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    before, after = _shipped("page.html").split("$sections")
    words = {
        "title": escaped(title),
        "style": _shipped("page.css"),
        "script": script,
        "digest": digest,
        "version": escaped(__version__),
    }
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(Template(before).substitute(words))
        for section in sections:
            file.write(section)
        file.write(Template(after).substitute(words))


def _shipped(name: str) -> str:
    return resources.files("ms_restore.report").joinpath(name).read_text(encoding="utf-8")
