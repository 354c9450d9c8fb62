"""Learning without sampling: descend an objective in which ``log Z`` does not occur.

References:
    Hyvärinen (2005), "Estimation of non-normalized statistical models by score matching", JMLR 6.
    Vincent (2011), "A connection between score matching and denoising autoencoders", Neural Computation 23.
    Song, Garg, Shi, Ermon (2019), "Sliced score matching: a scalable approach to density and score
    estimation", UAI, arXiv:1905.07088.
    Li, Chen, Sommer (2019), "Learning energy-based models in high-dimensional spaces with multi-scale
    denoising score matching", arXiv:1910.07762.
    Ceylan, Gutmann (2018), "Conditional noise-contrastive estimation of unnormalised models", ICML,
    arXiv:1806.03664.

Notation:
    =============  ====================================  ==============================================
    here           the papers                            meaning
    =============  ====================================  ==============================================
    ``-∇E(x)``     ``ψ(x; θ)``, ``s_θ(x)``               score of the model: note the minus
    ``sigma``      ``σ``                                 standard deviation of noise on data
    ``reference``  ``σ₀``                                noise level at which multi-scale denoising is a score
    ``n_noise``    ``κ``                                 noisy copies of each datum
    =============  ====================================  ==============================================

Algorithm, one iteration on a batch of ``B`` data:
    1. ``L = objective(E, x)``: one of `ebmlearn.objectives`, on data alone.
    2. One optimiser step down its gradient; then move the average of the weights.

Differences from the papers: they train score networks or energies with schedules of their own; here every
objective has the same loop. The annealed sampler of multi-scale denoising is `ebmlearn.sample.ula` with a
schedule for its noise.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn.objectives import score_matching
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class ScoreMatching(Method):
    """Score matching in all its forms, and what else needs data only: the objective decides.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``.
        objective: ``objective(energy, x)``, a scalar: `~ebmlearn.objectives.score_matching`,
            `~ebmlearn.objectives.sliced_score_matching`, or a ``partial`` of
            `~ebmlearn.objectives.denoising_score_matching`, `~ebmlearn.objectives.multiscale_denoising`,
            `~ebmlearn.objectives.conditional_nce` or `~ebmlearn.objectives.kernel_stein_discrepancy`.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.
        ema: Decay of the moving average of the weights, kept in ``averages["energy"]``; None: no average.
    """

    def __init__(
        self,
        energy: nn.Module,
        objective: Callable[[nn.Module, Tensor], Tensor] = score_matching,
        *,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        self.energy, self.objective = energy, objective
        self.add_average("energy", energy, ema)
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``loss``, in the objective's own units: comparable between runs with the same objective and
            settings only.
        """
        # 1. the objective, on data alone
        loss = self.objective(self.energy, batch)
        # 2. updates of the weights and their average
        self.update("energy", loss)
        return {"loss": loss.detach()}
