"""The published networks in PyTorch, as their parameters are named: what conversion is held to."""

from __future__ import annotations

import torch
from torch import nn


def dncnn(prefix="dncnn", *, channels=1, layers=5, filters=8, norm=True, bias=False, eps=1e-5):
    """(network, its state dict) with every number random, so that nothing cancels."""
    cells = [nn.Conv2d(channels, filters, 3, padding=1, bias=bias), nn.ReLU()]
    for _ in range(layers - 2):
        cells.append(nn.Conv2d(filters, filters, 3, padding=1, bias=bias))
        cells += [nn.BatchNorm2d(filters, eps=eps)] if norm else []
        cells.append(nn.ReLU())
    cells.append(nn.Conv2d(filters, channels, 3, padding=1, bias=bias))
    residual = nn.Sequential(*cells).eval()
    _randomise(residual)
    state = {f"{prefix}.{name}": value for name, value in residual.state_dict().items()}
    return (lambda y: y - residual(y)), state


def _randomise(network):
    for name, value in network.state_dict().items():
        if "num_batches" in name:
            continue
        if "running_var" in name:
            value.uniform_(2e-4, 1)  # small enough that eps matters
        else:
            value.normal_(0.1, 0.15)


def sid(*, channels=4, width=3, up_bias=True):
    """The forward pass and the weights, named as in the PyTorch port."""
    widths = [width * 2**level for level in range(5)]
    layers = {}
    for level, (inputs, outputs) in enumerate(zip([channels, *widths], widths)):
        layers[f"conv{level + 1}_1"] = nn.Conv2d(inputs, outputs, 3, padding=1)
        layers[f"conv{level + 1}_2"] = nn.Conv2d(outputs, outputs, 3, padding=1)
    for level, (inputs, outputs) in enumerate(zip(widths[:0:-1], widths[-2::-1])):
        layers[f"upv{level + 6}"] = nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=up_bias)
        layers[f"conv{level + 6}_1"] = nn.Conv2d(inputs, outputs, 3, padding=1)
        layers[f"conv{level + 6}_2"] = nn.Conv2d(outputs, outputs, 3, padding=1)
    layers["conv10_1"] = nn.Conv2d(width, 3 * channels, 1)
    network = nn.ModuleDict(layers)

    def pair(x, number):
        for half in (1, 2):
            x = nn.functional.leaky_relu(network[f"conv{number}_{half}"](x), 0.2)
        return x

    def features(y):
        x, skips = pair(y, 1), []
        for number in range(2, 6):
            skips.append(x)
            x = pair(nn.functional.max_pool2d(x, 2), number)
        for number in range(6, 10):
            x = pair(torch.cat((network[f"upv{number}"](x), skips.pop()), 1), number)
        return network["conv10_1"](x)

    return features, network.state_dict()


class _Block(nn.Module):
    def __init__(self, filters, layout, residual_scale):
        super().__init__()
        first, second = (nn.Conv2d(filters, filters, 3, padding=1) for _ in range(2))
        if layout == "edsr-pytorch":
            self.body = nn.Sequential(first, nn.ReLU(), second)
        else:
            self.conv1, self.conv2 = first, second
        self.residual_scale = residual_scale

    def forward(self, x):
        if hasattr(self, "body"):
            return x + self.body(x) * self.residual_scale
        return x + self.conv2(torch.relu(self.conv1(x))) * self.residual_scale


def edsr(layout, *, scale=2, blocks=2, filters=4, residual_scale=1.0):
    """(network on [0, 1], its state dict); inside it computes in 0..255, as both layouts do."""
    conv = [nn.Conv2d(3, filters, 3, padding=1), nn.Conv2d(filters, filters, 3, padding=1)]
    tail = nn.Conv2d(filters, 3, 3, padding=1)
    body = [_Block(filters, layout, residual_scale) for _ in range(blocks)]
    stages = []
    for factor in {2: (2,), 3: (3,), 4: (2, 2)}[scale]:
        wide = nn.Conv2d(filters, filters * factor**2, 3, padding=1)
        stages += [wide, nn.PixelShuffle(factor)]
    if layout == "edsr-pytorch":
        parts = {
            "head": nn.Sequential(conv[0]),
            "body": nn.Sequential(*body, conv[1]),
            "tail": nn.Sequential(nn.Sequential(*stages), tail),
        }
    else:
        parts = {
            "conv_first": conv[0],
            "body": nn.Sequential(*body),
            "conv_after_body": conv[1],
            "upsample": nn.Sequential(*stages),
            "conv_last": tail,
        }
    network = nn.ModuleDict(parts).eval()
    for name, value in network.state_dict().items():
        value.normal_(0, 20 if name.endswith("bias") else 0.2)
    mean = 255 * torch.tensor([0.4488, 0.4371, 0.4040]).reshape(1, 3, 1, 1)

    def forward(y):
        features = conv[0](255 * y - mean)
        inner = features
        for block in body:
            inner = block(inner)
        return (tail(nn.Sequential(*stages)(conv[1](inner) + features)) + mean) / 255

    state = dict(network.state_dict())
    if layout == "edsr-pytorch":
        for name, sign in (("sub_mean", -1), ("add_mean", 1)):
            state[f"{name}.weight"] = torch.eye(3).reshape(3, 3, 1, 1)
            state[f"{name}.bias"] = sign * mean.flatten()
    return forward, state


def chain(inputs, outputs, *, layers=4, filters=8, dilations=None):
    """(chain of convolutions and ReLUs with random numbers, its state dict as KAIR names it)."""
    widths = [inputs, *[filters] * (layers - 1), outputs]
    cells = []
    for a, b, dilation in zip(widths, widths[1:], dilations or [1] * layers):
        cells += [nn.Conv2d(a, b, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    network = nn.Sequential(*cells[:-1]).eval()
    _randomise(network)
    return network, {f"model.{name}": value for name, value in network.state_dict().items()}


def ffdnet(network):
    """The forward pass of FFDNet, on even sides, of the image with the noise map behind it."""

    def forward(y):
        halves = torch.nn.functional.pixel_unshuffle(y[:, :-1], 2)
        noise = torch.nn.functional.avg_pool2d(y[:, -1:], 2)
        return torch.nn.functional.pixel_shuffle(network(torch.cat((halves, noise), 1)), 2)

    return forward
