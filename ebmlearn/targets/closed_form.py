"""Targets that are not Gaussian mixtures: rings, a checkerboard and a pinwheel."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import ExactEnergy
from ebmlearn.targets.mixtures import TAIL


def _radius(x: Tensor) -> Tensor:
    # a plain norm has no gradient at the origin
    return x.square().sum(-1).clamp_min(torch.finfo(x.dtype).tiny).sqrt()


def _rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Points ``(..., 2)`` turned anticlockwise by ``angle``."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], -1)


class _Rings(ExactEnergy):
    radii: Tensor

    def __init__(self, radii: Sequence[float], std: float) -> None:
        super().__init__()
        given = radii
        try:
            radii = [check.number("radius", radius) for radius in radii]
        except TypeError:
            radii = []
        if not radii:
            raise ValueError(f"rings: radii is {check.shown(given)}; expected positive numbers, at least one")
        check.number("std", std)
        half = max(radii) + TAIL * std
        self.event_shape, self.box, self.std = (2,), (-half, half), float(std)
        self.register_buffer("radii", torch.tensor(radii, dtype=torch.get_default_dtype()))
        self.register_buffer("log_z", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        r = _radius(x)
        # the mirrored centres carry the signed radii below 0
        centres = torch.cat([self.radii, -self.radii])
        log_norm = math.log(len(self.radii) * self.std * math.sqrt(2 * math.pi))
        log_radial = torch.logsumexp(-0.5 * ((r[:, None] - centres) / self.std).square(), 1) - log_norm
        return (2 * math.pi * r).log() - log_radial

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        options: dict[str, Any] = {"generator": generator, "device": self.radii.device}
        ring = torch.randint(len(self.radii), (n,), **options)
        r = self.radii[ring] + self.std * torch.randn(n, dtype=self.radii.dtype, **options)
        angle = 2 * math.pi * torch.rand(n, dtype=self.radii.dtype, **options)
        return r[:, None] * torch.stack([angle.cos(), angle.sin()], 1)


def rings(radii: Sequence[float] = (1.0, 2.0, 3.0, 4.0), std: float = 0.15) -> ExactEnergy:
    """Concentric rings of equal weight: signed radius ``N(R_k, std²)``, angle uniform.

    The law of the radius is spread over a circumference: with ``r = |x|``,
    ``p(x) = mean_k [N(r; R_k, std²) + N(-r; R_k, std²)] / (2πr)``. The second term is the signed radius below
    0, which points the opposite way. Dividing by the constant ``2πR_k`` instead, as is often seen, is off by
    the factor ``r / R_k``: 15 % at one standard deviation on the innermost ring. The density is unbounded at
    the origin, but hardly any mass is there.

    Args:
        radii: Radii ``R_k``, all > 0.
        std: Standard deviation of the radius, > 0.

    Raises:
        ValueError: If there is no radius, or a radius or ``std`` is not positive.
    """
    return _Rings(radii, std)


class _Checkerboard(ExactEnergy):
    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.box = (2,), (-5.0, 5.0)
        self.register_buffer("log_z", torch.tensor(math.log(32)))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        light = (x / 2).floor().sum(1).remainder(2) == 1
        outside = ((x < -4) | (x >= 4)).any(1)
        # a zero that depends on x: it has a gradient, and it stays NaN where x is
        return (0 * x.sum(1)).masked_fill(light | outside, torch.inf)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        options: dict[str, Any] = {"generator": generator, "device": self.log_z.device}
        column = torch.randint(4, (n,), **options)
        row = 2 * torch.randint(2, (n,), **options) + column % 2
        corner = 2 * torch.stack([column, row], 1) - 4
        return corner + 2 * torch.rand(n, 2, dtype=self.log_z.dtype, **options)


def checkerboard() -> ExactEnergy:
    """Uniform on the eight dark squares, of side 2, of a 4 x 4 board on ``[-4, 4]²``.

    The energy is 0 on the dark squares (the lower left corner is one) and +inf elsewhere; ``log Z = log 32``.
    The score is 0 and says nothing about the edges, so score matching on this target is meaningless. Its
    ``box`` is ``[-5, 5]²``: on a midpoint grid with ``n`` a multiple of 15 no cell straddles an edge.
    """
    return _Checkerboard()


class _Pinwheel(ExactEnergy):
    centre: Tensor
    std: Tensor

    def __init__(
        self, arms: int, radius: float, radial_std: float, tangential_std: float, twist: float
    ) -> None:
        super().__init__()
        check.count("arms", arms)
        check.number("radius", radius, "")
        check.number("radial_std", radial_std)
        check.number("tangential_std", tangential_std)
        check.number("twist", twist, "")
        half = abs(radius) + TAIL * max(radial_std, tangential_std)
        self.event_shape, self.box = (2,), (-half, half)
        self.arms, self.twist = arms, float(twist)
        self.register_buffer("centre", torch.tensor([float(radius), 0.0]))
        self.register_buffer("std", torch.tensor([float(radial_std), float(tangential_std)]))
        log_z = math.log(2 * math.pi * radial_std * tangential_std * arms)
        self.register_buffer("log_z", torch.tensor(log_z))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        arm = 2 * math.pi / self.arms * torch.arange(self.arms, dtype=x.dtype, device=x.device)
        straight = _rotate(x[:, None], -arm - self.twist * _radius(x)[:, None])
        return -torch.logsumexp(-0.5 * ((straight - self.centre) / self.std).square().sum(2), 1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        options: dict[str, Any] = {"generator": generator, "device": self.std.device}
        straight = self.centre + self.std * torch.randn(n, 2, dtype=self.std.dtype, **options)
        arm = 2 * math.pi / self.arms * torch.randint(self.arms, (n,), **options)
        return _rotate(straight, arm + self.twist * _radius(straight))


def pinwheel(
    arms: int = 5,
    radius: float = 2.0,
    radial_std: float = 0.6,
    tangential_std: float = 0.1,
    twist: float = 0.5,
) -> ExactEnergy:
    """Curved arms: elongated Gaussians around the origin, twisted the more the further out.

    A point ``u ~ N((radius, 0), diag(radial_std², tangential_std²))`` is turned by the angle
    ``2πk / arms + twist |u|``, with ``k`` uniform. Turning every circle rigidly preserves area, so the
    density at ``x`` is that of the straight arms at the point turned back: no Jacobian. The customary
    pinwheel turns ``u`` by ``exp(u₁) / 4`` and doubles it. It looks much the same, but its turn scales areas
    by ``|1 - exp(u₁) u₂ / 4|``, which can vanish, and its density has no closed form.

    Args:
        arms: Number of arms, >= 1.
        radius: Distance of the middle of an arm from the origin.
        radial_std: Standard deviation along an arm, > 0.
        tangential_std: Standard deviation across it, > 0.
        twist: Angle in radians by which points at distance 1 are turned; 0 gives straight arms.

    Raises:
        ValueError: If ``arms`` or a standard deviation is not positive.
    """
    return _Pinwheel(arms, radius, radial_std, tangential_std, twist)
