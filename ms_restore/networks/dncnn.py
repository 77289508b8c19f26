"""DnCNN, residual denoising with batch normalisation, and its folded form without it.

Zhang, Zuo, Chen, Meng, Zhang, "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image
Denoising", IEEE TIP 2017, arXiv 1608.03981.

Differs from the paper: the scale of batch normalisation is initialised at most 0.025 from zero, so
that the untrained network hardly changes the image.
"""

from __future__ import annotations

from typing import Annotated, Literal, Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.common.initializer import HeNormal, Normal, initializer
from pydantic import Field

from ms_restore.networks.layers import NormalizedReLU

_LARGEST_GAMMA = 0.025


class DnCNN(nn.Cell):
    """The denoiser DnCNN: x_hat = y - R(y), where R predicts the noise.

    R is conv + ReLU, then conv + batch norm + ReLU repeatedly, then conv.

    Args:
        channels: 1 (gray) or 3 (RGB).
        layers: number of convolutions; 17 for one known noise level (DnCNN-S), 20 for blind
            denoising (DnCNN-B and DnCNN-3).
        filters: number of filters in each layer.
        batch_norm: use batch normalisation after every convolution but the first and the last;
            without it, the network is the one that ``folded`` returns.
        bias: use biases in the convolutions; None does so without batch normalisation.

    Inputs: y (N, channels, H, W) float32 in [0, 1], noise not clipped.
    Outputs: x_hat, of the same shape, not clipped.
    """

    scale = 1
    size_multiple = 1

    def __init__(
        self,
        *,
        channels: Literal[1, 3] = 1,
        layers: Annotated[int, Field(ge=2)] = 17,
        filters: Annotated[int, Field(ge=1)] = 64,
        batch_norm: bool = True,
        bias: Optional[bool] = None,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.filters = filters
        self.receptive_radius = layers
        self.floats_per_pixel = 4 * filters
        biased = not batch_norm if bias is None else bias
        self.first = _conv(channels, filters, biased)
        self.middle = nn.SequentialCell(
            [_Layer(filters, batch_norm, biased) for _ in range(layers - 2)]
        )
        self.last = _conv(filters, channels, biased)

    def construct(self, y: Tensor) -> Tensor:
        """Return x_hat (N, channels, H, W) for y (N, channels, H, W)."""
        return y - self.last(self.middle(ops.relu(self.first(y))))

    def folded(self) -> DnCNN:
        """Return the same function with each batch normalisation merged into its convolution.

        With the normalisation's gamma, beta, mean m and variance v, the convolution's weight w and
        bias b become w' = w g and b' = beta + (b - m) g, where g = gamma / sqrt(v + eps). They are
        computed in float64.
        """
        network = DnCNN(
            channels=self.channels,
            layers=len(self.middle) + 2,
            filters=self.filters,
            batch_norm=False,
        )
        layers = [(self.first, None), *((x.conv, x.norm) for x in self.middle), (self.last, None)]
        targets = [network.first, *(layer.conv for layer in network.middle), network.last]
        for (conv, norm), target in zip(layers, targets):
            weight = conv.weight.asnumpy().astype(np.float64)
            bias = conv.bias.asnumpy().astype(np.float64) if conv.has_bias else np.zeros(1)
            bias = np.broadcast_to(bias, weight.shape[:1])
            if norm is not None:
                gamma, beta, mean, variance = (
                    parameter.asnumpy().astype(np.float64)
                    for parameter in (
                        norm.gamma,
                        norm.beta,
                        norm.moving_mean,
                        norm.moving_variance,
                    )
                )
                gain = gamma / np.sqrt(variance + norm.eps)
                weight = weight * gain[:, None, None, None]
                bias = beta + (bias - mean) * gain
            target.weight.set_data(Tensor(weight, ms.float32))
            target.bias.set_data(Tensor(bias, ms.float32))
        return network.set_train(False)


class _Layer(NormalizedReLU):
    """A hidden layer ReLU(norm(conv(x)))."""

    def __init__(self, filters: int, batch_norm: bool, bias: bool) -> None:
        super().__init__()
        self.conv = _conv(filters, filters, bias)
        self.norm = None
        if batch_norm:
            gamma = initializer(Normal(np.sqrt(2 / 9 / filters)), (filters,)).init_data().asnumpy()
            gamma = np.clip(gamma, -_LARGEST_GAMMA, _LARGEST_GAMMA)
            self.norm = nn.BatchNorm2d(filters, gamma_init=Tensor(gamma))

    def construct(self, x: Tensor) -> Tensor:
        """Return the layer's output (N, filters, H, W) for x (N, filters, H, W)."""
        return self.activate(self.conv(x))


def _conv(inputs: int, outputs: int, bias: bool) -> nn.Conv2d:
    weight = initializer(HeNormal(mode="fan_in"), (outputs, inputs, 3, 3))
    return nn.Conv2d(
        inputs,
        outputs,
        3,
        pad_mode="pad",
        padding=1,
        has_bias=bias,
        weight_init=weight,
        bias_init="zeros",
    )
