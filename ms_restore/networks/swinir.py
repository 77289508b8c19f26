"""SwinIR, attention within shifted windows: for super-resolution, denoising and JPEG.

Liang, Cao, Sun, Zhang, Van Gool, Timofte, "SwinIR: Image Restoration Using Swin Transformer", ICCV
Workshops 2021, arXiv 2108.10257.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Optional

import numpy as np
from mindspore import Tensor, nn, ops
from pydantic import Field

from ms_restore.networks.layers import LeakyReLU
from ms_restore.networks.window_attention import BoundaryMask, WindowLayer

if TYPE_CHECKING:
    from ms_restore.settings import Recipe

_MEAN = (0.4488, 0.4371, 0.4040)  # RGB, of DIV2K
_RECONSTRUCTED = 64  # filters after the transformer
_Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class SwinIR(nn.Cell):
    """A transformer on windows of pixels between two convolutions, and a reconstruction.

    Args:
        scale: 1, 2, 3, 4 or 8.
        channels: 3 (RGB) or 1 (gray).
        width: channels of a pixel within the transformer; 180, 60 in the lightweight form, 240 in
            the large one. A multiple of ``heads``.
        groups: number of layers in each residual group; every second layer shifts its windows.
        heads: of attention; 6, 8 in the large form.
        window: side of a window in pixels; 8, 7 for JPEG, whose blocks are of 8.
        upsampler: "pixelshuffle" is that of classical super-resolution, "pixelshuffledirect" of the
            lightweight form, "nearest+conv" of real photos (scale 2 or 4); "none" adds the input,
            at scale 1.
        three_convs: a group ends with three convolutions instead of one, as in the large form.
        input_range: what white counts as inside, 1, or 255 for JPEG.

    Inputs: y (N, channels, H, W) float32 in [0, 1]; H and W multiples of ``window``.
    Outputs: x_hat (N, channels, scale * H, scale * W) float32, not clipped.
    """

    receptive_radius = None  # windows lie on a grid that begins at the picture's corner

    def __init__(
        self,
        *,
        scale: Literal[1, 2, 3, 4, 8] = 2,
        channels: Literal[1, 3] = 3,
        width: Annotated[int, Field(ge=1)] = 180,
        groups: _Counts = (6, 6, 6, 6, 6, 6),
        heads: Annotated[int, Field(ge=1)] = 6,
        window: Annotated[int, Field(ge=2)] = 8,
        upsampler: Literal[
            "pixelshuffle", "pixelshuffledirect", "nearest+conv", "none"
        ] = "pixelshuffle",
        three_convs: bool = False,
        input_range: Literal[1, 255] = 1,
    ) -> None:
        super().__init__()
        fault = _fault(scale, width, heads, upsampler)
        if fault:
            raise ValueError(fault)
        self.scale = scale
        self.channels = channels
        self.size_multiple = window
        self.floats_per_pixel = 12 * width + 3 * heads * window**2
        self.input_range = float(input_range)
        mean = np.array(_MEAN if channels == 3 else (0.0,), np.float32)
        self.mean = Tensor(mean.reshape(1, channels, 1, 1))
        self.conv_first = _conv(channels, width)
        self.norm_first = nn.LayerNorm((width,), epsilon=1e-5)
        self.boundary_mask = BoundaryMask(window)
        self.groups = nn.CellList([_Group(width, n, heads, window, three_convs) for n in groups])
        self.norm_last = nn.LayerNorm((width,), epsilon=1e-5)
        self.conv_after_body = _convs(width, three_convs)
        self.reconstruction = _reconstruction(upsampler, scale, channels, width)
        self.adds_input = upsampler == "none"

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line for settings that do not go together."""
        network = recipe.network
        fault = _fault(*(network[key] for key in ("scale", "width", "heads", "upsampler")))
        return [fault] if fault else []

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, scale * H, scale * W) for y (N, channels, H, W)."""
        x = (y - self.mean) * self.input_range
        features = self.conv_first(x)
        tokens = self.norm_first(features.transpose(0, 2, 3, 1))
        mask = self.boundary_mask(tokens)
        for group in self.groups:
            tokens = group(tokens, mask)
        body = self.norm_last(tokens).transpose(0, 3, 1, 2).astype(features.dtype)
        x_hat = self.reconstruction(self.conv_after_body(body) + features)
        if self.adds_input:
            x_hat = x + x_hat
        return x_hat / self.input_range + self.mean


class _Group(nn.Cell):
    """A residual group: layers whose windows shift in turns, and a convolution."""

    def __init__(self, width: int, layers: int, heads: int, window: int, three: bool) -> None:
        super().__init__()
        shifts = [0 if number % 2 == 0 else window // 2 for number in range(layers)]
        self.blocks = nn.CellList([WindowLayer(width, heads, window, shift) for shift in shifts])
        self.conv = _convs(width, three)

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:
        """Return the group's output (N, H, W, C) for x (N, H, W, C)."""
        y = x
        for block in self.blocks:
            y = block(y, mask)
        return x + self.conv(y.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)


