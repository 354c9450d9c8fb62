"""Energies: what the whole package is about, in one signature.

An energy is any callable ``E`` that maps a batch ``x`` of shape ``(B, *event)`` to ``(B,)``. Low is likely:
``p(x) = exp(-E(x)) / Z``. A network, a lambda and the closed forms below are all energies. The closed forms
also know ``log Z`` and how to draw independent samples: they are the exact answers that learned energies
are held to.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Energy = Callable[[Tensor], Tensor]
"""A callable from ``(B, *event)`` to ``(B,)``; low values are likely."""


def evaluate(energy: Energy, x: Tensor) -> Tensor:
    """Energy of each element of a batch, with the shape checked.

    Args:
        energy: The energy.
        x: Batch, shape ``(B, *event)``.

    Returns:
        Energies, shape ``(B,)``.

    Raises:
        ValueError: If ``energy(x)`` is not of shape ``(B,)``. A network that ends in ``(B, 1)`` is the
            usual cause; subtracting two such tensors would broadcast in silence elsewhere.
    """
    value = energy(x)
    if value.shape != x.shape[:1]:
        raise ValueError(
            f"the energy returned shape {tuple(value.shape)} for x of shape {tuple(x.shape)}; expected "
            f"one number for each element of the batch, shape ({x.shape[0] if x.ndim else 'B'},). "
            "A last layer that gives (B, 1) needs .squeeze(-1)."
        )
    return value


def grad(energy: Energy, x: Tensor, *, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    """Energy and its gradient with respect to ``x``; works under ``torch.no_grad``.

    Args:
        energy: The energy.
        x: Batch, shape ``(B, *event)``; not modified, and no gradient is accumulated in it or in any
            parameter.
        create_graph: Keep the graph, so that the result can be differentiated (by ``x`` and by parameters).

    Returns:
        ``(E, dE/dx)`` of shapes ``(B,)`` and ``(B, *event)``; detached unless ``create_graph``.

    Raises:
        ValueError: If the energy has the wrong shape (see `evaluate`) or does not depend on ``x``.

    Example:
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> grad(lambda x: 0.5 * x.square().sum(1), x)
        (tensor([2.5000]), tensor([[1., 2.]]))
    """
    with torch.enable_grad():
        if not (create_graph and x.requires_grad):
            x = x.detach().requires_grad_()
        value = evaluate(energy, x)
        if not value.requires_grad:
            raise ValueError(
                "the energy does not depend on x, or was detached inside energy(x): its gradient is "
                "undefined. Remove .detach(), .data, .item() or torch.no_grad() from the energy."
            )
        (slope,) = torch.autograd.grad(value.sum(), x, create_graph=create_graph)
    return (value, slope) if create_graph else (value.detach(), slope)


class ExactEnergy(nn.Module, ABC):
    """Abstract: an energy whose normalising constant and independent samples are known.

    Tensors are buffers, so ``.to(device)`` and ``.double()`` work; samples follow their dtype and device.
    """

    event_shape: tuple[int, ...]
    log_z: Tensor
    """Log of the partition function, shape ``()``."""
    box: tuple[float, float]
    """Ends of a square that holds nearly all of the mass; set by `ebmlearn.targets` only."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Energy, ``(B, *event)`` to ``(B,)``."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Independent exact samples, shape ``(n, *event)``."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised log-density in nats, ``(B, *event)`` to ``(B,)``."""
        return -self(x) - self.log_z

    def score(self, x: Tensor) -> Tensor:
        """Score ``∇ log p(x) = -∇E(x)``, shape ``(B, *event)``, by automatic differentiation (exact)."""
        return -grad(self, x)[1]


