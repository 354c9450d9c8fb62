"""Chapter 14: a prior in latent space."""

from functools import partial
from typing import Any

import torch

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare
from ebmlearn.exercises._exact import chain_variance


@exercise("ex-14-reach")
def reach(answer: Any) -> None:
    """three numbers: the widths (standard deviations) after 10, 40 and 400 steps."""
    steps, s, precision = (10, 40, 400), 0.4, 1 / 9

    def widths(precision: float, start: float = 1.0, power: float = 0.5) -> torch.Tensor:
        ends = [chain_variance(precision, s=s, n_steps=K, start=start) for K in steps]
        return torch.tensor(ends, dtype=torch.float64) ** power

    wrong = [
        (widths(precision, power=1.0), "those are variances; a width is a root"),
        (widths(precision, start=0.0), "the chains start with a spread of their own"),
        (widths(2 * precision), "the drift has half the square of the step"),
        (widths(1 / 3), "is the precision one over the square of the standard deviation?"),
        (torch.full((3,), 3.0), "that is the width of the codes, which chains reach in the end only"),
    ]
    compare(answer, widths(precision), wrong=wrong, entries=[f"{K} steps" for K in steps])


@exercise("ex-14-cold")
def cold(answer: Any) -> None:
    """a number, the variance of the ends."""
    prior, decoder = 4.0, 1 / 0.5**2  # a and b²/τ²
    ends = partial(chain_variance, s=0.15, n_steps=20)
    right = ends(prior + decoder, noise=0.0)
    wrong = [
        (right**0.5, "that is the standard deviation, or one factor in place of its square"),
        (ends(prior + decoder), "the noise is still in it"),
        (ends(prior, noise=0.0), "that is the prior's pull alone"),
        (
            ends(decoder, noise=0.0),
            "that is the pull of one of the two terms alone; the posterior adds them up",
        ),
        (1 / (prior + decoder), "that is the exact posterior's variance, which the noise would keep up"),
    ]
    compare(answer, right, within=0.02, wrong=wrong)
