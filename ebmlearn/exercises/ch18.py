"""Chapter 18: variational estimates of scores."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare_function


@exercise("ex-18-loss")
def loss(answer: Any) -> None:
    """a function of (variance, L), the variance of one draw's slope: how much too large the loss is."""
    wrong: list[tuple[Callable[..., Any], str]] = [
        (lambda variance, L: variance / L, "a factor of two too large: score matching has a half"),
        (lambda variance, L: variance / 2, "that is for one draw; the mean of L varies less"),
        (lambda variance, L: (variance / L) ** 0.5 / 2, "is it the variance, or its root?"),
        (lambda variance, L: variance / (2 * L**2), "the variance of a mean falls like one over L"),
    ]
    compare_function(
        answer, lambda variance, L: variance / (2 * L), [(1.0, 2), (3.0, 4), (0.5, 10)], wrong=wrong
    )


@exercise("ex-18-third")
def third(answer: Any) -> None:
    """a function of (delta, weights), both (n, B), where the weights sum to 1 over n: the term to add to the
    first two cumulants, (B,)."""

    def right(delta: Tensor, weights: Tensor) -> Tensor:
        # the third coefficient of -log Σ w exp(-t δ) in powers of t, by three derivatives at 0
        t = torch.zeros((), dtype=delta.dtype, requires_grad=True)
        rows = []
        for d, w in zip(delta.T, weights.T, strict=True):
            value = -(w * (-t * d).exp()).sum().log()
            for _ in range(3):
                (value,) = torch.autograd.grad(value, t, create_graph=True)
            rows.append(value.detach() / 6)
        return torch.stack(rows)

    def raw(delta: Tensor, weights: Tensor) -> Tensor:
        return (weights * delta**3).sum(0) / 6

    def unweighted(delta: Tensor, weights: Tensor) -> Tensor:
        return right(delta, torch.full_like(weights, 1 / len(weights)))

    wrong: list[tuple[Callable[..., Any], str]] = [
        (lambda delta, weights: -right(delta, weights), "the sign is reversed: the cumulants alternate"),
        (
            lambda delta, weights: 6 * right(delta, weights),
            "too large: is the factorial of the series missing?",
        ),
        (
            lambda delta, weights: 3 * right(delta, weights),
            "too large by three: the factor is one over a factorial",
        ),
        (raw, "that is the third moment, not the cumulant: subtract the mean first"),
        (unweighted, "the states are not equally likely: are the weights used?"),
    ]
    draw = torch.Generator().manual_seed(0)
    cases = [
        (
            torch.randn(n, 3, generator=draw, dtype=torch.float64),
            torch.randn(n, 3, generator=draw, dtype=torch.float64).softmax(0),
        )
        for n in (4, 8)
    ]
    compare_function(answer, right, cases, within=1e-6, wrong=wrong)
