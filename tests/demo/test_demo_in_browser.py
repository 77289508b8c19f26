"""The demo in a real browser: a server of its own, pictures that are dropped, and their results."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.data import photos
from ms_restore.files import cache_folder
from ms_restore.images.reading import read_picture
from tests.conftest import TOP
from tests.fixtures import browser

pytest.importorskip("starlette", reason="needs the extra demo")
pytest.importorskip("uvicorn", reason="needs the extra demo")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.program() is None, reason="needs Chromium"),
]
SIZES = {"phone": (390, 844), "desktop": (1280, 860)}
SECONDS = 60


class Served:
    """A demo in a process of its own, with a home, a temporary and a working folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.home, self.temporary, self.cwd = (folder / name for name in ("home", "tmp", "cwd"))
        self.results = folder / "results"
        for made in (self.home, self.temporary, self.cwd):
            made.mkdir()
        own = {"HOME": self.home, "TMPDIR": self.temporary, "MS_RESTORE_HOME": cache_folder()}
        path = os.pathsep.join([str(TOP), os.environ.get("PYTHONPATH", "")])
        words = ["--port", "0", "--max_megapixels", "1", "--output_dir", self.results]
        self._log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ms_restore", "demo", *words, "--device_target", "CPU"],
            cwd=self.cwd,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **{k: str(v) for k, v in own.items()}, "PYTHONPATH": path},
        )
        self.address = ""
        until = time.monotonic() + SECONDS
        while not self.address and self.process.poll() is None and time.monotonic() < until:
            found = re.search(r"demo at (http://127\.0\.0\.1:\d+/) ", self.said())
            self.address = found[1] if found else ""
            time.sleep(0.05)
        assert self.address, self.said()

    def said(self) -> str:
        """What it has printed."""
        return Path(self._log.name).read_text()

    def ask(self, path: str, body=None, headers=None) -> tuple[int, str]:
        """The answer to a request that no browser sends: its status and text."""
        request = urllib.request.Request(self.address + path, body, headers or {})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def end(self) -> int:
        """Ask it to end, and return its exit code."""
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    started = Served(tmp_path_factory.mktemp("demo"))
    yield started
    if started.process.poll() is None:
        started.process.kill()


