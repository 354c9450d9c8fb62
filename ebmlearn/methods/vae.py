"""A variational auto-encoder: a generator, learned with an encoder. The baseline of the chapters on latents.

References:
    Kingma, Welling (2014), "Auto-encoding variational Bayes", arXiv:1312.6114.
    Rezende, Mohamed, Wierstra (2014), "Stochastic backpropagation and approximate inference in deep
    generative models", arXiv:1401.4082.

Notation: ``p(x|z)`` the generator, ``q(z|x)`` the encoder (``posterior``), as in the papers.

Algorithm, one iteration on a batch:
    1. Draw ``z ~ q(z|x)``, one for each example, as a differentiable function of the encoder.
    2. One optimiser step on both nets, down minus the evidence lower bound,
       ``mean -log p(x|z) + KL(q(z|x) ‖ N(0, I))``, the divergence in closed form.

The bound is ``log p(x) - KL(q(z|x) ‖ p(z|x))``: what its second term leaves is the encoder's error.
"""

from typing import Any

import torch
from torch import Tensor

from ebmlearn.nets import Generator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class VAE(Method):
    """A generator and its encoder, learned together.

    Args:
        generator: The generator to train.
        posterior: The encoder to train.
        lr: Learning rate of both, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.

    Raises:
        ValueError: If the two have latents of another length.
    """

    def __init__(
        self,
        generator: Generator,
        posterior: GaussianPosterior,
        *,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        check_latents(generator, posterior)
        self.generator, self.posterior = generator, posterior
        self.add_optimizer("vae", [*generator.parameters(), *posterior.parameters()], lr, optimizer)

    def sample(self, n: int) -> Tensor:
        """Examples of the model, with the noise of the generator, shape ``(n, *event)``."""
        with torch.no_grad():
            return self.generator.sample(n)

    @torch.no_grad()
    def anomaly(self, x: Tensor) -> Tensor:
        """Minus the bound of ``log p(x)`` at one draw of the encoder, up to a constant, in nats,
        ``(B, *event)`` to ``(B,)``: high where ``x`` is unlike the training data."""
        (z,) = self.posterior.sample(x)
        return self.generator.reconstruction(x, z) + self.posterior.kl(x)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``elbo``, the lower bound of log p(x) up to the generator's
            constant; ``reconstruction`` and ``kl``, minus its two terms;
            means over the batch, in nats.
        """
        # 1. one draw from the encoder
        (z,) = self.posterior.rsample(batch)
        # 2. minus the bound
        reconstruction = self.generator.reconstruction(batch, z).mean()
        kl = self.posterior.kl(batch).mean()
        self.update("vae", reconstruction + kl)
        return {
            "elbo": -(reconstruction + kl).detach(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
        }


def check_latents(generator: Any, other: Any, name: str = "posterior") -> None:
    """Refuse a generator and a posterior, or what ``name`` says, whose latents differ in number.

    Raises:
        ValueError: If they do.
    """
    if generator.latent_dim != other.latent_dim:
        raise ValueError(
            f"the generator has {generator.latent_dim} latents, the {name} {other.latent_dim}; "
            "expected equal numbers"
        )
