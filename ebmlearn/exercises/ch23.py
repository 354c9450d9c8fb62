"""Chapter 23: the ledger."""

import math
from typing import Any

import torch

from ebmlearn.exercises._base import exercise, parts
from ebmlearn.exercises._compare import compare, compare_function


@exercise("ex-23-range")
def outside(answer: Any) -> None:
    """a function of n: the probability that the next value is outside the range of n."""
    wrong = [
        (lambda n: 1 / (n + 1), "that is one side: the next value may be below all, or above all"),
        (lambda n: 2 / n, "the next value is one of them: how many are there with it?"),
        (lambda n: (n - 1) / (n + 1), "that is the probability to be inside"),
        (lambda n: 2 ** (1 - n), "that is for a comparison with the median of the law, not with each other"),
    ]
    compare_function(answer, lambda n: 2 / (n + 1), [(3,), (5,), (8,)], within=1e-3, wrong=wrong)


@exercise("ex-23-pairs")
def least(answer: Any) -> None:
    """a pair: the least probability for 8 of 8, and for 7 of 8."""

    def bound(n: int, level: float) -> float:
        """The probability at which at most one of n fails with this probability."""
        low, high = 0.0, 1.0
        for _ in range(60):
            p = (low + high) / 2
            tail = p**n + n * p ** (n - 1) * (1 - p)
            low, high = (p, high) if tail < level else (low, p)
        return low

    given = parts(answer, "8 of 8", "7 of 8")
    wrong = [
        [
            (0.975 ** (1 / 8), "the probability of eight successes is to be small, not large"),
            (0.95 ** (1 / 8), "the probability of eight successes is to be small, not large"),
            (0.025 ** (1 / 8), "that is for a bound on both sides"),
            (1 - 0.05**0.125, "that is the probability to fail"),
        ],
        [
            (bound(8, 0.025), "that is for a bound on both sides"),
            ((0.05 / 8) ** (1 / 7), "one failure at most: eight successes count, too"),
            (7 / 8, "that is the estimate; what probability would make it a surprise?"),
        ],
    ]
    right = 0.05**0.125, bound(8, 0.05)
    for part, value, slips, what in zip(given, right, wrong, ("8 of 8", "7 of 8"), strict=True):
        compare(part, value, what=what, within=0.003, wrong=slips)


@exercise("ex-23-best")
def best(answer: Any) -> None:
    """a function of k: the mean of the largest of k standard normal numbers."""
    x = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    below = torch.special.ndtr(x)

    def largest(k: int) -> torch.Tensor:
        return torch.trapezoid(x * k * density * below ** (k - 1), x)

    wrong = [
        (lambda k: math.sqrt(2 * math.log(k)), "that is the growth for very many runs, and an upper bound"),
        (lambda k: torch.special.ndtri(torch.tensor(k / (k + 1.0))), "near, but a quantile is no mean"),
        (lambda k: -largest(k), "the sign is reversed: the largest, not the smallest"),
        (lambda k: torch.trapezoid(x * density * below ** (k - 1), x), "any of the k may be the largest"),
    ]
    compare_function(answer, largest, [(2,), (5,), (10,)], within=0.01, wrong=wrong)
