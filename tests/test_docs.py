"""The pages: their commands parse, their links lead somewhere, and the site builds from them."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import ms_restore
from tests.fixtures import browser, docs_commands
from tests.fixtures.docs_commands import PAGES, TOP

LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def test_every_command_is_one_that_its_program_takes():
    seen, problems = 0, []
    for page in PAGES:
        for line in docs_commands.commands(page):
            for words in docs_commands.simple_commands(line):
                seen += 1
                problem = docs_commands.problem(words)
                problems += [f"{page}: {line}: {problem}"] if problem else []
    assert not problems, "\n".join(problems)
    assert seen > 400


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ms-restore infer --model edsr_small_x2 --input a.png", "its parser refuses it"),
        ("ms-restore inffer --input a.png", "no verb inffer"),
        ("ms-restore train --model edsr --train.lrr 1", "lr"),
        ("ms-restore train --model no_such_model", "no_such_model"),
        ("ms-restore eval --checkpoint runs/mine --data.patchsize 3", "data.patchsize"),
        ("ms-restore doctor --jsn", "--jsn"),
        ("bash scripts/run_distribute_train.sh", ""),
        ("bash scripts/no_such.sh", "no file scripts/no_such.sh"),
        ("python benchmarks/gallery.py --with 3", "--with"),
        ("FOLDER=x python train.py --model edsr --train.steps many && ls", "train.steps"),
        ("ms-restore launch --workers 2 --model edsr -- --train.steps many", "train.steps"),
    ],
)
def test_a_wrong_command_is_found(line, why):
    problems = [docs_commands.problem(words) for words in docs_commands.simple_commands(line)]
    assert why in "; ".join(problems) if why else not any(problems)


def test_chinese_pages_have_commands_that_english_ones_have():
    """So that they are run with those."""
    words = {
        page: {
            w for line in docs_commands.commands(page) for w in docs_commands.simple_commands(line)
        }
        for page in PAGES
    }
    english = set().union(*(own for page, own in words.items() if not page.endswith("_cn.md")))
    chinese = [page for page in PAGES if page.endswith("_cn.md")]
    assert len(chinese) >= 12
    for page in chinese:
        assert words[page] <= english, words[page] - english


def heading_anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    here = TOP / page
    for target, anchor in LINK.findall(here.read_text(encoding="utf-8")):
        if ":" in target:
            continue
        there = (here.parent / target).resolve() if target else here
        assert there.exists(), f"{page}: {target}"
        assert not anchor or anchor in heading_anchors(there), f"{page}: {target}#{anchor}"


@pytest.mark.parametrize("page", PAGES)
def test_what_needs_an_ascend_says_so(page):
    asks = r"--device_target Ascend|run_distribute|run_infer_310|convert_om|launch --rank_table"
    lines = [line for line in docs_commands.commands(page) if re.search(asks, line)]
    text = (TOP / page).read_text(encoding="utf-8").lower()
    assert not lines or re.search("needs an ascend|not run|nothing was run|未运行", text), lines


@pytest.mark.parametrize("page", ["docs/troubleshooting.md", "docs/troubleshooting_cn.md"])
def test_troubles_are_quoted_as_they_are_said(page):
    source = "".join(path.read_text("utf-8") for path in (TOP / "ms_restore").rglob("*.py"))
    source = re.sub(r'"\n +f?"', "", source)  # texts that go on in the next line
    seen = re.findall(r"^\| (.*?) \|", (TOP / page).read_text(encoding="utf-8"), re.MULTILINE)
    quotes = [quote for cell in seen for quote in re.findall(r"`([^`]+ [^`]+)`", cell)]
    told = [quote.rpartition("...: ")[2] for quote in quotes if "--task" not in quote]
    assert len(told) >= 3
    assert not [quote for quote in told if quote not in source]


def test_pictures_of_the_gallery_are_small():
    pictures = list((TOP / "docs" / "images" / "gallery").glob("*.jpg"))
    assert len(pictures) >= 9
    assert sum(picture.stat().st_size for picture in pictures) < 1_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a warning."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("needs mkdocs: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=TOP,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "DOCS_REPOSITORY": "https://host.invalid/r"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.long
def test_the_site_builds_with_every_page_and_function(site):
    for page in PAGES:
        place = re.sub(r"(README)?\.md$", "", page) if page != "README.md" else ""
        assert (site / place / "index.html").is_file(), page
    functions = (site / "docs/reference/functions/index.html").read_text(encoding="utf-8")
    assert all(f'id="ms_restore.{name}"' in functions for name in ms_restore.__all__)
    keys = (site / "docs/reference/recipe/index.html").read_text(encoding="utf-8")
    assert "Learning rate at the start of the schedule" in keys
    chinese = (site / "README_CN/index.html").read_text(encoding="utf-8")
    assert '<html lang="zh-CN"' in chinese
    own_parts = (site / "docs/own_parts/index.html").read_text(encoding="utf-8")
    assert 'href="https://host.invalid/r/tree/main/examples/my_parts"' in own_parts


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.long
@pytest.mark.skipif(browser.program() is None, reason="needs Chromium")
def test_pages_fit_and_ask_no_other_server(site, tmp_path):
    """Phone and desktop, light and dark; MS_RESTORE_SHOTS keeps the screenshots to look at."""
    handler = functools.partial(_Quiet, directory=str(site))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    top = f"http://127.0.0.1:{server.server_port}/"
    shots = Path(os.environ.get("MS_RESTORE_SHOTS", tmp_path))
    pages = ["", "docs/gallery/", "docs/architecture/", "docs/reference/functions/"]
    try:
        with browser.opened(tmp_path) as page:
            for where, size in {"desktop": (1280, 900), "phone": (390, 844)}.items():
                for scheme in ("light", "dark"):
                    page.look(*size, scheme, phone=where == "phone")
                    for place in pages:
                        page.go(top + place)
                        wide = page.run("document.documentElement.scrollWidth - innerWidth")
                        assert wide <= 0, f"{place} is too wide on a {where}"
                        name = place.strip("/").replace("/", "_") or "home"
                        page.screenshot(shots / f"{name}_{where}_{scheme}.png")
            problems = [problem for problem in page.problems if f"asked for {top}" not in problem]
            assert not problems
    finally:
        server.shutdown()
        server.server_close()
