"""Chapter 20: sampling the weights of a network."""

import math
from typing import Any

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare_function


@exercise("ex-20-copies")
def copies(answer: Any) -> None:
    """a function of m, the number of hidden units: how many vectors of weights have one function."""
    wrong = [
        (lambda m: 2.0**m, "those are the signs; the units have an order, too"),
        (
            lambda m: float(math.factorial(m)),
            "those are the orders; a unit can also change the signs around it",
        ),
        (lambda m: 2.0 * math.factorial(m), "each unit has a sign of its own"),
    ]
    compare_function(answer, lambda m: 2.0**m * math.factorial(m), [(2,), (3,), (6,)], wrong=wrong)


@exercise("ex-20-warm")
def warm(answer: Any) -> None:
    """a function of (d, delta), directions and excess of the mean loss: the inverse temperature."""
    wrong = [
        (lambda d, delta: 1 / delta, "each direction adds to the mean loss"),
        (lambda d, delta: delta / d, "a temperature falls where the inverse rises: check by a small excess"),
        (lambda d, delta: 2 * delta / d, "that is the temperature itself"),
    ]
    compare_function(
        answer, lambda d, delta: d / (2 * delta), [(20, 0.01), (3, 0.5), (100, 0.2)], wrong=wrong
    )


@exercise("ex-20-ball")
def ball(answer: Any) -> None:
    """a function of k, the dimension: the logarithm of the volume of the ball."""
    wrong = [
        (
            lambda k: k / 2 * math.log(math.pi) - math.lgamma(k / 2 + 1),
            "that is the ball of Euclidean distances",
        ),
        (lambda k: k * math.log(2), "that is a cube, the ball of the largest difference"),
        (lambda k: -math.lgamma(k + 1), "that is one corner of it; how many are there?"),
        (lambda k: 2.0**k / math.gamma(k + 1), "that is the volume; its logarithm is asked for"),
    ]
    compare_function(answer, lambda k: k * math.log(2) - math.lgamma(k + 1), [(3,), (5,), (10,)], wrong=wrong)
