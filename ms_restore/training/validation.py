"""Validation while training: the weights are scored, and the best are kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from mindspore.train import Callback, RunContext

from ms_restore import parallel
from ms_restore.contracts import Degradation, ImageSource
from ms_restore.inference.restorer import Restorer
from ms_restore.metrics.protocols import protocol_named
from ms_restore.metrics.scoring import restored_images
from ms_restore.training.callbacks import Figures, Steps

_PERFECT = 100.0  # dB, what an image counts that is restored without any error


class Score(NamedTuple):
    """The mean PSNR in dB over all images and ranks, and the first restored image (H, W, C).

    An image counts 100 dB at most, as one without any error would make every mean infinite. Where
    several weights were scored, these are the figures of the best, and ``each`` has the PSNR of all
    by the weights' names.
    """

    psnr: float
    name: str
    picture: np.ndarray
    each: dict[str, float] = {}  # noqa: RUF012 - never changed


class Scorer:
    """Scores the weights of a run, raw and averaged, under its recipe's protocol.

    Args:
        restorer: of the network that is validated.
        degradation: makes the degraded images.
        source: the clean ones; each rank takes its share of them.
        weights: for each kind of weights by its name, what puts the present ones into that network.
    """

    def __init__(
        self,
        restorer: Restorer,
        degradation: Degradation,
        source: ImageSource,
        weights: Mapping[str, Callable[[], None]],
    ) -> None:
        self._restorer = restorer
        self._degradation = degradation
        self._source = source
        self._weights = weights

    def __call__(self) -> Score:
        """Score the present weights of every kind, and leave the best in the network."""
        scores: dict[str, Score] = {}
        for name, put in self._weights.items():
            put()
            scores[name] = self._score()
        each = {name: score.psnr for name, score in scores.items()}
        best = max(each, key=lambda name: -np.inf if np.isnan(each[name]) else each[name])
        if best != name:
            self._weights[best]()
        return scores[best]._replace(each=each)

    def _score(self) -> Score:
        recipe, ranks = self._restorer.recipe, parallel.ranks()
        shown = restored_images(self._restorer, self._degradation, self._source, recipe.seed)
        most = recipe.data.valid_images
        own = None if most is None else len(range(ranks.rank, most, ranks.count))
        protocol = protocol_named(recipe.eval.protocol)
        scores: list[float] = []
        name, picture = "", np.zeros((1, 1, 1), np.float32)
        for trial in itertools.islice(shown, own):
            if not scores:
                name = trial.name.encode("utf-8", "backslashreplace").decode()
                picture = trial.x_hat
            psnr = protocol.psnr(trial.x_hat, trial.x, self._degradation.factor)
            scores.append(_PERFECT if psnr > _PERFECT else psnr)
        count = min(len(self._source), most or len(self._source))
        return Score(float(np.mean(_of_all_ranks(scores, count))), name, picture)


def _of_all_ranks(scores: list[float], count: int) -> np.ndarray:
    """The scores of all ``count`` images, which the ranks took in turn."""
    ranks = parallel.ranks()
    table = np.zeros(count)
    table[ranks.rank :: ranks.count] = scores
    return parallel.total(table)


class Validation(Callback):
    """Scores the weights at regular steps and at the end, and keeps the best.

    Args:
        steps: counts the steps of the run.
        every: steps between two validations.
        scorer: scores the present weights.
        figures: where the score goes.
        keep: is called with the step and the PSNR of weights that are better than all before.
        best: the best PSNR so far, in dB.
    """

    def __init__(
        self,
        steps: Steps,
        every: int,
        scorer: Scorer,
        figures: Figures,
        keep: Callable[[int, float], None],
        best: float,
    ) -> None:
        super().__init__()
        self._steps = steps
        self._every = every
        self._scorer = scorer
        self._figures = figures
        self._keep = keep
        self._done = steps.first
        self.best = best

    def on_train_step_end(self, run_context: RunContext) -> None:
        """Validate where it is due."""
        step = self._steps.now(run_context)
        if not self._steps.due(step, self._done, self._every):
            return
        self._done = step
        score = self._scorer()
        if score.name:
            self._figures.reporter.picture(step, score.name, score.picture)
        if score.psnr > self.best:
            self.best = score.psnr
            self._keep(step, score.psnr)
        self._figures.validated(step, score.psnr, self.best, score.each)
        self._figures.resume_clock()
