"""NAFNet, for denoising and deblurring: gates and channel attention in the place of activations.

Chen, Chu, Zhang, Sun, "Simple Baselines for Image Restoration", ECCV 2022, arXiv 2204.04676. The
local form is that of Chu, Chen, Chen, Lu, "Improving Image Restoration by Revisiting Global
Information Aggregation", ECCV 2022, arXiv 2112.04491.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Union

import mindspore as ms
from mindspore import Parameter, Tensor, mint, nn, ops
from pydantic import Field

from ms_restore.networks.layers import ChannelNormalization, ChannelScale, PlaneMean, SimpleGate

if TYPE_CHECKING:
    from ms_restore.settings import Recipe

_EPS = 1e-6
_Count = Annotated[int, Field(ge=0)]
_Counts = Annotated[tuple[_Count, ...], Field(min_length=1)]


class NAFNet(nn.Cell):
    """A U-Net of gated blocks, x_hat = y + f(y), whose channel attention sees the whole picture.

    Args:
        width: number of filters at full size, doubled at each coarser scale; 32 and 64 in the
            paper.
        encoder: number of blocks at each scale down to the coarsest but one.
        middle: number of blocks at the coarsest scale.
        decoder: number of blocks at each scale up from the coarsest but one; as many scales.
        local: "none" lets the attention take means of the whole picture, so that no tile can be
            computed for itself. A number of pixels takes means over windows of that many, moved
            inwards at the border; pictures no larger than the window are computed alike by both.
            The authors train on crops of 256 and deblur with windows of 384.

    Inputs: y (N, 3, H, W) float32 in [0, 1]; H and W multiples of 2 to the number of scales.
    Outputs: x_hat, of the same shape, not clipped.
    """

    scale = 1
    channels = 3
    padding = "constant"

    def __init__(
        self,
        *,
        width: Annotated[int, Field(ge=1)] = 32,
        encoder: _Counts = (2, 2, 4, 8),
        middle: _Count = 12,
        decoder: _Counts = (2, 2, 2, 2),
        local: Union[Literal["none"], Annotated[int, Field(ge=1)]] = "none",
    ) -> None:
        super().__init__()
        if len(encoder) != len(decoder):
            raise ValueError(_unequal(encoder, decoder))
        scales = len(encoder)
        windows = [0 if local == "none" else max(1, local >> s) for s in range(scales + 1)]
        widths = [width * 2**s for s in range(scales + 1)]
        self.size_multiple = 2**scales
        self.floats_per_pixel = 10 * width
        self.receptive_radius = None
        if local != "none":  # a window at the border reaches from one of its ends to the other
            counts = [*(a + b for a, b in zip(encoder, reversed(decoder))), middle]
            reach = sum(n * k * 2**s for s, (n, k) in enumerate(zip(counts, windows)))
            self.receptive_radius = 2 + reach + 2**scales - 1
        self.intro = _conv(self.channels, width, 3)
        self.encoders = nn.CellList(
            [_gated_blocks(widths[s], windows[s], encoder[s]) for s in range(scales)]
        )
        self.downs = nn.CellList(
            [nn.Conv2d(c, 2 * c, 2, 2, pad_mode="valid", has_bias=True) for c in widths[:-1]]
        )
        self.middle_blks = _gated_blocks(widths[-1], windows[-1], middle)
        self.ups = nn.CellList(
            [
                nn.SequentialCell(nn.Conv2d(c, 2 * c, 1, has_bias=False), nn.PixelShuffle(2))
                for c in widths[:0:-1]
            ]
        )
        self.decoders = nn.CellList(
            [
                _gated_blocks(widths[s], windows[s], count)
                for s, count in zip(reversed(range(scales)), decoder)
            ]
        )
        self.ending = _conv(width, self.channels, 3)

    @classmethod
    def conflicts(cls, recipe: Recipe) -> list[str]:
        """Return a line where the two lists have not as many scales."""
        encoder, decoder = recipe.network["encoder"], recipe.network["decoder"]
        return [_unequal(encoder, decoder)] if len(encoder) != len(decoder) else []

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, 3, H, W) for y (N, 3, H, W)."""
        x = self.intro(y)
        skips: tuple[Tensor, ...] = ()
        for level in range(len(self.downs)):
            x = self.encoders[level](x)
            skips = (x, *skips)
            x = self.downs[level](x)
        x = self.middle_blks(x)
        for level in range(len(self.ups)):
            x = self.decoders[level](self.ups[level](x) + skips[level])
        return y + self.ending(x)


def _unequal(encoder: tuple[int, ...], decoder: tuple[int, ...]) -> str:
    return (
        f"network.encoder {list(encoder)} has {len(encoder)} scales, network.decoder "
        f"{list(decoder)} has {len(decoder)}; write as many numbers in both"
    )


