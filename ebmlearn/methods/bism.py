"""Bi-level score matching: an energy with latent variables learns without samples, by way of a posterior.

References:
    Bao, Li, Xu, Su, Zhu, Zhang (2020), "Bi-level score matching for learning energy-based latent variable
    models", NeurIPS, arXiv:2010.07856.

Notation:
    =================  ==================  ===============================================================
    here               paper               meaning
    =================  ==================  ===============================================================
    ``E(v, h)``        ``E(v, h; θ)``      joint energy: low is likely, as in the paper
    ``F(v)``           same                free energy ``-log ∫ exp(-E(v, h)) dh``, energy of the marginal
    ``q(h|v)``         ``q(h|v; φ)``       variational posterior
    ``E_h(v)``         ``-log p̃/q``        ``E(v, h) + log q(h|v)`` with ``h`` held fixed
    ``J(θ, φ)``        same                upper objective: score matching with ``E_h`` in place of ``F``
    ``G(θ, φ)``        same                lower objective: how far ``q`` is from ``p(h|v)``
    ``K``, ``N``       same                lower steps, unrolled steps
    =================  ==================  ===============================================================

If ``q`` is the true posterior then ``E_h(v) = F(v)`` for *every* ``h``.

Algorithm, one iteration on a batch of ``B`` data:
    1. Lower: K optimiser steps of ``φ`` down ``G(θ, φ)``, where the objective evaluates its energy.
    2. Unroll: from ``φ₀ = φ``, N further steps ``φ₀ → φ_N`` of the same optimiser, with their graph.
    3. Upper: one optimiser step of ``θ`` down ``J(θ, φ_N(θ))``, by its total derivative. Discard ``φ_N``.

Differences from the authors' code (github.com/baofff/BiSM): the unrolled optimisers are written out here. No
warm-up and no schedule but those of the arguments. With several ranks each unrolls on its own batch, and the
total derivatives are averaged.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.energy import Energy
from ebmlearn.objectives import variational_energy, variational_free_energy, visited
from ebmlearn.posteriors import JointEnergy, Posterior
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory
from ebmlearn.unroll import at, continued, unroll


class BiSM(Method):
    """Bi-level score matching of an energy with latent variables.

    Args:
        energy: The net to train, with a method ``joint(v, h)``: ``(B, *event)`` and ``(B, m)`` to ``(B,)``.
        posterior: The posterior to train with it.
        objective: ``J``: ``objective(energy, x)``, one of `ebmlearn.objectives` that takes data alone and
            the slope of the energy: a ``partial`` of `~ebmlearn.objectives.denoising_score_matching` or
            `~ebmlearn.objectives.multiscale_denoising`, or `~ebmlearn.objectives.sliced_score_matching`.
        lower: ``G``: ``lower(joint, posterior, v)``, `~ebmlearn.objectives.variational_free_energy` or, for
            continuous ``h``, `~ebmlearn.objectives.posterior_fisher`.
        n_steps: Lower steps, ``K`` >= 1.
        n_unrolled: Unrolled steps, ``N`` >= 0. With 0 the derivative is partial: ``φ`` counts as constant.
        lr: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_posterior: Learning rate of the posterior, likewise. It makes K updates in an iteration: a schedule
            that ends with the run ends after K times as many.
        optimizer: ``factory(parameters, lr=...)``, for the energy.
        optimizer_posterior: The same for the posterior: ``torch.optim.Adam`` or ``torch.optim.SGD``, without
            weight decay or momentum of SGD: it is also written out, for line 2.
        ema: Decay of the moving average of the weights, kept in ``averages["energy"]``; None: no average.

    Raises:
        ValueError: If a number of steps is out of range, or the optimiser is none that can be unrolled.
    """

    energy: Any

    def __init__(
        self,
        energy: nn.Module,
        posterior: Posterior,
        objective: Callable[[Energy, Tensor], Tensor],
        *,
        lower: Callable[[JointEnergy, Posterior, Tensor], Tensor] = variational_free_energy,
        n_steps: int = 5,
        n_unrolled: int = 5,
        lr: float | Schedule = 1e-3,
        lr_posterior: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        optimizer_posterior: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        if n_steps < 1 or n_unrolled < 0:
            raise ValueError(f"expected n_steps >= 1 and n_unrolled >= 0; got {n_steps} and {n_unrolled}")
        self.energy, self.posterior = energy, posterior
        self.objective, self.lower = objective, lower
        self.n_steps, self.n_unrolled = n_steps, n_unrolled
        self.add_average("energy", energy, ema)
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)
        self.add_optimizer("posterior", posterior.parameters(), lr_posterior, optimizer_posterior)
        continued(self.optimizers["posterior"], posterior)  # refuses here what it could not continue

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``loss``, the upper objective in its own units; ``lower``, the
            other one before the last of the K steps. The noise of both
            includes that of h.
        """
        # 1. lower: q moves, the energy stands
        for _ in range(self.n_steps):
            lower = self.gap(self.posterior, batch)
            self.update("posterior", lower)
        # 2. unroll: q as a function of the energy
        rule = continued(self.optimizers["posterior"], self.posterior)
        n = self.n_unrolled
        phi = unroll(self.posterior, lambda q: self.gap(q, batch), n, rule)
        # 3. upper: the energy moves, and would take q along
        loss = at(self.posterior, phi, lambda q: self.upper(q, batch))
        self.update("energy", loss)
        return {"loss": loss.detach(), "lower": lower.detach()}

    def gap(self, posterior: Posterior, batch: Tensor) -> Tensor:
        """``G`` with fresh noise, at the points where the objective evaluates its energy."""
        return self.lower(self.energy.joint, posterior, visited(self.objective, batch))

    def upper(self, posterior: Posterior, batch: Tensor) -> Tensor:
        """``J`` with fresh noise."""
        return self.objective(variational_energy(self.energy.joint, posterior), batch)
