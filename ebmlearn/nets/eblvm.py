"""A joint energy of data and continuous hidden variables: a deep energy-based latent variable model."""

import torch
from torch import Tensor, nn

from ebmlearn.nets.generator import GaussianGenerator


class EBLVM(nn.Module):
    """``E(v, h) = U(v) + ‖v - g(h)‖² / (2τ²) + ½ ‖h‖²``: a generator, bent by an energy.

    Without ``U`` it is ``-log p(v, h)`` of the generator, up to a constant; with it nothing is normalised but
    ``p(h | v)``, which is the generator's own and as intractable as that. The quadratics make ``exp(-E)``
    integrable: a net ``U`` with smooth activations grows at most linearly.

    Args:
        energy: ``U``, ``(B, *event)`` to ``(B,)``.
        generator: ``g`` and ``τ``, its ``std``. With ``τ`` like the spread of the data ``h`` says what ``v``
            is roughly, and ``U`` the rest. A small one makes the posterior of ``h`` narrow, and a chain on
            ``v`` and ``h`` together must then take small steps.

    Raises:
        ValueError: If a shape does not fit.
    """

    def __init__(self, energy: nn.Module, generator: GaussianGenerator) -> None:
        super().__init__()
        self.energy, self.generator = energy, generator

    def joint(self, v: Tensor, h: Tensor) -> Tensor:
        """``E(v, h)`` of shape ``(B,)``, for ``v`` of shape ``(B, *event)`` and ``h`` of shape ``(B, m)``."""
        return self.energy(v) + self.generator.joint(v, h)

    def forward(self, x: Tensor) -> Tensor:
        """``E(v, h)`` of stacked variables, ``(B, d + m)`` to ``(B,)``: for samplers of both."""
        return self.joint(*self.split(x))

    @staticmethod
    def stack(v: Tensor, h: Tensor) -> Tensor:
        """``v``, flattened, and ``h`` in one vector, shape ``(B, d + m)``."""
        return torch.cat([v.flatten(1), h], 1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `stack`: ``(v, h)`` of shapes ``(B, *event)`` and ``(B, m)``."""
        m = self.generator.latent_dim
        return x[:, :-m].unflatten(1, self.generator.event_shape), x[:, -m:]
