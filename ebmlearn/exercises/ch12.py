"""Chapter 12: neural transport."""

import math
from typing import Any

import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.exercises._base import exercise, parts
from ebmlearn.exercises._compare import compare, compare_function


def moments(energy: Any) -> tuple[float, float]:
    """Mean and variance of a density on a line, by quadrature."""
    grid = exact.Grid((-12, 12), n=1800, dim=1, dtype=torch.float64)
    powers = exact.expectation(lambda x: torch.cat([x, x**2], 1), energy, grid).value
    return powers[0].item(), (powers[1] - powers[0] ** 2).item()


@exercise("ex-12-line")
def line(answer: Any) -> None:
    """a pair: the mean and the variance of x."""
    flow = Gaussian(torch.ones(1), 4 * torch.eye(1)).double()
    mean, variance = moments(lambda x: flow(x) + x[:, 0] ** 2 / 2)
    of_z, spread_of_z = moments(lambda z: (2 * z[:, 0] + 1) ** 2 / 2 + z[:, 0] ** 2 / 2)
    given = parts(answer, "mean", "variance")
    wrong = [
        (of_z, "that is the mean of z; apply g"),
        (1.0, "that is the flow's; the tilt pulls it"),
        (0.0, "that is the tilt's; the flow pulls it"),
        (2 * of_z, "g also shifts"),
    ]
    compare(given[0], mean, what="mean", wrong=wrong)
    wrong = [
        (spread_of_z, "that is the variance of z; apply g"),
        (2 * spread_of_z, "a slope enters a variance with its square"),
        (4.0, "that is the flow's, and the tilt narrows it"),
        (1 / variance, "that is the precision"),
    ]
    compare(given[1], variance, what="variance", wrong=wrong)


@exercise("ex-12-neff")
def n_eff(answer: Any) -> None:
    """a function of sigma: the share of the samples that is effective."""
    grid = exact.Grid((-14, 14), n=1800, dim=1, dtype=torch.float64)
    normal = Gaussian(torch.zeros(1), torch.eye(1)).double()

    def right(sigma: float) -> float:
        def moment(k: int) -> float:
            return exact.expectation(lambda t: (-k * sigma * t[:, 0]).exp(), normal, grid).value.item()

        return moment(1) ** 2 / moment(2)

    wrong = [
        (lambda sigma: math.exp(-(sigma**2) / 2), "is the first moment squared?"),
        (lambda sigma: math.exp(sigma**2), "above one, and a share cannot be: it is upside down"),
        (lambda sigma: math.exp(-2 * sigma**2), "that is one over the second moment; the first is not one"),
        (lambda sigma: math.exp(-sigma), "is the square of sigma missing?"),
    ]
    compare_function(answer, right, [(0.3,), (0.5,), (1.0,), (1.5,)], wrong=wrong)


@exercise("ex-12-vae")
def vae(answer: Any) -> None:
    """a function of (b, tau, theta): the variance of x under the tilted model."""

    def right(b: float, tau: float, theta: float) -> float:
        generator = Gaussian(torch.zeros(1), (b**2 + tau**2) * torch.eye(1)).double()
        return moments(lambda x: generator(x) + theta * x[:, 0] ** 2 / 2)[1]

    wrong = [
        (lambda b, tau, theta: b**2 + tau**2, "that is the generator's, before the tilt"),
        (lambda b, tau, theta: 1 / (theta + 1 / b**2), "does the generator add noise of its own?"),
        (lambda b, tau, theta: theta + 1 / (b**2 + tau**2), "that is the precision"),
        (lambda b, tau, theta: 1 / theta + b**2 + tau**2, "densities are multiplied: precisions add up"),
    ]
    compare_function(answer, right, [(1.5, 0.5, 2.0), (0.8, 0.3, 1.0), (1.0, 1.0, 0.2)], wrong=wrong)
