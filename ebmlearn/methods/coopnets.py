"""CoopNets: an energy and a generator that learn from each other, by MCMC teaching.

References:
    Xie, Lu, Gao, Zhu, Wu (2016), "Cooperative training of descriptor and generator networks",
    arXiv:1609.09408.
    Xie, Lu, Gao, Wu (2018), "Cooperative learning of energy-based model and latent variable model via MCMC
    teaching", AAAI.

Notation:
    ==================  ==========  ======================================================================
    here                paper       meaning
    ==================  ==========  ======================================================================
    ``E``               ``-f``      energy, the "descriptor": low is likely (the papers write ``f = -E``)
    ``g``, ``τ``        ``g, σ``    generator ``x = g(z) + τ ε``, ``z ~ N(0, I)``; ``τ`` is its ``std``
    ``x̂``, ``x̃``        same        a draw of the generator, and the end of the chain that starts there
    ``s``, ``σ``        one number  step size and noise scale, ``x ← x - (s²/2) ∇E(x) + σ ε``
    ==================  ==========  ======================================================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Draw ``z ~ N(0, I)`` and ``x̂ = g(z) + τ ε``, ``B`` of each.
    2. Revise: K steps of a chain on ``E`` from ``x̂`` to ``x̃``.
    3. With a ``latent_chain``, infer: its steps on ``U(z) = ‖x̃ - g(z)‖²/(2τ²) + ‖z‖²/2`` from the same ``z``.
       Otherwise ``z`` is kept: it is known.
    4. Energy: one optimiser step down ``mean E(x) - mean E(x̃)``, with ``x̃`` held constant.
    5. Generator: one optimiser step down ``mean ‖x̃ - g(z)‖²/(2τ²)``, with ``x̃`` and ``z`` held constant.

The generator never sees data, and the energy never sees ``x̂``.

Differences from the authors' code (github.com/zilongzheng/CoopNets): as many chains as data, where it runs
144 for batches of 100. The start of the chain has the generator's noise ``τ ε``, as the model says, where it
starts at ``g(z)`` itself. No batch normalisation. The kernels are arguments.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn.diagnostics import displacement
from ebmlearn.nets import Generator
from ebmlearn.objectives import ml_gap
from ebmlearn.sample import Chain, Info, State
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class CoopNets(Method):
    """Cooperative learning: the generator starts the chains, the chains teach the generator.

    Args:
        energy: The energy to train, ``(B, *event)`` to ``(B,)``.
        generator: The generator to train.
        chain: The chain that revises: `Chain(ula, n_steps=20, step_size=0.1) <ebmlearn.sample.Chain>`, or of
            `mala` or `hmc`.
        latent_chain: The chain that infers ``z`` from the end of the other; None keeps the ``z`` that started
            it. The posterior of ``z`` is narrow where ``g`` is steep, of width ``τ / ‖∇g‖``: a step size
            of `ula` belongs below.
        lr_energy: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_generator: Learning rate of the generator, likewise.
        optimizer: ``factory(parameters, lr=...)``, for either.
        ema: Decay of the moving averages of the weights, kept in ``averages["energy"]`` and
            ``averages["generator"]``; None: no averages.
        diagnostic: The diagnostic of the chains that `step` reports under its own name.

    Raises:
        ValueError: If ``ema`` is out of its range.
        TypeError: If a kernel cannot take the energy.
    """

    def __init__(
        self,
        energy: nn.Module,
        generator: Generator,
        *,
        chain: Chain,
        latent_chain: Chain | None = None,
        lr_energy: float | Schedule = 1e-3,
        lr_generator: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
        diagnostic: Callable[[State, Info], Tensor] = displacement,
    ) -> None:
        super().__init__()
        chain.kernel(energy)  # refuses an energy that it cannot take here, not at the first step
        if latent_chain is not None:
            latent_chain.kernel(lambda z: z.sum(1))
        self.energy, self.generator = energy, generator
        self.chain, self.latent_chain, self.diagnostic = chain, latent_chain, diagnostic
        self.add_optimizer("energy", energy.parameters(), lr_energy, optimizer)
        self.add_optimizer("generator", generator.parameters(), lr_generator, optimizer)
        self.add_average("energy", energy, ema)
        self.add_average("generator", generator, ema)

    def sample(self, n: int) -> Tensor:
        """What the chain makes of ``n`` draws of the generator, as in training, shape ``(n, *event)``."""
        return self.chain(self.energy, self.generator.sample(n))

    def infer(self, x: Tensor, z: Tensor) -> Tensor:
        """Latents of examples ``(B, *event)``, shape ``(B, latent_dim)``: the ends of the latent chain from
        ``z``, or ``z`` itself where there is no such chain."""
        if self.latent_chain is None:
            return z
        return self.latent_chain(lambda z: self.generator.joint(x, z), z)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``energy_gap`` in units of energy; the recorded diagnostic,
            ``displacement`` in units of x by default; ``teaching``, the
            loss of line 5 in nats. It does not fall to 0: what no g can
            predict is the noise of the start and of K steps, on a flat
            energy d (τ² + K σ²) / (2 τ²), on a steep one less.
        """
        # 1. draws of the generator
        with torch.no_grad():
            z = self.generator.latent(len(batch))
            x = self.generator.draw(z)
        # 2. revision
        x_model, kept = self.chain(self.energy, x, keep=self.diagnostic)
        # 3. inference
        z = self.infer(x_model, z)
        # 4. energy
        gap = ml_gap(self.energy, batch, x_model)
        self.update("energy", gap)
        # 5. generator
        teaching = self.generator.reconstruction(x_model, z).mean()
        self.update("generator", teaching)
        return {
            "energy_gap": gap.detach(),
            self.diagnostic.__name__: kept.mean(),
            "teaching": teaching.detach(),
        }
