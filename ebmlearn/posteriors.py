"""Posterior families ``q(h|v)``: what stands in for ``p(h|v)`` where a joint energy ``E(v, h)`` has no other.

One ``v`` gets ``n`` draws of ``h``, so ``h`` always has shape ``(n, B, m)``, and a log-probability
``(n, B)``: a missing axis would broadcast in silence elsewhere. Densities in ``h`` are normalised; gradients
flow by ``h``, by ``v`` and by the parameters of the family.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn.energy.grbm import GRBM, _states

JointEnergy = Callable[[Tensor, Tensor], Tensor]
"""A callable from ``v`` of shape ``(B, *event)`` and ``h`` of shape ``(B, m)`` to ``(B,)``."""


def joint_energies(joint: JointEnergy, v: Tensor, h: Tensor) -> Tensor:
    """``E(v, h)`` of every draw of ``h`` for every ``v``.

    Args:
        joint: The joint energy.
        v: Shape ``(B, *event)``.
        h: Draws, shape ``(n, B, m)``.

    Returns:
        Energies, shape ``(n, B)``.

    Raises:
        ValueError: If ``h`` is not ``n`` draws for each ``v``, or the energy has the wrong shape.
    """
    n = _draws(h, v)
    energy = joint(v.repeat(n, *[1] * (v.ndim - 1)), h.flatten(0, 1))
    if energy.shape != (n * len(v),):
        raise ValueError(f"the joint energy has shape {tuple(energy.shape)}; expected ({n * len(v)},)")
    return energy.view(n, len(v))


def _draws(h: Tensor, v: Tensor) -> int:
    if h.ndim != 3 or h.shape[1] != len(v):
        raise ValueError(
            f"h has shape {tuple(h.shape)}; expected (n, {len(v)}, m), n draws for each of {len(v)} v. "
            "One draw for each is h[None]."
        )
    return len(h)


class Posterior(nn.Module, ABC):
    """Abstract: ``q(h|v)``, with draws and their log-probability.

    Args:
        latent_dim: ``m`` >= 1, the length of ``h``.

    Raises:
        ValueError: If ``latent_dim`` is below 1.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        if latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim}; expected a number >= 1")
        self.latent_dim = latent_dim

    @abstractmethod
    def rsample(self, v: Tensor, n: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Draws of ``h`` that are differentiable by ``v`` and by the parameters, shape ``(n, B, m)``.

        Args:
            v: Shape ``(B, *event)``.
            n: Draws for each ``v``.
            generator: Source of the noise; torch's global one if None.
        """

    @abstractmethod
    def log_prob(self, h: Tensor, v: Tensor) -> Tensor:
        """``log q(h|v)`` in nats, ``(n, B, m)`` and ``(B, *event)`` to ``(n, B)``.

        Raises:
            ValueError: If the shapes do not fit.
        """

    @torch.no_grad()
    def sample(self, v: Tensor, n: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Draws of ``h`` without a graph, shape ``(n, B, m)``. Arguments as `rsample`."""
        return self.rsample(v, n, generator)

    def _output(self, net: Callable[[Tensor], Tensor], v: Tensor, length: int) -> Tensor:
        out = net(v)
        if out.shape != (len(v), length):
            raise ValueError(f"the net returned shape {tuple(out.shape)}; expected ({len(v)}, {length})")
        return out


class GaussianPosterior(Posterior):
    """``q(h|v) = N(μ(v), diag s(v)²)``.

    Args:
        net: ``(B, *event)`` to ``(B, 2 m)``: the ``m`` means, then the ``m`` logs of ``s``.
        latent_dim: ``m`` >= 1.

    Raises:
        ValueError: If ``latent_dim`` is below 1, or a shape does not fit.
    """

    def __init__(self, net: nn.Module, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.net = net

    def rsample(self, v: Tensor, n: int = 1, generator: torch.Generator | None = None) -> Tensor:
        mean, log_std = self._mean_log_std(v)
        noise = torch.empty(n, *mean.shape, dtype=mean.dtype, device=mean.device).normal_(generator=generator)
        return mean + log_std.exp() * noise

    def log_prob(self, h: Tensor, v: Tensor) -> Tensor:
        _draws(h, v)
        mean, log_std = self._mean_log_std(v)
        square = ((h - mean) * (-log_std).exp()).square()
        return -(0.5 * square + log_std + 0.5 * math.log(2 * math.pi)).sum(2)

    def mean(self, v: Tensor) -> Tensor:
        """``μ(v)``, ``(B, *event)`` to ``(B, m)``."""
        return self._mean_log_std(v)[0]

    def kl(self, v: Tensor) -> Tensor:
        """``KL(q(h|v) ‖ N(0, I)) = Σ ½ (μ² + s² - 1) - log s`` in nats, ``(B, *event)`` to ``(B,)``."""
        mean, log_std = self._mean_log_std(v)
        return (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).sum(1)

    def _mean_log_std(self, v: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self._output(self.net, v, 2 * self.latent_dim).chunk(2, 1)
        return mean, log_std


class BinaryPosterior(Posterior, ABC):
    """Abstract: independent ``hⱼ`` in {0, 1}, ``q(hⱼ = 1|v) = sigmoid(aⱼ(v))``. A subclass gives the logits.

    Draws of ``sample`` are zeros and ones. Those of ``rsample`` are relaxed: ``sigmoid((a + logit u) / T)``
    with ``u`` uniform and ``T`` the temperature (Maddison, Mnih and Teh, 2017, arXiv:1611.00712; Jang, Gu and
    Poole, 2017, arXiv:1611.01144). They lie in (0, 1) and follow another law, which comes near to the exact
    one as the temperature falls, while their gradients grow. ``log_prob`` is ``h·a - Σ softplus(a)`` for
    either, normalised over zeros and ones.

    Args:
        latent_dim: ``m`` >= 1.
        temperature: Of the relaxation, > 0.

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(self, latent_dim: int, temperature: float) -> None:
        super().__init__(latent_dim)
        if not temperature > 0:
            raise ValueError(f"temperature is {temperature}; expected a number > 0")
        self.temperature = float(temperature)

    @abstractmethod
    def logits(self, v: Tensor) -> Tensor:
        """``a(v)``, ``(B, *event)`` to ``(B, m)``."""

    def rsample(self, v: Tensor, n: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return (self._noisy(v, n, generator) / self.temperature).sigmoid()

    @torch.no_grad()
    def sample(self, v: Tensor, n: int = 1, generator: torch.Generator | None = None) -> Tensor:
        noisy = self._noisy(v, n, generator)
        return (noisy > 0).to(noisy.dtype)

    def log_prob(self, h: Tensor, v: Tensor) -> Tensor:
        _draws(h, v)
        logits = self.logits(v)
        return (h * logits).sum(2) - softplus(logits).sum(1)

    def states(self, v: Tensor) -> Tensor:
        """All ``2ᵐ`` values of ``h`` for each ``v``, shape ``(2ᵐ, B, m)``: draws that miss nothing.

        An expectation is a sum over them, ``(weights(v) * f(states(v))).sum(0)``.
        """
        logits = self.logits(v)
        return _states(self.latent_dim, logits)[:, None].expand(-1, len(v), -1)

    def weights(self, v: Tensor) -> Tensor:
        """``q(h|v)`` of each of the `states`, shape ``(2ᵐ, B)``, differentiable: columns sum to 1."""
        return self.log_prob(self.states(v), v).exp()

    def _noisy(self, v: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
        logits = self.logits(v)
        uniform = torch.rand(n, *logits.shape, generator=generator, dtype=logits.dtype, device=logits.device)
        return logits + uniform.logit()


class BernoulliPosterior(BinaryPosterior):
    """Independent binary ``h`` whose logits are the output of a net.

    With one linear layer it contains the posterior of a `GRBM <ebmlearn.energy.GRBM>`.

    Args:
        net: ``(B, *event)`` to ``(B, m)``: the logits.
        latent_dim: ``m`` >= 1.
        temperature: Of the relaxation in ``rsample``, > 0.

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(self, net: nn.Module, latent_dim: int, temperature: float = 0.1) -> None:
        super().__init__(latent_dim, temperature)
        self.net = net

    def logits(self, v: Tensor) -> Tensor:
        return self._output(self.net, v, self.latent_dim)


class ExactPosterior(BinaryPosterior):
    """``p(h|v)`` of a `GRBM <ebmlearn.energy.GRBM>`, as it stands: the oracle of every variational method.

    It has no parameters of its own. It follows those of the model, and its gradients flow into them.

    Args:
        rbm: The model.
        temperature: Of the relaxation in ``rsample``, > 0.
    """

    def __init__(self, rbm: GRBM, temperature: float = 0.1) -> None:
        super().__init__(len(rbm.hidden_bias), temperature)
        self._model = (rbm,)  # in a tuple, lest the model's parameters pass for those of the posterior

    def logits(self, v: Tensor) -> Tensor:
        (rbm,) = self._model
        return rbm._hidden_logits(v)
