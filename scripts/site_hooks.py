"""Hooks of mkdocs: pages are taken from where they lie in the repository, links and all.

A page's address is its place in the repository, so that relative links serve both on GitHub and on
the site. Links to what is no page, such as a folder of code, go to the repository where
``DOCS_REPOSITORY`` says which one it is, and are plain text elsewhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

TOP = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/*.md", "docs/*/*.md", "models/*/README.md", "datasets/*/README.md")
BESIDE = ("docs/images/**/*.jpg", "docs/images/*.png", "models/*.yaml", "datasets/*/*.yaml")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s:]+)\)")
_MERMAID = "javascripts/mermaid.min.js"


def on_files(files: Any, config: Any) -> Any:
    """Add the repository's pages, their pictures, and Mermaid where scripts/docs.sh fetched it."""
    for path in sorted(path for pattern in (*PAGES, *BESIDE) for path in TOP.glob(pattern)):
        place = path.relative_to(TOP).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    mermaid = TOP / "build" / "mermaid.min.js"
    if mermaid.is_file():
        files.append(File.generated(config, _MERMAID, abs_src_path=str(mermaid)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Lead links to folders and code of the repository there, or take them off."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # of one entry
    here = (TOP / page.file.src_uri).parent

    def lead(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(here / link[2]))
        place = target.relative_to(TOP).as_posix() if target.is_relative_to(TOP) else ""
        if not place or not target.exists() or files.get_file_from_path(place):
            return link[0]
        repository = (config.repo_url or "").rstrip("/")
        return f"[{link[1]}]({repository}/tree/main/{place})" if repository else link[1]

    return _LINK.sub(lead, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Say the language of Chinese pages, and load Mermaid on pages with diagrams alone."""
    if page.file.src_uri.lower().endswith("_cn.md"):
        output = output.replace('<html lang="en"', '<html lang="zh-CN"', 1)
    if 'class="mermaid"' in output and (TOP / "build" / "mermaid.min.js").is_file():
        script = f'<script src="{get_relative_url(_MERMAID, page.url)}"></script>'
        output = output.replace("</body>", f"{script}</body>", 1)
    return output
