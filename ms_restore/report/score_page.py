"""The report of an evaluation: its figures as tiles, histogram and table, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import yaml

from ms_restore.errors import InputError
from ms_restore.report.charts import histogram
from ms_restore.report.markup import decimals, escaped, facts, folded, tiles
from ms_restore.report.page import REPORT, write_page
from ms_restore.report.picture_cards import error_scale, picture_card
from ms_restore.report.pictures import Panels, read_comparison
from ms_restore.report.terminal import gain

COMPARISONS = "comparisons"
_MOST_SHOWN = 100  # pictures; the table has all
_MOST_GENEROUS = 4.0  # times the bytes that a picture has where there are 100
_EXPLAINED = (
    "Drag across a picture, or move its slider by the arrow keys. Below or beside it: the detail "
    "(framed) in which restored and baseline differ most, and the errors of both against the "
    "original. Pictures are reduced for this page; those of <code>comparisons</code> are as they "
    "were written."
)
_FIGURES = ("baseline_psnr", "psnr", "baseline_ssim", "ssim")


def comparison_names(name: str) -> tuple[str, str]:
    """Return how the picture of an image is called, plain and without spaces and colons."""
    plain = name.replace("/", "_")
    return f"{plain}.png", f"{plain.replace(':', '_').replace(' ', '_')}.png"


def write_score_page(folder: Path, metrics: dict[str, Any]) -> Path:
    """Write report.html of an evaluation from its figures and the pictures in its folder.

    Returns the file. Raises InputError where it cannot be written, or the figures are not those of
    an evaluation.
    """
    path, scores = folder / REPORT, checked_scores(metrics, str(folder))
    title = f"{scores['model']}: evaluation"
    write_page(path, title, score_sections(folder, scores))
    return path


def checked_scores(metrics: Any, origin: str) -> dict[str, Any]:
    """Return what metrics.json holds, with numbers in place of the texts "inf" and "nan".

    Raises InputError where it is not what eval wrote.
    """
    try:
        rows = [{"name": str(row["name"]), **_numbers(row)} for row in metrics["images"]]
        groups = {
            str(name): {"images": int(row["images"]), **_numbers(row)}
            for name, row in metrics.get("groups", {}).items()
        }
        words = {key: str(metrics[key]) for key in ("model", "protocol", "baseline")}
        if not rows:
            raise ValueError("no image")
        return {
            **metrics,
            **words,
            "images": rows,
            "groups": groups,
            "mean": _numbers(metrics["mean"]),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{origin}: the figures are not those that eval writes; run eval again"
        ) from None


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {key: float(row[key]) for key in _FIGURES}


def score_sections(folder: Path, scores: dict[str, Any]) -> Iterator[str]:
    """Yield the sections of an evaluation one by one; pictures are read as they are needed.

    ``scores`` are those of ``checked_scores``.
    """
    mean, rows = scores["mean"], scores["images"]
    baseline, difference = scores["baseline"], gain(mean["psnr"], mean["baseline_psnr"])
    note = f"{baseline} {decimals(mean['baseline_psnr'], 2)} dB"
    yield tiles(
        [
            ("mean PSNR", f"{decimals(mean['psnr'], 2)} dB", note),
            ("gain", f"{difference} dB", f"over {baseline}"),
            ("mean SSIM", decimals(mean["ssim"], 4), f"{baseline} {mean['baseline_ssim']:.4f}"),
            ("pictures", str(len(rows)), f"protocol {scores['protocol']}"),
        ]
    )
    yield _about(scores)
    shown = _shown(rows)
    found = {index: path for index in shown if (path := _comparison(folder, scores, index))}
    yield _histogram(scores)
    yield _table(scores, set(found))
    yield f'<h2 id="pictures">Pictures</h2>\n<p class="note">{_EXPLAINED}</p>\n'
    if len(shown) < len(rows):
        yield f'<p class="note">{len(shown)} of {len(rows)} pictures: those with the smallest and '
        yield "the largest gains.</p>\n"
    yield error_scale()
    yield from _cards(scores, found, len(shown))


def _cards(scores: dict[str, Any], found: dict[int, Path], shown: int) -> Iterator[str]:
    generosity = min(_MOST_GENEROUS, _MOST_SHOWN / max(1, len(found)))
    labels = [scores["baseline"], scores["model"]]
    missing = shown - len(found)
    yield '<div class="cards">\n'
    for index, path in found.items():
        panels = _panels(path)
        if panels is None:
            missing += 1
            yield f'<article class="card" id="picture-{index}">{escaped(path.name)}: cannot be read'
            yield "</article>\n"
        else:
            yield picture_card(index, scores["images"][index], labels, panels, generosity)
    yield "</div>\n"
    if missing:
        yield f'<p class="note">{missing} of the pictures are not in comparisons/ any more, or '
        yield "cannot be read.</p>\n"


def _panels(path: Path) -> Optional[Panels]:
    try:
        panels = read_comparison(path)
    except InputError:
        return None
    return panels if len(panels.wholes) == 3 else None


def _about(scores: dict[str, Any]) -> str:
    described = scores.get("protocol_description")
    protocol = f"{scores['protocol']}: {described}" if described else scores["protocol"]
    seconds = scores.get("seconds_per_iteration")
    versions = scores.get("versions")
    named = versions.items() if isinstance(versions, dict) else ()
    listed = facts(
        [
            ("model", scores["model"]),
            ("prior", scores.get("prior")),
            ("images", scores.get("data")),
            ("degradation", scores.get("degradation")),
            ("baseline", scores["baseline"]),
            ("protocol", protocol),
            ("engine", scores.get("engine")),
            ("an iteration", f"{seconds:.3g} s" if isinstance(seconds, float) else seconds),
            ("versions", ", ".join(f"{name} {version}" for name, version in named)),
        ]
    )
    recipe = scores.get("recipe")
    if not recipe:
        return listed
    return listed + folded("Recipe", yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))


def _histogram(scores: dict[str, Any]) -> str:
    rows = scores["images"]
    drawn = histogram(
        "PSNR of the pictures",
        "dB",
        [
            (scores["baseline"], "a", np.array([row["baseline_psnr"] for row in rows])),
            (scores["model"], "b", np.array([row["psnr"] for row in rows])),
        ],
    )
    gains = np.array([row["psnr"] - row["baseline_psnr"] for row in rows if _finite(row)])
    drawn += histogram("Gain of the pictures", "dB", [("gain", "b", gains)])
    return f'<h2>Distribution</h2>\n<div class="charts">{drawn}</div>\n'


def _finite(row: dict[str, Any]) -> bool:
    return bool(np.isfinite([row["psnr"], row["baseline_psnr"]]).all())


def _shown(rows: list[dict[str, Any]]) -> list[int]:
    """Return which pictures are shown: all, or those with the smallest and the largest gains."""
    if len(rows) <= _MOST_SHOWN:
        return list(range(len(rows)))
    gains = [row["psnr"] - row["baseline_psnr"] if _finite(row) else 0.0 for row in rows]
    order = np.argsort(gains, kind="stable").tolist()
    half = _MOST_SHOWN // 2
    return sorted([*order[:half], *order[-half:]])


def _comparison(folder: Path, scores: dict[str, Any], index: int) -> Optional[Path]:
    names = comparison_names(scores["images"][index]["name"])
    for name in reversed(names) if "prior" in scores else names:  # solvers join their names
        path = folder / COMPARISONS / name
        if path.is_file():
            return path
    return None


def _table(scores: dict[str, Any], linked: set[int]) -> str:
    heads = (
        "picture",
        f"{scores['baseline']} dB",
        "ours dB",
        "gain dB",
        f"{scores['baseline']} SSIM",
        "ours SSIM",
    )
    head = "".join(
        f'<th scope="col"><button type="button">{escaped(name)}</button></th>' for name in heads
    )
    body = "".join(
        f"<tr><td>{_name(index, row['name'], index in linked)}</td>{_cells(row)}</tr>\n"
        for index, row in enumerate(scores["images"])
    )
    means = "".join(
        f"<tr><td>mean of {escaped(name)} ({row['images']})</td>{_cells(row)}</tr>\n"
        for name, row in scores["groups"].items()
    )
    means += f"<tr><td>mean</td>{_cells(scores['mean'])}</tr>\n"
    return (
        '<h2>Figures</h2>\n<div class="sheet"><table class="scores">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{means}</tfoot></table></div>\n"
    )


def _name(index: int, name: str, linked: bool) -> str:
    shown = f"<bdi>{escaped(name)}</bdi>"
    return f'<a href="#picture-{index}">{shown}</a>' if linked else shown


def _cells(row: dict[str, float]) -> str:
    difference = gain(row["psnr"], row["baseline_psnr"])
    same = row["psnr"] == row["baseline_psnr"]  # also where both are infinite
    value = 0.0 if same else row["psnr"] - row["baseline_psnr"]
    style = "up" if value > 0 else "down" if value < 0 else ""
    return (
        f"{_cell(row['baseline_psnr'], 2)}{_cell(row['psnr'], 2)}"
        f'<td class="{style}" data-value="{_number(value)}">{escaped(difference)}</td>'
        f"{_cell(row['baseline_ssim'], 4)}{_cell(row['ssim'], 4)}"
    )


def _cell(value: float, digits: int) -> str:
    return f'<td data-value="{_number(value)}">{decimals(value, digits)}</td>'


def _number(value: float) -> str:
    """Return a figure as JavaScript reads it."""
    return str(value).replace("inf", "Infinity").replace("nan", "NaN")
