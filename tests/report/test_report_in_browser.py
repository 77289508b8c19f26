"""The report in a real browser: sorting, sliders, both widths, both colour schemes."""

import os
from pathlib import Path

import numpy as np
import pytest

from ms_restore.contracts import Figure
from ms_restore.report.page import write_page
from ms_restore.report.picture_cards import picture_card
from ms_restore.report.pictures import Panels
from ms_restore.verbs.reporting import write_report
from tests.fixtures import browser
from tests.fixtures.reports import HOSTILE, evaluation, training_run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.program() is None, reason="needs Chromium"),
]
NAMES = ["b_10", "b_9", "a", *HOSTILE]
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
AT = "parseFloat(document.querySelector('.compare').style.getPropertyValue('--at'))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with an evaluation, and a report of both."""
    made = tmp_path_factory.mktemp("run")
    training_run(made)
    evaluation(made / "eval", NAMES)
    write_report(made)
    return made


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.opened(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def _shown(page):
    return page.run("[...document.querySelectorAll('tbody td:first-child')].map(c => c.innerText)")


def _cards(page):
    return page.run("[...document.querySelectorAll('.card')].map(c => Number(c.id.slice(8)))")


def test_a_click_on_a_heading_sorts_table_and_pictures(page, folder):
    page.look(*SIZES["desktop"])
    page.open(folder / "eval" / "report.html")
    numbers = list(range(len(NAMES)))
    assert _cards(page) == numbers
    page.click("th:nth-child(3) button")  # PSNR, which grows with the number
    assert _cards(page) == numbers
    page.click("th:nth-child(3) button")
    assert _cards(page) == numbers[::-1]
    heading = "document.querySelector('th:nth-child(3)').getAttribute('aria-sort')"
    assert page.run(heading) == "descending"
    page.click("th:nth-child(1) button")
    order = [name for name in _shown(page) if name in NAMES[:3]]
    assert order == ["a", "b_9", "b_10"]  # numbers in names count as numbers
    assert page.run("document.querySelectorAll('th[aria-sort]').length") == 1
    assert page.run("document.querySelector('tfoot td').innerText") == "mean"
    assert page.problems == []


def test_the_slider_follows_mouse_and_keys(page, folder):
    page.look(*SIZES["desktop"])
    page.open(folder / "eval" / "report.html")
    assert page.run(AT) == 50
    left, top, width, height = page.place(".compare")
    page.mouse("mousePressed", left + width * 0.5, top + height / 2)
    page.mouse("mouseMoved", left + width * 0.2, top + height / 2)
    assert page.run(AT) == pytest.approx(20, abs=2)
    page.mouse("mouseReleased", left + width * 0.2, top + height / 2)
    page.mouse("mouseMoved", left + width * 0.8, top + height / 2)
    assert page.run(AT) == pytest.approx(20, abs=2)  # released
    before = page.run(AT)
    for _ in range(3):
        page.key("ArrowRight", 39)
    assert page.run(AT) == before + 3
    page.key("Home", 36)
    assert page.run(AT) == 0
    clip = "getComputedStyle(document.querySelector('.compare img + img')).clipPath"
    assert "100%" in page.run(clip)  # nothing of the baseline is seen
    assert page.problems == []


def test_the_slider_follows_a_finger(page, folder):
    page.look(*SIZES["phone"], phone=True)
    page.open(folder / "eval" / "report.html")
    left, top, width, height = page.place(".compare")
    page.touch(*((left + width * at, top + height / 2) for at in (0.5, 0.6, 0.7, 0.8, 0.9)))
    assert page.run(AT) == pytest.approx(90, abs=4)
    assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("where", ["", "eval"])
def test_the_page_fits(page, folder, tmp_path, where, size, scheme):
    width, height = SIZES[size]
    page.look(width, height, scheme, phone=size == "phone")
    page.open(folder / where / "report.html")
    page.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("innerWidth") == width  # a phone would zoom out
    wide = "[...document.querySelectorAll('main > *, .card *')].filter(e => "
    wide += f"e.getBoundingClientRect().right > {width} + 0.5).map(e => e.className || e.tagName)"
    assert page.run(wide) == []
    colours = page.run(
        "['backgroundColor', 'color'].map(k => getComputedStyle(document.body)[k])"
        ".map(c => c.match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
    )
    assert abs(colours[0] - colours[1]) > 400
    assert (colours[0] > colours[1]) == (scheme == "light")
    assert page.run("document.title") == ("net: evaluation" if where else "net: training run")
    shots = Path(os.environ.get("REPORT_SHOTS", tmp_path))
    page.screenshot(shots / f"{where or 'run'}_{size}_{scheme}.png")
    assert (shots / f"{where or 'run'}_{size}_{scheme}.png").stat().st_size > 10_000
    assert page.problems == []


def test_every_picture_is_decoded(page, folder):
    page.look(*SIZES["desktop"])
    page.open(folder / "eval" / "report.html")
    broken = page.run(
        "Promise.all([...document.images].map(i => { i.loading = 'eager'; "
        "return i.decode().then(() => '', e => i.alt); })).then(found => found.filter(Boolean))"
    )
    assert broken == []


def test_a_hundred_pictures_open_at_once(page, tmp_path):
    """Noise, which compresses worst: below 20 MB, and 2 s of the browser's work."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((360, 480), (96, 96))]
    panels = Panels([noise[0]] * 3, [noise[1]] * 3)
    row = {"name": "noise", "psnr": 30.0, "baseline_psnr": 20.0}
    card = picture_card(12345, row, ["noisy", "net"], panels, 1.0, ("psnr", Figure("PSNR", "dB")))
    path = tmp_path / "report.html"
    cards = (card.replace("picture-12345", f"picture-{number}") for number in range(100))
    write_page(path, "noise", cards)
    assert 8e6 < path.stat().st_size < 20e6
    page.look(*SIZES["desktop"])
    page.call("Performance.enable", timeDomain="threadTicks")
    page.open(path)
    metrics = page.call("Performance.getMetrics")["metrics"]
    spent = {metric["name"]: metric["value"] for metric in metrics}["TaskDuration"]
    page.call("Performance.disable")
    print(f"{path.stat().st_size / 1e6:.1f} MB, {spent:.2f} s of the processor")
    assert spent < 2
    assert page.run("document.querySelectorAll('.card').length") == 100
    assert page.problems == []
