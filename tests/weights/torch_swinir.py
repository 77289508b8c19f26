"""SwinIR in PyTorch, written from its paper, with the names of the published files."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

MEAN = (0.4488, 0.4371, 0.4040)


def windows_of(x, side):
    """(N, H, W, C) to (windows, pixels, C)."""
    cut = x.unfold(1, side, side).unfold(2, side, side)  # N, rows, columns, C, side, side
    return cut.permute(0, 1, 2, 4, 5, 3).reshape(-1, side * side, x.shape[3])


def image_of(windows, side, shape):
    count, height, width, channels = shape
    cut = windows.reshape(count, height // side, width // side, side, side, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(shape)


def mask_of(height, width, side):
    """-100 where two pixels of a shifted window come from opposite borders."""
    regions, number = torch.zeros(1, height, width, 1), 0
    half = side // 2
    for rows in (slice(0, -side), slice(-side, -half), slice(-half, None)):
        for columns in (slice(0, -side), slice(-side, -half), slice(-half, None)):
            regions[:, rows, columns] = number
            number += 1
    flat = windows_of(regions, side).squeeze(2)
    return torch.where(flat[:, None] == flat[:, :, None], 0.0, -100.0)


class _Attention(nn.Module):
    def __init__(self, width, heads, side):
        super().__init__()
        self.heads, self.side = heads, side
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        table = torch.zeros((2 * side - 1) ** 2, heads)
        self.relative_position_bias_table = nn.Parameter(table)
        line = torch.arange(side)
        apart = line[:, None] - line + side - 1
        index = (2 * side - 1) * apart[:, None, :, None] + apart[None, :, None, :]
        self.register_buffer("relative_position_index", index.reshape(side**2, side**2))

    def forward(self, x, mask):
        windows, pixels, channels = x.shape
        q, k, v = self.qkv(x).reshape(windows, pixels, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is not None:
            bias = bias + mask.repeat(windows // len(mask), 1, 1)[:, None]
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(y.transpose(1, 2).reshape(windows, pixels, channels))


class _Layer(nn.Module):
    def __init__(self, width, heads, side, shift, trained):
        super().__init__()
        self.side, self.shift = side, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = _Attention(width, heads, side)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 2 * width), "fc2": nn.Linear(2 * width, width)}
        )
        self.register_buffer("attn_mask", mask_of(trained, trained, side) if shift else None)

    def forward(self, x):
        y, mask = self.norm1(x), None
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
            mask = mask_of(*x.shape[1:3], self.side)
        y = image_of(self.attn(windows_of(y, self.side), mask), self.side, x.shape)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


def _conv(a, b, size=3):
    return nn.Conv2d(a, b, size, padding=size // 2)


def _convs(width, three):
    if not three:
        return _conv(width, width)
    narrow = width // 4
    layers = [_conv(width, narrow), nn.LeakyReLU(0.2), _conv(narrow, narrow, 1)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), _conv(narrow, width))


class SwinIR(nn.Module):
    """``trained`` is the side of the pictures whose masks the file holds."""

    def __init__(
        self,
        *,
        scale=2,
        channels=3,
        width=12,
        groups=(2, 3),
        heads=3,
        window=4,
        upsampler="pixelshuffle",
        three_convs=False,
        input_range=1,
        trained=16,
    ):
        super().__init__()
        self.scale, self.window = scale, window
        self.upsampler, self.range = upsampler, input_range
        mean = torch.tensor(MEAN if channels == 3 else (0.0,))
        self.register_buffer("mean", mean.reshape(1, -1, 1, 1), persistent=False)
        self.conv_first = _conv(channels, width)
        self.patch_embed = nn.ModuleDict({"norm": nn.LayerNorm(width)})
        self.layers = nn.ModuleList()
        for count in groups:
            shifts = [window // 2 * (number % 2) for number in range(count)]
            blocks = [_Layer(width, heads, window, shift, trained) for shift in shifts]
            group = nn.ModuleDict({"blocks": nn.Sequential(*blocks)})
            parts = {"residual_group": group, "conv": _convs(width, three_convs)}
            self.layers.append(nn.ModuleDict(parts))
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = _convs(width, three_convs)
        if upsampler == "pixelshuffledirect":
            wide = _conv(width, channels * scale**2)
            self.upsample = nn.Sequential(wide, nn.PixelShuffle(scale))
            return
        self.conv_last = _conv(width if upsampler == "none" else 64, channels)
        if upsampler != "none":
            self.conv_before_upsample = nn.Sequential(_conv(width, 64), nn.LeakyReLU())
        if upsampler == "pixelshuffle":
            factors = {2: [2], 3: [3], 4: [2, 2], 8: [2, 2, 2]}[scale]
            pairs = [(_conv(64, 64 * f**2), nn.PixelShuffle(f)) for f in factors]
            self.upsample = nn.Sequential(*[part for pair in pairs for part in pair])
        if upsampler == "nearest+conv":
            self.conv_up1, self.conv_hr = _conv(64, 64), _conv(64, 64)
            if scale == 4:
                self.conv_up2 = _conv(64, 64)

    def features(self, x):
        x = self.patch_embed["norm"](x.movedim(1, 3))
        for group in self.layers:
            y = group["residual_group"]["blocks"](x)
            x = x + group["conv"](y.movedim(3, 1)).movedim(1, 3)
        return self.norm(x).movedim(3, 1)

    def enlarged(self, x):
        if self.upsampler == "pixelshuffledirect":
            return self.upsample(x)
        x = self.conv_before_upsample(x)
        if self.upsampler == "pixelshuffle":
            return self.conv_last(self.upsample(x))
        for conv in [self.conv_up1, self.conv_up2] if self.scale == 4 else [self.conv_up1]:
            x = functional.leaky_relu(conv(functional.interpolate(x, scale_factor=2)), 0.2)
        return self.conv_last(functional.leaky_relu(self.conv_hr(x), 0.2))

    def forward(self, y):
        height, width = y.shape[2:]
        sides = (0, -width % self.window, 0, -height % self.window)
        x = (functional.pad(y, sides, mode="reflect") - self.mean) * self.range
        first = self.conv_first(x)
        body = self.conv_after_body(self.features(first)) + first
        x = x + self.conv_last(body) if self.upsampler == "none" else self.enlarged(body)
        x = x / self.range + self.mean
        return x[:, :, : height * self.scale, : width * self.scale]
