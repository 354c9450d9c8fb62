"""Exact evaluation of energies in one and two dimensions, by the midpoint rule on a `Grid`.

No normalising constant is asked for: every energy is normalised by the same quadrature. Each result is an
`Estimate`, a value with its error; how the error is made stands in `ebmlearn.evaluate.quadrature`.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, GaussianMixture, grad
from ebmlearn.evaluate.quadrature import Estimate, Grid, LeakWarning, energies, log_total, total
from ebmlearn.nets import GaussianGenerator

__all__ = [
    "Estimate",
    "Grid",
    "LeakWarning",
    "best_temperature",
    "expectation",
    "fisher_divergence",
    "kl",
    "log_z",
    "marginal",
    "mode_weights",
    "total_variation",
]


def _weighted(weight: Tensor, values: Tensor) -> Tensor:
    """``weight * values`` where the weight is positive, else 0, also for infinite values."""
    weight = weight.view(-1, *[1] * (values.ndim - 1))
    return torch.where(weight > 0, weight * values, 0.0)


def log_z(energy: Energy, grid: Grid) -> Estimate[float]:
    """Log of the partition function, ``log ∫ exp(-E(x)) dx``.

    Args:
        energy: The energy; +inf is allowed.
        grid: The quadrature.

    Raises:
        ValueError: If the energy has another event shape than the grid, returns another shape than ``(B,)``,
            is NaN or -inf at a point, or +inf at every point.

    Warns:
        LeakWarning: If more than 0.1 % of the mass is outside the box.

    Example:
        >>> estimate = log_z(lambda x: 0.5 * x.square().sum(1), Grid((-7, 7)))
        >>> f"{estimate.value:.5f}"  # log 2π
        '1.83788'
    """
    table, _ = energies(energy, grid)
    value, error = log_total(table, grid)
    return Estimate(value.item(), error.item())


def kl(p: Energy, q: Energy, grid: Grid) -> Estimate[float]:
    """Kullback-Leibler divergence ``KL(p ‖ q) = ∫ p log(p / q)`` in nats; the reverse is ``kl(q, p, grid)``.

    Both arguments are energies, normalised by quadrature. The value is infinite, and its error 0, if ``q``
    has energy +inf at a point where ``p`` has mass.

    Args:
        p: Energy of the first density: the data, for the divergence that maximum likelihood minimises.
        q: Energy of the second.
        grid: The quadrature.

    Raises:
        ValueError: As `log_z`, for either energy.

    Warns:
        LeakWarning: As `log_z`, for either energy.
    """
    (e_p, leak_p), (e_q, leak_q) = energies(p, grid), energies(q, grid)

    def terms(e_p: Tensor, e_q: Tensor) -> Tensor:
        log_p, log_q = (-e_p).log_softmax(0), (-e_q).log_softmax(0)
        return _weighted(log_p.exp(), log_p - log_q)

    value, error = total(terms, grid, [e_p, e_q], leak_p + leak_q)
    return Estimate(value.item(), error.item())


def total_variation(p: Energy, q: Energy, grid: Grid) -> Estimate[float]:
    """Total variation distance ``½ ∫ |p - q|``, in [0, 1]. Arguments, errors and warnings as `kl`."""
    (e_p, leak_p), (e_q, leak_q) = energies(p, grid), energies(q, grid)

    def terms(e_p: Tensor, e_q: Tensor) -> Tensor:
        return 0.5 * ((-e_p).softmax(0) - (-e_q).softmax(0)).abs()

    value, error = total(terms, grid, [e_p, e_q], leak_p + leak_q)
    return Estimate(value.item(), error.item())


def expectation(f: Callable[[Tensor], Tensor], energy: Energy, grid: Grid) -> Estimate[Tensor]:
    """Expectation ``E_p[f(x)]`` under ``p ∝ exp(-E)``.

    Args:
        f: Function ``(B, dim) -> (B, *k)``; it may use `ebmlearn.energy.grad`. Points without mass do
            not count.
        energy: The energy.
        grid: The quadrature.

    Returns:
        Value and error, each of shape ``k`` in float64.

    Raises:
        ValueError: As `log_z`; also if ``f`` is NaN where ``p`` has mass.

    Warns:
        LeakWarning: As `log_z`.

    Example:
        >>> normal = lambda x: 0.5 * x.square().sum(1)
        >>> expectation(lambda x: x.square(), normal, Grid((-7, 7))).value
        tensor([1.0000, 1.0000], dtype=torch.float64)
    """
    table, leak = energies(energy, grid)
    result = total(lambda e, v: _weighted((-e).softmax(0), v), grid, [table, grid.tabulate(f)], leak)
    if result.value.isnan().any():
        raise ValueError("the function, or a gradient, is NaN (or +inf and -inf) where the density has mass")
    return result


def fisher_divergence(p: Energy, q: Energy, grid: Grid) -> Estimate[float]:
    """Fisher divergence ``½ E_p |∇log p - ∇log q|²``, with the ½ of score matching (Hyvärinen, 2005).

    It says nothing about an edge of a density, where the score has no value: use smooth densities. It is
    infinite where ``q`` has energy +inf and ``p`` mass. Arguments, errors and warnings as `kl`.
    """

    def half_square(x: Tensor) -> Tensor:
        (_, slope_p), (e_q, slope_q) = grad(p, x), grad(q, x)
        square = 0.5 * (slope_p - slope_q).square().sum(1)
        return torch.where(e_q == torch.inf, torch.inf, square)

    value, error = expectation(half_square, p, grid)
    return Estimate(value.item(), error.item())


def marginal(generator: GaussianGenerator, grid: Grid) -> GaussianMixture:
    """The density of a generator, ``p(x) = ∫ N(x; g(z), τ² I) N(z; 0, I) dz``, by quadrature over ``z``.

    The rule replaces the integral by a sum over the points of the grid, so the result is a mixture of as many
    Gaussians, with its own energy and samples. It is good if neighbouring points generate means less than
    about ``τ`` apart wherever the prior has mass: compare with twice the points.

    Args:
        generator: The generator; its ``x`` are points, of event shape ``(d,)``.
        grid: The quadrature of the latent space, ``dim = latent_dim``, from about -5 to 5.

    Raises:
        ValueError: If the dimension of the grid is another than ``latent_dim``, or ``x`` is no point.

    Example:
        >>> from ebmlearn.nets import MLPGenerator
        >>> p = marginal(MLPGenerator(1, (2,), std=0.5), Grid((-5, 5), n=300, dim=1))
        >>> p.means.shape, f"{p.weights.sum():.3f}"
        (torch.Size([300, 2]), '1.000')
    """
    check.instance("generator", generator, GaussianGenerator)
    check.instance("grid", grid, Grid, "a Grid of the latents, such as Grid((-5, 5), dim=1)")
    if grid.dim != generator.latent_dim or len(generator.event_shape) != 1:
        raise ValueError(
            f"got a grid of dim={grid.dim} and a generator of {generator.event_shape} from "
            f"{generator.latent_dim} latents; expected a grid of the latents, and x of shape (d,)"
        )
    z = grid.points
    with torch.no_grad():
        return GaussianMixture(generator(z), generator.std, (-0.5 * z.square().sum(1)).softmax(0))


def best_temperature(p: Energy, q: Energy, grid: Grid) -> Estimate[float]:
    """The temperature ``T`` > 0 at which ``q`` explains ``p`` best: ``argmin_T KL(p ‖ exp(-q/T) / Z_T)``.

    How much of a divergence is only a matter of scale is what is gained at ``T``. The divergence is convex in
    ``1/T``, with the derivative ``E_p[q] - E_T[q]``: at the best temperature ``q`` has the same mean under
    ``p`` as under its own density, so an energy gap between them vanishes. Bisection of ``log T`` in
    [1e-6, 1e6].

    Args:
        p: Energy of the density to explain: the data.
        q: Energy to scale.
        grid: The quadrature.

    Raises:
        ValueError: As `log_z`, for either energy; also if there is no best temperature in the interval, which
            is so if ``q`` is not lower, on average, where ``p`` has mass than over the box.

    Warns:
        LeakWarning: As `log_z`, for ``p``, for ``q`` and for ``q`` at the best temperature.

    Example:
        >>> normal = lambda x: 0.5 * x.square().sum(1)
        >>> temperature = best_temperature(normal, lambda x: 7 * normal(x), Grid((-7, 7)))
        >>> f"{temperature.value:.4f}"
        '7.0000'
    """
    (e_p, leak_p), (e_q, _) = energies(p, grid), energies(q, grid)

    def mean(e: Tensor, e_q: Tensor) -> Tensor:
        return _weighted((-e).softmax(0), e_q)

    known = total(mean, grid, [e_p, e_q], leak_p)

    def too_cold(log_t: float) -> bool:
        return bool(mean(e_q * math.exp(-log_t), e_q).sum() < known.value)

    low, high = math.log(1e-6), math.log(1e6)
    if not too_cold(low) or too_cold(high):
        raise ValueError(
            f"the mean of q under p is {known.value.item():.4g}, and under its own density it is that at "
            "no temperature in [1e-6, 1e6]: q is not low where p has mass. Is its sign right?"
        )
    while high - low > 1e-12:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if too_cold(middle) else (low, middle)
    t = math.exp(high)
    _, leak = energies(lambda x: q(x) / t, grid)
    own = total(mean, grid, [e_q / t, e_q], leak)
    variance = mean(e_q / t, (e_q - own.value).square()).sum()
    # the two means are equal at t; the derivative of the second by t is variance / t²
    return Estimate(t, (t**2 * (known.error + own.error) / variance).item())


def mode_weights(energy: Energy, centers: Tensor, grid: Grid) -> Estimate[Tensor]:
    """Mass nearer to each centre than to any other (its Voronoi cell); ties are shared.

    Args:
        energy: The energy.
        centers: Centres, shape ``(K, dim)``.
        grid: The quadrature.

    Returns:
        Value and error, each of shape ``(K,)`` in float64; the values sum to 1.

    Raises:
        ValueError: As `log_z`; also if ``centers`` is not of shape ``(K, dim)``.

    Warns:
        LeakWarning: As `log_z`.
    """
    check.instance("grid", grid, Grid, "a Grid, such as Grid((-4, 4))")
    check.floats("centers", centers)
    if not centers.isfinite().all():
        raise ValueError("centers holds values that are NaN or infinite")
    if centers.ndim != 2 or not len(centers) or centers.shape[1] != grid.dim:
        raise ValueError(
            f"centers has shape {tuple(centers.shape)}; expected (K, {grid.dim}), a centre a row"
        )
    centers = centers.to(grid.points)

    def membership(x: Tensor) -> Tensor:
        square = (x[:, None] - centers).square().sum(2)
        nearest = (square == square.amin(1, keepdim=True)).double()
        return nearest / nearest.sum(1, keepdim=True)

    return expectation(membership, energy, grid)
