"""What a posterior family is, and joint energies of its draws."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.architecture import Net

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
    check.function("joint", joint, "a joint energy of v and h")
    n = check_draws(h, v)
    energy = joint(v.repeat(n, *[1] * (v.ndim - 1)), h.flatten(0, 1))
    check.tensor("what the joint energy returned", energy)
    if energy.shape != (n * len(v),):
        raise ValueError(f"the joint energy has shape {tuple(energy.shape)}; expected ({n * len(v)},)")
    return energy.view(n, len(v))


def check_draws(h: Tensor, v: Tensor) -> int:
    check.tensor("h", h)
    check.tensor("v", v)
    if h.ndim != 3 or h.shape[1] != len(v):
        raise ValueError(
            f"h has shape {tuple(h.shape)}; expected (n, {len(v)}, m), n draws for each of {len(v)} v. "
            "One draw for each is h[None]."
        )
    return len(h)


class Posterior(Net, ABC):
    """Abstract: ``q(h|v)``, with draws and their log-probability.

    Args:
        latent_dim: ``m`` >= 1, the length of ``h``.

    Raises:
        ValueError: If ``latent_dim`` is below 1.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        check.count("latent_dim", latent_dim)
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
        try:
            if not isinstance(v, Tensor) or v.is_floating_point():
                check.batch("v", v)
            out = net(v)
        except RuntimeError:
            check.batch("v", v)  # whole numbers are for nets that take them, as text has it
            raise
        if out.shape != (len(v), length):
            raise ValueError(f"the net returned shape {tuple(out.shape)}; expected ({len(v)}, {length})")
        return out
