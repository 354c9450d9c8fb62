"""Bi-level doubly variational learning: an energy learns from a generator, and the generator with an encoder.

Reference:
    Kan, Lü, Wang, Zhang, Zhu, Huang, Guo, Snoussi (2022), "Bi-level doubly variational learning for
    energy-based latent variable models", CVPR, arXiv:2203.14702.

Notation:
    ==================  ====================  ============================================================
    here                paper                 meaning
    ==================  ====================  ============================================================
    ``E(x)``            ``E_θ(v)``            marginal energy: low is likely. ``p_θ(x) ∝ exp(-E(x))``
    ``q(h|x)``          ``q_φ(h|v)``          encoder, the ``posterior``: ``N(μ(x), s(x)²)``
    ``r(h|x)``          ``p_φ(h|v)``          structural posterior: ``N(μ(x), ς² I)``, with ``ς`` the
                                              ``latent_std``; or ``q`` itself
    ``p(x|h)``          ``p_ω(v|h)``          generator, ``h ~ N(0, I)``; ``g(h)`` its mean, ``τ`` its ``std``
    ``λ``               ``λ``                 ``data_weight``: of what the data teach generator and encoder
    ``κ``               ``1``                 ``latent_weight``: of the reconstruction of ``h``
    ==================  ====================  ============================================================

The model is ``Π = p_θ(x) r(h|x)``, the "decoupled" form: ``h`` does not enter the energy. Beside it stand
``Q = p_data(x) q(h|x)`` and ``P = N(h; 0, I) p(x|h)``.

Algorithm, one iteration on a batch of ``B`` data:
    1. Upper level: draw ``B`` pairs ``(x̂, ĥ)`` of ``P``, held constant. One optimiser step of ``θ`` down
       ``mean E(x) - mean E(x̂)``, the gradient of ``KL(Q ‖ Π) - KL(P ‖ Π)``, in which ``log Z`` cancels; or
       down the hinge ``mean max(0, 1 + E(x)) + mean max(0, 1 - E(x̂))``.
    2. Lower level, forward: draw ``(x̂, ĥ)`` of ``P`` anew, as a differentiable function of the generator.
       ``KL(P ‖ Π)`` is ``mean E(x̂) - κ mean log r(ĥ|x̂)`` plus a constant, at ``κ = 1``. The weights of ``μ``
       are held constant.
    3. Lower level, reverse: ``λ mean[-log p(x|h) + KL(q(h|x) ‖ N(0, I))]`` with ``h ~ q(h|x)``, which is
       ``λ KL(Q ‖ P)`` plus a constant. It stands for ``KL(Π ‖ P)``, whose ``x`` would need a chain.
    4. One optimiser step of generator and encoder down the sum of lines 2 and 3.

``mean log r(ĥ|x̂)`` is at most minus the entropy of ``h`` given ``x̂``: with it line 2 holds a lower bound of
the entropy of ``x̂``, and without it only the data keep the generator from the lowest point of ``E``. For a
linear generator and encoder of Gaussian data the energy rests at ``κ s²/ς²`` times the right one, whatever
``λ``: right with ``latent_std=None``, and nearly flat with 1, which is the code's, if ``s`` is small.

The lower level is not unrolled. At its optimum for ``λ = 0`` the slope of ``KL(P ‖ Π)`` by the generator is
0, so that the generator's answer to ``θ`` adds nothing to the upper gradient; elsewhere it adds a term of
order ``λ``. The authors' code does not unroll either.

Differences from the authors' code (github.com/gekanFAE/BiDVL), which is what could be read: all terms are in
nats, where it has ``τ² = 1/2``, ``ς = 1`` and ``κ = 2/m`` for ``m`` latents; the draws of lines 1 and 2 carry
the noise of ``p(x|h)``, which ``noise=False`` leaves out as there; line 2 draws anew. No batch normalisation,
no decay of weights. Rates and betas of Adam are its.
"""

import math
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from ebmlearn import check
from ebmlearn.energy import energy_at
from ebmlearn.methods.vae import check_latents
from ebmlearn.nets import GaussianGenerator
from ebmlearn.objectives import ml_gap
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory
from ebmlearn.unroll import at

ADAM = partial(torch.optim.Adam, betas=(0.0, 0.9))


