"""Libraries that decode pictures, kept from writing lines of their own to the standard error.

What is wrong with a file is said in one line, by InputError. Messages of a crash are not theirs.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import warnings
from pathlib import Path

import cv2
import PIL


def silence() -> None:
    """Turn off the messages of Pillow, of the libtiff that comes with it, and of OpenCV."""
    warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError):
        cv2.setLogLevel(0)
    # A wheel of Pillow has its own copy, which is loaded already; another libtiff is left alone
    for library in Path(PIL.__file__).parents[1].glob("pillow.libs/libtiff-*.so*"):
        with contextlib.suppress(OSError, AttributeError):
            libtiff = ctypes.CDLL(str(library))
            libtiff.TIFFSetErrorHandler(None)
            libtiff.TIFFSetWarningHandler(None)
