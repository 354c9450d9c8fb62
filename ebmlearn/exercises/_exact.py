"""Right values that need no package: roots of functions, and the variance of a chain."""

from collections.abc import Callable


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes its sign once is 0, by halving, to the last bit or nearly."""
    rising = f(high) > 0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if (f(middle) > 0) is rising else (middle, high)
    return middle


def chain_variance(
    precision: float, *, s: float, n_steps: int, start: float = 1.0, noise: float | None = None
) -> float:
    """Exact variance of a chain ``x - s² precision x / 2 + noise · ε`` after ``n_steps`` steps."""
    variance, rho = start, 1 - s**2 * precision / 2
    for _ in range(n_steps):
        variance = rho**2 * variance + (s if noise is None else noise) ** 2
    return variance
