"""Chapter 22: large images."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ebmlearn.exercises._base import Hint, exercise, parts, values
from ebmlearn.exercises._compare import compare, compare_function


def bias(eigenvalues: Tensor, n: float) -> Tensor:
    """Bias of the Fréchet distance of two samples of n points, to first order; derived in the chapter."""
    a, b = eigenvalues[:, None], eigenvalues[None]
    return (2.5 * eigenvalues.sum() + (a * b / (a + b)).sum()) / n


@exercise("ex-22-nat")
def nat(answer: Any) -> None:
    """a pair: the limit of the energies in bfloat16, and in float16."""
    for part, what, bits in zip(
        parts(answer, "bfloat16", "float16"), ("bfloat16", "float16"), (8, 11), strict=True
    ):
        given = values(part, (), what).item()
        # an energy from 2^k on is rounded to multiples of 2^(k + 1 - bits): a uniform error, v/2 nats
        k = next(k for k in range(99) if (2.0 ** (k + 1 - bits)) ** 2 / 24 > 1)
        slips = {
            2.0 ** (k - 1): "just above your limit the cost is still well below a nat",
            2.0
            ** (
                k + 1
            ): "just below your limit the cost is several nats: how far apart are the numbers there?",
        }
        if given in slips:
            raise Hint(f"{what}: {slips[given]}")
        compare(given, 2.0**k, what=what, within=0.001)


@exercise("ex-22-samples")
def samples(answer: Any) -> None:
    """a pair: the number of samples for 64 features, and for 2,048."""
    for part, d in zip(parts(answer, "64 features", "2,048 features"), (64, 2048), strict=True):
        n = bias(torch.ones(d, dtype=torch.float64), 1.0).item()
        wrong = [
            (2.0 * d, "that is for the means alone; the covariances have far more entries"),
            (n - 2.0 * d, "that is for the covariances alone; the means differ, too"),
            (d * d / 2, "that is the double sum alone"),
            (2.5 * d + d * d, "is each term of the double sum a half?"),
        ]
        compare(part, n, what=f"{d:,} features", within=0.005, wrong=wrong)


@exercise("ex-22-bias")
def frechet(answer: Any) -> None:
    """a function of (eigenvalues, n): the bias, with a tensor of eigenvalues."""

    def means(eigenvalues: Tensor, n: int) -> Tensor:
        return 2 * eigenvalues.sum() / n

    wrong: list[tuple[Callable[..., Any], str]] = [
        (means, "that is what the means contribute; the covariances differ, too"),
        (
            lambda e, n: bias(e, n) - means(e, n),
            "that is what the covariances contribute; the means differ, too",
        ),
        (
            lambda e, n: bias(e, n) - e.sum() / (2 * n),
            "entries on the diagonal vary twice as much as the others",
        ),
        (lambda e, n: bias(e, n) / 2, "a factor of two too small: both samples vary"),
    ]
    cases = [
        (torch.tensor([1.0], dtype=torch.float64), 50),
        (torch.tensor([2.0, 0.5, 0.1], dtype=torch.float64), 100),
    ]
    compare_function(answer, lambda eigenvalues, n: bias(eigenvalues, n), cases, within=1e-3, wrong=wrong)
