"""Chapter 3: sampling."""

from typing import Any

import torch

from ebmlearn.exercises._base import Hint, call, exercise, parts, values
from ebmlearn.exercises._compare import compare, compare_function
from ebmlearn.exercises._exact import chain_variance
from ebmlearn.targets import funnel


@exercise("ex-03-step")
def step(answer: Any) -> None:
    """a pair: the step size s, and the number of steps that an independent draw costs."""
    s, n_steps = parts(answer, "step size", "steps")
    v, most = 0.1**2, 1.05

    def largest(v: float, most: float) -> float:  # s of the stationary variance v / (1 - s²/4v) = most · v
        return float((4 * v * (1 - 1 / most)) ** 0.5)

    compare(
        s,
        largest(v, most),
        what="step size",
        wrong=[
            (largest(1.0, most), "that suits the widest direction; which one suffers most?"),
            (largest(0.1, most), "is the variance the square of the standard deviation?"),
            (largest(v, most**2), "that keeps the standard deviation within 5 %; the variance is asked for"),
        ],
    )
    right = largest(v, most)
    compare(
        n_steps,
        (4 - right**2) / right**2,
        what="steps",
        wrong=[
            ((4 * v - right**2) / right**2, "that is the price in the narrowest direction"),
            (
                1 / right**2,
                "a factor of four too small: the time in which the chain forgets is not yet a draw",
            ),
        ],
    )


@exercise("ex-03-funnel")
def straight_funnel(answer: Any) -> None:
    """a function, the energy of (v, z): from points of shape (B, 2) to shape (B,)."""
    original = funnel(std=3.0)
    y = torch.randn(50, 2)
    v = y[:, 0].double()
    right = original(torch.stack([y[:, 0], torch.exp(y[:, 0] / 2) * y[:, 1]], 1)).double() - v / 2
    got = values(call(answer, y), right.shape)

    def same(other: torch.Tensor) -> bool:  # up to a constant
        return bool(((got - got.mean()) - (other - other.mean())).abs().max() < 1e-3)

    slips = {
        "the change of variables has a Jacobian, whose logarithm is missing": right + v / 2,
        "the sign of the log-determinant is reversed": right + v,
        "the log-determinant is that of x = exp(v) z, and here the root is taken": right - v / 2,
        "that is the funnel's own energy: (v, z) stands where (v, x) should": original(y).double(),
    }
    for hint, slip in slips.items():
        if same(slip):
            raise Hint(hint)
    if not same(right):
        raise Hint("differs from the energy of (v, z) by more than a constant")


@exercise("ex-03-coins")
def coins(answer: Any) -> None:
    """a pair of functions of s: the variance if one always accepts, and with the ratio upside down."""
    always, upside_down = parts(answer, "always", "upside down")

    def wide(s: float) -> float:
        # x' = (1 - s²/2) x + s p, and p is drawn anew: with L = 1 the move is a step of ULA
        return chain_variance(1.0, s=s, n_steps=2000)

    def wider(s: float) -> float:
        # exp(-H~ + s² x²/8) with H~ = p²/2 + (1 - s²/4) x²/2, which a leapfrog step keeps
        return 1 / (1 - s**2 / 4 - s**2 / 4)

    cases = [(0.3,), (0.7,), (1.0,), (1.2,)]
    slips = [
        (lambda s: 1.0, "that is the variance of the right acceptance"),
        (lambda s: 1 / (1 + s**2 / 4), "the chain is too wide, not too narrow: a sign is reversed"),
        (lambda s: 1 - s**2 / 4, "that is the precision, and the variance is asked for"),
    ]
    compare_function(
        always, wide, cases, what="always", wrong=[*slips, (wider, "that belongs to the other acceptance")]
    )
    slips = [
        (lambda s: 1.0, "that is the variance of the right acceptance"),
        (wide, "that belongs to the other acceptance"),
        (lambda s: 1 / (1 + s**2 / 2), "the chain is too wide, not too narrow: a sign is reversed"),
    ]
    compare_function(upside_down, wider, cases, what="upside down", wrong=slips)
