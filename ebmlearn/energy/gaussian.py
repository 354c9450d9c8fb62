"""Gaussians and their mixtures."""

import math

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy.base import ExactEnergy


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
        check.floats("mean", mean)
        check.floats("cov", cov)
        d = mean.numel()
        if cov.shape != (d, d):
            raise ValueError(
                f"cov has shape {tuple(cov.shape)}; expected ({d}, {d}) for a mean with {d} elements"
            )
        if not d or not mean.isfinite().all():
            raise ValueError(f"mean has shape {tuple(mean.shape)}; expected finite numbers, at least one")
        factor, failed = torch.linalg.cholesky_ex(cov.to(mean))
        if failed or not torch.equal(cov, cov.T) or not cov.isfinite().all():
            raise ValueError("cov is not symmetric positive definite; check it with torch.linalg.eigvalsh")
        self.event_shape = tuple(mean.shape)
        self.register_buffer("mean", mean)
        self.register_buffer("factor", factor)
        self.register_buffer("precision", torch.cholesky_inverse(factor))
        self.register_buffer("log_z", factor.diagonal().log().sum() + 0.5 * d * math.log(2 * math.pi))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        delta = (x - self.mean).flatten(1)
        return 0.5 * (delta @ self.precision * delta).sum(1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        noise = torch.randn(
            n, len(self.factor), generator=generator, dtype=self.mean.dtype, device=self.mean.device
        )
        return self.mean + (noise @ self.factor.T).reshape(n, *self.event_shape)

    def gibbs_sweep(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One sweep of Gibbs sampling: every coordinate in turn, given all others.

        With the precision ``P = cov⁻¹``, coordinate ``i`` given the rest is
        ``N(mean_i - Σ_{j≠i} P_ij (x_j - mean_j) / P_ii, 1 / P_ii)``.

        Args:
            x: States, shape ``(B, *event)``; not modified.
            generator: Source of the draws.

        Returns:
            New states, shape ``(B, *event)``.
        """
        self.check(x)
        delta = (x - self.mean).flatten(1)
        noise = torch.randn(delta.shape, generator=generator, dtype=delta.dtype, device=delta.device)
        for i, row in enumerate(self.precision):
            rest = delta @ row - delta[:, i] * row[i]
            delta[:, i] = noise[:, i] / row[i].sqrt() - rest / row[i]
        return self.mean + delta.view_as(x)


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
        check.floats("means", means)
        if means.ndim != 2 or not means.numel() or not means.isfinite().all():
            raise ValueError(
                f"means has shape {tuple(means.shape)}; expected finite numbers, (K, d), a component a row"
            )
        k, d = means.shape
        if not isinstance(std, Tensor):
            std = check.number("std", std, hint=f", or a tensor of {k} of them")
        if weights is not None:
            check.tensor("weights", weights)
        for name, values in (("std", std), ("weights", weights)):
            if isinstance(values, Tensor) and not (
                values.shape in ((k,), () if name == "std" else (k,))
                and (values > 0).all()
                and values.isfinite().all()
            ):
                raise ValueError(
                    f"{name} is {check.shown(values)}; expected {k} positive, finite numbers, shape ({k},)"
                )
        scale = torch.as_tensor(std, dtype=means.dtype, device=means.device).expand(k).clone()
        prob = torch.full_like(scale, 1 / k) if weights is None else weights.to(means) / weights.sum()
        self.event_shape = (d,)
        self.register_buffer("means", means)
        self.register_buffer("std", scale)
        self.register_buffer("weights", prob)
        self.register_buffer("log_z", torch.zeros((), dtype=means.dtype, device=means.device))

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        d = self.means.shape[1]
        square = (x[:, None] - self.means).square().sum(2)
        log_norm = self.weights.log() - d * self.std.log() - 0.5 * d * math.log(2 * math.pi)
        return -torch.logsumexp(log_norm - 0.5 * square / self.std.square(), dim=1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(
            n, *self.event_shape, generator=generator, dtype=self.means.dtype, device=self.means.device
        )
        return self.means[component] + self.std[component, None] * noise
