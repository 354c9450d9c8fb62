"""Normalising flows: densities with exact samples, made of invertible layers."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.energy import ExactEnergy


class Flow(ExactEnergy, ABC):
    """Abstract: ``x = g(z)``, ``z ~ N(0, I)``, with ``g`` invertible. A subclass writes both directions.

    A flow is an `ebmlearn.energy.ExactEnergy` with ``E(x) = -log q(x)`` and ``log Z = 0``. What works on
    those works here: ``sample`` and ``log_prob``, quadrature, and maximum likelihood by
    ``ExactLikelihood(flow, lambda q: q.log_z)``.

    Args:
        event_shape: Shape of an event; ``z`` has the same.
    """

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.event_shape = check.counts("event_shape", event_shape)
        self.register_buffer("log_z", torch.zeros(()))

    @abstractmethod
    def generate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """``x = g(z)`` and ``log |det dg/dz|``, of shapes ``(B, *event)`` and ``(B,)``."""

    @abstractmethod
    def invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``z = g⁻¹(x)`` and ``log |det dg⁻¹/dx|``, of shapes ``(B, *event)`` and ``(B,)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Energy ``-log q(x) = -log N(g⁻¹(x); 0, I) - log |det dg⁻¹/dx|``, shape ``(B,)``."""
        z, log_det = self.invert(x)
        return -_log_normal(z) - log_det

    def rsample_with_log_prob(
        self, n: int, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Samples ``g(z)`` and their log-density ``log N(z) - log |det dg/dz|``, from one pass.

        Both are differentiable by the flow's parameters: ``r`` is for reparametrised. The sample is never
        inverted, which would cost a second pass and rounding.

        Args:
            n: Number of samples.
            generator: Source of ``z``; torch's global one if None.

        Returns:
            ``(x, log_q)`` of shapes ``(n, *event)`` and ``(n,)``.
        """
        check.draws(n, generator)
        like = self.log_z
        z = torch.randn(n, *self.event_shape, generator=generator, dtype=like.dtype, device=like.device)
        x, log_det = self.generate(z)
        return x, _log_normal(z) - log_det

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.rsample_with_log_prob(n, generator)[0]

    def check(self, x: Tensor) -> None:
        """Refuse a batch of another event shape.

        Raises:
            ValueError: If the shape is another.
        """
        if not isinstance(x, Tensor):
            check.tensor("x", x)
        if x.shape[1:] != self.event_shape or not x.ndim:
            raise ValueError(
                f"x has shape {tuple(x.shape)}; this flow was built for events of shape {self.event_shape}"
            )


class RealNVP(Flow):
    """A flow ``x = g(z)``, ``z ~ N(0, I)``, of affine coupling layers (Dinh, Sohl-Dickstein, Bengio 2017,
    "Density estimation using Real NVP", ICLR, arXiv:1605.08803).

    A coupling keeps half of the elements and moves the other half by an affine map that the kept half
    decides: ``x_moved = z_moved exp(s) + t`` with ``(s, t) = net(z_kept)``. Its inverse is as cheap, and the
    log-determinant of its Jacobian is the sum of ``s``. Two successive layers share one random split of the
    elements, the second with the halves exchanged. The last layer of every ``net`` starts at zero, so the
    flow starts as the identity; ``s`` lies in (-``max_log_scale``, ``max_log_scale``), so that neither
    direction overflows.

    Written by hand, since a chapter can then show all of it, and no further package is needed. It is not the
    best flow there is: splines fit separated modes far better at the same cost. The library zuko has them;
    `ZukoFlow` puts them in this one's place.

    Args:
        event_shape: Shape of an event, with two elements or more; images are flattened inside.
        n_layers: Number of coupling layers, even.
        width: Width of the two hidden layers of each coupling's net.
        max_log_scale: Bound on ``|s|``, > 0.

    Raises:
        ValueError: If an argument is out of its range, or ``x`` has another event shape.

    Example:
        >>> flow = RealNVP((2,), n_layers=2)
        >>> f"{flow.log_prob(torch.zeros(1, 2)).exp().item():.4f}"  # the identity at first: 1 / 2π
        '0.1592'
    """

    masks: Tensor

    def __init__(
        self, event_shape: tuple[int, ...], n_layers: int = 8, width: int = 64, *, max_log_scale: float = 2.0
    ) -> None:
        super().__init__(event_shape)
        check.count("n_layers", n_layers)
        check.count("width", width)
        check.number("max_log_scale", max_log_scale)
        dim = math.prod(event_shape)
        if dim < 2 or n_layers < 2 or n_layers % 2 or not max_log_scale > 0:
            raise ValueError(
                f"event_shape is {event_shape}, n_layers {n_layers} and max_log_scale {max_log_scale}; "
                "expected at least 2 elements, an even number of layers and a number > 0"
            )
        self.max_log_scale = max_log_scale
        half = [torch.randperm(dim) < dim // 2 for _ in range(n_layers // 2)]
        masks = torch.stack([m for kept in half for m in (kept, ~kept)])
        self.register_buffer("masks", masks.to(torch.get_default_dtype()))
        self.nets = nn.ModuleList(_coupling_net(dim, width) for _ in range(n_layers))

    def generate(self, z: Tensor) -> tuple[Tensor, Tensor]:
        self.check(z)
        x, log_det = z.flatten(1), z.new_zeros(len(z))
        for kept, net in zip(self.masks, self.nets, strict=True):
            log_scale, shift = self._affine(kept, net, x)
            x, log_det = x * log_scale.exp() + shift, log_det + log_scale.sum(1)
        return x.view_as(z), log_det

    def invert(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.check(x)
        z, log_det = x.flatten(1), x.new_zeros(len(x))
        for kept, net in zip(self.masks.flip(0), reversed(self.nets), strict=True):
            log_scale, shift = self._affine(kept, net, z)
            z, log_det = (z - shift) * (-log_scale).exp(), log_det - log_scale.sum(1)
        return z.view_as(x), log_det

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}, max_log_scale={self.max_log_scale}"

    def _affine(self, kept: Tensor, net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift of every element, both 0 where the element is kept."""
        log_scale, shift = (net(kept * x) * (1 - kept).repeat(2)).chunk(2, 1)
        return self.max_log_scale * torch.tanh(log_scale / self.max_log_scale), shift


def _coupling_net(dim: int, width: int) -> nn.Module:
    last = nn.Linear(width, 2 * dim)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)


def _log_normal(z: Tensor) -> Tensor:
    """Log-density of ``N(0, I)``, shape ``(B,)``."""
    z = z.flatten(1)
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)
