"""Short-run inference: learn a generator with a few Langevin steps on the posterior in place of an encoder.

Reference:
    Nijkamp, Pang, Han, Zhou, Zhu, Wu (2020), "Learning multi-layer latent variable model via variational
    optimization of short run MCMC for approximate inference", ECCV, arXiv:1912.01909.

Notation:
    ==================  ============  ====================================================================
    here                paper         meaning
    ==================  ============  ====================================================================
    ``U(z)``            ``-log p``    energy of the posterior, the ``joint`` of the generator; for a Gaussian
                                      one ``‖z‖²/2 + ‖x - g(z)‖²/(2τ²)``
    ``K``, ``s``        same          steps and step size of a chain, ``z ← z - (s²/2) ∇U(z) + σ ε``
    ``c``               –             factor by which the tuning has changed all ``s`` and ``σ``
    ``q_s(z|x)``        same          law of ``z`` after K steps from ``z₀ ~ N(0, I)``
    ==================  ============  ====================================================================

Algorithm, one iteration on a batch:
    1. Draw ``z₀ ~ N(0, I)``, anew for each example.
    2. Infer: K steps of a chain on ``U``, from ``z₀`` to ``z``.
    3. Generator: one optimiser step down ``mean -log p(x|z)``, with ``z`` held constant.
    4. Every ``tune_every`` iterations, step size: one optimiser step in ``log c`` down the mean of
       ``KL(q_s(z|x) ‖ p(z|x)) - log p(x) = E[U(z)] - H(q_s) + const``, through all K steps.

The entropy ``H(q_s)`` of line 4 has two estimates. ``"gaussian"`` is the entropy of a Gaussian with the
covariance of several chains: exact where ``q_s`` is Gaussian, too large elsewhere. ``"conditional"`` is a
change of variables through the chain with its noise held fixed, ``H(z₀) + E log|det dz/dz₀|``. It is exact
without noise, for which it is meant. With noise it is the entropy *given the noise*, too small by the mutual
information of ``z`` and the noise, and its minimum has too small a step. So with noise the one gives a
divergence that is too small, the other one that is too large.

Differences from the authors' code for images (github.com/enijkamp/short_run_inf): it does not tune the step
size. Line 3 here is a mean over the batch with its ``1/(2τ²)``, where the code sums squared errors.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn.nets import Generator
from ebmlearn.sample import Chain
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory

ENTROPIES = ("gaussian", "conditional")


class ShortRunInference(Method):
    """A generator, learned by short-run inference, and the inference itself.

    Args:
        generator: The generator to train.
        chain: The chain that infers, `Chain(ula, n_steps=20, step_size=0.1) <ebmlearn.sample.Chain>` for
            instance; tuning starts at its step size. `ula` is stable below ``2 / √λ``, with ``λ`` the largest
            curvature of ``U``; with ``noise_scale=0`` it is gradient descent.
        tune_every: Iterations between two updates of the step size; 0: never. Only a chain of `ula` can be
            differentiated, and so tuned; the ratio of its noise scale to its step size stays.
        entropy: Estimate of the entropy in the tuning, ``"gaussian"`` or ``"conditional"``.
        n_tune: Examples of a batch that tuning uses, >= 1.
        n_chains: Chains it runs for each of them; with ``"gaussian"`` at least ``latent_dim + 1``.
        lr: Learning rate of the generator, a number or a schedule of the number of updates.
        lr_step: Learning rate of ``log c``, likewise; its optimiser is Adam.
        optimizer: ``factory(parameters, lr=...)``, for the generator.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a chain has no use for an energy, or its step size is to be tuned and it cannot be
            differentiated.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        chain: Chain,
        tune_every: int = 0,
        entropy: str = "gaussian",
        n_tune: int = 16,
        n_chains: int = 32,
        lr: float | Schedule = 1e-3,
        lr_step: float | Schedule = 0.02,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        least = generator.latent_dim + 1 if entropy == "gaussian" else 1
        if tune_every < 0 or n_tune < 1:
            raise ValueError(f"expected tune_every >= 0 and n_tune >= 1; got {tune_every} and {n_tune}")
        if entropy not in ENTROPIES or n_chains < least:
            raise ValueError(
                f"entropy is {entropy!r} and n_chains {n_chains}; expected one of {ENTROPIES}, and at least "
                f"{least} chains"
            )
        if tune_every:
            chain.replace(create_graph=True)  # refuses here a kernel that cannot be differentiated
        chain.kernel(lambda z: z.sum(1))  # refuses here what takes no plain function, not at the first step
        self.generator, self.chain = generator, chain
        self.tune_every, self.entropy, self.n_tune, self.n_chains = tune_every, entropy, n_tune, n_chains
        like = next(generator.parameters())
        self.log_scale = nn.Parameter(like.new_zeros(()), requires_grad=tune_every > 0)
        self.add_optimizer("generator", generator.parameters(), lr, optimizer)
        if tune_every:
            self.add_optimizer("step_size", [self.log_scale], lr_step, torch.optim.Adam)

    def scale(self) -> Tensor:
        """The factor ``c``: the chain's step sizes and noise scales are multiplied by it."""
        return self.log_scale.exp()

    def sample(self, n: int) -> Tensor:
        """Examples of the model, with the noise of the generator, shape ``(n, *event)``."""
        with torch.no_grad():
            return self.generator.sample(n)

    def infer(self, x: Tensor, **options: Any) -> Tensor:
        """Latents of examples: the ends of K steps from fresh noise, shape ``(B, latent_dim)``, no graph.

        Args:
            x: Examples, shape ``(B, *event)``.
            **options: Of `Generator.joint <ebmlearn.nets.Generator.joint>`, such as ``mask``.
        """
        with torch.no_grad():
            return self._chains(x, self.generator.latent(len(x)), **options)

    def _chains(self, x: Tensor, z: Tensor, *, create_graph: bool = False, **options: Any) -> Tensor:
        # In u = z / c, a step s of the chain is a step c s of z. So c is in the energy and in the start, by
        # which a chain can be differentiated; no sampler has to know about derivatives by its settings.
        c = self.scale()
        chain = self.chain.replace(create_graph=True) if create_graph else self.chain
        return c * chain(lambda u: self.generator.joint(x, c * u, **options), z / c)

    def criterion(self, x: Tensor) -> Tensor:
        """Estimate of ``KL(q_s(z|x) ‖ p(z|x)) - log p(x)`` in nats, up to
        the generator's constant; differentiable by `scale`.

        Args:
            x: Examples, shape ``(B, *event)``; each gets ``n_chains``
                chains.

        Returns:
            Shape ``(B,)``.
        """
        n, d = self.n_chains, self.generator.latent_dim
        many = x.repeat_interleave(n, 0)
        start = self.generator.latent(len(many)).requires_grad_()
        with torch.enable_grad():
            z = self._chains(many, start, create_graph=True)
        energy = self.generator.joint(many, z).view(-1, n).mean(1)
        energy = energy + 0.5 * d * math.log(2 * math.pi)
        if self.entropy == "gaussian":
            return energy - gaussian_entropy(z.view(-1, n, d))
        return energy - conditional_entropy(start, z).view(-1, n).mean(1)

    def tune(self, x: Tensor) -> Tensor:
        """Line 4: one update of the step size on the first ``n_tune`` examples ``(B, *event)``.

        Returns:
            Mean `criterion` before the update.
        """
        loss = self.criterion(x[: self.n_tune]).mean()
        self.update("step_size", loss)
        return loss.detach()

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``reconstruction``, the loss of line 3 in nats up to the
            generator's constant, and ``step_size``, that of the chain's
            first step.
        """
        # 1. and 2. fresh noise, and K steps
        z = self.infer(batch)
        size = self.chain.settings["step_size"]
        size = self.scale() * (size(0) if callable(size) else size)
        # 3. generator
        loss = self.generator.reconstruction(batch, z).mean()
        self.update("generator", loss)
        # 4. step size
        if self.tune_every and self.updates["generator"] % self.tune_every == 0:
            self.tune(batch)
        return {"reconstruction": loss.detach(), "step_size": size.detach()}


def conditional_entropy(start: Tensor, end: Tensor) -> Tensor:
    """``H(z₀) + log|det dz/dz₀|`` for ``z₀ ~ N(0, I)``: the entropy of ``z`` given the noise of its chain.

    Args:
        start: ``z₀``, shape ``(B, d)``, which requires a gradient.
        end: ``z``, shape ``(B, d)``, a function of ``start`` row by row.

    Returns:
        In nats, shape ``(B,)``; minus infinity where the map loses a dimension.
    """
    d = start.shape[1]
    rows = [torch.autograd.grad(end[:, i].sum(), start, create_graph=True)[0] for i in range(d)]
    return 0.5 * d * math.log(2 * math.pi * math.e) + torch.linalg.slogdet(torch.stack(rows, 1))[1]


def gaussian_entropy(z: Tensor) -> Tensor:
    """The entropy of a Gaussian with the covariance of a sample, without bias if the sample is Gaussian.

    The determinant of a Wishart matrix is a product of χ², so the mean of ``log det`` of the sample
    covariance is too small by ``Σ_j log((n - 1)/2) - ψ((n - j)/2)``, ``j`` = 1 … d.

    Args:
        z: Samples, shape ``(B, n, d)`` with ``n > d``.

    Returns:
        In nats, shape ``(B,)``.
    """
    n, d = z.shape[1:]
    centred = z - z.mean(1, keepdim=True)
    cov = centred.transpose(1, 2) @ centred / (n - 1)
    bias = torch.digamma(0.5 * (n - torch.arange(1, d + 1))).sum() - d * math.log(0.5 * (n - 1))
    return 0.5 * (torch.linalg.slogdet(cov)[1] - bias + d * math.log(2 * math.pi * math.e))
