"""Chapter 5: short-run MCMC."""

from typing import Any

import torch

from ebmlearn.energy import Gaussian
from ebmlearn.exercises._base import Hint, exercise, values
from ebmlearn.exercises._compare import compare_function
from ebmlearn.exercises._exact import chain_variance, root
from ebmlearn.sample import ula


@exercise("ex-05-temperature")
def temperature(answer: Any) -> None:
    """a function of (alpha, beta): the temperature."""
    normal = Gaussian(torch.zeros(1), torch.eye(1))

    def right(alpha: float, beta: float) -> float:
        return ula(normal, step_size=(2 * alpha) ** 0.5, noise_scale=beta).temperature(0)

    wrong = [
        (lambda alpha, beta: beta**2 / (2 * alpha**2), "the step size is not alpha, but a root of it"),
        (lambda alpha, beta: beta**2 / alpha**2, "the step size is not alpha, but a root of it"),
        (lambda alpha, beta: beta / (2 * alpha), "is the square of the noise missing?"),
    ]
    compare_function(answer, right, [(1.0, 0.01), (10.0, 0.005), (0.02, 0.3)], wrong=wrong)


@exercise("ex-05-length")
def length(answer: Any) -> None:
    """a whole number, the smallest K."""

    def precise(n_steps: int) -> bool:
        at_rest = root(lambda a: chain_variance(a, s=0.1, n_steps=n_steps, start=4.0) - 1, 1e-9, 200.0)
        return at_rest < 1.1

    given = values(answer, ()).item()
    if given < 1 or given != int(given):
        raise Hint("K counts steps: expected a whole number above 0")
    if given > 5000:
        raise Hint("far too long; the memory of the start fades within hundreds of steps")
    if not precise(int(given)):
        raise Hint("too short: the precision is not within 10 % of the truth yet")
    if precise(int(given) - 1):
        raise Hint("long enough, but so is a shorter chain")
