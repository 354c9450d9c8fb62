"""Targets whose directions have different scales: what is a good step in one is a bad step in another."""

import math
from typing import Any

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import ExactEnergy, Gaussian
from ebmlearn.targets.mixtures import TAIL


def correlated_gaussian(dim: int = 2, correlation: float = 0.95) -> Gaussian:
    """Gaussian with mean 0, unit variances and covariances ``correlation^|i - j|``.

    In standard deviations, the widest direction is at most ``(1 + |ρ|) / (1 - |ρ|)`` times as wide as the
    narrowest, in any dimension; in the plane it is the square root of this, 6.2 at the default. Unlike a
    covariance of ``ρ`` between all pairs, it is positive definite for every ``ρ`` in (-1, 1).

    Args:
        dim: Dimension, >= 2.
        correlation: ``ρ`` in (-1, 1), the correlation of neighbouring coordinates.

    Raises:
        ValueError: If ``dim`` or ``correlation`` is out of its range.
    """
    check.count("dim", dim, 2)
    if not -1 < check.number("correlation", correlation, "", hint=" in (-1, 1)") < 1:
        raise ValueError(f"correlation is {correlation}; expected a number in (-1, 1)")
    index = torch.arange(dim)
    cov = torch.tensor(float(correlation), dtype=torch.float64) ** (index[:, None] - index).abs()
    target = Gaussian(torch.zeros(dim), cov.to(torch.get_default_dtype()))
    target.box = (-TAIL, TAIL)
    return target


class _Funnel(ExactEnergy):
    std: Tensor

    def __init__(self, dim: int, std: float) -> None:
        super().__init__()
        check.count("dim", dim, 2)
        if check.number("std", std) > 20:
            raise ValueError(
                f"std is {std}; the scale of a funnel varies by exp(2 std), too much beyond std = 20"
            )
        # the largest x of v²/std² + x² e^-v = TAIL² is where v² + 2v = (TAIL std)²
        v = math.sqrt(1 + (TAIL * std) ** 2) - 1
        half = math.sqrt(2 * v) * math.exp(0.5 * v) / std
        self.event_shape, self.box = (dim,), (-half, half)
        self.register_buffer("std", torch.tensor(float(std)))
        self.register_buffer("log_z", torch.tensor(math.log(std) + 0.5 * dim * math.log(2 * math.pi)))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        v, rest = x[:, 0], x[:, 1:]
        conditional = (-v).exp() * rest.square().sum(1) + rest.shape[1] * v
        return 0.5 * ((v / self.std).square() + conditional)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        options: dict[str, Any] = {"generator": generator, "device": self.std.device}
        noise = torch.randn(n, *self.event_shape, dtype=self.std.dtype, **options)
        v = self.std * noise[:, :1]
        return torch.cat([v, (0.5 * v).exp() * noise[:, 1:]], 1)


def funnel(dim: int = 2, std: float = 1.0) -> ExactEnergy:
    """Neal's funnel: ``v ~ N(0, std²)``, and the other coordinates ``N(0, e^v)`` given ``v``, the first.

    Neal (2003), "Slice sampling", Annals of Statistics 31, with ``dim=10`` and ``std=3``. In the
    neck, at low ``v``, a step must be a fraction of ``e^(v/2)``; in the mouth such steps go nowhere. At
    ``std=3`` the scale varies by ``e^6 = 403`` between two standard deviations of ``v`` below 0 and two
    above, and quadrature is out of reach: the box ends at ±21,383. At the default it varies by ``e^2 = 7.4``,
    the box ends at ±54, and a midpoint grid with 900 cells an axis has the mass to 1e-9.

    Args:
        dim: Dimension, >= 2.
        std: Standard deviation of ``v``, > 0.

    Raises:
        ValueError: If ``dim`` or ``std`` is out of its range.
    """
    return _Funnel(dim, std)


class _Banana(ExactEnergy):
    std: Tensor
    event_shape = (2,)

    def __init__(self, std: tuple[float, float], bend: float) -> None:
        super().__init__()
        try:
            along, across = std
        except (TypeError, ValueError):
            raise ValueError(
                f"std is {check.shown(std)}; expected two standard deviations, such as (1.0, 0.2)"
            ) from None
        a, b = check.number("std[0]", along), check.number("std[1]", across)
        self.bend = check.number("bend", bend, "")
        # the largest |x2| of x1²/a² + n²/b² = TAIL², where x2 = n + bend (x1² - a²)
        arch, n = abs(self.bend) * a**2, TAIL * b
        if 2 * arch * TAIL > b:
            n = b**2 / (2 * arch)
        high = n + arch * (TAIL**2 - (n / b) ** 2 - 1)
        half = max(TAIL * a, high, TAIL * b)
        self.box = (-half, half)
        self.register_buffer("std", torch.tensor([float(a), float(b)]))
        self.register_buffer("log_z", torch.tensor(math.log(2 * math.pi * a * b)))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        straight = torch.stack([x[:, 0], x[:, 1] - self._arch(x[:, 0])], 1)
        return 0.5 * (straight / self.std).square().sum(1)

    def _arch(self, x: Tensor) -> Tensor:
        return self.bend * (x.square() - self.std[0].square())

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        options: dict[str, Any] = {"generator": generator, "device": self.std.device}
        x, rest = (self.std * torch.randn(n, 2, dtype=self.std.dtype, **options)).unbind(1)
        return torch.stack([x, rest + self._arch(x)], 1)


def banana(std: tuple[float, float] = (1.0, 0.2), bend: float = 0.24) -> ExactEnergy:
    """A Gaussian bent into a parabola: ``x₁ ~ N(0, a²)``, and ``x₂ ~ N(bend (x₁² - a²), b²)`` given ``x₁``.

    Haario, Saksman and Tamminen (1999), "Adaptive proposal distribution for random walk Metropolis
    algorithm", Computational Statistics 14, twist a Gaussian so. The map keeps areas, so ``log Z`` is that of
    the Gaussian; both means are 0, and the variance of ``x₂`` is ``b² + 2 bend² a⁴``. What is along the ridge
    in the middle is across it at the ends.

    The arms are long: ``x₂`` has the tail of a square of a Gaussian. At the default its standard deviation is
    0.39, and the box ends at ±9.9.

    Args:
        std: ``(a, b)``, standard deviations along and across the ridge before it is bent, > 0.
        bend: How much it is bent, in 1/units of ``x``; below 0 the arms point down.

    Raises:
        ValueError: If ``std`` is no pair of positive numbers, or ``bend`` is not finite.
    """
    return _Banana(std, bend)
