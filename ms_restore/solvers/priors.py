"""Priors: what a solver knows of natural images, taken from denoisers of the suite."""

from __future__ import annotations

from typing import Any, Optional

import numpy as np
from mindspore import Tensor, nn

from ms_restore.errors import InputError
from ms_restore.inference.engines import Engine
from ms_restore.recipe import Recipe

_WAY_OUT = (
    "name a denoiser trained at one known level, such as a checkpoint of dmsp_dae or dncnn_s15"
)


class DenoiserPrior:
    """A trained denoiser of one known noise level.

    For an optimal denoiser D of deviation sigma, (D(x) - x) / sigma^2 is the gradient of the log of
    the density of images smoothed by that noise: Alain, Bengio, "What regularized auto-encoders
    learn from the data-generating distribution", JMLR 2014.

    Args:
        network: (N, channels, H, W) to the same, in [0, 1], ready to run; with an ``engine`` its
            Geometry will do.
        recipe: its recipe, which says what noise it was trained for.
        sigma_255: the level that is wanted, on a scale of 0 to 255; None: whatever it is.
        engine: what computes it, with the solver in NumPy; None: MindSpore, which computes each
            iteration as one graph on the device, prior included.

    InputError where the level is unknown or another than the one that is wanted, or the engine
    takes one size alone.
    """

    def __init__(
        self,
        network: Any,
        recipe: Recipe,
        sigma_255: Optional[float] = None,
        engine: Optional[Engine] = None,
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.engine = engine
        self.channels: int = network.channels
        self.sigma_255 = known_sigma(recipe)
        if sigma_255 is not None and sigma_255 != self.sigma_255:
            raise InputError(
                f"the prior {recipe.model} was trained for sigma {self.sigma_255:g}, "
                f"sigma {sigma_255:g} is asked for; use another checkpoint, or ask for "
                f"{self.sigma_255:g}"
            )
        shape = getattr(engine, "shape", None)
        if shape is not None:
            raise InputError(
                f"the prior {recipe.model} was exported for {shape[0]}x{shape[1]} pixels (height "
                "x width) alone; export it for any size"
            )

    @property
    def engine_name(self) -> str:
        """What computes it, as ``--engine`` names it."""
        return getattr(self.engine, "name", "mindspore")

    def cell(self) -> nn.Cell:
        """The denoiser for the device, of any number of channels."""
        return _Denoiser(self.network)

    def denoise(self, y: np.ndarray) -> np.ndarray:
        """The denoiser by its engine, of any number of channels."""
        if self.engine is None:
            raise ValueError("this prior has no engine; its cell() computes")
        if self.channels == 3:
            return self.engine(y)
        images, channels, height, width = y.shape
        return self.engine(y.reshape(images * channels, 1, height, width)).reshape(y.shape)


class _Denoiser(nn.Cell):
    """A network for colours as it is; one for gray on every channel by itself."""

    def __init__(self, network: Any) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self._each = network.channels == 1

    def construct(self, y: Tensor) -> Tensor:
        if not self._each:
            return self.network(y)
        images, channels, height, width = y.shape
        planes = y.reshape(images * channels, 1, height, width)
        return self.network(planes).reshape(images, channels, height, width)


def known_sigma(recipe: Recipe) -> float:
    """The one deviation of Gaussian noise, of 255, that the recipe trains for, or InputError."""
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
