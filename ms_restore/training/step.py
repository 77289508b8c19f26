"""One training step: forward, backward and update in a single compiled graph."""

from __future__ import annotations

from mindspore import Tensor, nn, ops


class NetworkWithLoss(nn.Cell):
    """(y, x) to the scalar loss(network(y), x)."""

    def __init__(self, network: nn.Cell, loss: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss

    def construct(self, y: Tensor, x: Tensor) -> Tensor:
        return self.loss(self.network(y), x)


class TrainStep(nn.Cell):
    """(y, x) to the loss, the network's parameters updated: what ``mindspore.train.Model`` runs."""

    def __init__(self, network_with_loss: nn.Cell, optimizer: nn.Optimizer) -> None:
        super().__init__(auto_prefix=False)
        self.network_with_loss = network_with_loss
        self.optimizer = optimizer
        self.loss_and_gradients = ops.value_and_grad(network_with_loss, None, optimizer.parameters)

    def construct(self, y: Tensor, x: Tensor) -> Tensor:
        loss, gradients = self.loss_and_gradients(y, x)
        return ops.depend(loss, self.optimizer(gradients))
