"""Chapter 16: the divergence triangle."""

import math
from typing import Any

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare, compare_function


@exercise("ex-16-rest")
def rest(answer: Any) -> None:
    """three numbers: the variances with the paper's sign, without the energy, with the cooperative sign."""
    weight, variance = 3.0, 0.2

    def rests(weight: float, power: float = 1.0) -> list[float]:
        return [((weight - c) / weight * variance) ** power for c in (1, 0, -1)]

    right = rests(weight)
    wrong = [
        (right[::-1], "is the paper's sign the one that makes q narrow?"),
        (rests(weight, 0.5), "those are deviations; the exercise asks for variances"),
        (rests(1.0), "that is for equal weights; here the first side counts more"),
        (
            [weight / (weight - c) * variance for c in (1, 0, -1)],
            "upside down: does the paper's sign widen q?",
        ),
        ([variance] * 3, "that is the exact posterior's, which one of the three has"),
    ]
    signs = ["the paper's sign", "without the energy", "the cooperative sign"]
    compare(answer, right, within=0.01, wrong=wrong, entries=signs)


@exercise("ex-16-generator")
def generator(answer: Any) -> None:
    """a function of a and kappa, the slope b of the generator."""

    def right(a: float, kappa: float) -> float:
        return kappa / a

    wrong = [
        (lambda a, kappa: kappa, "that is the mean of z given x, if z has the precision 1: x has another"),
        (lambda a, kappa: a / kappa, "upside down"),
        (lambda a, kappa: 0.0, "that is without the coupling of x and z"),
        (lambda a, kappa: a**-0.5, "that is the deviation of x given z; b is a mean"),
    ]
    compare_function(answer, right, [(2.0, 0.8), (1.5, -0.4), (4.0, 1.0)], wrong=wrong)


@exercise("ex-16-critic")
def critic(answer: Any) -> None:
    """a number, the standard deviation s."""
    sigma, mean_length = 0.3, math.sqrt(2 / math.pi)  # of a standard normal number
    right = sigma**2 * mean_length
    wrong = [
        (0.0, "that is for an energy that is given; this one answers, and its mean changes as s"),
        (sigma, "the energy's side alone would want that; the other side pulls to a point"),
        (sigma**2, "is the mean of the length of a standard normal number 1?"),
        (sigma * mean_length, "the curvature of the first side is one over the variance"),
        (sigma**2 / 2 * mean_length, "a factor of two: the square in the loss has a half of its own"),
    ]
    compare(answer, right, within=0.01, wrong=wrong)
