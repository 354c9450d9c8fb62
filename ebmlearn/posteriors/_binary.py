"""Posteriors of binary hidden units, whose states can be summed over."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebmlearn import check
from ebmlearn.energy.grbm import GRBM, binary_states
from ebmlearn.posteriors._base import Posterior, check_draws


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
        check.number("temperature", temperature)
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
        check_draws(h, v)
        logits = self.logits(v)
        return (h * logits).sum(2) - softplus(logits).sum(1)

    def states(self, v: Tensor) -> Tensor:
        """All ``2ᵐ`` values of ``h`` for each ``v``, shape ``(2ᵐ, B, m)``: draws that miss nothing.

        An expectation is a sum over them, ``(weights(v) * f(states(v))).sum(0)``.
        """
        logits = self.logits(v)
        return binary_states(self.latent_dim, logits)[:, None].expand(-1, len(v), -1)

    def weights(self, v: Tensor) -> Tensor:
        """``q(h|v)`` of each of the `states`, shape ``(2ᵐ, B)``, differentiable: columns sum to 1."""
        return self.log_prob(self.states(v), v).exp()

    def _noisy(self, v: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
        check.count("n", n)
        check.generator(generator)
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
        check.module("net", net)
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
        check.instance("rbm", rbm, GRBM)
        super().__init__(len(rbm.hidden_bias), temperature)
        self._model = (rbm,)  # in a tuple, lest the model's parameters pass for those of the posterior

    def logits(self, v: Tensor) -> Tensor:
        (rbm,) = self._model
        return rbm._hidden_logits(v)
