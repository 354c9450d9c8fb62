"""Chapter 15: symbols and codes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare, compare_function

W = torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]])
B = torch.tensor([-1.5, 0.3, -1.0])


def _shares(power: float = 0.5) -> Tensor:
    return (B + power * W.square().sum(1)).softmax(0)


@exercise("ex-15-mixture")
def mixture(answer: Any) -> None:
    """three numbers: the probabilities of the symbols."""
    wrong = [
        (_shares(0.0), "the integral over z depends on w as well"),
        (_shares(1.0), "the square is completed with a half"),
        (_shares(-0.5), "what completes the square comes out of the integral with the other sign"),
        (_shares().log(), "those are logarithms"),
        ((B + 0.5 * W.square().sum(1)).exp(), "they do not sum to one"),
    ]
    compare(answer, _shares(), wrong=wrong, entries=[f"symbol {y}" for y in range(3)])


@exercise("ex-15-information")
def information(answer: Any) -> None:
    """a number, the information in nats."""
    rows = torch.tensor([[1, 0], [1, 0], [0, 1], [0.5, 0.5]], dtype=torch.float64)
    of_mean = torch.special.entr(rows.mean(0)).sum()
    of_rows = torch.special.entr(rows).sum(1)
    right = of_mean - of_rows.mean()
    wrong = [
        (of_mean, "that is the entropy of the mean alone; the rows have some as well"),
        (of_mean - of_rows.sum(), "the second part is a mean over the rows"),
        (right / torch.tensor(2.0).log(), "those are bits"),
        (of_rows.mean(), "that is what the symbol leaves open"),
    ]
    compare(answer, right, within=0.005, wrong=wrong)


@exercise("ex-15-bayes")
def bayes(answer: Any) -> None:
    """a function from x, ``(B, 2)``, to the probabilities of the symbols, ``(B, 3)``."""
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    eye = torch.eye(2)
    full = a @ a.T + 0.7**2 * eye

    def rule(cov: Tensor, shares: Tensor) -> Callable[[Tensor], Tensor]:
        law = torch.distributions.MultivariateNormal(W @ a.T, cov)
        return lambda x: (shares.log() + law.log_prob(x[:, None])).softmax(1)

    wrong = [
        (rule(0.7**2 * eye, _shares()), "given the symbol, z still varies"),
        (rule(a @ a.T, _shares()), "the noise of x is missing"),
        (rule(full, torch.ones(3) / 3), "the symbols are not equally frequent"),
    ]
    x = torch.tensor([[1.0, 2.0], [-1.0, 0.5], [0.2, -1.5], [0.0, 0.0]])
    compare_function(answer, rule(full, _shares()), [(x,)], wrong=wrong)
