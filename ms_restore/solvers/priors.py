"""Priors of solvers: trained denoisers, which know what natural images look like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

import numpy as np

from ms_restore.errors import InputError
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.settings import Recipe

if TYPE_CHECKING:
    from mindspore import nn

_WAY_OUT = (
    "name a denoiser trained at one known level, such as a checkpoint of dmsp_dae or dncnn_s15, or "
    "one that is told the level, such as ffdnet_color"
)
_TOLD_SIGMA_255 = 11.0  # the level of DMSP's own prior


class DenoiserPrior:
    """A denoiser that was trained for a single, known noise level, or is told the level.

    For an optimal denoiser D of noise with standard deviation sigma, (D(x) - x) / sigma^2 is the
    gradient of the log density of images smoothed by that noise: Alain, Bengio, "What regularized
    auto-encoders learn from the data-generating distribution", JMLR 2014.

    Args:
        loaded: the denoiser, whose recipe gives its noise level. Where MindSpore computes it, a
            solver runs each iteration, prior included, as one graph on the device; otherwise it
            computes in NumPy.
        sigma_255: the noise level on a scale of 0 to 255: what a denoiser that is told it is told,
            by default 11, or what another one must have been trained for; None accepts any.

    Attributes:
        takes_any_level: whether it is told the level.

    Raises:
        InputError: the noise level is unknown or not the required one, or the engine takes only
            one image size.
    """

    def __init__(self, loaded: LoadedNetwork, sigma_255: Optional[float] = None) -> None:
        self.loaded = loaded
        self.recipe = loaded.recipe
        self.channels = loaded.geometry.channels
        self.engine = None if loaded.cell is not None else loaded.engine
        self.takes_any_level = loaded.geometry.noise_map
        self._multiple = loaded.geometry.size_multiple
        self._padding = loaded.geometry.padding
        if self.takes_any_level:
            self.sigma_255 = _TOLD_SIGMA_255 if sigma_255 is None else sigma_255
        else:
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
        level = self.sigma_255 / 255 if self.takes_any_level else None
        from ms_restore.solvers.prior_cell import PriorCell

        return PriorCell(self.loaded.cell, self.channels, self._multiple, self._padding, level)

    def continued(self, places: np.ndarray) -> np.ndarray:
        """Return places of pixels along a side, continued at the end to what the network takes.

        Where it takes images that are continued with zeros, they are returned as they are.
        """
        if self._padding == "constant":
            return places
        return np.pad(places, (0, -len(places) % self._multiple), mode=self._padding)

    def denoise(self, y: np.ndarray, sigma_255: Optional[float] = None) -> np.ndarray:
        """Denoise a batch (N, C, H, W) float32 by the engine; C is any number of channels.

        ``sigma_255`` is what a denoiser that is told the level is told; None: its own.
        """
        height, width = y.shape[2:]
        planes = y.reshape(-1, self.channels, height, width)
        below, beside = -height % self._multiple, -width % self._multiple
        if below or beside:
            planes = np.pad(planes, ((0, 0), (0, 0), (0, below), (0, beside)), mode=self._padding)
        if self.takes_any_level:
            level = (self.sigma_255 if sigma_255 is None else sigma_255) / 255
            noise = np.full((len(planes), 1, *planes.shape[2:]), level, np.float32)
            planes = np.concatenate((planes, noise), axis=1)
        return self.loaded.engine(planes)[:, :, :height, :width].reshape(y.shape)


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
