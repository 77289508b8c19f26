"""U-Nets in PyTorch, written from their papers, with the names of the published files."""

from __future__ import annotations

import torch
from torch import nn


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
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.m_head = nn.Conv2d(channels + 1, width, 3, padding=1, bias=False)
        for number, (a, b) in enumerate(zip(widths, widths[1:]), 1):
            halving = nn.Conv2d(a, b, 2, 2, bias=False)
            doubling = nn.ConvTranspose2d(b, a, 2, 2, bias=False)
            same = [[_ReLUBlock(a) for _ in range(blocks)] for _ in range(2)]
            setattr(self, f"m_down{number}", nn.Sequential(*same[0], halving))
            setattr(self, f"m_up{number}", nn.Sequential(doubling, *same[1]))
        self.m_body = nn.Sequential(*[_ReLUBlock(widths[-1]) for _ in range(blocks)])
        self.m_tail = nn.Conv2d(width, channels, 3, padding=1, bias=False)

    def forward(self, y):
        full = self.m_head(y)
        half = self.m_down1(full)
        quarter = self.m_down2(half)
        eighth = self.m_down3(quarter)
        x = self.m_up3(self.m_body(eighth) + eighth)
        x = self.m_up1(self.m_up2(x + quarter) + half)
        return self.m_tail(x + full)
