"""An optimizer of one's own, with a learning rate for every update."""

from mindspore import Parameter, nn


def rms_prop(
    parameters: list[Parameter], rates: list[float], *, decay: float = 0.9
) -> nn.Optimizer:
    """Divide each gradient by the root of its mean square so far (Tieleman and Hinton 2012)."""
    return nn.RMSProp(parameters, rates, decay=decay)
