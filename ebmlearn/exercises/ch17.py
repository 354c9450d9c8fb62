"""Chapter 17: bi-level score matching."""

from typing import Any

import torch

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare, compare_function


@exercise("ex-17-half")
def half(answer: Any) -> None:
    """a number, the share of the derivative that is left."""
    v, w = torch.tensor(1.0, requires_grad=True), torch.tensor(0.8, requires_grad=True)
    a, h = 2.0, (w * v).detach()  # the mean of h under the posterior; log q has no derivative by w

    def mixed(energy: torch.Tensor) -> float:
        (slope,) = torch.autograd.grad(energy, v, create_graph=True)
        return torch.autograd.grad(slope, w)[0].item()

    free = (a - w**2) * v**2 / 2
    given = a * v**2 / 2 + h**2 / 2 - w * v * h
    wrong = [
        (1.0, "all of it would be left if the covariance vanished"),
        (0.0, "the derivative of w v h by v and w is not zero"),
        (2.0, "upside down: the whole over the part"),
    ]
    compare(answer, mixed(given) / mixed(free), wrong=wrong)


@exercise("ex-17-step")
def step(answer: Any) -> None:
    """a function of (low, high), the smallest and the largest eigenvalue: the best step size."""

    def right(low: float, high: float) -> float:
        # |1 - αλ| is largest at an end, and the two ends are equal at the best α: by search, golden section
        a, b, golden = 0.0, 2 / high, (5**0.5 - 1) / 2

        def rate(alpha: float) -> float:
            return max(abs(1 - alpha * low), abs(1 - alpha * high))

        for _ in range(80):
            c, d = b - golden * (b - a), a + golden * (b - a)
            a, b = (a, d) if rate(c) < rate(d) else (c, b)
        return (a + b) / 2

    wrong = [
        (
            lambda low, high: 1 / high,
            "safe, but slow: the steepest direction is done in one step, others wait",
        ),
        (lambda low, high: 2 / high, "there the steepest direction no longer converges"),
        (lambda low, high: 1 / low, "too large: the steepest direction diverges"),
        (
            lambda low, high: (low * high) ** -0.5,
            "that makes the product of the ends one; compare their errors",
        ),
    ]
    compare_function(answer, right, [(0.5, 2.0), (0.1, 1.0), (1.0, 30.0)], within=0.003, wrong=wrong)