class _Shuffled(nn.Cell):
    """The reconstruction of classical super-resolution: convolutions and pixel shuffles."""

    def __init__(self, width: int, scale: int, channels: int) -> None:
        super().__init__()
        self.conv_before_upsample = nn.SequentialCell(_conv(width, _RECONSTRUCTED), LeakyReLU(0.01))
        self.upsample = _enlarging(_RECONSTRUCTED, scale)
        self.conv_last = _conv(_RECONSTRUCTED, channels)

    def construct(self, x: Tensor) -> Tensor:
        """Return (N, channels, scale * H, scale * W) for features x (N, width, H, W)."""
        return self.conv_last(self.upsample(self.conv_before_upsample(x)))


class _Direct(nn.Cell):
    """The lightweight reconstruction: one convolution and one pixel shuffle."""

    def __init__(self, width: int, scale: int, channels: int) -> None:
        super().__init__()
        self.upsample = nn.SequentialCell(_conv(width, channels * scale**2), nn.PixelShuffle(scale))

    def construct(self, x: Tensor) -> Tensor:
        """Return (N, channels, scale * H, scale * W) for features x (N, width, H, W)."""
        return self.upsample(x)


class _Doubled(nn.Cell):
    """The reconstruction of real photos: pixels are doubled, and then convolved."""

    def __init__(self, width: int, scale: int, channels: int) -> None:
        super().__init__()
        self.conv_before_upsample = nn.SequentialCell(_conv(width, _RECONSTRUCTED), LeakyReLU(0.01))
        self.conv_up1 = _conv(_RECONSTRUCTED, _RECONSTRUCTED)
        self.twice = scale == 4
        if self.twice:
            self.conv_up2 = _conv(_RECONSTRUCTED, _RECONSTRUCTED)
        self.conv_hr = _conv(_RECONSTRUCTED, _RECONSTRUCTED)
        self.conv_last = _conv(_RECONSTRUCTED, channels)
        self.activation = LeakyReLU(0.2)

    def construct(self, x: Tensor) -> Tensor:
        """Return (N, channels, scale * H, scale * W) for features x (N, width, H, W)."""
        x = self.activation(self.conv_up1(_doubled(self.conv_before_upsample(x))))
        if self.twice:
            x = self.activation(self.conv_up2(_doubled(x)))
        return self.conv_last(self.activation(self.conv_hr(x)))


class _Plain(nn.Cell):
    """The reconstruction at the same size: one convolution."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv_last = _conv(width, channels)

    def construct(self, x: Tensor) -> Tensor:
        """Return (N, channels, H, W) for features x (N, width, H, W)."""
        return self.conv_last(x)


def _reconstruction(upsampler: str, scale: int, channels: int, width: int) -> nn.Cell:
    if upsampler == "none":
        return _Plain(width, channels)
    kinds = {"pixelshuffle": _Shuffled, "pixelshuffledirect": _Direct, "nearest+conv": _Doubled}
    return kinds[upsampler](width, scale, channels)


def _fault(scale: int, width: int, heads: int, upsampler: str) -> Optional[str]:
    """Return what is wrong with settings that do not go together; None where they do."""
    if width % heads:
        return f"network.width {width} is no multiple of network.heads {heads}"
    scales = {"none": (1,), "nearest+conv": (2, 4), "pixelshuffledirect": (1, 2, 3, 4, 8)}
    fitting = scales.get(upsampler, (2, 3, 4, 8))
    if scale in fitting:
        return None
    expected = " or ".join(map(str, fitting))
    return f"network.upsampler {upsampler} is for scale {expected}, network.scale is {scale}"


def _doubled(x: Tensor) -> Tensor:
    """Return (N, C, 2 H, 2 W), each pixel four times."""
    count, channels, height, width = x.shape
    ones = ops.ones((1, 1, 1, 2, 1, 2), x.dtype)
    wide = x.reshape(count, channels, height, 1, width, 1) * ones
    return wide.reshape(count, channels, 2 * height, 2 * width)


def _enlarging(filters: int, scale: int) -> nn.SequentialCell:
    factors = [3] if scale == 3 else [2] * (scale.bit_length() - 1)
    stages: list[nn.Cell] = []
    for factor in factors:
        stages += [_conv(filters, filters * factor**2), nn.PixelShuffle(factor)]
    return nn.SequentialCell(stages)


def _convs(width: int, three: bool) -> nn.Cell:
    if not three:
        return _conv(width, width)
    narrow = width // 4
    return nn.SequentialCell(
        _conv(width, narrow),
        LeakyReLU(0.2),
        nn.Conv2d(narrow, narrow, 1, has_bias=True),
        LeakyReLU(0.2),
        _conv(narrow, width),
    )


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, pad_mode="pad", padding=1, has_bias=True)
