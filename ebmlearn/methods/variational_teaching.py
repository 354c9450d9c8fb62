"""Variational MCMC teaching: a variational auto-encoder starts the chains of an energy and learns from their
ends.

Reference:
    Xie, Zheng, Li (2021), "Learning energy-based model with variational auto-encoder as amortized sampler",
    AAAI, arXiv:2012.14936.

Notation:
    ==================  ==========  ======================================================================
    here                paper       meaning
    ==================  ==========  ======================================================================
    ``E``               ``-f``      energy: low is likely (the paper writes ``f = -E``)
    ``g``, ``τ``        ``g, σ``    generator ``x = g(z) + τ ε``, ``z ~ N(0, I)``; ``τ`` is its ``std``
    ``q(z|x)``          ``π(z|x)``  encoder, the ``posterior``
    ``x̂``, ``x̃``        same        a draw of the generator, and the end of the chain that starts there
    ``s``, ``σ``        one number  step size and noise scale, ``x ← x - (s²/2) ∇E(x) + σ ε``
    ``c``               ``c``       condition, if there is one: all three nets take it
    ==================  ==========  ======================================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Draw ``x̂ = g(z) + τ ε``, ``z ~ N(0, I)``, ``B`` of each.
    2. Revise: K steps of a chain on ``E`` from ``x̂`` to ``x̃``.
    3. Energy: one optimiser step down ``mean E(x) - mean E(x̃)``, with ``x̃`` held constant.
    4. Infer: ``z ~ q(z|x̃)``, anew. The ``z`` of line 1 is not used again.
    5. Auto-encoder: one optimiser step on generator and encoder, down minus the evidence lower bound of
       ``x̃``, ``mean ‖x̃ - g(z)‖²/(2τ²) + w KL(q(z|x̃) ‖ N(0, I))``, with ``x̃`` held constant.

The auto-encoder never sees data. What sets the method apart from cooperative learning is line 4: there the
generator learns from the ``z`` of line 1, which has less and less to do with ``x̃`` the longer the chain is.

Conditional learning, the paper's second half: a batch is then a pair ``(x, c)``, and the nets are those of
`ebmlearn.nets.conditional <ebmlearn.nets.ConditionalEnergy>`. The lines stay as they are.

Differences from the authors' code (github.com/jianwen-xie/CoopVAEBM): as many chains as data, where it runs
900 for batches of 250. The chain has its noise, which the code for CIFAR-10 leaves out, and starts with the
noise ``τ ε`` of the generator. ``kl_weight`` is 1, as in the bound; the code's 2 or 3 beside a loss without
``1/(2τ²)`` is a decoder of variance 1 or 1.5. The kernels are arguments.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.diagnostics import displacement
from ebmlearn.energy import Energy
from ebmlearn.methods.vae import check_latents
from ebmlearn.nets import ConditionalGenerator, Generator
from ebmlearn.objectives import ml_gap
from ebmlearn.posteriors import ConditionalPosterior, GaussianPosterior
from ebmlearn.sample import Chain, Info, State
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class VariationalTeaching(Method):
    """An energy, and a variational auto-encoder as the amortised sampler that starts its chains.

    Args:
        energy: The energy to train, ``(B, *event)`` to ``(B,)``; for conditional learning a
            `ebmlearn.nets.ConditionalEnergy`.
        generator: The generator to train; or a `ebmlearn.nets.ConditionalGenerator`.
        posterior: The encoder to train; or a `ebmlearn.posteriors.ConditionalPosterior`.
        chain: The chain that revises: `Chain(ula, n_steps=20, step_size=0.1) <ebmlearn.sample.Chain>`.
        kl_weight: Factor ``w`` > 0 of the divergence in line 5; at 1 the loss is minus the bound.
        lr_energy: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_vae: Learning rate of generator and encoder, likewise.
        optimizer: ``factory(parameters, lr=...)``, for either.
        ema: Decay of the moving average of the energy's weights, in ``averages["energy"]``; None: no average.
        diagnostic: The diagnostic of the chains that `step` reports under its own name.

    Raises:
        ValueError: If the latents have another length in the generator than in the encoder, or a setting is
            out of its range.
        TypeError: If some of the three nets are conditional and others not, or a kernel cannot take the
            energy.
    """

    def __init__(
        self,
        energy: nn.Module,
        generator: Generator | ConditionalGenerator,
        posterior: GaussianPosterior | ConditionalPosterior,
        *,
        chain: Chain,
        kl_weight: float = 1.0,
        lr_energy: float | Schedule = 1e-3,
        lr_vae: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
        diagnostic: Callable[[State, Info], Tensor] = displacement,
    ) -> None:
        super().__init__()
        nets = energy, generator, posterior
        self.conditional = hasattr(energy, "given")
        if any(hasattr(net, "given") is not self.conditional for net in nets):
            kinds = ", ".join(type(net).__name__ for net in nets)
            raise TypeError(f"the nets are {kinds}; expected all three to take a condition, or none")
        check_latents(generator, posterior)
        if not 0 < kl_weight < math.inf:
            raise ValueError(f"kl_weight is {kl_weight}; expected a number > 0, 1 for the evidence bound")
        chain.kernel((lambda x: x.sum(1)) if self.conditional else energy)  # refuses here what it cannot take
        self.energy, self.generator, self.posterior = nets
        self.chain, self.kl_weight, self.diagnostic = chain, float(kl_weight), diagnostic
        self.add_optimizer("energy", energy.parameters(), lr_energy, optimizer)
        both = [*generator.parameters(), *posterior.parameters()]
        self.add_optimizer("vae", both, lr_vae, optimizer)
        self.add_average("energy", energy, ema)

    def given(self, c: Tensor | None) -> tuple[Energy, Generator, GaussianPosterior]:
        """Energy, generator and encoder, for conditions ``(B, *condition)`` where there are some.

        Raises:
            TypeError: If conditions are missing, or the nets take none.
        """
        nets: Any = self.energy, self.generator, self.posterior
        if (c is not None) is not self.conditional:
            wanted = "a batch (x, c)" if self.conditional else "x alone"
            raise TypeError(f"the nets take {wanted}; got {'no ' if c is None else ''}conditions")
        return nets if c is None else tuple(net.given(c) for net in nets)

    def sample(self, n: int, c: Tensor | None = None) -> Tensor:
        """What the chain makes of ``n`` draws of the generator, as in training, shape ``(n, *event)``.

        Args:
            n: Number of samples.
            c: Conditions, shape ``(n, *condition)``, if the nets take some.
        """
        energy, generator, _ = self.given(c)
        with torch.no_grad():
            x = generator.sample(n)
        return self.chain(energy, x)

    def step(self, batch: Tensor | tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``, or a pair of it and conditions ``(B, *condition)``.

        Returns:
            ``energy_gap`` in units of energy; the recorded diagnostic,
            ``displacement`` in units of x by default; ``reconstruction``
            and ``kl``, the two terms of line 5, in nats.
        """
        x_data, c = (batch, None) if isinstance(batch, Tensor) else batch
        energy, generator, posterior = self.given(c)
        # 1. draws of the generator
        with torch.no_grad():
            x = generator.sample(len(x_data))
        # 2. revision
        x_model, kept = self.chain(energy, x, keep=self.diagnostic)
        # 3. energy
        gap = ml_gap(energy, x_data, x_model)
        self.update("energy", gap)
        # 4. inference
        (z,) = posterior.rsample(x_model)
        # 5. auto-encoder
        reconstruction = generator.reconstruction(x_model, z).mean()
        kl = posterior.kl(x_model).mean()
        self.update("vae", reconstruction + self.kl_weight * kl)
        return {
            "energy_gap": gap.detach(),
            self.diagnostic.__name__: kept.mean(),
            "reconstruction": reconstruction.detach(),
            "kl": kl.detach(),
        }
