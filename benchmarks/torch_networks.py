"""The networks of this package in PyTorch, with the same weights: what they are measured against.

``twin(network, recipe)`` gives a torch.nn.Module that computes what a MindSpore network of the same
settings computes, from NCHW float32 in [0, 1], with copies of its weights. Written as PyTorch's
users write them, so that a comparison is with what people would use instead.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from ms_restore.settings import Recipe

_NORM = {"gamma": "weight", "beta": "bias"}
_NORM |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
_LEVELS = 5  # of Noise2Noise


def twin(network: Any, recipe: Recipe) -> nn.Module:
    """Of any network of ms_restore.networks but the MRI's Noise2Noise, and its recipe.

    KeyError for another network, RuntimeError where the parameters are not alike.
    """
    if type(network).__name__ in _OF_TESTS:
        return _twin_of_tests(network, recipe)
    made: nn.Module = _TWINS[type(network).__name__](network)
    weights = {
        _torch_name(name): torch.from_numpy(parameter.asnumpy().copy())
        for name, parameter in network.parameters_dict().items()
    }
    counters = {name for name in made.state_dict() if name.endswith("num_batches_tracked")}
    missing, unexpected = made.load_state_dict(weights, strict=False)
    if set(missing) - counters or unexpected:
        raise RuntimeError(f"missing {missing}, unexpected {unexpected}")
    return made


def _twin_of_tests(network: Any, recipe: Recipe) -> nn.Module:
    """Of networks that the tests write with published names, from weights converted to those."""
    # here, for a process that only computes has PyTorch alone
    from safetensors.torch import load_file

    from ms_restore.weights.conversion import to_torch
    from tests.weights import torch_swinir, torch_u_nets

    settings = dict(recipe.network)
    kind = settings.pop("name")
    if kind == "drunet":
        made = torch_u_nets.DRUNet(*(settings[key] for key in ("channels", "width", "blocks")))
    elif kind == "nafnet":
        whole = settings.pop("local") == "none"
        made = torch_u_nets.NAFNet(**settings, local=0 if whole else recipe.network["local"])
    else:
        side = recipe.data.patch_size // network.scale
        made = torch_swinir.SwinIR(**settings, trained=side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        to_torch(network, recipe, path)
        made.load_state_dict(load_file(path))
    return made


def _torch_name(name: str) -> str:
    stem, _, last = name.rpartition(".")
    return f"{stem}.{_NORM.get(last, last)}"


def _conv(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias)


class EDSR(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        filters = like.head.out_channels
        self.head = _conv(like.channels, filters)
        self.blocks = nn.Sequential(*(_Block(filters, b.residual_scale) for b in like.blocks))
        self.body_end = _conv(filters, filters)
        stages: list[nn.Module] = []
        for factor in {2: (2,), 3: (3,), 4: (2, 2)}[like.scale]:
            stages += [_conv(filters, filters * factor**2), nn.PixelShuffle(factor)]
        self.upsample = nn.Sequential(*stages)
        self.tail = _conv(filters, like.channels)
        self.mean, self.deviation = (
            nn.Buffer(torch.from_numpy(value.asnumpy().copy()), persistent=False)
            for value in (like.mean, like.deviation)
        )

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        features = self.head((y - self.mean) / self.deviation)
        features = features + self.body_end(self.blocks(features))
        return self.tail(self.upsample(features)) * self.deviation + self.mean


class _Block(nn.Module):
    def __init__(self, filters: int, residual_scale: float) -> None:
        super().__init__()
        self.conv1 = _conv(filters, filters)
        self.conv2 = _conv(filters, filters)
        self.residual_scale = residual_scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        branch = self.conv2(functional.relu(self.conv1(x), inplace=True))
        return x + (branch if self.residual_scale == 1 else branch * self.residual_scale)


class DnCNN(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        bias, filters = like.first.has_bias, like.filters
        self.first = _conv(like.channels, filters, bias=bias)
        self.middle = nn.Sequential(*(_Layer(filters, layer.norm, bias) for layer in like.middle))
        self.last = _conv(filters, like.channels, bias=bias)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.first(y), inplace=True)
        return y - self.last(self.middle(x))


class _Layer(nn.Module):
    def __init__(self, filters: int, norm: Any, bias: bool) -> None:
        super().__init__()
        self.conv = _conv(filters, filters, bias=bias)
        # MindSpore's momentum is the share that stays
        self.norm = norm and nn.BatchNorm2d(filters, eps=norm.eps, momentum=1 - norm.momentum)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return functional.relu(x if self.norm is None else self.norm(x), inplace=True)


class Noise2Noise(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        self.first = _conv(like.channels, like.first.out_channels)
        self.encoder = nn.ModuleList(
            _conv(conv.in_channels, conv.out_channels) for conv in like.encoder
        )
        self.middle = _conv(like.middle.in_channels, like.middle.out_channels)
        self.decoder = nn.ModuleList(_Pair(pair, 0.1) for pair in like.decoder)
        self.full = _Pair(like.full, 0.1)
        self.last = _conv(like.last.in_channels, like.channels)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        y = y - 0.5
        x = functional.leaky_relu(self.first(y), 0.1, inplace=True)
        skips = [y]
        for conv in self.encoder:
            x = functional.max_pool2d(functional.leaky_relu(conv(x), 0.1, inplace=True), 2)
            skips.append(x)
        x = functional.leaky_relu(self.middle(x), 0.1, inplace=True)
        for pair, skip in zip([*self.decoder, self.full], skips[_LEVELS - 1 :: -1]):
            doubled = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = pair(torch.cat((doubled, skip), dim=1))
        return self.last(x) + 0.5


class SID(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_Pair(pair, 0.2) for pair in like.encoder)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(
                pair.conv2.out_channels * 2, pair.conv2.out_channels, 2, 2, bias=False
            )
            for pair in like.decoder
        )
        self.decoder = nn.ModuleList(_Pair(pair, 0.2) for pair in like.decoder)
        self.last = _conv(like.last.in_channels, like.last.out_channels, 1)
        self.scale = like.scale

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        x = self.encoder[0](y)
        skips = []
        for pair in self.encoder[1:]:
            skips.append(x)
            x = pair(functional.max_pool2d(x, 2))
        for up, pair, skip in zip(self.up, self.decoder, skips[::-1]):
            x = pair(torch.cat((up(x), skip), dim=1))
        return functional.pixel_shuffle(self.last(x), self.scale)


class _Pair(nn.Module):
    def __init__(self, like: Any, slope: float) -> None:
        super().__init__()
        self.conv1 = _conv(like.conv1.in_channels, like.conv1.out_channels)
        self.conv2 = _conv(like.conv2.in_channels, like.conv2.out_channels)
        self.slope = slope

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.leaky_relu(self.conv1(x), self.slope, inplace=True)
        return functional.leaky_relu(self.conv2(x), self.slope, inplace=True)


class RRDBNet(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        filters = like.conv_first.out_channels
        growth = like.body[0].rdb1.conv1.out_channels
        self.conv_first = _conv(like.conv_first.in_channels, filters)
        self.body = nn.Sequential(*(_RRDB(filters, growth) for _ in like.body))
        self.conv_body = _conv(filters, filters)
        self.conv_up1 = _conv(filters, filters)
        self.conv_up2 = _conv(filters, filters)
        self.conv_hr = _conv(filters, filters)
        self.conv_last = _conv(filters, like.channels)
        self.factor = like.size_multiple

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        x = self.conv_first(functional.pixel_unshuffle(y, self.factor))
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = conv(functional.interpolate(x, scale_factor=2, mode="nearest"))
            x = functional.leaky_relu(x, 0.2, inplace=True)
        return self.conv_last(functional.leaky_relu(self.conv_hr(x), 0.2, inplace=True))


class _RRDB(nn.Module):
    def __init__(self, filters: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_Dense(filters, growth) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rdb3(self.rdb2(self.rdb1(x))) * 0.2 + x


class _Dense(nn.Module):
    def __init__(self, filters: int, growth: int) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3, self.conv4 = (
            _conv(filters + n * growth, growth) for n in range(4)
        )
        self.conv5 = _conv(filters + 4 * growth, filters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            parts.append(functional.leaky_relu(conv(torch.cat(parts, 1)), 0.2, inplace=True))
        return self.conv5(torch.cat(parts, 1)) * 0.2 + x


class SRVGG(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        filters, layers = like.body[0].out_channels, len(like.body) // 2
        cells: list[nn.Module] = []
        for n in range(layers):
            cells += [_conv(filters if n else like.channels, filters), nn.PReLU(filters)]
        self.body = nn.Sequential(*cells, _conv(filters, like.channels * like.scale**2))
        self.scale = like.scale

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        larger = functional.interpolate(y, scale_factor=self.scale, mode="nearest")
        return functional.pixel_shuffle(self.body(y), self.scale) + larger


class FFDNet(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        self.convolutions = _convolutions(like)
        self.channels, self.noise_map = like.channels, like.noise_map

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        x = functional.pixel_unshuffle(y[:, : self.channels], 2)
        if self.noise_map:
            x = torch.cat((x, functional.avg_pool2d(y[:, self.channels :], 2)), 1)
        return functional.pixel_shuffle(self.convolutions(x), 2)


class FDnCNN(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        self.convolutions = _convolutions(like)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.convolutions(y)


class IRCNN(nn.Module):
    def __init__(self, like: Any) -> None:
        super().__init__()
        self.convolutions = _convolutions(like)

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return y - self.convolutions(y)


class _Convolutions(nn.ModuleList):
    """With a ReLU after each but the last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *before, last = self
        for convolution in before:
            x = functional.relu(convolution(x), inplace=True)
        return last(x)


def _convolutions(like: Any) -> _Convolutions:
    return _Convolutions(
        nn.Conv2d(c.in_channels, c.out_channels, 3, padding=c.dilation[0], dilation=c.dilation[0])
        for c in like.convolutions
    )


_OF_TESTS = {"DRUNet", "NAFNet", "SwinIR"}
_TWINS = {
    kind.__name__: kind
    for kind in (EDSR, DnCNN, Noise2Noise, SID, RRDBNet, SRVGG, FFDNet, FDnCNN, IRCNN)
}
