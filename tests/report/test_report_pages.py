"""The report of an evaluation and of a run: what is in it, its size, and what it is safe from."""

import base64
import io
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import PIL.Image
import pytest

from ms_restore import api
from ms_restore.contracts import Figure
from ms_restore.errors import InputError
from ms_restore.report import charts, picture_cards, score_page
from ms_restore.report.picture_cards import BYTES_PER_PICTURE, encoded, errors_drawn, picture_card
from ms_restore.report.pictures import Panels, comparison, read_comparison
from ms_restore.verbs.reporting import write_report
from tests.fixtures.reports import HOSTILE, evaluation, training_run
from tests.test_full_disk import FULL, assert_kept, old

LEADING = ("psnr", Figure("PSNR", "dB", digits=2))


class _Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_comparison_picture_is_read_back(tmp_path):
    rng = np.random.default_rng(0)
    original, restored = rng.random((2, 200, 300, 3), np.float32)
    baseline = restored.copy()
    baseline[60:90, 210:230] = 0
    comparison(tmp_path / "c.png", [("a", baseline), ("b", restored), ("c", original)])
    panels = read_comparison(tmp_path / "c.png")
    assert [whole.shape for whole in panels.wholes] == [(320, 480, 3)] * 3
    assert [detail.shape for detail in panels.details] == [(96, 96, 3)] * 3
    windows = np.lib.stride_tricks.sliding_window_view
    pixels = np.round(original * 255).astype(np.uint8)
    places = (windows(pixels[..., 0], (96, 96)) == panels.details[2][..., 0]).all(axis=(2, 3))
    assert places.sum() == 1  # pixel for pixel


@pytest.mark.parametrize("side", [11, 37, 64, 95])
def test_a_small_detail_is_read_back(tmp_path, side):
    image = np.random.default_rng(0).random((side, side, 3), np.float32)
    comparison(tmp_path / "c.png", [("a", image), ("b", image), ("c", image)])
    detail = read_comparison(tmp_path / "c.png").details[1]
    assert side <= len(detail) <= 96
    shown = PIL.Image.fromarray(detail).resize((480, 480), PIL.Image.Resampling.NEAREST)
    pixels = PIL.Image.fromarray(np.round(image * 255).astype(np.uint8))
    expected = pixels.resize((480, 480), PIL.Image.Resampling.NEAREST)
    assert np.array_equal(np.asarray(shown), np.asarray(expected))


def test_another_picture_is_no_comparison(tmp_path):
    PIL.Image.new("RGB", (640, 700)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"photo\.png: not a comparison picture of eval"):
        read_comparison(tmp_path / "photo.png")


def test_an_evaluation_has_a_page_of_its_own(tmp_path):
    inf = {"groups": {"Set5": {"images": 2, "psnr": "inf", "ssim": 1.0}}}
    inf["groups"]["Set5"] |= {"baseline_psnr": "nan", "baseline_ssim": 0.5}
    evaluation(tmp_path, ["one", "two"], inf)
    page = _Page(tmp_path / "report.html")
    for word in ("gaussian, sigma 25/255", "onnxruntime", "ms_restore 9.8.7", "lr: 0.00123"):
        assert word in page.text
    for word in ("31.00 dB", "+11.00 dB", "mean of Set5 (2)", "PSNR of the pictures"):
        assert word in page.text
    assert [a["data-value"] for a in page.named("td") if "data-value" in a][:3] == [
        "20.0",
        "30.0",
        "10.0",
    ]
    assert {"Infinity", "NaN"} <= {a.get("data-value") for a in page.named("td")}
    links = [a["href"] for a in page.named("a")]
    assert links == ["#picture-0", "#picture-1"]
    assert {f"#{a['id']}" for a in page.named("article")} == set(links)
    assert len(page.named("input")) == 2
    assert len(page.named("img")) == 2 * 7
    for image in page.named("img"):
        assert image["loading"] == "lazy" and image["alt"]
        content = base64.b64decode(image["src"].partition("base64,")[2])
        assert PIL.Image.open(io.BytesIO(content)).size == tuple(
            int(image[side]) for side in ("width", "height")
        )


def test_the_chosen_figures_are_shown(tmp_path):
    """Lower is better, and a picture that got worse; the first figure leads."""
    figures = {
        "niqe": {"label": "NI<b>QE", "digits": 2, "higher_is_better": False},
        "ssim": {"label": "SSIM", "digits": 4},
    }
    rows = [
        {"name": "one", "niqe": 4.126, "ssim": 0.9, "baseline_niqe": 9.0, "baseline_ssim": 0.5},
        {"name": "two", "niqe": 9.5, "ssim": 0.9, "baseline_niqe": 9.0, "baseline_ssim": 0.5},
        {"name": "three", "niqe": "inf", "ssim": 1, "baseline_niqe": "inf", "baseline_ssim": 1},
    ]
    evaluation(tmp_path, ["one"])
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    metrics |= {"metrics": figures, "images": rows, "mean": rows[0]}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    write_report(tmp_path)
    page = _Page(tmp_path / "report.html")
    assert "PSNR" not in page.text and " dB" not in page.text
    for word in ("mean NI<b>QE", "NI<b>QE of the pictures", "lower is better", "net NI<b>QE 4.13"):
        assert word in page.text
    assert page.text.count("Change of the pictures") == 1 and "Gain" not in page.text
    cells = [a for a in page.named("td") if "data-value" in a]
    assert [a["class"] for a in cells if "class" in a] == ["up", "down", "", "up"]
    assert [float(a["data-value"]) for a in cells[:5]] == [9.0, 4.126, -4.874, 0.5, 0.9]
    assert "-4.87" in page.text and "0.9000" in page.text


