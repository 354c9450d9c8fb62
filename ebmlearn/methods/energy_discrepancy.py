"""Energy discrepancy: which of a few points around a noisy datum is the datum?

Reference:
    Schröder, Ou, Lim, Li, Vollmer, Duncan (2023), "Energy discrepancies: a score-independent loss for
    energy-based models", NeurIPS, arXiv:2307.06431.

Notation:
    ================  ====================  ================================================================
    here              the paper             meaning
    ================  ====================  ================================================================
    ``E``             ``U``                 energy
    ``sigma``         ``√t``                standard deviation of either noise
    ``n_noise``       ``M``                 points around each noisy datum
    ``datum_weight``  ``w``                 weight of the datum itself in the mean
    ``gap``           ``U(x) - U(x_j)``     how much lower the energy is at a point than at the datum
    ================  ====================  ================================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Move each datum: ``y = x + σ ε``. Draw ``M`` points around each ``y``: ``x_j = y + σ ε_j``.
    2. ``gap_j = E(x) - E(x_j)``.
    3. ``L = mean log((w + Σ_j exp(gap_j)) / M)``.
    4. One optimiser step down its gradient; then move the average of the weights.

With infinitely many points ``L`` is ``KL(p ‖ p_θ) - KL(p_σ ‖ p_{θ,σ})`` and a constant, where the index means
noise of variance ``σ²`` on both: what one kick of noise takes from the divergence. ``log Z`` is in both terms
and cancels. With ``w = 1`` the datum is one of ``M + 1`` candidates and ``L`` is the cross-entropy of telling
which, less ``log M``: it is least at the density of the data for every ``M`` and ``σ``, not only for large
``M``. With another ``w`` it is least elsewhere: as ``σ → 0`` a Gaussian fits ``v (2w + M - 1) / (w + M)`` in
the place of the variance ``v``, and at ``w = 0``, ``M = 1`` there is no least value. With ``w = M = 1`` the
loss is half of `~ebmlearn.objectives.conditional_nce` with noise of ``√2 σ``.

Differences from the paper: noise is Gaussian only, and its size is given as a standard deviation: of the
authors' notebooks some take ``t`` for the variance and some for the standard deviation. They leave out the
constant ``log M``, and one of them divides the loss by ``t`` where ``t < 1``, which Adam does not feel. The
average of the weights is ours to keep or not.
"""

import math

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.energy import energy_at
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class EnergyDiscrepancy(Method):
    """Energy discrepancy with Gaussian noise: no chain, no slope of the energy, no density of the noise.

    It compares points that are about ``2 σ`` apart, and says nothing of modes that are much farther from each
    other. With ``σ`` so large that few of the points come near the data, they are told too easily to teach
    anything: look at ``accuracy``, and take more points.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``; a step takes it at ``M + 1`` points a datum.
        sigma: Standard deviation ``σ`` of the noise, > 0, in units of ``x``.
        n_noise: Points around each noisy datum, ``M`` >= 1.
        datum_weight: ``w`` >= 0. Anything but 1 learns another density than that of the data.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.
        ema: Decay of the moving average of the weights, kept in ``averages["energy"]``; None: no average.

    Raises:
        ValueError: If ``sigma`` is not positive and finite, ``n_noise`` < 1 or ``datum_weight`` < 0.
    """

    def __init__(
        self,
        energy: nn.Module,
        *,
        sigma: float,
        n_noise: int = 4,
        datum_weight: float = 1.0,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        check.module("energy", energy)
        self.energy, self.n_noise = energy, check.count("n_noise", n_noise)
        self.sigma = check.number("sigma", sigma, hint=", about the width of a mode")
        self.datum_weight = check.number("datum_weight", datum_weight, ">= 0", hint=", such as 1")
        self.add_average("energy", energy, ema)
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``loss`` in nats per datum, which at ``datum_weight=1`` is ``log((M + 1) / M)`` for a flat energy;
            ``accuracy``, the share of data whose energy is lower than at all of their ``M`` points, which
            nears 1 if the noise is so large that it is of no use.
        """
        # 1. one step away from the data, and M steps from there
        noisy = batch + self.sigma * torch.randn_like(batch)
        noisy = noisy.expand(self.n_noise, *batch.shape)
        points = (noisy + self.sigma * torch.randn_like(noisy)).flatten(0, 1)
        # 2. how much lower the energy is there than at the datum
        e_points = energy_at(self.energy, points).view(self.n_noise, -1)
        gap = energy_at(self.energy, batch) - e_points
        # 3. log of the mean of exp(gap), with the datum among the points
        datum = torch.full_like(gap[:1], self.datum_weight).log()
        log_sum = torch.cat([datum, gap]).logsumexp(0)
        loss = log_sum.mean() - math.log(self.n_noise)
        # 4. updates of the weights and their average
        self.update("energy", loss)
        accuracy = (gap < 0).all(0).float().mean()
        return {"loss": loss.detach(), "accuracy": accuracy}