@pytest.fixture(scope="module")
def page(served, tmp_path_factory):
    with browser.opened(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def begun(page, served):
    """The page as a visitor finds it."""
    _begin(page, served)
    return page


def _begin(page, served):
    page.look(*SIZES["desktop"])
    page.go(served.address)
    _until(page, "document.getElementById('model').options.length > 0")


def _until(page, condition):
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if page.run(condition):
            return
        time.sleep(0.05)
    raise AssertionError(f"{condition}; status {_text(page, 'status')}, {_text(page, 'problem')}")


def _text(page, id):
    return page.run(f"document.getElementById('{id}').textContent")


def _choose(page, id, value):
    page.run(
        f"(() => {{ const it = document.getElementById('{id}'); it.value = '{value}'; "
        "it.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def _drop(page, path):
    """Drop a file onto the page, as from a folder's window."""
    left, top, width, height = page.place("#stage")
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.call(
            "Input.dispatchDragEvent",
            type=kind,
            x=left + width / 2,
            y=top + height / 2,
            data=data,
        )


SHOWN = "!document.getElementById('compare').hidden"
PROBLEM = "!document.getElementById('problem').hidden"
GIVEN = "!document.getElementById('run').disabled"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A small photo, under a name that is a path and markup."""
    path = tmp_path_factory.mktemp("given") / "..<b>&%2e%2e%2fcat.png"
    PIL.Image.fromarray(photos.load("chelsea")[100:164, 100:180]).save(path)
    return path


def test_a_dropped_picture_is_restored_as_by_infer(begun, served, photo, tmp_path):
    _choose(begun, "model", "edsr_small_x2")
    _drop(begun, photo)
    _until(begun, GIVEN)
    assert photo.name in _text(begun, "facts")
    begun.click("#run")
    _until(begun, SHOWN)
    facts = _text(begun, "facts")
    assert "80×64 → 160×128 pixels" in facts and "engine onnxruntime" in facts
    sizes = begun.run("[...document.querySelectorAll('#compare img')].map(i => i.naturalWidth)")
    assert sizes == [160, 160]  # before is enlarged
    link = begun.run("document.getElementById('download').href")
    restored, expected = tmp_path / "restored.png", tmp_path / "expected.png"
    with urllib.request.urlopen(link) as answer:
        name = answer.headers["Content-Disposition"]
        restored.write_bytes(answer.read())
    assert "edsr_small_x2.png" in name and "/" not in name.replace("UTF-8''", "")
    api.infer("edsr_small_x2", photo, expected, device_target="CPU")
    assert np.array_equal(read_picture(restored).pixels, read_picture(expected).pixels)
    kept = list(served.results.glob("*.png"))
    assert [path.read_bytes() for path in kept] == [restored.read_bytes()]


def test_the_slider_follows_mouse_and_keys(begun):
    begun.click("#sample")
    _until(begun, SHOWN)
    at = "document.getElementById('compare').style.getPropertyValue('--at')"
    left, top, width, height = begun.place("#compare")
    assert begun.run(at) == "50%"
    begun.mouse("mousePressed", left + width / 2, top + height / 2)
    begun.mouse("mouseMoved", left + width * 0.2, top + height / 2)
    begun.mouse("mouseReleased", left + width * 0.2, top + height / 2)
    assert float(begun.run(at)[:-1]) == pytest.approx(20, abs=2)
    begun.key("End", 35)
    assert begun.run(at) == "100%"


def test_what_cannot_be_restored_gets_a_line_and_the_page_works_on(begun, photo, tmp_path):
    damaged, large, colour = (tmp_path / f"{name}.png" for name in ("damaged", "large", "colour"))
    damaged.write_bytes(photo.read_bytes()[:2000])
    PIL.Image.new("RGB", (1300, 1000)).save(large)
    PIL.Image.fromarray(photos.load("chelsea")[:40, :40]).save(colour)
    lines = {
        damaged: r"damaged\.png: damaged or truncated image",
        large: r"large\.png: declares 1300x1000 pixels.*limit of 1 megapixels.*--max_megapixels 2",
    }
    for path, line in lines.items():
        _drop(begun, path)
        _until(begun, PROBLEM)
        assert re.match(line, _text(begun, "problem"))
    _choose(begun, "task", "demosaic")
    begun.click("#tab-restore")
    _drop(begun, colour)
    _until(begun, GIVEN)
    assert not begun.run(PROBLEM)
    begun.click("#run")
    _until(begun, PROBLEM)
    assert re.match(r"colour\.png: demosaic takes a mosaic of one channel", _text(begun, "problem"))
    _choose(begun, "task", "denoise")
    begun.click("#run")
    _until(begun, SHOWN)
    assert not begun.run(PROBLEM)


def test_what_is_painted_over_is_filled_in(begun, photo):
    begun.click("#tab-restore")
    _choose(begun, "task", "inpaint")
    _drop(begun, photo)
    _until(begun, GIVEN)
    begun.click("#run")
    _until(begun, PROBLEM)
    assert "paint over" in _text(begun, "problem")
    left, top, width, height = begun.place("#given canvas")
    begun.mouse("mousePressed", left + width * 0.3, top + height / 2)
    begun.mouse("mouseMoved", left + width * 0.7, top + height / 2)
    begun.mouse("mouseReleased", left + width * 0.7, top + height / 2)
    begun.click("#run")
    _until(begun, SHOWN)
    before, after = begun.run(
        "[...document.querySelectorAll('#compare img')].map(i => { "
        "const c = document.createElement('canvas'); c.width = 80; c.height = 64; "
        "const p = c.getContext('2d'); p.drawImage(i, 0, 0); "
        "return [...p.getImageData(0, 0, 80, 64).data]; })"
    )
    changed = np.abs(np.array(before, float) - after).reshape(64, 80, 4).max(axis=2)
    assert changed[24:40, 24:56].mean() > 3 * changed[:16].mean()


def test_cancel_ends_the_work_and_the_next_visitor_has_a_turn(begun, served, tmp_path_factory):
    folder = tmp_path_factory.mktemp("second")
    PIL.Image.fromarray(photos.load("chelsea")[:150, :225]).save(folder / "part.png")
    with browser.opened(folder) as second:
        _begin(second, served)
        begun.click("#tab-restore")
        _choose(begun, "task", "super_resolve")  # of 24 iterations
        _drop(begun, folder / "part.png")
        _until(begun, GIVEN)
        begun.click("#run")
        _until(begun, "/iteration [1-9] of 24/.test(document.getElementById('status').textContent)")
        second.click("#sample")
        _until(second, "/1 run comes before/.test(document.getElementById('status').textContent)")
        begun.click("#cancel")
        _until(begun, PROBLEM)
        assert _text(begun, "problem") == "Cancelled."
        assert begun.run("document.getElementById('progress').hidden")
        _until(second, SHOWN)
        assert not second.run(PROBLEM)
    assert "super_resolve" not in " ".join(path.name for path in served.results.iterdir())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits(begun, tmp_path, size, scheme):
    width, height = SIZES[size]
    begun.look(width, height, scheme, phone=size == "phone")
    shots = Path(os.environ.get("DEMO_SHOTS", tmp_path))
    for tab in ("improve", "restore"):
        begun.click(f"#tab-{tab}")
        assert begun.run("document.documentElement.scrollWidth") <= width
        assert begun.run("innerWidth") == width  # a phone would zoom out
        begun.screenshot(shots / f"{tab}_{size}_{scheme}.png", whole=True)
    small = begun.run(
        "[...document.querySelectorAll('#tab-improve, #run, #sample, select')].filter(e => "
        "e.offsetParent && e.getBoundingClientRect().height < 36).map(e => e.id)"
    )
    assert small == []
    colours = begun.run(
        "['backgroundColor', 'color'].map(k => getComputedStyle(document.body)[k])"
        ".map(c => c.match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
    )
    assert (colours[0] > colours[1]) == (scheme == "light")


def test_strangers_get_nothing(served):
    ours = {"X-MS-Restore": "1"}
    assert served.ask("about", headers={"Host": "evil.invalid"})[0] == 403
    assert served.ask("pictures?name=a.png", b"x")[0] == 403  # as a form of another site sends it
    for path in ("files/../../etc/passwd", "files/%2e%2e%2fpage.py", "files/x", "turns.py", "x/.."):
        status, text = served.ask(path)
        assert status in (400, 404) and "root:" not in text and "import" not in text
    status, text = served.ask("pictures?name=" + "../" * 9 + "tmp/x.png", b"no picture", ours)
    assert (status, json.loads(text)["problem"].startswith("x.png: not an image")) == (400, True)
    status, text = served.ask("pictures?name=a.png", bytes(17 << 20), ours)
    assert (status, "larger than 16 MB" in text) == (400, True)
    wrong = ({"task": "deblur", "picture": "x", "kernel": "/etc/x.npy"}, {"task": "x"}, [])
    for order in wrong:
        status, text = served.ask("runs/restore", json.dumps(order).encode(), ours)
        assert (status, list(json.loads(text))) == (400, ["problem"])
    assert served.ask("runs/restore", b"{" * 20_000, ours)[0] == 400


def test_nothing_was_asked_elsewhere_and_nothing_written_outside(page, served):
    """The last one: of all the pages that were opened before."""
    asked = [problem for problem in page.problems if problem.startswith("asked for")]
    assert len(asked) > 8
    here = ("asked for blob:", f"asked for {served.address}")
    assert [url for url in asked if not url.startswith(here)] == []
    others = [problem for problem in page.problems if not problem.startswith("asked for")]
    assert [problem for problem in others if "400 (Bad Request)" not in problem] == []
    own = [path for path in served.results.iterdir() if path.name.startswith(".ms_restore_demo_")]
    assert len(own) == 1 and own[0].stat().st_mode & 0o077 == 0
    assert all(re.fullmatch(r"[\w-]{22}\.\w+", path.name) for path in own[0].iterdir())
    assert served.end() == 0
    assert "demo ended" in served.said() and "Traceback" not in served.said()
    names = [path.name for path in served.results.iterdir()]
    assert names and all(re.fullmatch(r"\d{8}_\d{6}_\w+_[0-9a-f]{8}\.png", name) for name in names)
    for folder in (served.home, served.temporary, served.cwd):
        assert list(folder.rglob("*")) == []
