"""Chapter 6: the anatomy of learning by MCMC."""

import math
from typing import Any

import torch

from ebmlearn.energy import Gaussian, grad
from ebmlearn.evaluate import exact
from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare_function


@exercise("ex-06-target")
def target(answer: Any) -> None:
    """a function of (s, std): the displacement by the drift, for one mode in the plane."""

    def right(s: float, std: float) -> float:
        mode = Gaussian(torch.zeros(2), std**2 * torch.eye(2)).double()
        grid = exact.Grid((-6 * std, 6 * std), n=60, dtype=torch.float64)
        return exact.expectation(lambda x: s**2 / 2 * grad(mode, x)[1].norm(dim=1), mode, grid).value.item()

    wrong = [
        (
            lambda s, std: s**2 / 2 * math.sqrt(2 / math.pi) / std,
            "that is the mean length of a normal number; a point of the plane has two",
        ),
        (lambda s, std: s**2 / 2 * math.sqrt(2) / std, "the mean length is not the root of the mean square"),
        (
            lambda s, std: s**2 / 2 * math.sqrt(math.pi / 2) / std**2,
            "the score has a variance below it, but x itself is as long as a standard deviation",
        ),
        (lambda s, std: s / 2 * math.sqrt(math.pi / 2) / std, "the drift has the square of s"),
    ]
    compare_function(answer, right, [(0.075, 0.15), (0.1, 0.5), (0.2, 1.0)], wrong=wrong)


@exercise("ex-06-momentum")
def momentum(answer: Any) -> None:
    """a function of (beta, rate), with rate for ηc: half a period of the wave, in updates."""

    def omega(beta: float, rate: float) -> float:
        companion = torch.tensor([[1 + beta - rate, -beta], [1.0, 0.0]], dtype=torch.float64)
        return torch.linalg.eigvals(companion).angle().abs().max().item()

    wrong = [
        (lambda beta, rate: 2 * math.pi / omega(beta, rate), "that is a whole period"),
        (omega, "that is the angle of a root, and a period is asked for"),
        (
            lambda beta, rate: math.pi / math.acos((1 + beta - rate) / 2),
            "the modulus of the roots is not one: divide by it before the arc cosine",
        ),
        (lambda beta, rate: math.pi / math.sqrt(rate), "right for small rates without friction only"),
    ]
    cases = [(0.9, 0.05), (0.9, 0.5), (0.5, 0.3), (0.8, 0.1)]
    compare_function(answer, lambda beta, rate: math.pi / omega(beta, rate), cases, wrong=wrong)
