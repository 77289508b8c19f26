"""A learning-rate schedule of one's own: the factor on ``train.lr`` at each update."""

import math


def warm_restarts(step: int, steps: int, *, periods: int = 4) -> float:
    """Fall from 1 to 0 along half a cosine, ``periods`` times (arXiv 1608.03983)."""
    length = max(1, steps // periods)
    return (1 + math.cos(math.pi * (step % length) / length)) / 2
