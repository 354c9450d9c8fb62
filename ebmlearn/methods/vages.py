"""VaGES: an energy with latent variables learns from variational estimates of the gradient of its score.

Reference:
    Bao, Xu, Li, Hong, Zhu, Zhang (2021), "Variational (gradient) estimate of the score function in
    energy-based latent variable models", ICML, arXiv:2010.08258.

Notation:
    =================  ====================  ==============================================================
    here               paper                 meaning
    =================  ====================  ==============================================================
    ``E(v, h)``        ``E(v, h; θ)``        joint energy: low is likely, as in the paper
    ``-∇F(v)``         ``∇_v log p(v; θ)``   score of the marginal; ``F(v) = -log ∫ exp(-E(v, h)) dh``
    ``q(h|v)``         ``q(h|v; φ)``         variational posterior
    ``L``, ``K``       ``L``, ``K``          draws of ``h`` for each ``v``; steps of the posterior
    ``vaes, vages``    VaES, VaGES           estimates of ``∇F`` and of its derivative by ``θ``
    =================  ====================  ==============================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Posterior: K optimiser steps of ``φ`` down a divergence of ``q`` from ``p(h|v)``, at the points ``v``
       (noisy data, say) where the objective of line 2 evaluates its energy; fresh noise each time.
    2. Draw ``h₁ … h_L`` and ``h'₁ … h'_L`` from ``q(h|v)``. In an objective such as ``½ ‖∇F(v) - ε/σ‖²``
       replace the value of ``∇F(v)`` by ``mean ∇_v E(v, h_l)``, and its derivative by ``θ`` by
       ``mean ∂_θ ∇_v E(v, h'_l) - L/(L-1) cov(∇_v E(v, h'_l), ∂_θ E(v, h'_l))``.
    3. One optimiser step of ``θ`` down it. ``φ`` and all ``h`` are constants.

Differences from the authors' code (github.com/baofff/VaGES): two independent sets of draws in place of three,
since mean and covariance are added, not multiplied. The estimate is an energy, `ebmlearn.objectives.vages`,
so that the objectives of `ebmlearn.objectives` are used as they are. No Langevin steps on ``h``.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.energy import Energy
from ebmlearn.objectives import vages, variational_free_energy, visited
from ebmlearn.posteriors import JointEnergy, Posterior
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class VaGES(Method):
    """Score matching of an energy with latent variables, by variational estimates.

    Args:
        energy: The net to train, with a method ``joint(v, h)``: ``(B, *event)`` and ``(B, m)`` to ``(B,)``.
        posterior: The posterior to train with it. One without parameters, an
            `ExactPosterior <ebmlearn.posteriors.ExactPosterior>`, takes ``n_steps=0``.
        objective: ``objective(energy, x)``, quadratic in slopes and without second derivatives:
            `~ebmlearn.objectives.denoising_score_matching`, `~ebmlearn.objectives.multiscale_denoising` or
            `~ebmlearn.objectives.kernel_stein_discrepancy`.
        n_samples: Draws of ``h``, ``L`` >= 2; None: exact sums over binary ``h``.
        lower: ``lower(joint, posterior, v)``, `~ebmlearn.objectives.variational_free_energy` or, for
            continuous ``h``, `~ebmlearn.objectives.posterior_fisher`.
        n_steps: Steps of the posterior, ``K`` >= 0.
        covariance: Whether the covariance is kept; without it the gradient is that of bi-level score matching
            that unrolls no step.
        lr: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_posterior: Learning rate of the posterior, likewise.
        optimizer: ``factory(parameters, lr=...)``, for either.
        ema: Decay of the moving average of the weights, kept in ``averages["energy"]``; None: no average.

    Raises:
        ValueError: If a number is out of its range.
    """

    energy: Any  # a module with a method ``joint``, which the type of a module does not know

    def __init__(
        self,
        energy: nn.Module,
        posterior: Posterior,
        objective: Callable[[Energy, Tensor], Tensor],
        *,
        n_samples: int | None = 2,
        lower: Callable[[JointEnergy, Posterior, Tensor], Tensor] = variational_free_energy,
        n_steps: int = 5,
        covariance: bool = True,
        lr: float | Schedule = 1e-3,
        lr_posterior: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
    ) -> None:
        super().__init__()
        own = list(posterior.parameters())
        if n_steps < 0 or (n_steps > 0 and not own):
            raise ValueError(
                f"n_steps is {n_steps}; expected a number >= 0, and 0 for a posterior without parameters"
            )
        self.energy, self.posterior = energy, posterior
        self.objective, self.lower, self.n_steps = objective, lower, n_steps
        self.n_samples, self.covariance = n_samples, covariance
        self.marginal()  # refuses a bad number of draws here, not at the first step
        self.add_average("energy", energy, ema)
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)
        if own:
            self.add_optimizer("posterior", own, lr_posterior, optimizer)

    def marginal(self) -> Energy:
        """The energy of ``v`` alone that the objective sees: right in its slope, and in the derivative of
        the slope by ``θ``, where it is evaluated."""
        return vages(self.energy.joint, self.posterior, self.n_samples, covariance=self.covariance)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``loss``, the objective with estimated slopes: the noise of
            L draws makes it too large. ``lower``, the divergence of the
            posterior before its last step, if it takes any.
        """
        metrics = {}
        # 1. the posterior, where the objective will look
        for _ in range(self.n_steps):
            v = visited(self.objective, batch)
            lower = self.lower(self.energy.joint, self.posterior, v)
            self.update("posterior", lower)
            metrics["lower"] = lower.detach()
        # 2. the objective, with estimated slopes and derivatives
        loss = self.objective(self.marginal(), batch)
        # 3. the energy
        self.update("energy", loss)
        return {"loss": loss.detach(), **metrics}
