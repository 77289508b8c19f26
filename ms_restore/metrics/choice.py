"""The metrics that are chosen by name, of ours and of others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Union

from ms_restore import registry
from ms_restore.contracts import Metric
from ms_restore.errors import InputError
from ms_restore.metrics.quality import PSNR, SSIM

DEFAULT = {"psnr": PSNR, "ssim": SSIM}


def metrics_named(names: Union[str, Iterable[str]]) -> dict[str, Metric]:
    """Return the metrics by their names, in the order of these; the first one leads in reports.

    Args:
        names: as a list or separated by commas: registered ones, or ``package.module:NAME``.

    Raises:
        InputError: there is none, or one is unknown or lacks the package that it needs.
    """
    listed = names.split(",") if isinstance(names, str) else list(names)
    chosen = {}
    for name in filter(None, (str(name).strip() for name in listed)):
        metric = registry.find("metric", name)
        if not isinstance(metric, Metric):
            raise InputError(f"metric {name}: got {metric!r:.60}, expected a Metric")
        metric.require()
        chosen[name] = metric
    if not chosen:
        raise InputError(f"no metric is named; known: {', '.join(registry.REGISTRY['metric'])}")
    return chosen
