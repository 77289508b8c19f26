"""Priors of solvers: trained denoisers, which know what natural images look like."""

from __future__ import annotations

from typing import Optional

import numpy as np
from mindspore import Tensor, nn

from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.settings import Recipe

_WAY_OUT = (
    "name a denoiser trained at one known level, such as a checkpoint of dmsp_dae or dncnn_s15"
)


class DenoiserPrior:
    """A denoiser that was trained for a single, known noise level.

    For an optimal denoiser D of noise with standard deviation sigma, (D(x) - x) / sigma^2 is the
    gradient of the log density of images smoothed by that noise: Alain, Bengio, "What regularized
    auto-encoders learn from the data-generating distribution", JMLR 2014.

    Args:
        loaded: the denoiser, whose recipe gives its noise level. Where MindSpore computes it, a
            solver runs each iteration, prior included, as one graph on the device; otherwise it
            computes in NumPy.
        sigma_255: the required noise level on a scale of 0 to 255; None accepts any.

    Raises:
        InputError: the noise level is unknown or not the required one, or the engine takes only
            one image size.
    """

    def __init__(self, loaded: LoadedNetwork, sigma_255: Optional[float] = None) -> None:
        self.loaded = loaded
        self.recipe = loaded.recipe
        self.channels = loaded.geometry.channels
        self.engine = None if loaded.cell is not None else loaded.engine
        self.sigma_255 = trained_sigma_255(self.recipe)
        if sigma_255 is not None and sigma_255 != self.sigma_255:
            raise InputError(
                f"the prior {self.recipe.model} was trained for sigma {self.sigma_255:g}, "
                f"sigma {sigma_255:g} is asked for; use another checkpoint, or ask for "
                f"sigma {self.sigma_255:g}"
            )
        shape = loaded.engine.shape
        if shape is not None:
            raise InputError(
                f"the prior {self.recipe.model} was exported for {shape[0]}x{shape[1]} pixels "
                "(height x width) only; export it for any size"
            )

    @property
    def engine_name(self) -> str:
        """The engine that computes the denoiser, as ``--engine`` names it."""
        return self.loaded.engine.name

    def cell(self) -> nn.Cell:
        """Return the denoiser as a cell for images of any number of channels."""
        if self.loaded.cell is None:
            raise ValueError("this prior is computed by an engine; denoise() calls it")
        return _Denoiser(self.loaded.cell, self.channels)

    def denoise(self, y: np.ndarray) -> np.ndarray:
        """Denoise a batch (N, C, H, W) float32 by the engine; C is any number of channels."""
        if self.channels == 3:
            return self.loaded.engine(y)
        images, channels, height, width = y.shape
        planes = y.reshape(images * channels, 1, height, width)
        return self.loaded.engine(planes).reshape(y.shape)


class _Denoiser(nn.Cell):
    """A denoiser of any number of channels: a gray network denoises each channel on its own."""

    def __init__(self, network: nn.Cell, channels: int) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self._each = channels == 1

    def construct(self, y: Tensor) -> Tensor:
        """Return the denoised images (N, C, H, W) for y (N, C, H, W)."""
        if not self._each:
            return self.network(y)
        images, channels, height, width = y.shape
        planes = y.reshape(images * channels, 1, height, width)
        return self.network(planes).reshape(images, channels, height, width)


def trained_sigma_255(recipe: Recipe) -> float:
    """Return the standard deviation of Gaussian noise that a recipe trains for, of 255.

    Raises InputError where the recipe trains for another degradation or a range of noise levels.
    """
    degradation = recipe.degradation
    if "sigma_255" not in degradation or recipe.network.get("scale", 1) != 1:
        raise InputError(
            f"{recipe.model} was trained for {degradation['name']}, not for Gaussian noise, so it "
            f"is no prior; {_WAY_OUT}"
        )
    sigma = degradation["sigma_255"]
    if degradation["name"] != "gaussian" or (isinstance(sigma, list) and sigma[0] != sigma[-1]):
        low_high = f" {sigma[0]:g} to {sigma[-1]:g}" if isinstance(sigma, list) else ""
        raise InputError(
            f"{recipe.model} was trained for a range of noise ({degradation['name']}, sigma"
            f"{low_high}), so its sigma is unknown and it is no prior; {_WAY_OUT}"
        )
    sigma = float(sigma[0] if isinstance(sigma, list) else sigma)
    if sigma <= 0:
        raise InputError(f"{recipe.model} was trained without noise; {_WAY_OUT}")
    return sigma
