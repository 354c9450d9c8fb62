"""A ring and a double well."""

import math
from typing import Any

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy.base import ExactEnergy


class Ring(ExactEnergy):
    """A ring in the plane, ``E(x) = (|x| - radius)² / (2 width²)``.

    The density of the *radius* is proportional to ``r exp(-E)``: the circumference ``2πr`` counts. Hence
    ``Z = 2π [width² exp(-c²/2) + radius width √(2π) Φ(c)]`` with ``c = radius / width``.

    Args:
        radius: Radius, > 0.
        width: Width, > 0.

    Raises:
        ValueError: If one is no such number.
    """

    def __init__(self, radius: float, width: float) -> None:
        super().__init__()
        check.number("radius", radius)
        check.number("width", width)
        self.event_shape = (2,)
        self.radius, self.width = float(radius), float(width)
        c = radius / width
        below = 0.5 * math.erfc(-c / math.sqrt(2))
        z = 2 * math.pi * (width**2 * math.exp(-0.5 * c**2) + radius * width * math.sqrt(2 * math.pi) * below)
        self.register_buffer("log_z", torch.tensor(math.log(z)))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        # a plain norm has no gradient at the origin
        r = x.square().sum(1).clamp_min(torch.finfo(x.dtype).tiny).sqrt()
        return 0.5 * ((r - self.radius) / self.width).square()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        # Rejection: log r is below its tangent at the mode, so r exp(-E) is below a Gaussian around `centre`.
        mode = 0.5 * (self.radius + math.sqrt(self.radius**2 + 4 * self.width**2))
        centre = self.radius + self.width**2 / mode
        options: Any = {"generator": generator, "dtype": self.log_z.dtype, "device": self.log_z.device}
        radius = torch.empty(0, dtype=self.log_z.dtype, device=self.log_z.device)
        while len(radius) < n:
            r = centre + self.width * torch.randn(2 * n, **options)
            accept = (r > 0) & (torch.rand(2 * n, **options) < r / mode * torch.exp(1 - r / mode))
            radius = torch.cat([radius, r[accept]])
        angle = 2 * math.pi * torch.rand(n, **options)
        return radius[:n, None] * torch.stack([angle.cos(), angle.sin()], 1)


class DoubleWell(ExactEnergy):
    """Two wells at ``x₁ = ±position``, ``E(x) = barrier ((x₁/position)² - 1)² + ½ Σ_{i>1} x_i²``.

    The one-dimensional ``Z`` of the first coordinate is a trapezoidal sum over 20,001 points in float64,
    which is exact to rounding for an integrand that is smooth and vanishes at both ends.

    Args:
        barrier: Energy of the barrier at ``x₁ = 0`` above the wells, > 0.
        position: Distance of the wells from 0, > 0.
        dim: Dimension of the event, >= 1.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(self, barrier: float = 4.0, position: float = 1.5, dim: int = 2) -> None:
        super().__init__()
        check.number("barrier", barrier)
        check.number("position", position)
        check.count("dim", dim)
        self.event_shape = (dim,)
        self.barrier, self.position = float(barrier), float(position)
        # exp(-E) < exp(-800) at the ends
        end = math.sqrt(1 + math.sqrt(800 / barrier))
        u = torch.linspace(-end, end, 20_001, dtype=torch.float64)
        z = torch.trapezoid(torch.exp(-barrier * (u.square() - 1).square()), u).item() * position
        self.register_buffer("log_z", torch.tensor(math.log(z) + 0.5 * (dim - 1) * math.log(2 * math.pi)))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        well = ((x[:, 0] / self.position).square() - 1).square()
        return self.barrier * well + 0.5 * x[:, 1:].square().sum(1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        # Rejection for u = |x₁|/position: (u² - 1)² >= (u - 1)², so a Gaussian around 1 lies above.
        options: Any = {"generator": generator, "dtype": self.log_z.dtype, "device": self.log_z.device}
        u = torch.empty(0, dtype=self.log_z.dtype, device=self.log_z.device)
        while len(u) < n:
            v = 1 + torch.randn(2 * n, **options) / math.sqrt(2 * self.barrier)
            excess = (v.square() - 1).square() - (v - 1).square()
            u = torch.cat(
                [u, v[(v > 0) & (torch.rand(2 * n, **options) < torch.exp(-self.barrier * excess))]]
            )
        x = torch.randn(n, *self.event_shape, **options)
        x[:, 0] = self.position * u[:n] * torch.where(torch.rand(n, **options) < 0.5, -1.0, 1.0)
        return x
