"""U-Nets in PyTorch, written from their papers, with the names of the published files."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def randomise(network, seed=0, gain=1.0):
    """Draw every number anew, so that nothing cancels and the output stays near 1."""
    generator = torch.Generator().manual_seed(seed)
    for value in network.state_dict().values():
        fan_in = value[0].numel() if value.ndim > 1 else 4
        value.copy_(torch.randn(value.shape, generator=generator) * gain / fan_in**0.5)
    return network.eval()


class _ReLUBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.res = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, x):
        return x + self.res(x)


class DRUNet(nn.Module):
    """Of the image with the noise map behind it, on sides that are multiples of 8."""

    def __init__(self, channels=1, width=4, blocks=2):
        super().__init__()
        blocks = (blocks,) * 4 if isinstance(blocks, int) else blocks
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.m_head = nn.Conv2d(channels + 1, width, 3, padding=1, bias=False)
        for number, (a, b) in enumerate(zip(widths, widths[1:]), 1):
            halving = nn.Conv2d(a, b, 2, 2, bias=False)
            doubling = nn.ConvTranspose2d(b, a, 2, 2, bias=False)
            count = blocks[number - 1]
            same = [[_ReLUBlock(a) for _ in range(count)] for _ in range(2)]
            setattr(self, f"m_down{number}", nn.Sequential(*same[0], halving))
            setattr(self, f"m_up{number}", nn.Sequential(doubling, *same[1]))
        self.m_body = nn.Sequential(*[_ReLUBlock(widths[-1]) for _ in range(blocks[-1])])
        self.m_tail = nn.Conv2d(width, channels, 3, padding=1, bias=False)

    def forward(self, y):
        full = self.m_head(y)
        half = self.m_down1(full)
        quarter = self.m_down2(half)
        eighth = self.m_down3(quarter)
        x = self.m_up3(self.m_body(eighth) + eighth)
        x = self.m_up1(self.m_up2(x + quarter) + half)
        return self.m_tail(x + full)


class _ChannelNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x):
        rows = functional.layer_norm(
            x.movedim(1, 3), self.weight.shape, self.weight, self.bias, 1e-6
        )
        return rows.movedim(3, 1)


class _GatedBlock(nn.Module):
    def __init__(self, width, window):
        super().__init__()
        self.norm1, self.norm2 = _ChannelNorm(width), _ChannelNorm(width)
        self.conv1 = nn.Conv2d(width, 2 * width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.sca = nn.Sequential(nn.Identity(), nn.Conv2d(width, width, 1))
        self.conv3 = nn.Conv2d(width, width, 1)
        self.conv4 = nn.Conv2d(width, 2 * width, 1)
        self.conv5 = nn.Conv2d(width, width, 1)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.window = window

    def mean(self, x):
        height, width = x.shape[2:]
        if not self.window or (height <= self.window and width <= self.window):
            return x.mean((2, 3), keepdim=True)
        sides = min(height, self.window), min(width, self.window)
        inner = functional.avg_pool2d(x, sides, 1)
        down, across = (side - 1 for side in sides)
        around = (across // 2, across - across // 2, down // 2, down - down // 2)
        return functional.pad(inner, around, mode="replicate")

    def gated(self, x):
        first, second = x.chunk(2, 1)
        return first * second

    def forward(self, x):
        branch = self.gated(self.conv2(self.conv1(self.norm1(x))))
        x = x + self.conv3(branch * self.sca(self.mean(branch))) * self.beta
        return x + self.conv5(self.gated(self.conv4(self.norm2(x)))) * self.gamma


class NAFNet(nn.Module):
    """Of RGB images of any size; ``local`` is the window at full size, 0 the whole image."""

    def __init__(self, width=4, encoder=(1, 2), middle=1, decoder=(2, 1), local=0):
        super().__init__()

        def blocks(scale, count):
            made = [_GatedBlock(width * 2**scale, local // 2**scale) for _ in range(count)]
            return nn.Sequential(*made)

        scales = len(encoder)
        widths = [width * 2**scale for scale in range(scales)]
        self.intro, self.ending = (
            nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, width), (width, 3))
        )
        self.encoders = nn.ModuleList(blocks(s, count) for s, count in enumerate(encoder))
        self.downs = nn.ModuleList(nn.Conv2d(c, 2 * c, 2, 2) for c in widths)
        self.middle_blks = blocks(scales, middle)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * c, 4 * c, 1, bias=False), nn.PixelShuffle(2))
            for c in reversed(widths)
        )
        self.decoders = nn.ModuleList(
            blocks(scales - 1 - s, count) for s, count in enumerate(decoder)
        )

    def forward(self, y):
        height, width = y.shape[2:]
        multiple = 2 ** len(self.downs)
        y = functional.pad(y, (0, -width % multiple, 0, -height % multiple))
        x, skips = self.intro(y), []
        for blocks, down in zip(self.encoders, self.downs):
            skips.append(blocks(x))
            x = down(skips[-1])
        x = self.middle_blks(x)
        for blocks, up in zip(self.decoders, self.ups):
            x = blocks(up(x) + skips.pop())
        return (y + self.ending(x))[:, :, :height, :width]