def test_nothing_is_fetched(tmp_path):
    evaluation(tmp_path, ["one"])
    page = _Page(tmp_path / "report.html")
    policy = page.named("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; img-src data:;") and "sha256-" in policy
    for _, attributes in page.elements:
        for key in ("src", "href", "srcset", "action", "data"):
            assert str(attributes.get(key, "#")).startswith(("data:", "#"))
    assert not re.search(r"url\(|@import", (tmp_path / "report.html").read_text())


def test_names_are_escaped(tmp_path):
    names = [name.replace("/", "_") for name in HOSTILE]
    evaluation(tmp_path, names)
    page = _Page(tmp_path / "report.html")
    assert len(page.named("script")) == 1
    assert not [a for _, a in page.elements if any(key.startswith("on") for key in a)]
    assert len(page.named("img")) == 7 * len(names)
    for name in names[:4]:
        assert page.text.count(name) == 2  # the table and the card
    assert "caf\\udce9" in page.text
    assert "\x1b" not in page.text and "\\x1b[31m" in page.text


def test_a_hostile_model_and_degradation_are_escaped(tmp_path):
    bad = "<script>x</script>"
    changed = dict.fromkeys(("model", "baseline", "protocol", "degradation", "engine"), bad)
    evaluation(tmp_path, ["one"], {**changed, "recipe": {bad: bad}, "versions": {bad: bad}})
    page = _Page(tmp_path / "report.html")
    assert len(page.named("script")) == 1
    assert page.text.count(bad) > 10


@pytest.mark.parametrize("shape", [(480, 480), (3000, 480), (20, 480)])
def test_a_picture_has_a_bounded_size(shape):
    """Noise, which compresses worst; a report of 100 stays below 15 MB."""
    rng = np.random.default_rng(0)
    panels = Panels(
        [rng.integers(0, 256, (*shape, 3), np.uint8) for _ in range(3)],
        [rng.integers(0, 256, (96, 96, 3), np.uint8) for _ in range(3)],
    )
    row = {"name": "x" * 255, "psnr": 30.0, "baseline_psnr": 20.0}
    card = picture_card(99, row, ["bicubic", "net"], panels, 1.0, LEADING)
    assert len(card) < BYTES_PER_PICTURE
    assert 100 * BYTES_PER_PICTURE < 15e6


def test_few_pictures_are_shown_better_and_many_are_left_out(tmp_path, monkeypatch):
    evaluation(tmp_path, list("abcd"))
    four = (tmp_path / "report.html").stat().st_size
    monkeypatch.setattr("ms_restore.report.score_page._MOST_SHOWN", 2)
    write_report(tmp_path)
    page = _Page(tmp_path / "report.html")
    assert [a["id"] for a in page.named("article")] == ["picture-0", "picture-3"]
    assert "2 of 4 pictures: those with the smallest and the largest gains" in page.text
    assert len([a for a in page.named("td") if "data-value" in a]) == 5 * 5  # all, and the mean
    assert (tmp_path / "report.html").stat().st_size < four * 0.6


def test_pictures_are_read_one_by_one(tmp_path, monkeypatch):
    """So that memory does not grow with them."""
    metrics, read = evaluation(tmp_path, list("abc")), []

    def counted(path):
        read.append(path)
        return read_comparison(path)

    monkeypatch.setattr(score_page, "read_comparison", counted)
    scores = score_page.checked_scores(metrics, "here")
    for section in score_page.score_sections(tmp_path, scores):
        if section.startswith("<article"):
            assert f'id="picture-{len(read) - 1}"' in section
    assert len(read) == 3


def test_pictures_fit_their_bytes():
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    kind, content = encoded(image, 60_000, exact=True)
    assert kind == "webp"
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(content))), image)
    for most in (9000, 3000, 700):
        kind, content = encoded(image, most, exact=True)
        assert kind == "jpeg" and len(content) <= most


def test_errors_are_drawn_on_one_scale():
    x = np.full((6, 8, 3), 100, np.uint8)
    drawn = [errors_drawn(x + np.uint8(error), x)[0, 0] for error in (0, 16, 32, 90)]
    assert drawn[0].tolist() == picture_cards._COLOURS[0].tolist()
    assert drawn[2].tolist() == drawn[3].tolist() == picture_cards._COLOURS[-1].tolist()
    assert drawn[1].tolist() not in (drawn[0].tolist(), drawn[2].tolist())