class Gaussian(ExactEnergy):
    """``E(x) = ½ (x - mean)ᵀ cov⁻¹ (x - mean)``, with ``log Z = ½ log det(2π cov)``.

    Args:
        mean: Mean, shape ``(*event)``; an image shape is fine, ``D`` is its number of elements.
        cov: Covariance of the flattened event, shape ``(D, D)``, symmetric positive definite.

    Raises:
        ValueError: If the shapes disagree or ``cov`` is not positive definite.

    Example:
        >>> normal = Gaussian(torch.zeros(2), torch.eye(2))
        >>> print(f"{normal.log_prob(torch.zeros(1, 2)).exp().item():.4f}")  # 1 / 2π
        0.1592
    """

    mean: Tensor
    factor: Tensor
    precision: Tensor

    def __init__(self, mean: Tensor, cov: Tensor) -> None:
        super().__init__()
        d = mean.numel()
        if cov.shape != (d, d):
            raise ValueError(
                f"cov has shape {tuple(cov.shape)}; expected ({d}, {d}) for a mean with {d} elements"
            )
        factor, failed = torch.linalg.cholesky_ex(cov)
        if failed or not torch.equal(cov, cov.T):
            raise ValueError("cov is not symmetric positive definite; check it with torch.linalg.eigvalsh")
        self.event_shape = tuple(mean.shape)
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)
        self.register_buffer("precision", torch.cholesky_inverse(factor))
        self.register_buffer("log_z", factor.diagonal().log().sum() + 0.5 * d * math.log(2 * math.pi))

    def forward(self, x: Tensor) -> Tensor:
        delta = (x - self.mean).flatten(1)
        return 0.5 * (delta @ self.precision * delta).sum(1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        noise = torch.randn(
            n, len(self.factor), generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + (noise @ self.factor.T).reshape(n, *self.event_shape)


class GaussianMixture(ExactEnergy):
    """Mixture of isotropic Gaussians; the energy is ``-log p(x)`` itself, so ``log Z = 0``.

    Args:
        means: Component means, shape ``(K, d)``.
        std: Standard deviation of every component, a float or shape ``(K,)``, > 0.
        weights: Component probabilities, shape ``(K,)``, positive; normalised to sum to 1. Uniform if None.

    Raises:
        ValueError: If a shape, a standard deviation or a weight is off.
    """

    means: Tensor
    std: Tensor
    weights: Tensor

    def __init__(self, means: Tensor, std: float | Tensor, weights: Tensor | None = None) -> None:
        super().__init__()
        if means.ndim != 2:
            raise ValueError(
                f"means has shape {tuple(means.shape)}; expected (K, d), one row for each component"
            )
        k, d = means.shape
        scale = torch.as_tensor(std, dtype=means.dtype, device=means.device).expand(k).clone()
        prob = torch.full_like(scale, 1 / k) if weights is None else weights.to(means) / weights.sum()
        if prob.shape != (k,) or not (prob > 0).all() or not (scale > 0).all():
            raise ValueError(
                f"std and weights must be positive, and weights of shape ({k},); got {std} and {weights}"
            )
        self.event_shape = (d,)
        self.register_buffer("means", means)
        self.register_buffer("std", scale)
        self.register_buffer("weights", prob)
        self.register_buffer("log_z", torch.zeros((), dtype=means.dtype, device=means.device))

    def forward(self, x: Tensor) -> Tensor:
        d = self.means.shape[1]
        square = (x[:, None] - self.means).square().sum(2)
        log_norm = self.weights.log() - d * self.std.log() - 0.5 * d * math.log(2 * math.pi)
        return -torch.logsumexp(log_norm - 0.5 * square / self.std.square(), dim=1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(
            n, *self.event_shape, generator=generator, dtype=self.means.dtype, device=self.means.device
        )
        return self.means[component] + self.std[component, None] * noise


class Ring(ExactEnergy):
    """A ring in the plane, ``E(x) = (|x| - radius)² / (2 width²)``.

    The density of the *radius* is proportional to ``r exp(-E)``: the circumference ``2πr`` counts. Hence
    ``Z = 2π [width² exp(-c²/2) + radius width √(2π) Φ(c)]`` with ``c = radius / width``.

    Args:
        radius: Radius, > 0.
        width: Width, > 0.
    """

    def __init__(self, radius: float, width: float) -> None:
        super().__init__()
        if not (radius > 0 and width > 0):
            raise ValueError(f"radius and width must be positive; got {radius} and {width}")
        self.event_shape = (2,)
        self.radius, self.width = float(radius), float(width)
        c = radius / width
        below = 0.5 * math.erfc(-c / math.sqrt(2))
        z = 2 * math.pi * (width**2 * math.exp(-0.5 * c**2) + radius * width * math.sqrt(2 * math.pi) * below)
        self.register_buffer("log_z", torch.tensor(math.log(z)))

    def forward(self, x: Tensor) -> Tensor:
        # a plain norm has no gradient at the origin
        r = x.square().sum(1).clamp_min(torch.finfo(x.dtype).tiny).sqrt()
        return 0.5 * ((r - self.radius) / self.width).square()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
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
    """

    def __init__(self, barrier: float = 4.0, position: float = 1.5, dim: int = 2) -> None:
        super().__init__()
        if not (barrier > 0 and position > 0 and dim >= 1):
            raise ValueError(f"barrier, position > 0 and dim >= 1 expected; got {barrier}, {position}, {dim}")
        self.event_shape = (dim,)
        self.barrier, self.position = float(barrier), float(position)
        # exp(-E) < exp(-800) at the ends
        end = math.sqrt(1 + math.sqrt(800 / barrier))
        u = torch.linspace(-end, end, 20_001, dtype=torch.float64)
        z = torch.trapezoid(torch.exp(-barrier * (u.square() - 1).square()), u).item() * position
        self.register_buffer("log_z", torch.tensor(math.log(z) + 0.5 * (dim - 1) * math.log(2 * math.pi)))

    def forward(self, x: Tensor) -> Tensor:
        well = ((x[:, 0] / self.position).square() - 1).square()
        return self.barrier * well + 0.5 * x[:, 1:].square().sum(1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
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
