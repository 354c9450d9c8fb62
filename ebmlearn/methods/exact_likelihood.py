"""Maximum likelihood with the partition function computed exactly: the oracle that other methods are held to.

It exists where ``log Z`` does: in the plane by quadrature (`ebmlearn.evaluate.exact.Grid.log_z`), in a small
`ebmlearn.energy.GRBM` by enumeration. What it reaches shows what the net and the optimiser can do; what
another method loses against it is the method's own.

Algorithm, one iteration on a batch of ``B`` data:
    1. ``L = mean E(x⁺) + log Z``, the mean negative log-likelihood.
    2. One optimiser step down its gradient, through ``log Z``.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn.energy import energy_at
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class ExactLikelihood(Method):
    """Gradient descent on the exact negative log-likelihood.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``.
        log_z: ``log_z(energy)``, shape ``()``, differentiable by the parameters: ``grid.log_z``, or ``lambda
            rbm: rbm.log_z``.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.
    """

    def __init__(
        self,
        energy: nn.Module,
        log_z: Callable[[nn.Module], Tensor],
        *,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        self.energy, self.log_z = energy, log_z
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``nll``, the mean negative log-likelihood in nats.
        """
        # 1. exact negative log-likelihood
        nll = energy_at(self.energy, batch).mean() + self.log_z(self.energy)
        # 2. update
        self.update("energy", nll)
        return {"nll": nll.detach()}