class BiDVL(Method):
    """An energy of x, and a generator with its encoder, that learn at two levels and without a chain.

    Args:
        energy: The marginal energy to train, ``(B, *event)`` to ``(B,)``.
        generator: The generator to train.
        posterior: The encoder to train.
        data_weight: ``λ`` >= 0, of the lower level's reverse part, a VAE's loss in nats.
        latent_weight: ``κ`` >= 0, of the reconstruction of ``h``, in nats.
        latent_std: ``ς`` > 0 of the structural posterior: 1, say, which is calm; None: the encoder's own
            standard deviations, which can be far too small where no data are.
        loss: Of the energy: ``"difference"``, the gradient of the upper level, or ``"hinge"``, which stops
            where data are below -1 and draws above 1.
        noise: Whether draws of the generator that the energy sees carry the noise of ``p(x|h)``.
        lr_energy: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_autoencoder: Learning rate of generator and encoder, likewise.
        optimizer: ``factory(parameters, lr=...)``, for each; by default Adam with betas 0 and 0.9.

    Raises:
        ValueError: If the two nets have latents of another length, or a setting is out of its range.
        TypeError: If a net is not of its kind.
    """

    def __init__(
        self,
        energy: nn.Module,
        generator: GaussianGenerator,
        posterior: GaussianPosterior,
        *,
        data_weight: float = 1.0,
        latent_weight: float = 1.0,
        latent_std: float | None = None,
        loss: Literal["difference", "hinge"] = "difference",
        noise: bool = True,
        lr_energy: float | Schedule = 1e-4,
        lr_autoencoder: float | Schedule = 3e-4,
        optimizer: OptimizerFactory = ADAM,
    ) -> None:
        super().__init__()
        check.module("energy", energy)
        check.instance("generator", generator, GaussianGenerator)
        check.instance("posterior", posterior, GaussianPosterior)
        check_latents(generator, posterior)
        self.data_weight = check.number("data_weight", data_weight, ">= 0")
        self.latent_weight = check.number("latent_weight", latent_weight, ">= 0")
        if latent_std is not None:
            check.number("latent_std", latent_std, hint=", or None for that of the encoder")
        self.latent_std = latent_std
        check.choice("loss", loss, ("difference", "hinge"))
        check.choice("noise", noise, (True, False))
        self.energy, self.generator, self.posterior = energy, generator, posterior
        self.loss, self.noise = loss, noise
        self.add_optimizer("energy", energy.parameters(), lr_energy, optimizer)
        both = [*generator.parameters(), *posterior.parameters()]
        self.add_optimizer("autoencoder", both, lr_autoencoder, optimizer)

    def sample(self, n: int) -> Tensor:
        """Examples of the generator, with its noise, shape ``(n, *event)``. Langevin steps on the energy may
        go on from them: ``chain(method.energy, method.sample(n))``."""
        with torch.no_grad():
            return self.generator.sample(n)

    def infer(self, x: Tensor) -> Tensor:
        """Latents of examples ``(B, *event)``, drawn from the encoder, shape ``(B, latent_dim)``."""
        return self.posterior.sample(x)[0]

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """The generator's mean at the encoder's mean, of the shape of ``x``."""
        return self.generator(self.posterior.mean(x))

    @torch.no_grad()
    def anomaly(self, x: Tensor) -> Tensor:
        """``E(x)``, ``(B, *event)`` to ``(B,)``: high is unlike the data."""
        return energy_at(self.energy, x)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Pairs ``(x̂, ĥ)`` of ``P`` as the energy sees them, differentiable by the generator: shapes
        ``(n, *event)`` and ``(n, latent_dim)``."""
        h = self.generator.latent(n)
        return (self.generator.draw(h) if self.noise else self.generator(h)), h

    def latent_nll(self, x: Tensor, h: Tensor) -> Tensor:
        """``-log r(h|x)`` in nats, ``(B, *event)`` and ``(B, latent_dim)`` to ``(B,)``, differentiable by
        ``x`` and not by the weights of ``μ``."""

        def nll(q: GaussianPosterior) -> Tensor:
            if self.latent_std is None:
                return -q.log_prob(h[None], x)[0]
            square = ((h - q.mean(x)) / self.latent_std).square()
            return (0.5 * square + math.log(self.latent_std * math.sqrt(2 * math.pi))).sum(1)

        return at(self.posterior, {k: p.detach() for k, p in self.posterior.named_parameters()}, nll)

    def upper(self, x_data: Tensor, x_model: Tensor) -> Tensor:
        """The loss of line 1 on data and draws, a scalar in units of energy."""
        if self.loss == "difference":
            return ml_gap(self.energy, x_data, x_model)
        low, high = energy_at(self.energy, x_data), energy_at(self.energy, x_model.detach())
        return relu(1 + low).mean() + relu(1 - high).mean()

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``loss``, that of line 1, and ``energy``, the mean of E at
            draws, in units of energy; ``latent_nll``, mean -log r(ĥ|x̂);
            ``reconstruction`` and ``kl``, the terms of line 3, in nats,
            the former up to the generator's constant.
        """
        g, q = self.generator, self.posterior
        # 1. upper level: the energy
        x_model, _ = self.draw(len(batch))
        loss = self.upper(batch, x_model)
        self.update("energy", loss)
        # 2. lower level, forward: what the model teaches the generator
        x_model, h_model = self.draw(len(batch))
        energy = self.energy(x_model).mean()
        latent = self.latent_nll(x_model, h_model).mean()
        # 3. lower level, reverse: what the data teach both
        (h,) = q.rsample(batch)
        reconstruction = g.reconstruction(batch, h).mean()
        kl = q.kl(batch).mean()
        # 4. generator and encoder
        lower = energy + self.latent_weight * latent
        lower = lower + self.data_weight * (reconstruction + kl)
        self.update("autoencoder", lower)
        return {
            "loss": loss.detach(),
            "energy": energy.detach(),
            "latent_nll": latent.detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
        }
