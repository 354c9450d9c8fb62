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
    3. With ``latent_steps`` > 0, infer: Langevin dynamics on ``U(z) = ‖x̃ - g(z)‖²/(2τ²) + ‖z‖²/2`` from the
       same ``z``. Otherwise ``z`` is kept: it is known.
    4. Energy: one optimiser step down ``mean E(x) - mean E(x̃)``, with ``x̃`` held constant.
    5. Generator: one optimiser step down ``mean ‖x̃ - g(z)‖²/(2τ²)``, with ``x̃`` and ``z`` held constant.

The generator never sees data, and the energy never sees ``x̂``.

Differences from the authors' code (github.com/zilongzheng/CoopNets): as many chains as data, where it runs
144 for batches of 100. The start of the chain has the generator's noise ``τ ε``, as the model says, where it
starts at ``g(z)`` itself. No batch normalisation. The kernel is an argument.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.diagnostics import displacement
from ebmlearn.nets import Generator
from ebmlearn.objectives import ml_gap
from ebmlearn.sample import Info, Kernel, MakeKernel, Schedule, State, langevin, run, ula
from ebmlearn.train import Method, OptimizerFactory


class CoopNets(Method):
    """Cooperative learning: the generator starts the chains, the chains teach the generator.

    Args:
        energy: The energy to train, ``(B, *event)`` to ``(B,)``.
        generator: The generator to train.
        n_steps: Steps in a chain, ``K`` >= 1.
        kernel: Makes the transition: `ula`, `mala` or `hmc`.
        latent_steps: Steps of Langevin dynamics that infer ``z`` from the end of the chain, >= 0; 0 keeps
            the ``z`` that started it.
        latent_step_size: Their step size. The posterior of ``z`` is narrow where ``g`` is steep, of width
            ``τ / ‖∇g‖``: keep it below.
        lr_energy: Learning rate of the energy, a number or a schedule of the number of updates.
        lr_generator: Learning rate of the generator, likewise.
        optimizer: ``factory(parameters, lr=...)``, for either.
        ema: Decay of the moving averages of the weights, kept in ``average`` (of the energy) and
            ``generator_average``; None: no averages.
        record: The diagnostic of the chains that `step` reports under its own name.
        **settings: Of the kernel: for `ula` ``step_size``, ``noise_scale`` and ``bounds``.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If the kernel does not know a setting, or lacks one.
    """

    def __init__(
        self,
        energy: nn.Module,
        generator: Generator,
        *,
        n_steps: int,
        kernel: MakeKernel = ula,
        latent_steps: int = 0,
        latent_step_size: float = 0.1,
        lr_energy: float | Schedule = 1e-3,
        lr_generator: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
        record: Callable[[State, Info], Tensor] = displacement,
        **settings: Any,
    ) -> None:
        super().__init__()
        if n_steps < 1 or latent_steps < 0:
            raise ValueError(f"expected n_steps >= 1 and latent_steps >= 0; got {n_steps} and {latent_steps}")
        if not latent_step_size > 0:
            raise ValueError(f"latent_step_size is {latent_step_size}; expected a number > 0")
        self.energy, self.generator = energy, generator
        self.n_steps, self.record = n_steps, record
        self.latent_steps, self.latent_step_size = latent_steps, latent_step_size
        self.make_kernel = partial(kernel, **settings)
        self.add_optimizer("energy", energy.parameters(), lr_energy, optimizer)
        self.add_optimizer("generator", generator.parameters(), lr_generator, optimizer)
        self.average, self.ema = self.add_average("energy", energy, ema), ema
        self.generator_average = self.add_average("generator", generator, ema)
        self.kernel()  # refuses bad settings here, not at the first step

    def kernel(self) -> Kernel:
        """The chain that training runs."""
        return self.make_kernel(self.energy)

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
        x_model, kept = run(self.kernel(), x, self.n_steps, keep=self.record)
        # 3. inference
        z = langevin(
            lambda z: self.generator.joint(x_model, z),
            z,
            n_steps=self.latent_steps,
            step_size=self.latent_step_size,
        )
        # 4. energy
        gap = ml_gap(self.energy, batch, x_model)
        self.update("energy", gap)
        # 5. generator
        teaching = self.generator.reconstruction(x_model, z).mean()
        self.update("generator", teaching)
        return {
            "energy_gap": gap.detach(),
            self.record.__name__: kept.mean(),
            "teaching": teaching.detach(),
        }
