"""A critic that estimates the Fisher divergence between data and a model that is not normalised.

References:
    Bao, Xu, Li, Hong, Zhu, Zhang (2021), "Variational (gradient) estimate of the score function in
    energy-based latent variable models", ICML, arXiv:2010.08258.
    Grathwohl, Wang, Jacobsen, Duvenaud, Zemel (2020), "Learning the Stein discrepancy for training and
    evaluating energy-based models without sampling", ICML, arXiv:2002.05616.

Notation:
    =============  ====================  ==============================================================
    here           the papers            meaning
    =============  ====================  ==============================================================
    ``-∇E(x)``     ``s(x)``, ``s_q``     score of the model, or a variational estimate of it
    ``f``          ``f``                 the critic, a field: ``(B, *event)`` to the same shape
    =============  ====================  ==============================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. ``L = mean -∇E(x)·f(x) + uᵀ ∇f(x) u - ½ ‖f(x)‖²``, with random signs ``u`` for the trace.
    2. One optimiser step of the critic *up* its gradient.

The maximum over all ``f`` is the divergence. The value in training has seen its data: estimate with
`ebmlearn.evaluate.fisher.lower_bound` on others.

Differences from the papers: Grathwohl et al. write ``λ ‖f‖²`` for ``½ ‖f‖²``, which scales critic and value.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.energy import Energy
from ebmlearn.evaluate.fisher import critic_terms
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class FisherCritic(Method):
    """Train the critic of `ebmlearn.evaluate.fisher.lower_bound`.

    Args:
        energy: The model to judge, or an estimate such as `vaes <ebmlearn.objectives.vaes>`. It is neither
            trained nor saved.
        critic: The net to train, ``(B, *event)`` to the same shape, with smooth activations.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.
    """

    def __init__(
        self,
        energy: Energy,
        critic: nn.Module,
        *,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        self.critic = critic
        self._model: tuple[Any, ...] = (energy,)  # in a tuple, lest its parameters pass for the critic's
        self.add_optimizer("critic", critic.parameters(), lr, optimizer)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``bound``, the batch's mean, in 1/(units of x)²: noisy, and too
            high where the critic has learned the training data by heart.
        """
        (energy,) = self._model
        # 1. the bound, on data alone
        bound = critic_terms(energy, self.critic, batch).mean()
        # 2. up
        self.update("critic", -bound)
        return {"bound": bound.detach()}