def test_the_page_of_a_run_has_its_curves(tmp_path):
    training_run(tmp_path)
    assert api.write_report(tmp_path) == tmp_path / "report.html"
    page = _Page(tmp_path / "report.html")
    for word in ("Loss", "Validation PSNR", "Learning rate", "26.00 dB", "at step 600"):
        assert word in page.text
    assert "5e-4" in page.text  # beside the axis of the learning rate
    assert "$ ms-restore train --model 'a b'" in page.text
    assert "a <b>net</b>" in page.text and "gaussian, sigma_255 25" in page.text
    lines = [a["points"].split() for a in page.named("polyline")]
    assert len(lines) == 5
    assert len(lines[0]) == 240  # 599 steps with a loss, averaged
    places = [tuple(map(float, place.split(","))) for line in lines for place in line]
    assert all(0 <= x <= 480 and 0 <= y <= 260 for x, y in places)
    first, last = (float(lines[0][place].split(",")[1]) for place in (0, -1))
    assert first < last  # the loss falls


def test_the_page_of_a_run_has_its_evaluation(tmp_path):
    training_run(tmp_path, 40)
    evaluation(tmp_path / "eval", ["one"])
    write_report(tmp_path)
    page = _Page(tmp_path / "report.html")
    assert "Curves" in page.text and "Evaluation" in page.text
    assert len(page.named("article")) == 1


def test_the_page_of_a_real_run(run, in_process):
    done = in_process("report", run.folder)
    assert not done.returncode, done.stderr
    page = _Page(run.folder / "report.html")
    assert f"{run.psnr:.2f} dB" in page.text
    assert "to train on" in page.text and "of 6" in page.text
    (run.folder / "report.html").unlink()


def test_charts_of_odd_values():
    nan, x = float("nan"), np.arange(3.0)
    assert charts.curves("t", "u", [charts.Curve("c", "a", x, np.full(3, nan))]) == ""
    assert charts.histogram("t", "u", [("c", "a", np.array([np.inf]))]) == ""
    for values in ([5, 5, 5], [0, 0, 0], [-1, nan, 1e9], [1e-30, 1, 1e30], [-2, -2, -2]):
        drawn = charts.curves("t", "u", [charts.Curve("c", "a", x, np.array(values, float))])
        assert "nan" not in drawn and "inf" not in drawn
        assert 0 < drawn.count('class="end"') < 80
    assert charts.histogram("t", "dB", [("c", "a", np.array([20.0]))]).count("<rect") == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "the figures are not those that eval writes"),
        ('{"images": [], "model": "m", "protocol": "p", "baseline": "b"}', "run eval again"),
        ('{"images": [{"name": "a", "psnr": "x"}]}', "run eval again"),
        ('{"metrics": {"psnr": {"label": "P", "digits": 1e9}}, "images": []}', "run eval again"),
        ('{"metrics": {"psnr": {"name": "P"}}, "images": []}', "run eval again"),
        ('{"metrics": [], "images": []}', "run eval again"),
        ("{", "not valid JSON"),
    ],
)
def test_damaged_figures_are_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=said):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_folder_without_a_report(tmp_path, in_process):
    done = in_process("report", tmp_path / "gone")
    assert done.returncode == 2
    assert "no such folder; name the folder of a training run or of an eval" in done.stderr
    done = in_process("report", tmp_path)
    assert "has neither recipe.yaml nor metrics.json" in done.stderr
    (tmp_path / "recipe.yaml").write_text("model: x")
    assert "not the recipe that a run writes" in in_process("report", tmp_path).stderr


def test_pictures_that_are_gone_are_said(tmp_path):
    evaluation(tmp_path, ["one", "two", "three"])
    (tmp_path / "comparisons" / "one.png").unlink()
    (tmp_path / "comparisons" / "two.png").write_bytes(b"damaged")
    write_report(tmp_path)
    page = _Page(tmp_path / "report.html")
    assert "2 of the pictures are not in comparisons/ any more" in page.text
    assert len(page.named("input")) == 1
    shutil.rmtree(tmp_path / "comparisons")
    write_report(tmp_path)
    assert "3 of the pictures are not in" in _Page(tmp_path / "report.html").text


def test_names_do_not_lead_out_of_the_folder(tmp_path):
    evaluation(tmp_path / "eval", ["one"])
    (tmp_path / "eval" / "comparisons" / "one.png").rename(tmp_path / "secret.png")
    path = tmp_path / "eval" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["images"][0]["name"] = "../../secret"
    path.write_text(json.dumps(metrics))
    write_report(tmp_path / "eval")
    assert not _Page(tmp_path / "eval" / "report.html").named("img")


def test_an_old_report_is_kept_where_the_disk_is_full(disk, tmp_path):
    training_run(tmp_path, 20)
    for name in ("recipe.yaml", "log.jsonl"):
        shutil.copyfile(tmp_path / name, disk / name)
    path = old(disk / "report.html")
    with pytest.raises(InputError, match=rf"report\.html: {FULL}"):
        write_report(disk)
    for name in ("recipe.yaml", "log.jsonl"):
        (disk / name).unlink()
    assert_kept(path)
