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


class _DenseBlock(nn.Module):
    """Five convolutions, each of all before it; of ESRGAN's paper, section 3.1."""

    def __init__(self, filters, growth, wrapped):
        super().__init__()
        for number in range(1, 6):
            conv = nn.Conv2d(
                filters + (number - 1) * growth, filters if number == 5 else growth, 3, padding=1
            )
            setattr(self, f"conv{number}", nn.Sequential(conv) if wrapped else conv)

    def forward(self, x):
        known = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            known.append(nn.functional.leaky_relu(conv(torch.cat(known, 1)), 0.2))
        return 0.2 * self.conv5(torch.cat(known, 1)) + x


def _rrdb(filters, growth, wrapped):
    names = [f"{'RDB' if wrapped else 'rdb'}{number}" for number in (1, 2, 3)]
    return nn.ModuleDict({name: _DenseBlock(filters, growth, wrapped) for name in names})


def rrdbnet(*, scale=4, blocks=2, filters=6, growth=4, old=False):
    """(forward pass, module, its state dict) by BasicSR's names, or by ESRGAN's first ones."""
    factor = 4 // scale
    body = [_rrdb(filters, growth, old) for _ in range(blocks)]
    first = nn.Conv2d(3 * factor**2, filters, 3, padding=1)
    after, up1, up2, hr = (nn.Conv2d(filters, filters, 3, padding=1) for _ in range(4))
    last = nn.Conv2d(filters, 3, 3, padding=1)
    if old:
        inner = nn.Module()
        inner.sub = nn.Sequential(*body, after)
        numbered = {"0": first, "1": inner, "3": up1, "6": up2, "8": hr, "10": last}
        module = nn.ModuleDict({"model": nn.ModuleDict(numbered)})
    else:
        parts = {"conv_first": first, "body": nn.ModuleList(body), "conv_body": after}
        parts |= {"conv_up1": up1, "conv_up2": up2, "conv_hr": hr, "conv_last": last}
        module = nn.ModuleDict(parts)
    for name, value in module.state_dict().items():
        value.normal_(0, 0.1 if name.endswith("bias") else 0.15)

    def larger(x):
        return nn.functional.interpolate(x, scale_factor=2, mode="nearest")

    def leaky(x):
        return nn.functional.leaky_relu(x, 0.2)

    def forward(y):
        features = first(nn.functional.pixel_unshuffle(y, factor))
        inner = features
        for block in body:
            x = inner
            for dense in block.values():
                x = dense(x)
            inner = inner + 0.2 * x
        features = features + after(inner)
        features = leaky(up2(larger(leaky(up1(larger(features))))))
        return last(leaky(hr(features)))

    return forward, module, module.state_dict()


def srvgg(*, scale=4, convolutions=3, filters=6, channels=3):
    """(forward pass, module, its state dict) of the compact network by Real-ESRGAN's names."""
    cells = [nn.Conv2d(channels, filters, 3, padding=1), nn.PReLU(filters)]
    for _ in range(convolutions):
        cells += [nn.Conv2d(filters, filters, 3, padding=1), nn.PReLU(filters)]
    cells.append(nn.Conv2d(filters, channels * scale**2, 3, padding=1))
    body = nn.Sequential(*cells)
    for value in body.state_dict().values():
        value.normal_(0, 0.25)
    module = nn.ModuleDict({"body": body})

    def forward(y):
        enlarged = nn.functional.interpolate(y, scale_factor=scale, mode="nearest")
        return nn.functional.pixel_shuffle(body(y), scale) + enlarged

    return forward, module, module.state_dict()
