"""Noise-contrastive estimation: the energy as one half of a classifier, with ``log Z`` learned on the way.

Reference:
    Gutmann, Hyvärinen (2010), "Noise-contrastive estimation: a new estimation principle for unnormalized
    statistical models", AISTATS. The general ``ν`` is that of their JMLR paper of 2012.

Notation:
    =============  ====================================  ==============================================
    here           Gutmann and Hyvärinen                 meaning
    =============  ====================================  ==============================================
    ``-E - c``     ``ln p_m(·; θ)``, ``θ = {α, c}``      log-density of the model
    ``log_z``      ``-c``                                learned constant; ``log Z`` at the optimum
    ``q``          ``p_n``                               density of the noise
    ``r``          ``G(u; θ)``                           ``-E - log_z - log q``, the log-ratio
    ``n_noise``    ``ν = T_n / T_d``                     noise points for each datum
    =============  ====================================  ==============================================

Algorithm, one iteration on a batch of ``B`` data:
    1. Draw ``ν B`` points of noise from ``q``.
    2. ``r = -E - log_z - log q`` on data and on noise.
    3. ``L = mean softplus(log ν - r(x⁺)) + ν mean softplus(r(x⁻) - log ν)``.
    4. One optimiser step on energy and ``log_z`` down its gradient.

Differences from the paper: noise is drawn anew in each iteration, and ``log_z`` starts at its importance
sampling estimate, ``log mean exp(-E - log q)`` over noise, rather than anywhere.
"""

import math

import torch
from torch import Tensor, nn

from ebmlearn.energy import ExactEnergy, energy_at
from ebmlearn.objectives import importance_log_z, nce
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class NCE(Method):
    """Noise-contrastive estimation with fixed noise.

    What it learns is right where the noise has mass. Noise that misses a part of the data, or of the model,
    leaves the energy free there. Take noise at least as wide as the data: a `ebmlearn.energy.Gaussian` of
    their mean and covariance is the least to do.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``.
        noise: Where the noise comes from: exact samples and ``log_prob``. It is not trained.
        n_noise: Noise points for each datum, ``ν`` >= 1.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.

    Attributes:
        log_z: Learned log of the partition function, shape ``()``; what it lacks to the truth
            (`ebmlearn.evaluate.exact.log_z`) says how far the estimate is.

    Raises:
        ValueError: If ``n_noise`` < 1.
    """

    def __init__(
        self,
        energy: nn.Module,
        noise: ExactEnergy,
        *,
        n_noise: int = 1,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        if n_noise < 1:
            raise ValueError(f"n_noise is {n_noise}; expected at least 1")
        self.energy, self.noise, self.n_noise = energy, noise, n_noise
        with torch.no_grad():
            x = noise.sample(1000)
            self.log_z = nn.Parameter(importance_log_z(energy, x, noise.log_prob(x)))
        self.add_optimizer("energy", [*energy.parameters(), self.log_z], lr, optimizer)

    def ratio(self, x: Tensor) -> Tensor:
        """``r(x) = -E(x) - log_z - log q(x)`` in nats, ``(B, *event)`` to ``(B,)``."""
        with torch.no_grad():
            log_noise = self.noise.log_prob(x)
        return -energy_at(self.energy, x) - self.log_z - log_noise

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``loss`` in nats per datum; ``accuracy``, the mean of the shares of data and of noise that are
            told right, which nears 1 if the noise is of no use; and the learned ``log_z``.
        """
        # 1. noise
        with torch.no_grad():
            x_noise = self.noise.sample(self.n_noise * len(batch))
        # 2. log-ratios
        ratio_data, ratio_noise = self.ratio(batch), self.ratio(x_noise)
        # 3. cross-entropy
        loss = nce(ratio_data, ratio_noise)
        # 4. update
        self.update("energy", loss)
        border = math.log(self.n_noise)
        right = (ratio_data > border).float().mean()
        right = right + (ratio_noise < border).float().mean()
        return {
            "loss": loss.detach(),
            "accuracy": 0.5 * right,
            "log_z": self.log_z.detach().clone(),
        }
