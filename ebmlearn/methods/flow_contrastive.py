"""Flow contrastive estimation: an energy learns to tell data from samples of a flow, and the flow learns to
pass for data.

References:
    Gao, Nijkamp, Kingma, Xu, Dai, Wu (2020), "Flow contrastive estimation of energy-based models", CVPR,
    arXiv:1912.00589.
    Gutmann, Hyvärinen (2010), "Noise-contrastive estimation: A new estimation principle for unnormalized
    statistical models", AISTATS.

Notation:
    =================  ==========================  =============================================
    here               Gao et al.                  meaning
    =================  ==========================  =============================================
    ``E``              ``-f``                      energy: low is likely (the paper writes ``f = -E``)
    ``log_z``          ``c``, up to its sign       learned estimate of ``log Z``: ``log p = -E - log_z``
    ``q``              ``q_α``                     density of the flow
    ``V``              ``V(θ, α)``                 value: the energy ascends it, the flow descends it
    =================  ==========================  =============================================

Algorithm, one iteration on a batch of ``B`` data:
    0. Add the noise of dequantisation, if any. In the first ``warmup`` iterations line 4 is a step up the
       flow's likelihood instead, and ``log_z`` is the estimate of ``log Z`` from these samples.
    1. Draw ``B`` samples ``x⁻`` of the flow, with ``log q(x⁻)`` from the same forward pass.
    2. The log-ratio ``r = log p - log q`` at the data and at the samples.
    3. ``V = mean log sigmoid(r(x⁺)) + mean log sigmoid(-r(x⁻))``, the log-likelihood of the classifier that
       calls ``x`` a datum if ``r(x) > 0``; and its accuracy on these 2B points.
    4. If it is accurate above the threshold, the flow has its turn: one step *down* ``V``, through ``log q``
       at the data, through ``log q`` at the samples, and through the samples themselves, into ``E``.
    5. Otherwise the energy has its turn: one step *up* ``V``, in its weights and ``log_z``.

Why ``log_z`` is learned: the classifier needs the normalised log-density, and no energy here can shift itself
by a constant, since the nets end in a layer without bias. At the optimum ``log_z`` is ``log Z``.

Differences from the paper: its flow for images was fitted by likelihood beforehand; ``warmup`` does it in
the same run, and in the plane it is not needed. For the turns there is one
threshold on the accuracy of the present batch, as in the third-party code lifeitech/fce-2d, where it is 0.6;
ilkhem/icebeem has two, 0.525 and 0.475. The latter's flow step scores samples that were stored. But the
gradient of ``V`` comes through the samples: with a perfect classifier nothing else is left of it.
"""

import math

import torch
from torch import Tensor, nn

from ebmlearn.energy import energy_at
from ebmlearn.nets import Flow
from ebmlearn.objectives import importance_log_z, nce
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class FlowContrastive(Method):
    """Noise-contrastive estimation of an energy whose noise is a flow that adapts.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``.
        flow: The noise, changed too: a `ebmlearn.nets.RealNVP` or `ebmlearn.nets.Glow`, or a module with
            their ``log_prob`` and ``rsample_with_log_prob``.
        threshold: Accuracy above which it is the flow's turn, in [0, 1). At 1/2 the flow moves whenever it is
            found out at all; near 1 the energy is nearly always to move.
        warmup: Iterations at first, >= 0, in which the flow alone learns, by likelihood.
        bin_width: Distance of the levels of data that have some, such as 2/255 for 8 bits in [-1, 1]; uniform
            noise of this width makes a density of them (dequantisation). 0 for data that are continuous.
        lr_energy: Learning rate of the energy and ``log_z``, a number or a schedule of the number of updates.
        lr_flow: Learning rate of the flow; a schedule counts the updates of the warm-up too.
        optimizer: ``factory(parameters, lr=...)``, for both.

    Attributes:
        log_z: Learned log of the partition function, shape ``()``; it starts at its importance sampling
            estimate ``log mean exp(-E - log q)``.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        energy: nn.Module,
        flow: Flow,
        *,
        threshold: float = 0.55,
        warmup: int = 0,
        bin_width: float = 0.0,
        lr_energy: float | Schedule = 1e-3,
        lr_flow: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold is {threshold}; expected an accuracy in [0, 1), such as 0.55")
        if warmup < 0 or not 0 <= bin_width < math.inf:
            raise ValueError(f"expected warmup >= 0 and bin_width >= 0; got {warmup} and {bin_width}")
        self.energy, self.flow, self.threshold = energy, flow, threshold
        self.warmup, self.bin_width = warmup, bin_width
        with torch.no_grad():  # the warm-up makes an estimate of its own
            samples = flow.rsample_with_log_prob(1 if warmup else 1000)
            self.log_z = nn.Parameter(importance_log_z(energy, *samples))
        self.add_optimizer("energy", [*energy.parameters(), self.log_z], lr_energy, optimizer)
        self.add_optimizer("flow", flow.parameters(), lr_flow, optimizer)

    def sample(self, n: int) -> Tensor:
        """Samples of the flow, shape ``(n, *event)``: the energy has none of its own."""
        return self.flow.sample(n)

    def ratio(self, x: Tensor, log_q: Tensor) -> Tensor:
        """``log p(x) - log q(x) = -E(x) - log_z - log q(x)`` in nats, shape ``(B,)``: the classifier's
        logit."""
        return -energy_at(self.energy, x) - self.log_z - log_q

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``value``, ``V`` in nats, at most 0 and near ``-log 4`` where flow, energy and data agree;
            ``accuracy`` of the classifier; ``flow_turn``, 1 if the flow had its turn; ``nll``, the flow's
            mean negative log-likelihood in nats; and ``log_z``.
        """
        # 0. dequantisation
        x_data = batch
        if self.bin_width > 0:
            x_data = batch + self.bin_width * (torch.rand_like(batch) - 0.5)
        # 1. samples of the flow, with their log-density
        noise, log_q = self.flow.rsample_with_log_prob(len(batch))
        # 2. log-ratios
        log_q_data = self.flow.log_prob(x_data)
        ratio_data = self.ratio(x_data, log_q_data)
        ratio_noise = self.ratio(noise, log_q)
        # 3. value and accuracy
        value = -nce(ratio_data, ratio_noise)
        right = torch.cat([ratio_data > 0, ratio_noise < 0])
        accuracy = self.mean_over_ranks(right.float().mean())
        # 4. the flow's turn
        warm = self.updates["flow"] >= self.warmup
        flow_turn = not warm or bool(accuracy > self.threshold)
        if flow_turn:
            self.update("flow", value if warm else -log_q_data.mean())
        # 5. the energy's turn
        else:
            self.update("energy", -value)
        if not warm:
            self.estimate_log_z(noise, log_q)
        return {
            "value": value.detach(),
            "accuracy": accuracy,
            "flow_turn": torch.tensor(float(flow_turn)),
            "nll": -log_q_data.mean().detach(),
            "log_z": self.log_z.detach().clone(),
        }

    @torch.no_grad()
    def estimate_log_z(self, noise: Tensor, log_q: Tensor) -> None:
        """Set ``log_z`` to its importance sampling estimate from samples of the flow with their density."""
        self.log_z.copy_(self.mean_over_ranks(importance_log_z(self.energy, noise, log_q)))
