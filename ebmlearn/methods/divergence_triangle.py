"""The divergence triangle: a generator, an encoder and a joint energy, learned together without a chain.

Reference:
    Han, Nijkamp, Zhou, Pang, Zhu, Wu (2020), "Joint training of variational auto-encoder and latent
    energy-based model", CVPR, arXiv:2006.06059.

Notation:
    ==================  ====================  ============================================================
    here                paper                 meaning
    ==================  ====================  ============================================================
    ``E(x, z)``         ``-f_α(x, z)``        joint energy: low is likely. ``Π ∝ exp(-E)``
    ``p(x|z)``          ``p_θ(x|z)``          generator. ``P = N(z; 0, I) p(x|z)``
    ``q(z|x)``          ``q_φ(z|x)``          encoder, the ``posterior``. ``Q = p_data(x) q(z|x)``
    ``λ``               ``1``                 ``weight`` of ``KL(Q ‖ P)``
    ==================  ====================  ============================================================

The three play for ``L = λ KL(Q ‖ P) + KL(P ‖ Π) - KL(Q ‖ Π)``: generator and encoder make it small, the
energy makes it large. ``log Z`` cancels in it.

Algorithm, one iteration on a batch of ``B`` data ``x``:
    1. Energy: draw ``z_q ~ q(z|x)`` and ``(x_p, z_p) ~ P``, ``B`` of each, and hold them constant. One
       optimiser step down ``mean E(x, z_q) - mean E(x_p, z_p)``.
    2. Encoder: draw ``z_q ~ q(z|x)`` as a differentiable function of the encoder. One optimiser step down
       ``λ mean[-log p(x|z_q) + KL(q(z|x) ‖ N(0, I))] - mean[E(x, z_q) - H(q(z|x))]``, with ``H`` the entropy;
       the cooperative encoder adds the last mean.
    3. Generator: draw ``z_q`` anew and hold it constant; draw ``(x_p, z_p) ~ P`` as a differentiable function
       of the generator. One optimiser step down ``λ mean -log p(x|z_q) + mean E(x_p, z_p)``.

Each step moves its own net only. At ``λ = 1`` the entropy in line 2 cancels that in ``KL(q ‖ N(0, I))``, and
nothing keeps ``q(z|x)`` from shrinking to a point: ``posterior_std`` of the metrics shows it. The cooperative
sign, ours, has both divergences pull the encoder.

Differences from the authors' code (github.com/alexzhou907/vae_ebm), which is what could be read: all
``z_q`` are drawn anew, where it keeps line 1's for line 2; with ``noise`` draws of the model carry the noise
of ``p(x|z)``, where it takes ``g(z)``; line 2 keeps the ``1/(2τ²)`` of the generator, where it has
``τ² = 1/2``. No batch normalisation. The default rates and optimiser are its own.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.methods.vae import check_latents
from ebmlearn.nets import GaussianGenerator, JointNet
from ebmlearn.objectives import ml_gap
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory

ADAM = partial(torch.optim.Adam, betas=(0.0, 0.9))
SIGNS = {"paper": -1.0, "cooperative": 1.0, "none": 0.0}


class DivergenceTriangle(Method):
    """A generator, an encoder and a joint energy that learn from each other's draws.

    Args:
        energy: The joint energy ``E(x, z)``. Nothing but its own shape holds it: with
            `JointMLPEnergy <ebmlearn.nets.JointMLPEnergy>` take ``spectral_norm=True``.
        generator: The generator to train.
        posterior: The encoder to train.
        weight: ``λ`` >= 0. Above 1 the encoder keeps an entropy of weight ``λ - 1``; below, it loses one.
        encoder_sign: How ``KL(Q ‖ Π)`` moves the encoder: ``"paper"`` away from ``Π``, ``"cooperative"``
            towards it, ``"none"`` not at all.
        noise: Whether draws of the model that the energy sees carry the noise of ``p(x|z)``.
        lr_energy: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_generator: Learning rate of the generator, likewise.
        lr_posterior: Learning rate of the encoder, likewise.
        optimizer: ``factory(parameters, lr=...)``, for each; by default Adam with betas 0 and 0.9.

    Raises:
        ValueError: If shapes of ``x`` or numbers of latents differ, or a setting is out of its range.
        TypeError: If a net is not of its kind.
    """

    def __init__(
        self,
        energy: JointNet,
        generator: GaussianGenerator,
        posterior: GaussianPosterior,
        *,
        weight: float = 1.0,
        encoder_sign: Literal["paper", "cooperative", "none"] = "paper",
        noise: bool = True,
        lr_energy: float | Schedule = 1e-4,
        lr_generator: float | Schedule = 3e-4,
        lr_posterior: float | Schedule = 3e-4,
        optimizer: OptimizerFactory = ADAM,
    ) -> None:
        super().__init__()
        check.instance("energy", energy, JointNet, "a JointNet, an energy of x and z")
        check.instance("generator", generator, GaussianGenerator)
        check.instance("posterior", posterior, GaussianPosterior)
        check_latents(generator, posterior)
        mine, others = (energy.event_shape, energy.latent_dim), (generator.event_shape, generator.latent_dim)
        if mine != others:
            raise ValueError(
                f"the energy is of x {mine[0]} and {mine[1]} latents, the generator of x {others[0]} and "
                f"{others[1]} latents; expected the same"
            )
        self.weight = check.number("weight", weight, ">= 0")
        check.choice("encoder_sign", encoder_sign, SIGNS)
        check.choice("noise", noise, (True, False))
        self.energy, self.generator, self.posterior = energy, generator, posterior
        self.encoder_sign, self.noise = encoder_sign, noise
        self.add_optimizer("energy", energy.parameters(), lr_energy, optimizer)
        self.add_optimizer("generator", generator.parameters(), lr_generator, optimizer)
        self.add_optimizer("posterior", posterior.parameters(), lr_posterior, optimizer)

    def sample(self, n: int) -> Tensor:
        """Examples of the generator, with its noise, shape ``(n, *event)``."""
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
        """``E(x, μ(x))`` at the encoder's mean, ``(B, *event)`` to ``(B,)``: high is unlike the data."""
        return self.energy.joint(x, self.posterior.mean(x))

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Draws ``(x_p, z_p)`` of ``P`` as the energy sees them, differentiable by the generator: shapes
        ``(n, *event)`` and ``(n, latent_dim)``."""
        z = self.generator.latent(n)
        return (self.generator.draw(z) if self.noise else self.generator(z)), z

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``energy_gap``, the loss of line 1, in units of energy;
            ``reconstruction`` and ``kl``, the terms of weight λ in line 2,
            in nats, the former up to the generator's constant; and
            ``posterior_std``, the mean of q's standard deviations.
        """
        g, q, joint = self.generator, self.posterior, self.energy.joint
        # 1. energy
        (z,), stack = q.sample(batch), self.energy.stack
        drawn = stack(*self.draw(len(batch)))
        gap = ml_gap(self.energy, stack(batch, z), drawn)
        self.update("energy", gap)
        # 2. encoder
        (z,), kl = q.rsample(batch), q.kl(batch).mean()
        reconstruction = g.reconstruction(batch, z).mean()
        contrast = joint(batch, z).mean() - q.entropy(batch).mean()
        vae = self.weight * (reconstruction + kl)
        self.update("posterior", vae + SIGNS[self.encoder_sign] * contrast)
        # 3. generator
        (z,), (x_model, z_model) = q.sample(batch), self.draw(len(batch))
        loss = self.weight * g.reconstruction(batch, z).mean()
        self.update("generator", loss + joint(x_model, z_model).mean())
        return {
            "energy_gap": gap.detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
            "posterior_std": q.std(batch).mean().detach(),
        }
