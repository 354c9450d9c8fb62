"""A latent-space energy-based prior: a generator and an energy of its latents, learned together.

Reference:
    Pang, Han, Nijkamp, Zhu, Wu (2020), "Learning latent space energy-based prior model", NeurIPS,
    arXiv:2006.08205.

Notation:
    ==================  ================  ================================================================
    here                paper             meaning
    ==================  ================  ================================================================
    ``U(z)``            ``-log p_α(z)``   energy of the prior, ``p(z) ∝ exp(-U(z))``; it holds the whole
                                          exponent, ``-f_α(z) + ‖z‖²/2`` in the paper's terms
    ``-log p(x|z)``     ``-log p_β``      ``reconstruction(x, z)`` of the generator
    ``z⁻``, ``z⁺``      same              ends of chains on the prior, and on the posteriors of a batch
    ``s``, ``σ``        one number        step size and noise scale, ``z ← z - (s²/2) ∇U(z) + σ ε``
    ==================  ================  ================================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Prior chains: K₀ steps on ``U``, from ``B`` draws of ``N(0, I)``, to ``z⁻``.
    2. Posterior chains: K₁ steps on ``U(z) - log p(x|z)``, from draws of ``N(0, I)``, to ``z⁺``.
    3. Prior: one optimiser step down ``mean U(z⁺) - mean U(z⁻)``, with both held constant.
    4. Generator: one optimiser step down ``mean -log p(x|z⁺)``, with ``z⁺`` held constant.

With exact samples in lines 1 and 2 both are steps of maximum likelihood: ``log Z`` is not needed.

Differences from the authors' code (github.com/bpucla/latent-space-EBM-prior): the loss of line 4 keeps its
``1/(2τ²)``, which Adam hides and other optimisers do not. Kernels are arguments. The defaults are the
settings of its SVHN experiment.
"""

import torch
from torch import Tensor, nn

from ebmlearn.nets import Generator
from ebmlearn.objectives import ml_gap
from ebmlearn.sample import Chain, ula
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory

PRIOR_CHAIN = Chain(ula, n_steps=60, step_size=0.4)
POSTERIOR_CHAIN = Chain(ula, n_steps=20, step_size=0.1)


class LatentPrior(Method):
    """A generator whose latents have a learned energy in place of ``N(0, I)``.

    Args:
        prior: The energy ``U(z)``, ``(B, latent_dim)`` to ``(B,)``, Gaussian term included:
            `MLPEnergy(latent_dim, reference_std=1.0) <ebmlearn.nets.MLPEnergy>`.
        generator: The generator to train.
        prior_chain: The chain on the prior, of ``K₀`` steps; by default 60 of `ula`, of size 0.4.
        posterior_chain: The chain on the posteriors, of ``K₁`` steps; by default 20 of `ula`, of size 0.1.
            Unadjusted Langevin steps are stable below twice the least width of the posterior, about
            ``τ / ‖∇g‖``.
        lr_prior: Learning rate of the prior, a number or a schedule of the number of updates. The prior moves
            to where its chains *end*: if their reach, about ``step_size * √n_steps``, is less than the
            spread of the codes, the density runs away from its own samples. A low rate delays that.
        lr_generator: Learning rate of the generator, likewise.
        optimizer: ``factory(parameters, lr=...)``, for either.

    Raises:
        ValueError: If the prior has no Gaussian term.
        TypeError: If a kernel cannot take its energy.
    """

    def __init__(
        self,
        prior: nn.Module,
        generator: Generator,
        *,
        prior_chain: Chain = PRIOR_CHAIN,
        posterior_chain: Chain = POSTERIOR_CHAIN,
        lr_prior: float | Schedule = 2e-5,
        lr_generator: float | Schedule = 1e-4,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        if getattr(prior, "reference_std", 1.0) is None:
            raise ValueError(
                "the prior has no Gaussian term, without which exp(-U) need not be integrable: build it with "
                "reference_std=1.0"
            )
        self.prior, self.generator = prior, generator
        self.prior_chain, self.posterior_chain = prior_chain, posterior_chain
        self.add_optimizer("prior", prior.parameters(), lr_prior, optimizer)
        self.add_optimizer("generator", generator.parameters(), lr_generator, optimizer)
        prior_chain.kernel(prior)  # refuses an energy that it cannot take here, not at the first step
        posterior_chain.kernel(lambda z: prior(z))

    def sample(self, n: int) -> Tensor:
        """Examples of the model, with the noise of the generator, shape ``(n, *event)``."""
        with torch.no_grad():
            return self.generator.draw(self.sample_prior(n))

    def sample_prior(self, n: int) -> Tensor:
        """Latents from the prior by ``K₀`` steps from ``N(0, I)``, shape ``(n, latent_dim)``."""
        return self.prior_chain(self.prior, self.generator.latent(n))

    def infer(self, x: Tensor) -> Tensor:
        """Latents from the posteriors of examples ``(B, *event)`` by ``K₁`` steps from ``N(0, I)``, shape
        ``(B, latent_dim)``."""

        def energy(z: Tensor) -> Tensor:
            return self.prior(z) + self.generator.reconstruction(x, z)

        return self.posterior_chain(energy, self.generator.latent(len(x)))

    @torch.no_grad()
    def anomaly(self, x: Tensor) -> Tensor:
        """``-log p(x, z)`` at latents of `infer`, up to a constant, in nats, ``(B, *event)`` to ``(B,)``:
        high where ``x`` is unlike the training data."""
        z = self.infer(x)
        return self.generator.reconstruction(x, z) + self.prior(z)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``energy_gap``, the loss of line 3, and ``reconstruction``,
            that of line 4, up to the generator's constant; in nats.
        """
        # 1. prior chains
        z_prior = self.sample_prior(len(batch))
        # 2. posterior chains
        z_posterior = self.infer(batch)
        # 3. prior
        gap = ml_gap(self.prior, z_posterior, z_prior)
        self.update("prior", gap)
        # 4. generator
        reconstruction = self.generator.reconstruction(batch, z_posterior).mean()
        self.update("generator", reconstruction)
        return {
            "energy_gap": gap.detach(),
            "reconstruction": reconstruction.detach(),
        }
