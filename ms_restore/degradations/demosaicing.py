"""Demosaicing without learning: where solvers start, and what they are compared with.

Menon, Andriani, Calvagno, "Demosaicing With Directional Filtering and a posteriori Decision", IEEE
TIP 2007, as the package colour-demosaicing computes it.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np

NEEDED = "pip install 'ms-restore[demosaic]'"


def is_installed() -> bool:
    """Return whether the package colour-demosaicing is installed."""
    return find_spec("colour_demosaicing") is not None


def menon2007(y: np.ndarray, pattern: str) -> np.ndarray:
    """Return the colours (..., 3, H, W) of Bayer mosaics y (..., 1, H, W), in y's dtype.

    ``pattern`` is RGGB, BGGR, GRBG or GBRG; needs colour-demosaicing, see ``is_installed``.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the packages for its plots, which are not needed here
        from colour_demosaicing import demosaicing_CFA_Bayer_Menon2007 as menon

    mosaics = y.reshape(-1, *y.shape[-2:])
    colours = [menon(mosaic.astype(np.float64), pattern).transpose(2, 0, 1) for mosaic in mosaics]
    return np.stack(colours).reshape(*y.shape[:-3], 3, *y.shape[-2:]).astype(y.dtype)
