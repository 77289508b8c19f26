"""The report of an evaluation: its figures as tiles, histogram and table, and its pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import numpy as np
import yaml

from ms_restore import registry
from ms_restore.contracts import Figure
from ms_restore.errors import InputError
from ms_restore.report.charts import histogram
from ms_restore.report.markup import escaped, facts, folded, tiles
from ms_restore.report.page import REPORT, write_page
from ms_restore.report.picture_cards import error_scale, picture_card
from ms_restore.report.pictures import Panels, read_comparison

COMPARISONS = "comparisons"
_MOST_DIGITS = 9  # of a figure
_MOST_SHOWN = 100  # pictures; the table has all
_MOST_GENEROUS = 4.0  # times the bytes that a picture has where there are 100
_EXPLAINED = (
    "Drag across a picture, or move its slider by the arrow keys. Below or beside it: the detail "
    "(framed) in which restored and baseline differ most, and the errors of both against the "
    "original. Pictures are reduced for this page; those of <code>comparisons</code> are as they "
    "were written."
)
_FIRST = ("psnr", "ssim")  # the figures of all evaluations before one could choose


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
    """Return what metrics.json holds, checked, with a ``Figure`` for each of its "metrics".

    Numbers stand in place of the texts "inf" and "nan". Raises InputError where it is not what eval
    wrote.
    """
    try:
        figures = _figures(metrics.get("metrics"))
        rows = [{"name": str(row["name"]), **_numbers(row, figures)} for row in metrics["images"]]
        groups = {
            str(name): {"images": int(row["images"]), **_numbers(row, figures)}
            for name, row in metrics.get("groups", {}).items()
        }
        words = {key: str(metrics[key]) for key in ("model", "protocol", "baseline")}
        if not rows:
            raise ValueError("no image")
        return {
            **metrics,
            **words,
            "metrics": figures,
            "images": rows,
            "groups": groups,
            "mean": _numbers(metrics["mean"], figures),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{origin}: the figures are not those that eval writes; run eval again"
        ) from None


def _figures(stored: Any) -> dict[str, Figure]:
    """Return the figures that metrics.json says it has; ValueError where they are none."""
    if stored is None:
        return {name: registry.find("metric", name).figure for name in _FIRST}
    figures = {str(name): Figure(**figure) for name, figure in stored.items()}
    for figure in figures.values():
        if not (isinstance(figure.digits, int) and 0 <= figure.digits <= _MOST_DIGITS):
            raise ValueError(f"{figure.digits} digits")
    if not figures:
        raise ValueError("no figure")
    return figures


def leading_figure(scores: dict[str, Any]) -> tuple[str, Figure]:
    """Return the first of the figures of ``checked_scores``, and its key."""
    return next(iter(scores["metrics"].items()))


def _numbers(row: dict[str, Any], figures: Iterable[str]) -> dict[str, float]:
    return {key: float(row[key]) for name in figures for key in (name, f"baseline_{name}")}


def score_sections(folder: Path, scores: dict[str, Any]) -> Iterator[str]:
    """Yield the sections of an evaluation one by one; pictures are read as they are needed.

    ``scores`` are those of ``checked_scores``.
    """
    rows = scores["images"]
    yield tiles(_means(scores))
    yield _about(scores)
    shown = _shown(scores)
    found = {index: path for index in shown if (path := _comparison(folder, scores, index))}
    yield _histogram(scores)
    yield _table(scores, set(found))
    yield f'<h2 id="pictures">Pictures</h2>\n<p class="note">{_EXPLAINED}</p>\n'
    if len(shown) < len(rows):
        yield f'<p class="note">{len(shown)} of {len(rows)} pictures: those with the smallest and '
        yield "the largest gains.</p>\n"
    yield error_scale()
    yield from _cards(scores, found, len(shown))


def _means(scores: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield a tile of each mean, of the leading one's gain, and of the number of pictures."""
    mean, baseline = scores["mean"], scores["baseline"]
    leading, _ = leading_figure(scores)
    for key, figure in scores["metrics"].items():
        before, after = mean[f"baseline_{key}"], mean[key]
        worse = "" if figure.higher_is_better else ", lower is better"
        note = f"{baseline} {figure.plain(before)} {figure.unit}".rstrip() + worse
        yield f"mean {figure.label}", f"{figure.plain(after)} {figure.unit}".rstrip(), note
        if key == leading:
            difference = f"{figure.difference(after, before)} {figure.unit}".rstrip()
            yield figure.gained, difference, f"over {baseline}"
    yield "pictures", str(len(scores["images"])), f"protocol {scores['protocol']}"


