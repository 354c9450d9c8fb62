"""Chapter 1: energies, densities and Langevin dynamics."""

from typing import Any

import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.exercises._base import Hint, exercise, parts, values
from ebmlearn.exercises._compare import compare, compare_function
from ebmlearn.exercises._exact import chain_variance
from ebmlearn.sample import ula
from ebmlearn.targets import four_weighted_gaussians


@exercise("ex-01-cooling")
def cooling(answer: Any) -> None:
    """the weights of the four modes at T = 1/2, in the order of the target's."""
    target = four_weighted_gaussians()
    cold = exact.mode_weights(lambda x: target(x) / 0.5, target.means, exact.Grid((-6, 6), n=90)).value
    at_one, hot = target.weights, target.weights.sqrt()
    if abs(values(answer, (4,)).sum() - 1) > 0.02:
        raise Hint("the weights do not sum to one: are they divided by their sum?")
    wrong = [
        (at_one, "those are the weights before cooling, and cooling changes them"),
        (hot / hot.sum(), "those are nearer to each other than before: that is heating"),
        (torch.full((4,), 0.25), "equal weights are those at infinite temperature"),
    ]
    compare(answer, cold, within=0.015, wrong=wrong)


@exercise("ex-01-edit")
def edit(answer: Any) -> None:
    """a pair: the temperature, and the variance on the standard normal with s = 0.5."""
    s = 0.5
    temperature, variance = parts(answer, "temperature", "variance")
    kernel = ula(Gaussian(torch.zeros(1), torch.eye(1)), step_size=2**0.5 * s, noise_scale=s)
    compare(
        temperature,
        kernel.temperature(0),
        what="temperature",
        wrong=[
            (2.0, "the noise is too small for the drift, not too large"),
            (1.0, "that is the chain's before the edit"),
            (0.5**0.5, "it is the square of a ratio of noise and step"),
        ],
    )
    compare(
        variance,
        chain_variance(1.0, s=2**0.5 * s, noise=s, n_steps=500),
        what="variance",
        wrong=[
            (chain_variance(1.0, s=s, n_steps=500), "that is the chain's before the edit"),
            (kernel.temperature(0), "that is the limit of small steps, and this one is not small"),
        ],
    )


@exercise("ex-01-importance")
def importance(answer: Any) -> None:
    """a function of (d, r): the fraction of draws that count."""
    grid = exact.Grid((-14, 14), n=1800, dim=1, dtype=torch.float64)

    def fraction(d: int, r: float) -> float:
        p, q = (Gaussian(torch.zeros(1), std**2 * torch.eye(1)).double() for std in (1.0, r))
        ratio = exact.expectation(lambda x: (p.log_prob(x) - q.log_prob(x)).exp(), p, grid).value
        return ratio.item() ** -d

    wrong = [
        (lambda d, r: 1 / fraction(d, r), "above one, and a fraction cannot be: it is upside down"),
        (lambda d, r: fraction(1, r), "right for one dimension; what do the others do?"),
        (lambda d, r: fraction(d, r) ** 0.5, "the root of it: square the second moment's counterpart"),
        (lambda d, r: r**-d, "that is the ratio of the peaks of the two densities"),
    ]
    compare_function(answer, fraction, [(1, 1.5), (2, 1.5), (8, 1.2), (16, 1.5)], wrong=wrong)
