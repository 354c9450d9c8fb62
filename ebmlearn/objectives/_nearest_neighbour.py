"""The entropy of samples, from the distances of nearest neighbours."""

import math

import torch
from torch import Tensor

from ebmlearn import check

_CHUNK = 2**22
"""Distances that are held at once."""


def nearest_neighbour_entropy(
    x: Tensor, *, dim: int | None = None, norm: int = 2, floor: float = 0.0
) -> Tensor:
    """The differential entropy of the law of samples, by Kozachenko and Leonenko (1987), in nats.

    Where samples are dense, the nearest neighbour is close. With ``r_i`` the distance of ``x_i`` from the
    nearest other of ``B`` samples, in ``dim`` dimensions, and ``V`` the volume of the ball of radius 1,

    ``H = dim * mean_i log r_i + log V + ψ(B) - ψ(1)``,

    as Kraskov, Stögbauer and Grassberger (2004), arXiv:cond-mat/0305641, derive it: the mass of the ball
    that just reaches the neighbour has a logarithm of mean ``ψ(1) - ψ(B)``, whatever the density. One thing
    is approximated, that the density is constant in the ball. So the estimate is consistent, and ``H(c x) =
    H(x) + dim log c`` holds exactly; with few samples in many dimensions it is biased, and what is of use is
    its slope.

    Neighbours are found and distances computed from differences. Squared norms and a product of matrices, as
    ``torch.cdist`` takes them above 25 rows, lose small distances to rounding. Gradients reach a sample by
    its own distance and by those of the samples whose neighbour it is; which one that is counts as constant.
    Time is quadratic in ``B``; memory is not, since distances are held a part at a time.

    Args:
        x: Samples, shape ``(B, *event)``, ``B >= 2``, no two alike.
        dim: Dimensions of the law, from 1 to the elements of an event; None: all of them. If samples lie on
            a surface of fewer dimensions, its number of dimensions: then it is the entropy with respect to
            area on the surface.
        norm: 2, for Euclidean distances; or 1, for sums of absolute differences. On a surface ``V`` belongs
            to 2 only: with 1 the ball's section depends on how the surface lies, and the constant is off.
        floor: Distances below this count as this much, and have no slope: for draws that are equal by
            rounding, as single float32 numbers are once in 10⁵ pairs or so. 0: equal rows are an error.

    Returns:
        The estimate, shape ``()``.

    Raises:
        ValueError: If there are fewer than 2 samples, two are equal and the floor is 0 (the entropy would be
            ``-∞``, with no slope), values are not finite, or an argument is out of its range.

    Example:
        >>> x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
        >>> round(nearest_neighbour_entropy(x).item(), 1)  # log 2πe = 2.84
        2.8
    """
    check.batch("x", x, least=2, finite=True)
    check.choice("norm", norm, (1, 2))
    points = x.flatten(1)
    dim = points.shape[1] if dim is None else check.count("dim", dim)
    if dim > points.shape[1]:
        raise ValueError(f"dim is {dim}; expected at most {points.shape[1]}, the elements of an event")
    check.number("floor", floor, ">= 0")
    nearest, least = _nearest(points.detach(), norm)
    if not floor and not least.all():
        i = int((least == 0).nonzero()[0])
        raise ValueError(
            f"rows {i} and {int(nearest[i])} of x are equal, so that their distance has no logarithm; "
            "expected samples of a density: leave repeats out, or give a floor"
        )
    apart = least > floor  # the norm of 0 has a slope that is NaN, where it is taken
    distance = torch.linalg.vector_norm((points - points[nearest])[apart], norm, dim=1)
    total = distance.log().sum() + int((~apart).sum()) * math.log(floor or 1)
    constant = _log_volume(dim, norm) + torch.digamma(torch.tensor(float(len(x)))).item() - _PSI_1
    return dim * total / len(x) + constant


_PSI_1 = -0.57721566490153286
"""ψ(1), minus Euler's constant."""


def _nearest(points: Tensor, norm: int) -> tuple[Tensor, Tensor]:
    """Index and distance of each row's nearest other row, ``(B,)`` each."""
    found, n = [], max(1, _CHUNK // len(points))
    for start in range(0, len(points), n):
        part = points[start : start + n]
        distances = torch.cdist(part, points, norm, compute_mode="donot_use_mm_for_euclid_dist")
        distances.diagonal(start).fill_(math.inf)
        found.append(distances.min(1))
    return torch.cat([f.indices for f in found]), torch.cat([f.values for f in found])


def _log_volume(dim: int, norm: int) -> float:
    """Log of the volume of the ball of radius 1."""
    if norm == 1:
        return dim * math.log(2) - math.lgamma(dim + 1)
    return 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1)
