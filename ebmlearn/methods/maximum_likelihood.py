"""Maximum likelihood with MCMC: contrastive divergence, persistent chains and short-run MCMC.

References:
    Hinton (2002), "Training products of experts by minimizing contrastive divergence", Neural Computation 14.
    Tieleman (2008), "Training restricted Boltzmann machines using approximations to the likelihood gradient",
    ICML.
    Nijkamp, Hill, Zhu, Wu (2019), "Learning non-convergent non-persistent short-run MCMC toward energy-based
    model", NeurIPS, arXiv:1904.09770.

Notation:
    =================  ==========================  =============================================
    here               Nijkamp et al.              meaning
    =================  ==========================  =============================================
    ``E``              ``-f``                      energy: low is likely (the papers write ``f = -E``)
    ``chain.n_steps``  ``K``                       steps of a chain (``k`` of CD-k)
    ``step_size``      ``s``                       ``x ← x - (s²/2) ∇E(x) + σ ε``
    ``noise_scale``    ``s`` (code: 0.01)          ``σ``; temperature ``T = (σ/s)²``
    ``data_noise``     ``σ``                       standard deviation of noise added to data
    =================  ==========================  =============================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Add noise to the data: ``x⁺ = x + data_noise ε``.
    2. Start ``B`` chains: at the data (CD), where they last stopped (PCD), or in noise (short-run).
    3. Run ``K`` steps of a chain on ``E`` (Langevin dynamics, or Gibbs sampling of an RBM) to ``x⁻``; hand
       the ends back to the start.
    4. ``gap = mean E(x⁺) - mean E(x⁻)``, with ``x⁻`` held constant.
    5. One optimiser step down the gradient of the gap; then move the average of the weights.

Differences from the papers: one class for the three, since they differ in line 2 only. The released
short-run code takes the gradient step with coefficient 1 and noise 0.01, that is ``s = √2`` and
``σ = 0.01``: temperature 5·10⁻⁵ in the energy's own units. Here both are arguments.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn.diagnostics import displacement
from ebmlearn.objectives import ml_gap
from ebmlearn.sample import Chain, Info, Start, State
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class MaximumLikelihood(Method):
    """CD-k (`DataStart`), PCD (`ReplayBuffer`) or short-run MCMC (`NoiseStart`): the start decides.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``.
        start: Where chains start.
        chain: The chain, such as `Chain(ula, n_steps=20, step_size=0.1) <ebmlearn.sample.Chain>`; of `ula`,
            `mala`, `hmc` or `gibbs`.
        data_noise: Standard deviation of the noise added to data, >= 0, in units of ``x``.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.
        ema: Decay of the moving average of the weights, kept in ``averages["energy"]``; None: no average.
        diagnostic: The diagnostic of the chains that `step` reports under its own name:
            `~ebmlearn.diagnostics.displacement`; `~ebmlearn.diagnostics.acceptance` for a kernel with a
            Metropolis step; `~ebmlearn.diagnostics.squared_jump` for any, `gibbs` too.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If the kernel cannot take the energy.
    """

    def __init__(
        self,
        energy: nn.Module,
        start: Start,
        *,
        chain: Chain,
        data_noise: float = 0.0,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
        diagnostic: Callable[[State, Info], Tensor] = displacement,
    ) -> None:
        super().__init__()
        if not 0 <= data_noise < math.inf:
            raise ValueError(f"data_noise is {data_noise}; expected a standard deviation >= 0")
        chain.kernel(energy)  # refuses an energy that it cannot take here, not at the first step
        self.energy, self.start, self.chain = energy, start, chain
        self.data_noise, self.diagnostic = data_noise, diagnostic
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)
        self.add_average("energy", energy, ema)

    def sample(self, n: int) -> Tensor:
        """The ends of ``n`` chains as in training, ``(n, *event)``; persistent chains are not moved by it.

        Raises:
            ValueError: If the start cannot tell where they begin; see its ``sample``.
        """
        return self.chain(self.energy, self.start.sample(n))

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``energy_gap`` in units of energy, and the recorded
            diagnostic, ``displacement`` in units of x by default.
        """
        # 1. noise on the data
        x_data = batch
        if self.data_noise > 0:
            x_data = batch + self.data_noise * torch.randn_like(batch)
        # 2. starts
        x = self.start.draw(x_data)
        # 3. chains
        x_model, kept = self.chain(self.energy, x, keep=self.diagnostic)
        self.start.store(x_model)
        # 4. energy gap
        gap = ml_gap(self.energy, x_data, x_model)
        # 5. updates of the weights and their average
        self.update("energy", gap)
        return {"energy_gap": gap.detach(), self.diagnostic.__name__: kept.mean()}
