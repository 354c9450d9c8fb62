"""Dual-MCMC teaching: an energy, a generator and an inference model that learn from two chains.

Reference:
    Cui, Han (2023), "Learning energy-based model via dual-MCMC teaching", NeurIPS, arXiv:2312.02469.

Notation:
    ==================  ============  ====================================================================
    here                paper         meaning
    ==================  ============  ====================================================================
    ``E``               ``-f``        energy: low is likely (the paper writes ``f = -E``)
    ``g``, ``τ``        ``g, σ``      generator ``x = g(z) + τ ε``, ``z ~ N(0, I)``; ``τ`` is its ``std``
    ``q(z|x)``          ``q_φ``       inference model, the ``posterior``
    ``x̂``, ``x̃``        same          a draw of the generator, and the end of the chain on ``E`` from there
    ``z₀``, ``z̃``       same          a draw of ``q(z|x)``, and the end of the chain on ``p(z|x)`` from there
    ``s``, ``σ``        ``√(2 s)``    step size and noise scale, ``x ← x - (s²/2) ∇E(x) + σ ε``. The paper
                                      writes ``x - s ∇E(x) + √(2s) ε``, so its ``s`` is ``s²/2`` here
    ==================  ============  ====================================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Draw ``z ~ N(0, I)`` and ``x̂ = g(z) + τ ε``, ``B`` of each; K_x steps of a chain on ``E`` from ``x̂``
       to ``x̃``.
    2. Draw ``z₀ ~ q(z|x)`` for the data; K_z steps of a chain on ``‖x - g(z)‖²/(2τ²) + ‖z‖²/2`` from ``z₀``
       to ``z̃``.
    3. Generator: one optimiser step down ``mean -log p(x|z̃) + w_g mean -log p(x̃|z)``.
    4. Inference model: one optimiser step down ``mean -log q(z̃|x) + w_q mean -log q(z|x̃)``.
    5. With ``n_x_chains=2``, line 1's chain once more, from a draw of the new generator at the same ``z``.
    6. Energy: one optimiser step down ``mean E(x) - mean E(x̃)``.

The ends of both chains, ``z`` and ``z₀`` are held constant. The first term of lines 3 and 4 learns from data
with their latents revised, the second from the model with its ``x`` revised. Without the second the generator
learns from data alone; with the second alone line 3 is cooperative learning.

Differences from the paper, which states the losses (its sections 3.2 to 3.4) with both weights 1 and in the
order energy, generator, inference: the order here is that of the authors' code
(github.com/jcui1224/dual-MCMC), which runs two chains of ``x``, with ``w_g`` 50 and ``w_q`` 0.1 for CIFAR-10.
Its chain of ``x`` has noise of 0.001 at a step of 0.5, a temperature of 4·10⁻⁶, and its chain of ``z`` misses
the ½ of the Gaussian, which is a generator of standard deviation ``τ/√2``. Both follow the model here. No
batch normalisation. The kernels are arguments.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn.diagnostics import displacement
from ebmlearn.methods.vae import check_latents
from ebmlearn.nets import Generator
from ebmlearn.objectives import ml_gap
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, Info, State
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class DualMCMC(Method):
    """An energy whose chains start at a generator, whose posterior chains start at an inference model.

    Args:
        energy: The energy to train, ``(B, *event)`` to ``(B,)``.
        generator: The generator to train.
        posterior: The inference model to train.
        chain: The chain of ``x``, on the energy: `Chain(ula, n_steps=20, step_size=0.1)
            <ebmlearn.sample.Chain>`.
        latent_chain: The chain of ``z``, on the posteriors of data. They are as narrow as ``τ / ‖∇g‖``; a
            step of `ula` belongs below.
        generator_weight: Weight ``w_g`` >= 0 of the term by which the chain of ``x`` teaches the generator.
        posterior_weight: Weight ``w_q`` >= 0 of the like term of the inference model.
        n_x_chains: 1, or 2 for line 5.
        lr_energy: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_generator: Learning rate of the generator, likewise.
        lr_posterior: Learning rate of the inference model, likewise.
        optimizer: ``factory(parameters, lr=...)``, for each.
        ema: Decay of the moving average of the energy's weights, in ``averages["energy"]``; None: no average.
        diagnostic: The diagnostic of the chain of ``x`` that `step` reports under its own name.

    Raises:
        ValueError: If the latents have another length in the generator than in the posterior, or a setting is
            out of its range.
        TypeError: If a kernel cannot take the energy.
    """

    def __init__(
        self,
        energy: nn.Module,
        generator: Generator,
        posterior: GaussianPosterior,
        *,
        chain: Chain,
        latent_chain: Chain,
        generator_weight: float = 1.0,
        posterior_weight: float = 1.0,
        n_x_chains: int = 1,
        lr_energy: float | Schedule = 1e-3,
        lr_generator: float | Schedule = 1e-3,
        lr_posterior: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
        diagnostic: Callable[[State, Info], Tensor] = displacement,
    ) -> None:
        super().__init__()
        check_latents(generator, posterior)
        if not 0 <= generator_weight < math.inf or not 0 <= posterior_weight < math.inf:
            raise ValueError(
                f"generator_weight is {generator_weight}, posterior_weight {posterior_weight}; expected "
                "numbers >= 0, such as 1"
            )
        if n_x_chains not in (1, 2):
            raise ValueError(f"n_x_chains is {n_x_chains}; expected 1, or 2 as in the authors' code")
        chain.kernel(energy)  # refuses an energy that it cannot take here, not at the first step
        latent_chain.kernel(lambda z: z.sum(1))
        self.energy, self.generator, self.posterior = energy, generator, posterior
        self.chain, self.latent_chain, self.diagnostic = chain, latent_chain, diagnostic
        self.generator_weight, self.posterior_weight = float(generator_weight), float(posterior_weight)
        self.n_x_chains = n_x_chains
        self.add_optimizer("energy", energy.parameters(), lr_energy, optimizer)
        self.add_optimizer("generator", generator.parameters(), lr_generator, optimizer)
        self.add_optimizer("posterior", posterior.parameters(), lr_posterior, optimizer)
        self.add_average("energy", energy, ema)

    def sample(self, n: int) -> Tensor:
        """What the chain makes of ``n`` draws of the generator, as in training, shape ``(n, *event)``."""
        return self.chain(self.energy, self.generator.sample(n))

    def infer(self, x: Tensor) -> Tensor:
        """Latents of examples ``(B, *event)``: the ends of the chain from draws of the inference model, shape
        ``(B, latent_dim)``."""
        (z,) = self.posterior.sample(x)
        return self.latent_chain(lambda z: self.generator.joint(x, z), z)

    def revise(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The end of the chain of ``x`` from a draw of the generator at latents ``(B, latent_dim)``, shape
        ``(B, *event)``, and the diagnostic of its steps."""
        with torch.no_grad():
            x = self.generator.draw(z)
        return self.chain(self.energy, x, keep=self.diagnostic)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``energy_gap`` in units of energy; the recorded diagnostic,
            ``displacement`` in units of x by default; ``reconstruction``
            and ``teaching``, the two terms of line 3, in nats; and
            ``posterior_nll``, the loss of line 4, in nats.
        """
        g, q = self.generator, self.posterior
        # 1. the chain of x, from the generator
        z = g.latent(len(batch))
        x_model, kept = self.revise(z)
        # 2. the chain of z, from the inference model
        z_data = self.infer(batch)
        # 3. generator
        reconstruction = g.reconstruction(batch, z_data).mean()
        teaching = g.reconstruction(x_model, z).mean()
        loss = reconstruction + self.generator_weight * teaching
        self.update("generator", loss)
        # 4. inference model
        nll = -q.log_prob(z_data[None], batch).mean()
        nll = nll - self.posterior_weight * q.log_prob(z[None], x_model).mean()
        self.update("posterior", nll)
        # 5. the chain of x once more, from the new generator
        if self.n_x_chains == 2:
            x_model, kept = self.revise(z)
        # 6. energy
        gap = ml_gap(self.energy, batch, x_model)
        self.update("energy", gap)
        return {
            "energy_gap": gap.detach(),
            self.diagnostic.__name__: kept.mean(),
            "reconstruction": reconstruction.detach(),
            "teaching": teaching.detach(),
            "posterior_nll": nll.detach(),
        }
