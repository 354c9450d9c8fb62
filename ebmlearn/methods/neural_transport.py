"""Neural transport: an energy that tilts a normalising flow, with chains in the flow's latent space.

Reference:
    Nijkamp, Gao, Sountsov, Vasudevan, Pang, Zhu, Wu (2022), "MCMC should mix: learning energy-based model
    with neural transport latent space MCMC", ICLR, arXiv:2006.06897.

Notation:
    ==================  ============  ====================================================================
    here                paper         meaning
    ==================  ============  ====================================================================
    ``T``               ``-f_θ``      the ``tilt``: energy of the model relative to the flow
    ``q``, ``g``        ``q_α, g_α``  density of the flow, and its map ``x = g(z)``, ``z ~ N(0, I)``
    ``E``               –             energy of the model, ``E(x) = T(x) - log q(x)``
    ``U``               –             energy in the latent space, ``U(z) = T(g(z)) + ‖z‖²/2``
    ==================  ============  ====================================================================

The Jacobian cancels. In ``z`` the model has the density ``exp(-T(g(z))) q(g(z)) |det ∂g/∂z| / Z``, and by
``q(g(z)) |det ∂g/∂z| = N(z; 0, I)`` this is ``exp(-U(z)) / ((2π)^(d/2) Z)``: one ``Z`` for both spaces, and
no determinant in ``U``. It is also ``Z = E_q exp(-T)``, a mean over exact samples of the flow.

Algorithm, one iteration on a batch of ``B`` data, with a flow that was fitted before and stays as it is:
    0. Add the noise of dequantisation, if any. In the first ``warmup`` iterations the flow is still to be
       fitted: one optimiser step down ``mean -log q(x⁺)``, and no other line.
    1. Start ``B`` chains in the latent space: at ``N(0, I)``, or where they last stopped.
    2. K steps of a chain on ``U`` to ``z``; hand the ends back to the start.
    3. Carry them to the data: ``x⁻ = g(z)``.
    4. Tilt: one optimiser step down ``mean T(x⁺) - mean T(x⁻)``, with ``x⁻`` held constant. The flow's
       ``log q`` has no part in it, because it does not depend on the tilt.

Differences from the paper: where its chains start could not be established, so that it is an argument here.
It decides everything: from fresh noise the chains are short runs, and the tilt becomes what carries them in
K steps, however well they would mix. ``warmup`` fits the flow in the same run, for large settings; elsewhere
`ExactLikelihood(flow, lambda q: q.log_z) <ebmlearn.methods.ExactLikelihood>` does it before. There is no
official code.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn.diagnostics import squared_jump
from ebmlearn.energy import energy_at
from ebmlearn.nets import Flow
from ebmlearn.objectives import importance_log_z, ml_gap
from ebmlearn.sample import Chain, Info, Start, State
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class NeuralTransport(Method):
    """An energy that tilts a flow, learned by maximum likelihood with chains in the flow's latent space.

    Args:
        tilt: The net to train, ``(B, *event)`` to ``(B,)``. At 0 the model is the flow.
        flow: The flow, fitted before; its weights are frozen here, unless there is a ``warmup``.
        start: Where chains start, in the latent space: `ReplayBuffer(torch.randn(n, *event))
            <ebmlearn.sample.ReplayBuffer>` or `NoiseStart("normal", event_shape=event)
            <ebmlearn.sample.NoiseStart>`.
        chain: The chain on ``U``, of any kernel, such as `Chain(hmc, n_steps=10, step_size=0.25,
            n_leapfrog=3) <ebmlearn.sample.Chain>`.
        warmup: Iterations at first, >= 0, in which the flow alone learns, by likelihood.
        bin_width: Distance of the levels of data that have some, such as 2/255 for 8 bits in [-1, 1]; uniform
            noise of this width makes a density of them. 0 for data that are continuous.
        lr: Learning rate of the tilt, a number or a schedule of the number of updates.
        lr_flow: Learning rate of the flow in the warm-up, likewise.
        optimizer: ``factory(parameters, lr=...)``, for either.
        ema: Decay of the moving average of the tilt's weights, in ``averages["tilt"]``; None: no average.
        diagnostic: The diagnostic of the chains that `step` reports under its own name, in units of ``z``.

    Raises:
        ValueError: If the flow is not invertible to 1e-4 at draws of ``N(0, I)``, or a setting is out of its
            range.
        TypeError: If the kernel has no use for an energy.
    """

    def __init__(
        self,
        tilt: nn.Module,
        flow: Flow,
        start: Start,
        *,
        chain: Chain,
        warmup: int = 0,
        bin_width: float = 0.0,
        lr: float | Schedule = 1e-3,
        lr_flow: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
        ema: float | None = None,
        diagnostic: Callable[[State, Info], Tensor] = squared_jump,
    ) -> None:
        super().__init__()
        if warmup < 0 or not 0 <= bin_width < math.inf:
            raise ValueError(f"expected warmup >= 0 and bin_width >= 0; got {warmup} and {bin_width}")
        check_inverse(flow)
        chain.kernel(lambda z: z.sum(1))  # refuses here what takes no plain function, not at the first step
        self.tilt, self.flow, self.start = tilt, flow.requires_grad_(warmup > 0), start
        self.chain, self.diagnostic = chain, diagnostic
        self.warmup, self.bin_width = warmup, float(bin_width)
        self.add_optimizer("tilt", tilt.parameters(), lr, optimizer)
        if warmup:
            self.add_optimizer("flow", flow.parameters(), lr_flow, optimizer)
        self.add_average("tilt", tilt, ema)

    def energy(self, x: Tensor) -> Tensor:
        """``E(x) = T(x) - log q(x)`` of the model, ``(B, *event)`` to ``(B,)``; ``log Z`` is that of
        `log_z`."""
        return energy_at(self.tilt, x) - self.flow.log_prob(x)

    def latent_energy(self, z: Tensor) -> Tensor:
        """``U(z) = T(g(z)) + ‖z‖²/2``, ``(B, *event)`` to ``(B,)``: what the chains sample."""
        return energy_at(self.tilt, self.flow.generate(z)[0]) + 0.5 * z.flatten(1).square().sum(1)

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """``g(z)`` without a graph, of the shape of ``z``."""
        return self.flow.generate(z)[0]

    def sample(self, n: int) -> Tensor:
        """The ends of ``n`` chains as in training, ``(n, *event)``; persistent chains are not moved by it."""
        return self.generate(self.chain(self.latent_energy, self.start.sample(n)))

    @torch.no_grad()
    def log_z(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Importance sampling estimate of ``log Z = log E_q exp(-T)`` from exact samples of the flow.

        Args:
            n: Number of samples.
            generator: Source of the samples; torch's global one if None.

        Returns:
            The estimate in nats, shape ``()``, whose exponential is
            unbiased; and the effective number of samples
            ``(Σw)² / Σw²``, between 1 and n. At a few of them the estimate
            is the weight of a few lucky draws, and too low.
        """
        x, log_q = self.flow.rsample_with_log_prob(n, generator)
        log_weight = -energy_at(self.tilt, x)
        n_effective = (2 * log_weight.logsumexp(0) - (2 * log_weight).logsumexp(0)).exp()
        return importance_log_z(lambda x: -log_weight - log_q, x, log_q), n_effective

    def fit_flow(self, x: Tensor) -> dict[str, Tensor]:
        """Line 0: one step of the flow's likelihood of a batch ``(B, *event)``; the last checks its inverse.

        Raises:
            ValueError: If the flow is not invertible to 1e-4 in the end.
        """
        nll = -self.flow.log_prob(x).mean()
        self.update("flow", nll)
        if self.updates["flow"] == self.warmup:
            check_inverse(self.flow)
        still = torch.zeros_like(nll)
        return {"energy_gap": still, self.diagnostic.__name__: still, "nll": nll.detach()}

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``energy_gap``, the loss of line 4, in nats, and the recorded
            diagnostic, ``squared_jump`` in units of z² by default; both
            are 0 in the warm-up. ``nll``, the flow's mean negative
            log-likelihood of the batch before the step, in nats, is 0
            after it.
        """
        # 0. dequantisation; the flow, in the warm-up
        x_data = batch
        if self.bin_width > 0:
            x_data = batch + self.bin_width * (torch.rand_like(batch) - 0.5)
        if self.updates.get("flow", 0) < self.warmup:
            return self.fit_flow(x_data)
        # 1. starts
        z = self.start.draw(x_data)
        # 2. chains in the latent space
        z, kept = self.chain(self.latent_energy, z, keep=self.diagnostic)
        self.start.store(z)
        # 3. to the data
        x_model = self.generate(z)
        # 4. tilt
        gap = ml_gap(self.tilt, x_data, x_model)
        self.update("tilt", gap)
        return {
            "energy_gap": gap.detach(),
            self.diagnostic.__name__: kept.mean(),
            "nll": torch.zeros_like(gap),
        }


@torch.no_grad()
def check_inverse(flow: Flow) -> None:
    """Refuse a flow whose inverse does not undo it: a density from ``log q`` and samples from ``g`` would
    then belong to two different models.

    Args:
        flow: The flow. Draws of ``N(0, I)`` are carried there and back: 260 in the plane, 4 of images, which
            have thousands of elements each.

    Raises:
        ValueError: If a draw comes back more than 1e-4 away, or not finite.
    """
    like = next(flow.parameters())
    noise = torch.Generator(like.device).manual_seed(0)  # leaves the global one alone
    n = 4 + 512 // math.prod(flow.event_shape)
    z = torch.randn(n, *flow.event_shape, generator=noise, dtype=like.dtype, device=like.device)
    error = (flow.invert(flow.generate(z)[0])[0] - z).abs().max().item()
    if not error <= 1e-4:
        raise ValueError(
            f"the flow's inverse misses draws of N(0, I) by up to {error:.2g}; expected at most 1e-4: bound "
            "its log-scales, stop its training earlier, or use float64"
        )
