"""Targets that are finite Gaussian mixtures: a few modes, or a curve blurred with Gaussian noise."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import GaussianMixture

# A Gaussian coordinate is more than this many standard deviations off its mean with probability 8e-11.
TAIL = 6.5


def _mixture(means: Tensor, std: float, weights: Tensor | None = None) -> GaussianMixture:
    check.number("std", std)
    if weights is not None:
        check.tensor("weights", weights)
    dtype = torch.get_default_dtype()
    target = GaussianMixture(means.to(dtype), std, None if weights is None else weights.to(dtype))
    half = means.abs().max().item() + TAIL * std
    target.box = (-half, half)
    return target


def eight_gaussians(radius: float = 2.0, std: float = 0.25) -> GaussianMixture:
    """Eight equal Gaussians on a circle, the first on the positive x-axis.

    Args:
        radius: Radius of the circle.
        std: Standard deviation of each Gaussian, > 0.

    Raises:
        ValueError: If ``std`` is not positive.
    """
    check.number("radius", radius, "")
    angle = torch.arange(8, dtype=torch.float64) * (math.pi / 4)
    return _mixture(radius * torch.stack([angle.cos(), angle.sin()], 1), std)


def twenty_five_gaussians(
    spacing: float = 2.0, std: float = 0.2, weights: Tensor | None = None
) -> GaussianMixture:
    """Twenty-five Gaussians on a 5 x 5 lattice centred at 0.

    Args:
        spacing: Distance of neighbouring means. The customary ratio ``spacing / std`` is 40; ours is 10.
        std: Standard deviation of each Gaussian, > 0.
        weights: Their probabilities, positive, shape ``(25,)``; normalised to sum to 1. The first five are of
            the means with the least first coordinate, in the order of the second. Uniform if None.

    Raises:
        ValueError: If ``std`` or a weight is not positive, or there is another number of weights.
        TypeError: If the weights are no tensor.
    """
    check.number("spacing", spacing, "")
    side = spacing * torch.arange(-2, 3, dtype=torch.float64)
    return _mixture(torch.cartesian_prod(side, side), std, weights)


def four_weighted_gaussians() -> GaussianMixture:
    """Four Gaussians of unequal weight, called T4 in the book.

    Means (1.5, 1.5), (-1.5, 1.5), (-1.5, -1.5), (1.5, -1.5), standard deviation 0.4, weights .4, .3, .2, .1
    in that order. The weights are what a sampler that does not mix gets wrong.

    Example:
        >>> four_weighted_gaussians().weights
        tensor([0.4000, 0.3000, 0.2000, 0.1000])
    """
    means = torch.tensor([[1.5, 1.5], [-1.5, 1.5], [-1.5, -1.5], [1.5, -1.5]], dtype=torch.float64)
    return _mixture(means, 0.4, torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64))


def _nodes(curve: Callable[[Tensor], Tensor], start: float, stop: float, nodes: int) -> tuple[Tensor, Tensor]:
    """Means and weights of ``∫ N(x; curve(t), std²) dt / (stop - start)`` by Gauss-Legendre quadrature."""
    check.count("nodes", nodes)
    node, weight = np.polynomial.legendre.leggauss(nodes)
    t = start + 0.5 * (stop - start) * (1 + torch.from_numpy(node))
    return curve(t), 0.5 * torch.from_numpy(weight)


def two_moons(std: float = 0.2, nodes: int = 80) -> GaussianMixture:
    """Two interleaved half circles blurred with Gaussian noise.

    The moons of scikit-learn, centred at 0 and twice as large: half circles of radius 2, each uniform in its
    angle. A blurred curve is represented by ``nodes`` Gaussians, placed and weighted by Gauss-Legendre
    quadrature. Sampler and density belong to this finite mixture, so they agree exactly; and at the defaults
    twice the nodes move ``log_prob`` by less than 1e-6 anywhere in the box.

    Args:
        std: Standard deviation of the noise, > 0. A smaller one needs proportionally more nodes.
        nodes: Number of Gaussians on each moon, >= 1.

    Raises:
        ValueError: If ``std`` or ``nodes`` is not positive.
    """
    centre = torch.tensor([0.5, 0.25], dtype=torch.float64)
    outer, weight = _nodes(lambda t: 2 * (torch.stack([t.cos(), t.sin()], 1) - centre), 0, math.pi, nodes)
    return _mixture(torch.cat([outer, -outer]), std, torch.cat([weight, weight]))


def swiss_roll(std: float = 0.2, nodes: int = 256) -> GaussianMixture:
    """A spiral blurred with Gaussian noise.

    The curve is ``t (cos t, sin t) / 5`` with ``t`` uniform on ``[3π/2, 9π/2]``: scikit-learn's roll seen
    from its end, in the customary scale. Represented like `two_moons`, by ``nodes`` Gaussians.

    Args:
        std: Standard deviation of the noise, > 0. A smaller one needs proportionally more nodes.
        nodes: Number of Gaussians along the curve, >= 1.

    Raises:
        ValueError: If ``std`` or ``nodes`` is not positive.
    """
    means, weight = _nodes(
        lambda t: t[:, None] / 5 * torch.stack([t.cos(), t.sin()], 1), 1.5 * math.pi, 4.5 * math.pi, nodes
    )
    return _mixture(means, std, weight)
