"""LPIPS, the distance of two pictures in the features of a network, by its authors' package.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric", CVPR 2018. The package ``lpips`` computes it by PyTorch, here with AlexNet.
"""

from __future__ import annotations

import functools
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ms_restore.contracts import Figure, Metric
from ms_restore.errors import InputError

_SMALLEST = 31  # pixels, below which nothing is left before AlexNet's last layer


@functools.cache
def _network() -> Any:
    """Return the network of the package.

    AlexNet's weights are not in the package, and torchvision would download them without a word;
    so they must be there. Raises InputError where something is missing.
    """
    try:
        import lpips
        import torch
        from torchvision.models import AlexNet_Weights
    except (
        ImportError,
        RuntimeError,
    ) as error:  # the second: for another torch
        raise InputError(
            "the metric lpips needs the packages lpips, torch and torchvision, made for each other "
            f"({str(error).splitlines()[0]}): pip install 'ms-restore[lpips]'"
        ) from None
    url = AlexNet_Weights.IMAGENET1K_V1.url
    weights = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not weights.is_file():
        raise InputError(
            f"the metric lpips needs AlexNet's weights at {weights}, which are not there; they are "
            f"not downloaded by themselves: fetch {url}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package calls torchvision in an older way
            return lpips.LPIPS(net="alex", verbose=False).eval()
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
        raise InputError(f"{weights}: not AlexNet's weights; fetch {url} again") from None


def lpips_distance(x_hat: np.ndarray, x: np.ndarray) -> float:
    """Return the LPIPS of two images (H, W, 1 or 3) in [0, 255]: 0 where they are equal.

    Gray images are taken for those of three equal channels. Sides are at least 31 pixels. Raises
    InputError where the package or AlexNet's weights are not installed.
    """
    network = _network()
    import torch

    pair = [
        torch.from_numpy(
            np.broadcast_to(image / 127.5 - 1, (*image.shape[:2], 3)).astype(np.float32)
        ).permute(2, 0, 1)[None]
        for image in (x_hat, x)
    ]
    with torch.inference_mode():
        return float(network(*pair))


LPIPS = Metric(
    Figure("LPIPS", digits=4, higher_is_better=False),
    lpips_distance,
    by_protocol=False,
    smallest=_SMALLEST,
    require=_network,
)
