"""What the evaluations of a network and of a solver have in common: scores, pictures, report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ms_restore import parallel
from ms_restore.contracts import Degradation, Metric
from ms_restore.metrics import scoring
from ms_restore.metrics.protocols import protocol_named
from ms_restore.report.machine import engine_versions
from ms_restore.report.score_folder import ScoreFolder
from ms_restore.report.tables import score_table
from ms_restore.report.terminal import say, say_infinite, score_line
from ms_restore.settings import Recipe
from ms_restore.verbs import scored_degradation


class ScoreKeeper:
    """Scores restored images one by one, and writes and prints what comes of it.

    Args:
        recipe: of the model.
        protocol: name of the protocol.
        metrics: by their names; the leading one first.
        folder: where metrics.json, the comparison pictures and the report go.
    """

    def __init__(
        self, recipe: Recipe, protocol: str, metrics: Mapping[str, Metric], folder: ScoreFolder
    ) -> None:
        self.protocol = protocol_named(protocol)
        self.figures = {name: metric.figure for name, metric in metrics.items()}
        self._recipe, self._name, self._metrics, self._folder = recipe, protocol, metrics, folder
        self._scores: list[dict[str, Any]] = []

    def add(
        self,
        image: scoring.RestoredImage,
        baseline: np.ndarray,
        degradation: Degradation,
        original: str,
    ) -> str:
        """Score an image, write its comparison picture; return a line of its leading figure.

        ``original`` is the name of the clean image.
        """
        row = scoring.score(image, baseline, self.protocol, degradation.factor, self._metrics)
        self._scores.append(row)
        key, figure = next(iter(self.figures.items()))
        start = f"{degradation.baseline_name} {figure.text(row[f'baseline_{key}'])}"
        end = figure.text(row[key])
        panels = [
            (start, baseline),
            (f"{self._recipe.model} {end}", image.x_hat),
            (f"original: {original}", image.x),
        ]
        self._folder.compare(image.name, panels)
        return f"{image.name}: {start}, end {end}"

    def gather(self, names: list[str]) -> None:
        """Take the scores of all ranks, in the order of the names."""
        self._scores = scoring.gather_scores(self._scores, names, scoring.keys_of(self._metrics))

    def finish(
        self, baseline: str, engine: str, about: dict[str, Any], groups: dict[str, list[str]]
    ) -> dict[str, Any]:
        """Write metrics.json, print the table, write the report; return what metrics.json holds.

        Args:
            baseline: name of the baseline.
            engine: what computed.
            about: what else metrics.json says; "note" of it ends the last line.
            groups: names of the images of groups, by group name.
        """
        scores, recipe, note = self._scores, self._recipe, about.pop("note", "")
        mean, grouped = scoring.mean_scores(scores), scoring.group_means(scores, groups)
        metrics = {
            "model": recipe.model,
            "protocol": self._name,
            "protocol_description": self.protocol.description,
            "engine": engine,
            "baseline": baseline,
            "degradation": scored_degradation.described(recipe.degradation),
            "versions": engine_versions(engine),
            "recipe": dataclasses.asdict(recipe),
            **about,
            "metrics": {name: dataclasses.asdict(figure) for name, figure in self.figures.items()},
            "mean": mean,
            **({"groups": grouped} if grouped else {}),
            "images": scores,
        }
        if parallel.ranks().first:
            self._folder.finish(metrics)
        score_table(scores, mean, baseline, self.figures, grouped)
        for name, figure in self.figures.items():
            say_infinite(figure, scoring.infinite(scores, name))
        say(score_line(self._name, baseline, recipe.model, mean, self.figures) + note)
        if parallel.ranks().first:
            say(self._folder.show(metrics))
        return metrics