class _GatedBlock(nn.Cell):
    """Two gated branches, x + beta * attention(gate(depthwise(x))) and x + gamma * gate(x)."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self.gate1 = SimpleGate(width)
        self.gate2 = SimpleGate(width)
        self.attend = ops.Mul() if window else ChannelScale()  # a factor for each pixel, or for all
        self.scale1 = ChannelScale()
        self.scale2 = ChannelScale()
        self.norm1 = ChannelNorm(width)
        self.conv1 = _conv(width, 2 * width, 1)
        self.conv2 = _conv(2 * width, 2 * width, 3, group=2 * width)
        self.mean = WindowMean(window)
        self.sca = _conv(width, width, 1)
        self.conv3 = _conv(width, width, 1)
        self.norm2 = ChannelNorm(width)
        self.conv4 = _conv(width, 2 * width, 1)
        self.conv5 = _conv(width, width, 1)
        self.beta = Parameter(ops.zeros((1, width, 1, 1), ms.float32))
        self.gamma = Parameter(ops.zeros((1, width, 1, 1), ms.float32))

    def construct(self, x: Tensor) -> Tensor:
        """Return the block's output (N, width, H, W) for x (N, width, H, W)."""
        branch = self.gate1(self.conv2(self.conv1(self.norm1(x))))
        branch = self.conv3(self.attend(branch, self.sca(self.mean(branch))))
        x = x + self.scale1(branch, self.beta.astype(branch.dtype))
        branch = self.conv5(self.gate2(self.conv4(self.norm2(x))))
        return x + self.scale2(branch, self.gamma.astype(branch.dtype))


class ChannelNorm(nn.Cell):
    """Layer normalisation over the channels of each pixel, computed in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = Parameter(ops.ones(width, ms.float32))
        self.bias = Parameter(ops.zeros(width, ms.float32))
        self.normalize = ChannelNormalization(_EPS)

    def construct(self, x: Tensor) -> Tensor:
        """Return the normalised x, of its shape and dtype."""
        weight, bias = (p.astype(ms.float32) for p in (self.weight, self.bias))
        return self.normalize(x.astype(ms.float32), weight, bias).astype(x.dtype)


class WindowMean(nn.Cell):
    """The mean of each channel over the whole image, or over a window around each pixel.

    A window that would stand out of the image is moved inwards, and one that is larger than the
    image is cut to it. Where the image is known to be no larger, and for a window of 0, one mean
    for all pixels is given, (N, C, 1, 1). The means are computed in float32.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.whole = PlaneMean()
        self.on_ascend = ms.get_context("device_target") == "Ascend"

    def construct(self, x: Tensor) -> Tensor:
        """Return the means, (N, C, H, W) or (N, C, 1, 1), for x (N, C, H, W)."""
        wide = x.astype(ms.float32)
        if self.sees_all(x):
            return self.whole(wide).astype(x.dtype)
        columns = self.along(wide, wide[0, 0, :, 0], 2)
        return self.along(columns, wide[0, 0, 0, :], 3).astype(x.dtype)

    def sees_all(self, x: Tensor) -> bool:
        """Tell whether every pixel is known to have the same mean."""
        if self.window == 0:
            return True
        height, width = x.shape[2:]
        if ops.isconstant(height) and ops.isconstant(width):
            return height <= self.window and width <= self.window
        return False

    def along(self, x: Tensor, line: Tensor, axis: int) -> Tensor:
        """Return means along an axis, as differences of sums from its beginning.

        ``line`` is any line of x along it, which tells its length wherever the graph runs.
        """
        ends = self.sums(mint.ones_like(line), 0)
        count = ops.minimum(ends[-1:], float(self.window))
        first = ends - (1 + (self.window - 1) // 2)
        first = ops.minimum(ops.maximum(first, 0.0), ends[-1:] - count)
        sums = self.sums(x, axis)
        nothing = mint.zeros_like(sums[:, :, :1] if axis == 2 else sums[:, :, :, :1])
        sums = ops.concat((nothing, sums), axis)
        last = ops.gather(sums, (first + count).astype(ms.int32), axis)
        return (last - ops.gather(sums, first.astype(ms.int32), axis)) / count

    def sums(self, x: Tensor, axis: int) -> Tensor:
        """Return the sums from the beginning of an axis to each of its entries."""
        return mint.cumsum(x, axis) if self.on_ascend else ops.cumsum(x, axis)


def _gated_blocks(width: int, window: int, count: int) -> nn.SequentialCell:
    return nn.SequentialCell([_GatedBlock(width, window) for _ in range(count)])


def _conv(inputs: int, outputs: int, size: int, group: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        inputs, outputs, size, pad_mode="pad", padding=size // 2, group=group, has_bias=True
    )
