"""Chapter 21: the bake-off."""

import math
from typing import Any

import torch

from ebmlearn.exercises._base import exercise, parts
from ebmlearn.exercises._compare import compare, compare_function


@exercise("ex-21-bound")
def most(answer: Any) -> None:
    """a function of kl: the largest accuracy that Pinsker's inequality allows."""
    wrong = [
        (lambda kl: math.sqrt(kl / 2), "that bounds the total variation; what accuracy does it allow?"),
        (
            lambda kl: 0.5 + math.sqrt(kl / 2),
            "guessing has 1/2: which share of the total variation is added?",
        ),
        (lambda kl: 0.5 + kl / 4, "Pinsker's inequality bounds the square of the total variation"),
        (lambda kl: 0.5 + math.sqrt(kl) / 2, "a factor is missing under the root"),
        (lambda kl: math.sqrt(kl / 8), "guessing has an accuracy, too"),
    ]
    compare_function(
        answer, lambda kl: 0.5 + math.sqrt(kl / 8), [(0.01,), (0.1,), (0.5,)], within=1e-3, wrong=wrong
    )


@exercise("ex-21-blind")
def blind(answer: Any) -> None:
    """a pair: the least accuracy with a p-value below 0.01, and the KL below which it cannot be expected."""

    def accuracy(tail: float, n: int) -> float:
        z = torch.special.ndtri(torch.tensor(1 - tail, dtype=torch.float64)).item()
        return 0.5 + z * math.sqrt(0.25 / n)

    def nats(accuracy: float) -> float:
        return 8 * (accuracy - 0.5) ** 2

    least = accuracy(0.01, 1000)
    given = parts(answer, "accuracy", "KL")
    slips: list[list[tuple[float, str]]] = [
        [
            (accuracy(0.005, 1000), "the test is one-sided: only accuracies above 1/2 count"),
            (accuracy(0.01, 500), "how many points are held out, of both samples together?"),
            (accuracy(0.01, 2000), "half of the points train the classifier, and are not counted"),
            (accuracy(0.05, 1000), "that is for a p-value of 0.05"),
            (0.5 + 2 * (least - 0.5), "the deviation of a share is at most a half over the root of n"),
        ],
        [
            (2 * (least - 0.5) ** 2, "the total variation is twice what the accuracy has above 1/2"),
            (4 * (least - 0.5) ** 2, "is Pinsker's factor of two in it?"),
            (2 * (least - 0.5), "that is the total variation; which divergence goes with it?"),
        ],
    ]
    right = least, nats(least)
    for part, value, wrong, what, within in zip(
        given, right, slips, ("accuracy", "KL"), (0.002, 0.05), strict=True
    ):
        compare(part, value, what=what, within=within, wrong=wrong)


@exercise("ex-21-chance")
def chance(answer: Any) -> None:
    """a function of (k, t): the standard deviation of the mean rank of one of k equals over t targets."""
    wrong = [
        (lambda k, t: math.sqrt((k * k - 1) / 12), "that is for one target; the mean is over several"),
        (lambda k, t: (k * k - 1) / (12 * t), "that is the variance"),
        (lambda k, t: math.sqrt((k * k - 1) / 12) / t, "variances add up, deviations do not"),
        (lambda k, t: k / math.sqrt(12 * t), "ranks are whole numbers from 1 to k: near, but not exact"),
        (lambda k, t: math.sqrt((k * k - 1) / (12 * k)), "the mean is over targets, not over contestants"),
    ]
    compare_function(
        answer,
        lambda k, t: math.sqrt((k * k - 1) / (12 * t)),
        [(3, 6), (8, 6), (20, 3)],
        within=5e-3,
        wrong=wrong,
    )
