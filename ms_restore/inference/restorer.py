"""Restoration of arrays and pictures of any size with a trained network."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Optional, Union, overload

import cv2
import numpy as np
import PIL.Image

from ms_restore.contracts import BandEngine, Steps
from ms_restore.errors import InputError
from ms_restore.images.arrays import from_float, is_gray, to_float
from ms_restore.images.encoding import to_pillow
from ms_restore.images.picture import Picture
from ms_restore.images.resize import imresize
from ms_restore.images.transparency import bleed_colours
from ms_restore.images.ycbcr import to_rgb, to_ycbcr
from ms_restore.inference.canvas import Canvas, CanvasWindow
from ms_restore.inference.image_like import (
    ImageLike,
    from_pillow,
    like_given,
    to_images,
    to_pixels,
)
from ms_restore.inference.loaded_network import LoadedNetwork
from ms_restore.inference.noise_level import NoiseLevel, told
from ms_restore.inference.self_ensemble import SelfEnsemble
from ms_restore.inference.tiling import Tile, TileLike, choose_windows
from ms_restore.recipe import coloured
from ms_restore.report.terminal import Watch, progress

_FLOAT32 = np.dtype(np.float32)


class Restorer:
    """Applies a trained network to arrays and pictures of any size.

    ``x_hat = restorer(y)`` restores an image (H, W, C) float32 in [0, 1]; x_hat is ``scale`` times
    as high and wide.

    Large images are computed in tiles, with the same result as in one piece. Images whose sides are
    no multiples of what the network needs are continued at the lower and right border, and the
    result is cropped. A network that sees the whole picture (``receptive_radius`` None) is always
    computed in one piece.

    Args:
        loaded: the network and its engine.
        tile: side of a square window in input pixels, with the context at its borders; 0 computes
            every image in one piece; None does so where that needs at most 3 GiB, else it chooses
            windows that need 640 MiB, or more where that saves a third of the work. A tuple of
            that and a number of pixels takes only that many pixels of context, which is faster and
            needs less memory, with a result that differs where windows meet.
        self_ensemble: average over the eight symmetries of the square.
        noise: what a network that is told the noise is told, unless an array has the map as one
            more channel.
        luma: a gray network restores the brightness of colour images (Y of BT.601, limited range,
            as papers do), and their colours are kept, or enlarged bicubically.
        watch: told of each step, before which it may end the work: a window, or some bands of one;
            then no window needs more than 640 MiB.

    Attributes:
        busy: seconds that the engine has computed; in bands, with reading and writing the picture.
        engine: name of the engine.
        context: pixels of context that ``tile`` allows; None: as many as the network sees.

    Raises:
        InputError: the tile or the self-ensemble does not suit the network or the engine, the
            network is not told the noise, or ``luma`` is asked of one that takes colours.
    """

    def __init__(
        self,
        loaded: LoadedNetwork,
        *,
        tile: TileLike = None,
        self_ensemble: bool = False,
        noise: Optional[NoiseLevel] = None,
        luma: bool = False,
        watch: Optional[Watch] = None,
    ) -> None:
        geometry = loaded.geometry
        self.recipe = loaded.recipe
        self.scale = geometry.scale
        self.channels = geometry.channels
        self.output_channels = geometry.output_channels
        self.noise_map = geometry.noise_map
        if noise is not None:
            told(noise, self.recipe.model, self.noise_map)
        if luma and (self.channels, self.output_channels) != (1, 1):
            raise InputError(f"{self.recipe.model} is no model for gray images: it has no luma")
        self._noise = noise
        self._luma = luma
        self._watch = watch
        self.engine = loaded.engine.name
        self.busy = 0.0
        self._engine = SelfEnsemble(loaded.engine) if self_ensemble else loaded.engine
        self._side = geometry.side
        self._multiple = geometry.size_multiple
        self._padding = geometry.padding
        shape, asked = loaded.engine.shape, Tile.of(tile)
        if shape is not None and (
            asked.side is not None or (self_ensemble and shape[0] != shape[1])
        ):
            raise InputError(
                f"{self.recipe.model} was exported for {shape[0]}x{shape[1]} pixels (height x "
                "width): that is its tile, so leave the side out, and no turned image fits unless "
                "it is square"
            )
        self.context = asked.context
        self._windows = choose_windows(
            geometry,
            self.recipe.model,
            shape,
            asked,
            watched=watch is not None,
            memory=loaded.engine.memory,
            by_parts=isinstance(self._engine, BandEngine),
        )

    @overload
    def __call__(self, image: PIL.Image.Image, dtype: None = None) -> PIL.Image.Image: ...

    @overload
    def __call__(
        self, image: Union[np.ndarray, str, os.PathLike[str]], dtype: Optional[np.dtype] = None
    ) -> np.ndarray: ...

    def __call__(
        self, image: ImageLike, dtype: Optional[np.dtype] = None
    ) -> Union[np.ndarray, PIL.Image.Image]:
        """Return an image restored, in the form that it was given in.

        Args:
            image: an array (H, W), (H, W, C) or a batch (N, H, W, C) of uint8, uint16, bool, or
                floats in [0, 1], which noise may leave; an image of Pillow; or a picture's path,
                which gives an array (H, W, C).
            dtype: of the result; none: the array's own if that is uint8 or uint16, else float32.
                Integers stand for [0, 1] by their whole range.

        Raises:
            InputError: it is none of these, has other channels than the network takes, is of a size
                that it does not take, or is not finite.
        """
        if isinstance(image, PIL.Image.Image):
            return to_pillow(self.picture(from_pillow(image)).samples())
        array = to_pixels(image)
        restored = [
            self._image(y, dtype or (y.dtype if y.dtype.kind == "u" else _FLOAT32))
            for y in to_images(array, self.picture_channels, self.noise_map)
        ]
        return like_given(restored, array)

    @property
    def picture_channels(self) -> int:
        """Channels of the images that are restored: 3 where a gray network takes colours' luma."""
        return 3 if self._luma else self.output_channels

    def _image(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return y (H, W, C) restored, with the network's channels, or gray if y is."""
        if self._luma and y.shape[2] == 3:
            return self._by_luma(y, dtype)
        if self.noise_map and y.shape[2] == self.channels + 1:
            return self._restore(y[:, :, :-1], dtype, self.output_channels, y[:, :, -1])
        if self.output_channels == self.channels and y.shape[2] == 1:
            return self._restore(y, dtype, 1)
        if y.shape[2] != self.channels:
            raise InputError(
                f"{self.recipe.model} takes arrays (height, width, {self.channels}), "
                f"this one is {y.shape}"
            )
        return self._restore(y, dtype, self.output_channels)

    def _by_luma(self, y: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Return colours (H, W, 3) with their brightness restored, as ``dtype``."""
        planes = to_ycbcr(to_float(y))
        restored = self._restore(planes[:, :, :1], _FLOAT32, 1)
        colours = imresize(planes[:, :, 1:], *restored.shape[:2])
        x_hat = to_rgb(np.concatenate((restored, colours), axis=2))
        return from_float(x_hat, dtype) if dtype.kind == "u" else np.clip(x_hat, 0, 1)

    def _restore(
        self, y: np.ndarray, dtype: np.dtype, channels: int, sigma: Optional[np.ndarray] = None
    ) -> np.ndarray:
        """Return y (H, W, C) of any dtype restored window by window, as ``dtype``.

        ``sigma`` is the map (H, W) of a network that is told the noise; None: as ``noise`` says.
        """
        if self.noise_map and sigma is None:
            sigma = told(self._noise, self.recipe.model, self.noise_map).of(y)
        if self._side and y.shape[:2] != (self._side, self._side):
            raise InputError(
                f"{self.recipe.model} takes only images of {self._side}x{self._side}, "
                f"this one is {y.shape[1]}x{y.shape[0]}"
            )
        height, width, scale = *y.shape[:2], self.scale
        x_hat = np.empty((scale * height, scale * width, channels), dtype)
        padded = [-(-side // self._multiple) * self._multiple for side in (height, width)]
        canvas = Canvas(y, x_hat, scale, self.channels, sigma, self._padding)
        steps = [self._window(CanvasWindow(canvas, w)) for w in self._windows.cut(*padded)]
        with contextlib.closing(_one_after_another(steps)) as work:  # also where it is interrupted
            for _ in progress(Steps(sum(map(len, steps)), work), "restoring", self._watch):
                pass
        return x_hat

    def _window(self, window: CanvasWindow) -> Steps:
        """Return the steps that restore a window."""
        if isinstance(self._engine, BandEngine) and self._engine.memory.in_bands(*window.size):
            steps = self._engine.in_bands(window.size, window.read, window.write)
            return Steps(len(steps), self._timed(steps))

        def work() -> Iterator[None]:
            yield
            height, width = window.size
            batch = window.read(slice(0, height), slice(0, width))[None]
            began = time.perf_counter()
            values = self._engine(batch)[0]
            self.busy += time.perf_counter() - began
            window.write(0, 0, values)

        return Steps(1, work())

    def _timed(self, steps: Steps) -> Iterator[None]:
        began = time.perf_counter()
        yield from steps
        self.busy += time.perf_counter() - began

    def picture(self, picture: Picture) -> Picture:
        """Return a picture restored, with its own dtype and number of channels.

        Alpha is resized bicubically, and what was embedded in the file is kept. Colours hidden
        under full transparency are replaced by those nearby, so that they leave no halo. A network
        for gray images takes a picture of three equal channels. Raises InputError for a colour
        picture and a gray network, and for a network that does not restore pictures.
        """
        pixels, alpha = picture.pixels, picture.alpha
        if self.output_channels != self.channels:
            raise InputError(
                f"{self.recipe.model} does not restore pictures: it takes {self.channels} planes"
            )
        channels = pixels.shape[2]
        if channels > self.channels:
            if is_gray(pixels):
                pixels = pixels[:, :, :1]
            elif not self._luma:
                raise InputError(
                    f"{self.recipe.model} is a model for gray images, this picture has colours; "
                    f"use {coloured(self.recipe)}, convert the picture to gray, or restore its "
                    "brightness alone by --luma"
                )
        if alpha is not None:
            pixels = bleed_colours(pixels, alpha)
        if pixels.shape[2] > self.channels:
            x_hat = self._by_luma(pixels, pixels.dtype)
        else:
            x_hat = self._restore(pixels, pixels.dtype, channels)
        if alpha is not None:
            alpha = cv2.resize(alpha, x_hat.shape[1::-1], interpolation=cv2.INTER_CUBIC)
        return Picture(x_hat, alpha, picture.embedded)


def _one_after_another(steps: Iterable[Steps]) -> Generator[None, None, None]:
    for each in steps:
        yield from each
