"""An optimizer of one's own, with a learning rate for every update."""

from mindspore import Parameter, nn


def adam_w(
    parameters: list[Parameter], rates: list[float], *, weight_decay: float = 1e-2
) -> nn.Optimizer:
    """Adam whose weight decay is apart from the gradient (arXiv 1711.05101)."""
    return nn.AdamWeightDecay(parameters, rates, weight_decay=weight_decay)