def _cards(scores: dict[str, Any], found: dict[int, Path], shown: int) -> Iterator[str]:
    generosity = min(_MOST_GENEROUS, _MOST_SHOWN / max(1, len(found)))
    labels, leading = [scores["baseline"], scores["model"]], leading_figure(scores)
    missing = shown - len(found)
    yield '<div class="cards">\n'
    for index, path in found.items():
        panels = _panels(path)
        if panels is None:
            missing += 1
            yield f'<article class="card" id="picture-{index}">{escaped(path.name)}: cannot be read'
            yield "</article>\n"
        else:
            row = scores["images"][index]
            yield picture_card(index, row, labels, panels, generosity, leading)
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
    key, figure = leading_figure(scores)
    values = np.array([(row[f"baseline_{key}"], row[key]) for row in scores["images"]])
    groups = [(scores["baseline"], "a", values[:, 0]), (scores["model"], "b", values[:, 1])]
    drawn = histogram(f"{figure.label} of the pictures", figure.heading, groups, figure.digits)
    before, after = values[np.isfinite(values).all(axis=1)].T
    name = figure.gained
    drawn += histogram(
        f"{name.capitalize()} of the pictures",
        figure.heading,
        [(name, "b", after - before)],
        figure.digits,
    )
    return f'<h2>Distribution</h2>\n<div class="charts">{drawn}</div>\n'


def _shown(scores: dict[str, Any]) -> list[int]:
    """Return which pictures are shown: all, or those with the smallest and the largest gains."""
    rows, (key, figure) = scores["images"], leading_figure(scores)
    if len(rows) <= _MOST_SHOWN:
        return list(range(len(rows)))
    gains = np.array([figure.improvement(row[key], row[f"baseline_{key}"]) for row in rows])
    order = np.argsort(np.where(np.isfinite(gains), gains, 0.0), kind="stable").tolist()
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
    figures, (leading, _) = scores["metrics"], leading_figure(scores)
    heads = ["picture"]
    for key, figure in figures.items():
        heads += [f"{scores['baseline']} {figure.heading}", f"ours {figure.heading}"]
        heads += [f"{figure.gained} {figure.unit}".rstrip()] if key == leading else []
    head = "".join(
        f'<th scope="col"><button type="button">{escaped(name)}</button></th>' for name in heads
    )
    body = "".join(
        f"<tr><td>{_name(index, row['name'], index in linked)}</td>{_cells(row, figures)}</tr>\n"
        for index, row in enumerate(scores["images"])
    )
    means = "".join(
        f"<tr><td>mean of {escaped(name)} ({row['images']})</td>{_cells(row, figures)}</tr>\n"
        for name, row in scores["groups"].items()
    )
    means += f"<tr><td>mean</td>{_cells(scores['mean'], figures)}</tr>\n"
    return (
        '<h2>Figures</h2>\n<div class="sheet"><table class="scores">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody><tfoot>{means}</tfoot></table></div>\n"
    )


def _name(index: int, name: str, linked: bool) -> str:
    shown = f"<bdi>{escaped(name)}</bdi>"
    return f'<a href="#picture-{index}">{shown}</a>' if linked else shown


def _cells(row: dict[str, float], figures: dict[str, Figure]) -> str:
    cells = ""
    for number, (key, figure) in enumerate(figures.items()):
        before, after = row[f"baseline_{key}"], row[key]
        for value in (before, after):
            cells += f'<td data-value="{_number(value)}">{figure.plain(value)}</td>'
        if number == 0:
            better = figure.improvement(after, before)
            style = "up" if better > 0 else "down" if better < 0 else ""
            value = 0.0 if after == before else after - before  # also where both are infinite
            cells += f'<td class="{style}" data-value="{_number(value)}">'
            cells += f"{figure.difference(after, before)}</td>"
    return cells


def _number(value: float) -> str:
    """Return a figure as JavaScript reads it."""
    return str(value).replace("inf", "Infinity").replace("nan", "NaN")
