"""Whether chains have converged, and how much they are worth."""

import math
from typing import Literal

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.diagnostics._chains import (
    check_chains,
    check_moving,
    lagged_products,
    normal_scores,
    split_chains,
)


def r_hat(chains: Tensor) -> Tensor:
    """Rank-normalised split R-hat: 1 where the chains agree with each other, larger where they do not.

    The square root of the variance of all values over the mean variance within a chain, with three
    improvements: every chain is cut into halves, so that a drift counts as disagreement; values are replaced
    by normal quantiles of their ranks, so that heavy tails do no harm; and the same is done for the distances
    from the median, which sees chains that differ in scale only. The larger of the two comes back. Vehtari
    et al. (2021) ask for less than 1.01, from four chains or more.

    It compares chains with each other, never with the target. Chains that all sit in the same one of two
    modes agree, and R-hat is near 1: a start that is spread out widely is what makes it see.

    Args:
        chains: Values along the chains, shape ``(n_steps, B, *event)``, ``n_steps >= 4``; one chain is
            allowed, and its halves are compared. Of an odd number of steps the middle one is dropped.

    Returns:
        R-hat of every coordinate, shape ``(*event)``, in float64.

    Raises:
        ValueError: If the chains are too short, not finite, or none moves in some coordinate.

    Example:
        >>> chains = torch.randn(500, 4, 2, generator=torch.Generator().manual_seed(0))
        >>> r_hat(chains).round(decimals=2)
        tensor([1., 1.], dtype=torch.float64)
        >>> chains[:, 2:, 1] += 1  # two of the four chains elsewhere, in one coordinate
        >>> r_hat(chains).round(decimals=2)
        tensor([1.0000, 1.1000], dtype=torch.float64)
    """
    halves = split_chains(chains)
    check_moving(halves)
    values = halves.flatten(0, 1).sort(dim=0).values
    median = 0.5 * (values[(len(values) - 1) // 2] + values[len(values) // 2])
    # nan where all distances from the median are equal: they are silent, and the larger is the other
    return torch.fmax(
        _plain_r_hat(normal_scores(halves)), _plain_r_hat(normal_scores((halves - median).abs()))
    )


def ess(chains: Tensor, kind: Literal["bulk", "tail"] = "bulk") -> Tensor:
    """Effective sample size: how many independent values the chains are worth.

    The number of values over ``τ = 1 + 2 Σ_t ρ_t``, with ρ the `autocorrelation`. The sum stops where the
    noise takes over, by the initial monotone positive sequence of Geyer (1992): for a reversible chain the
    pairs ``ρ_2k + ρ_2k+1`` are positive and fall with ``k``, so they are cut at the first that is not
    positive and held below their predecessors. Chains are split and pooled as in `r_hat`, so chains that
    disagree are worth little. Vehtari et al. (2021) ask for more than 400 in all before R-hat and ESS
    themselves can be trusted.

    Args:
        chains: Values along the chains, shape ``(n_steps, B, *event)``, ``n_steps >= 4``.
        kind: ``"bulk"``: of the normal scores of the ranks, which speaks for means and medians. ``"tail"``:
            the smaller of those of ``x <= q`` for the quantiles ``q`` at 5 % and 95 %.

    Returns:
        Effective sample size of every coordinate, shape ``(*event)``, in float64. It exceeds the number ``N``
        of values where the chains are anticorrelated; the estimate is limited to ``N log10 N``.

    Raises:
        ValueError: If ``kind`` is unknown, the chains are too short, not finite, or none moves in some
            coordinate; for ``"tail"`` also if nearly all of its values are equal.

    Example:
        >>> chains = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
        >>> print(f"{ess(chains):.0f} {ess(chains.cumsum(0)):.0f}")
        2024 5
    """
    if kind not in ("bulk", "tail"):
        raise ValueError(f"kind is {kind!r}; expected 'bulk' or 'tail'")
    halves = split_chains(chains)
    check_moving(halves)
    if kind == "bulk":
        return _plain_ess(normal_scores(halves))
    values = chains.double().flatten(0, 1).sort(dim=0).values
    # no interpolation: x <= q is the same for all q between two neighbours
    low, high = (_plain_ess((halves <= values[k * (len(values) - 1) // 20]).double()) for k in (1, 19))
    # nan where x <= q is always true, as in a binary coordinate that is mostly 1: the other tail speaks
    smaller = torch.fmin(low, high)
    if smaller.isnan().any():
        raise ValueError(
            "nearly all values of a coordinate are equal, so x <= q never changes and its tails have no "
            "effective sample size; use kind='bulk'"
        )
    return smaller


def autocorrelation(chains: Tensor, n_lags: int) -> Tensor:
    """Autocorrelation of the chains at lags ``0 … n_lags - 1``, pooled over the chains.

    ``ρ_t = 1 - (W - mean_chains c_t) / V``: ``c_t`` is the autocovariance of a chain at lag ``t``, ``W`` the
    mean variance within a chain and ``V`` the variance of all values. If the chains have different means, the
    autocorrelation does not fall to 0.

    Args:
        chains: Values along the chains, shape ``(n_steps, B, *event)``, ``n_steps >= 4``.
        n_lags: Number of lags, in ``[1, n_steps]``.

    Returns:
        Autocorrelation, shape ``(n_lags, *event)``, in float64; 1 at lag 0.

    Raises:
        ValueError: If ``n_lags`` is out of its range, the chains are too short, not finite, or none moves in
            some coordinate.
    """
    chains = check_chains(chains)
    if not 1 <= check.count("n_lags", n_lags, 0) <= len(chains):
        raise ValueError(f"n_lags is {n_lags}; expected 1 to {len(chains)}, the number of steps")
    check_moving(chains)
    return _plain_autocorrelation(chains)[:n_lags]


def _variances(chains: Tensor) -> tuple[Tensor, Tensor]:
    """Mean variance within a chain ``W``, and the estimate ``V`` of the variance of all values."""
    n, b = chains.shape[:2]
    within = chains.var(0).mean(0)
    between = chains.mean(0).var(0) if b > 1 else torch.zeros_like(within)
    return within, within * (n - 1) / n + between


def _plain_r_hat(chains: Tensor) -> Tensor:
    within, total = _variances(chains)
    return (total / within).sqrt()


def _plain_autocorrelation(chains: Tensor) -> Tensor:
    n = len(chains)
    within, total = _variances(chains)
    centred = chains - chains.mean(0)
    covariance = lagged_products(centred, centred)[:n].mean(1) / n
    rho = 1 - (within - covariance) / total
    rho[0] = 1  # the formula mixes divisors n and n - 1 here
    return rho


def _plain_ess(chains: Tensor) -> Tensor:
    n, b = chains.shape[:2]
    rho = _plain_autocorrelation(chains)
    pairs = rho[: n // 2 * 2].unflatten(0, (n // 2, 2)).sum(1)
    # the paper's implementations leave out the last lags, which hang on a few products
    last = max(0, (n - 3) // 2)
    keep = (pairs > 0).cumprod(0)
    keep[last:] = 0
    cut = keep.sum(0, keepdim=True)
    # half of the pair at the cut is often still positive: an antithetic chain needs it
    tau = 2 * (keep * pairs.cummin(0).values).sum(0) - 1 + rho.gather(0, 2 * cut)[0].clamp_min(0)
    total = n * b
    return total / tau.clamp_min(1 / math.log10(total))
