"""Joint energies of data and continuous hidden variables: deep energy-based latent variable models."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import elu

from ebmlearn.architecture import Net
from ebmlearn.nets.generator import GaussianGenerator


class JointNet(Net, ABC):
    """Abstract: ``E(v, h)`` of ``v`` of shape ``(B, *event)`` and ``h`` of shape ``(B, m)``.

    Args:
        event_shape: Shape of one ``v``.
        latent_dim: ``m``.
    """

    def __init__(self, event_shape: Sequence[int], latent_dim: int) -> None:
        super().__init__()
        self.event_shape, self.latent_dim = tuple(event_shape), latent_dim

    @abstractmethod
    def joint(self, v: Tensor, h: Tensor) -> Tensor:
        """``E(v, h)`` of shape ``(B,)``, for ``v`` of shape ``(B, *event)`` and ``h`` of shape ``(B, m)``."""

    def forward(self, x: Tensor) -> Tensor:
        """``E(v, h)`` of stacked variables, ``(B, d + m)`` to ``(B,)``: for samplers of both."""
        return self.joint(*self.split(x))

    @staticmethod
    def stack(v: Tensor, h: Tensor) -> Tensor:
        """``v``, flattened, and ``h`` in one vector, shape ``(B, d + m)``."""
        return torch.cat([v.flatten(1), h], 1)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The inverse of `stack`: ``(v, h)`` of shapes ``(B, *event)`` and ``(B, m)``."""
        m = self.latent_dim
        return x[:, :-m].unflatten(1, self.event_shape), x[:, -m:]


class EBLVM(JointNet):
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
        super().__init__(generator.event_shape, generator.latent_dim)
        self.energy, self.generator = energy, generator

    def joint(self, v: Tensor, h: Tensor) -> Tensor:
        return self.energy(v) + self.generator.joint(v, h)


class CouplingEBLVM(JointNet):
    """``E(v, h) = ‖elu(A (f(v) + h, h) + b)‖² + (‖v‖² + ‖h‖²) / (2 ρ²)``: features of ``v`` meet ``h`` in an
    additive coupling layer.

    ``f(v)`` is linear in the output of the feature net, and has the length of ``h``. The model of Bao et al.
    (2020), arXiv:2010.07856, in the form of github.com/baofff/BiSM; neither ``p(v | h)`` nor
    ``p(h | v)`` is tractable.

    The quadratic is ours. Where all arguments of ``elu`` are negative the rest is bounded, so that its
    ``exp(-E)`` need not be integrable; a weak quadratic, with ``ρ`` far above the size of data and latents,
    makes it so and is hardly seen otherwise.

    Args:
        features: ``(B, *event)`` to ``(B, n)``, such as `ResidualFeatures`.
        n_features: ``n``.
        event_shape: Shape of one ``v``.
        latent_dim: ``m`` >= 1.
        width: Rows of ``A``.
        reference_std: ``ρ`` > 0, in units of ``v`` and of ``h``.

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(
        self,
        features: nn.Module,
        n_features: int,
        event_shape: Sequence[int],
        latent_dim: int,
        width: int,
        *,
        reference_std: float = 10.0,
    ) -> None:
        super().__init__(event_shape, latent_dim)
        if latent_dim < 1 or not reference_std > 0:
            raise ValueError(
                f"latent_dim is {latent_dim} and reference_std {reference_std}; expected a number >= 1 and a "
                "number > 0"
            )
        self.features, self.reference_std = features, float(reference_std)
        self.linear = nn.Linear(n_features, latent_dim)
        self.coupling = nn.Linear(2 * latent_dim, width)

    def joint(self, v: Tensor, h: Tensor) -> Tensor:
        if h.shape != (len(v), self.latent_dim):
            raise ValueError(f"h has shape {tuple(h.shape)}; expected ({len(v)}, {self.latent_dim})")
        shifted = self.linear(self.features(v)) + h
        parts = elu(self.coupling(torch.cat([shifted, h], 1)))
        # under autocast in the dtype of h, float32: a long sum of squares would lose its last digits
        energy = parts.to(h.dtype).square().sum(1)
        return energy + 0.5 * self.stack(v, h).square().sum(1) / self.reference_std**2

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, reference_std={self.reference_std}"
