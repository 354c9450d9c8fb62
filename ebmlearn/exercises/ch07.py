"""Chapter 7: learning without sampling."""

from typing import Any

import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import fisher
from ebmlearn.exercises._base import exercise, parts
from ebmlearn.exercises._compare import compare, compare_function


@exercise("ex-07-hand")
def hand(answer: Any) -> None:
    """a function of (v, w, d): the Fisher divergence."""

    def right(v: float, w: float, d: int) -> float:
        data, model = (Gaussian(torch.zeros(d), x * torch.eye(d)).double() for x in (v, w))
        return fisher.between_gaussians(data, model)

    def difference(v: float, w: float) -> float:
        return (1 / w - 1 / v) ** 2

    wrong = [
        (lambda v, w, d: d * v * difference(v, w), "a factor of two too large: the divergence has a half"),
        (lambda v, w, d: v * difference(v, w) / 2, "right for one dimension; what do the others do?"),
        (lambda v, w, d: d * difference(v, w) / 2, "is the mean of the squared length of x missing?"),
        (lambda v, w, d: d * w * difference(v, w) / 2, "the mean is over the data, and not over the model"),
        (lambda v, w, d: d * v * abs(1 / w - 1 / v) / 2, "is the square of the difference missing?"),
    ]
    cases = [(1.0, 2.0, 2), (4.0, 1.0, 3), (0.5, 0.8, 5), (3.0, 2.0, 1)]
    compare_function(answer, right, cases, wrong=wrong)


@exercise("ex-07-denoise")
def denoise(answer: Any) -> None:
    """a pair: the variance 1/a without the control variate, and with it."""
    clean, added = 4.0, 1.0
    wrong = [
        (clean, "that is the variance of the clean data"),
        (clean - added, "noise makes the data wider, not narrower"),
        (1 / (clean + added), "that is the precision"),
    ]
    for part, what in zip(parts(answer, "without", "with"), ("without", "with"), strict=True):
        compare(part, clean + added, what=what, within=0.02, wrong=wrong)
