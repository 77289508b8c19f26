"""models: the table of the models, and where their weights are."""

from __future__ import annotations

import string
from typing import Any, NamedTuple, Optional, Union

from ms_restore import recipe as recipes
from ms_restore import texts
from ms_restore.errors import InputError
from ms_restore.report.tables import Column, print_table
from ms_restore.report.terminal import say
from ms_restore.verbs.weights import list_weights

WEIGHTS = ("here", "download", "yours")
"""Where weights are: come along or were fetched; by download; trained by you, or a prior's."""


class ModelRow(NamedTuple):
    """A line of the table; texts are empty where nothing is known."""

    name: str
    network: str
    task: str
    scale: str
    parameters: str
    gigaflops: str
    psnr: str
    weights: str


def models_table(network: Optional[str] = None, weights: Optional[str] = None) -> list[ModelRow]:
    """Print the models, and return what was printed.

    Args:
        network: of this network alone, or of this solver.
        weights: whose weights are "here", come by "download", or are "yours" to train.

    Raises:
        InputError: no model is left.
    """
    facts = _read("facts.yaml", {})
    where = list_weights()
    rows = [
        _row(name, data, facts.get(name, {}), where.get(name))
        for name, data in recipes.raw_recipes().items()
    ]
    known = sorted({row.network for row in rows})
    rows = [row for row in rows if network in (None, row.network)]
    rows = [row for row in rows if weights is None or row.weights == weights]
    if not rows:
        raise InputError(f"no such model; networks: {', '.join(known)}")
    rows, legend = _with_figures(rows, _read("figures.yaml", []))
    columns = [
        Column("model"),
        Column("network", most=11),
        Column("undoes", most=10),
        Column("x", right=True),
        Column("params", right=True),
        Column("GFLOP", right=True),
        Column("PSNR"),
        Column("weights"),
    ]
    print_table(columns, rows)
    say("params: in millions; GFLOP: for an input of 256x256; yours: to train or convert")
    for line in legend:
        say(line)
    return rows


def _read(name: str, otherwise: Any) -> Any:
    """What a YAML file beside the recipes holds, if it is there."""
    path = recipes.folder() / name
    return texts.parse_yaml(texts.read_text(path), str(path)) if path.is_file() else otherwise


def _with_figures(
    rows: list[ModelRow], groups: list[dict[str, Any]]
) -> tuple[list[ModelRow], list[str]]:
    """The rows with their PSNR, each with a letter, and the lines that explain the letters.

    A group of figures are those of one set and one source.
    """
    names, letters, legend = {row.name for row in rows}, iter(string.ascii_letters), []
    figures = {}
    for group in groups:
        here = {name: psnr for name, psnr in group["psnr"].items() if name in names}
        if here:
            letter = next(letters)
            figures.update({name: f"{_two_digits(psnr)}{letter}" for name, psnr in here.items()})
            legend.append(f"{letter}: dB, {group['set']}; {group['source']}")
    return [row._replace(psnr=figures.get(row.name, "")) for row in rows], legend


def _two_digits(psnr: Union[float, str]) -> str:
    """A figure as text; what was stated with fewer digits is a text already."""
    return psnr if isinstance(psnr, str) else f"{psnr:.2f}"


def _row(name: str, data: dict[str, Any], facts: dict[str, Any], where: Optional[str]) -> ModelRow:
    network, undone = _part(data["network"]), _part(data["degradation"])
    part = _part(data["solver"]) if data.get("solver") else network
    scale = network.get("scale", undone.get("scale"))
    place = {"comes along": "here", "in the cache": "here", "by download": "download"}.get(
        where or "", "prior's" if data.get("solver") else "yours"
    )
    parameters, flops = facts.get("parameters"), facts.get("gigaflops")
    return ModelRow(
        name,
        part["name"],
        undone["name"],
        "" if scale in (None, 1) else str(scale),
        "" if parameters is None else f"{parameters / 1e6:.2f}",
        "" if flops is None else f"{flops:.0f}" if flops >= 100 else f"{flops:.3g}",
        "",
        place,
    )


def _part(part: Any) -> dict[str, Any]:
    """A part as a mapping, where it is written by its name alone too."""
    return part if isinstance(part, dict) else {"name": part}
