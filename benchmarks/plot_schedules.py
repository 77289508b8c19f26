"""Plot the learning rate and beta1 over a run, for the recipes of Noise2Noise (needs matplotlib).

python benchmarks/plot_schedules.py docs/images/noise2noise_schedules.png
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

from ms_restore import recipe
from ms_restore.training.optimizers import betas1
from ms_restore.training.step_builder import learning_rates

_MODELS = ("noise2noise_gaussian", "noise2noise_gaussian_long", "noise2noise_mri")


def main(path: str) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    _, panels = pyplot.subplots(1, len(_MODELS), figsize=(11, 2.8), layout="constrained")
    for axes, model in zip(panels, _MODELS):
        settings = recipe.load(model).train
        rates = learning_rates(settings)
        shown = np.linspace(0, len(rates) - 1, 2000).astype(int)
        axes.plot(shown, np.array(rates)[shown], label="learning rate")
        axes.set(title=model, xlabel="step")
        end = settings.optimizer.get("beta1_end")
        if end is not None:
            beta1 = np.array(betas1(rates, settings.optimizer["beta1"], end))
            other = axes.twinx()
            other.plot(shown, beta1[shown], color="tab:orange", label="beta1")
            other.set(ylim=(0, 1))
            other.legend(loc="lower center")
        axes.legend(loc="center")
    pyplot.savefig(path, dpi=90)


if __name__ == "__main__":
    main(sys.argv[1])
