"""Gaussian posteriors."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.architecture import Net
from ebmlearn.nets import beside
from ebmlearn.posteriors._base import Posterior, check_draws


class GaussianPosterior(Posterior):
    """``q(h|v) = N(μ(v), diag s(v)²)``.

    Args:
        net: ``(B, *event)`` to ``(B, 2 m)``: the ``m`` means, then the ``m`` logs of ``s``.
        latent_dim: ``m`` >= 1.

    Raises:
        ValueError: If ``latent_dim`` is below 1, or a shape does not fit.
    """

    def __init__(self, net: Callable[[Tensor], Tensor], latent_dim: int) -> None:
        super().__init__(latent_dim)
        check.function("net", net, "a net from v to means and logs of s")
        self.net = net

    def rsample(self, v: Tensor, n: int = 1, generator: torch.Generator | None = None) -> Tensor:
        check.count("n", n)
        check.generator(generator)
        mean, log_std = self._mean_log_std(v)
        noise = torch.empty(n, *mean.shape, dtype=mean.dtype, device=mean.device).normal_(generator=generator)
        return mean + log_std.exp() * noise

    def log_prob(self, h: Tensor, v: Tensor) -> Tensor:
        check_draws(h, v)
        mean, log_std = self._mean_log_std(v)
        square = ((h - mean) * (-log_std).exp()).square()
        return -(0.5 * square + log_std + 0.5 * math.log(2 * math.pi)).sum(2)

    def mean(self, v: Tensor) -> Tensor:
        """``μ(v)``, ``(B, *event)`` to ``(B, m)``."""
        return self._mean_log_std(v)[0]

    def std(self, v: Tensor) -> Tensor:
        """``s(v)``, ``(B, *event)`` to ``(B, m)``."""
        return self._mean_log_std(v)[1].exp()

    def entropy(self, v: Tensor) -> Tensor:
        """``H(q(h|v)) = Σ log s + ½ log 2πe`` in nats, ``(B, *event)`` to ``(B,)``."""
        return (self._mean_log_std(v)[1] + 0.5 * math.log(2 * math.pi * math.e)).sum(1)

    def kl(self, v: Tensor) -> Tensor:
        """``KL(q(h|v) ‖ N(0, I)) = Σ ½ (μ² + s² - 1) - log s`` in nats, ``(B, *event)`` to ``(B,)``."""
        mean, log_std = self._mean_log_std(v)
        return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(1)

    def _mean_log_std(self, v: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self._output(self.net, v, 2 * self.latent_dim).chunk(2, 1)
        return mean, log_std


class ConditionalPosterior(Net):
    """``q(h|v, c) = N(μ(v, c), diag s(v, c)²)``: one Gaussian posterior for each condition ``c``.

    Args:
        net: From ``v`` and ``c``, flattened side by side, to ``(B, 2 m)``: the ``m`` means, then the ``m``
            logs of ``s``.
        latent_dim: ``m`` >= 1.
        condition_shape: Shape of one ``c``.

    Raises:
        ValueError: If ``latent_dim`` is below 1, or a shape does not fit.
    """

    def __init__(self, net: nn.Module, latent_dim: int, condition_shape: Sequence[int]) -> None:
        super().__init__()
        GaussianPosterior(net, latent_dim)  # refuses what is no number of latents
        check.module("net", net)
        self.net, self.latent_dim = net, latent_dim
        self.condition_shape = check.counts("condition_shape", condition_shape, some=False)

    def given(self, c: Tensor) -> GaussianPosterior:
        """The posterior for conditions ``(B, *condition)``, one for each row of ``v``."""
        return GaussianPosterior(lambda v: self.net(beside(v, c, self.condition_shape)), self.latent_dim)

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, condition_shape={self.condition_shape}"
