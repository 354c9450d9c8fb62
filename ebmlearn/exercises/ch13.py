"""Chapter 13: short-run inference."""

from typing import Any

import torch
from torch import Tensor

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare, compare_function
from ebmlearn.sample import ula


@exercise("ex-13-temperature")
def temperature(answer: Any) -> None:
    """a number, the temperature."""
    share = 0.2
    right = ula(lambda z: z.square().sum(1) / 2, step_size=1.0, noise_scale=share).temperature(0)
    wrong = [
        (share, "it is the square of a ratio of noise and step"),
        (1 / right, "too little noise cools, and does not heat"),
        (2 * right, "the drift has half the square of the step size already"),
    ]
    compare(answer, right, wrong=wrong)


@exercise("ex-13-floor")
def floor(answer: Any) -> None:
    """a function of a tensor of eigenvalues λ: the least divergence in nats, summed over them."""

    def right(eigenvalues: Tensor) -> Tensor:
        # the least over c of the cost of each direction, by search
        c, lam = torch.linspace(1e-4, 1, 20_001, dtype=torch.float64)[:, None], eigenvalues
        return ((lam * c - 1 - (lam * c).log() + (lam - 1) * c) / 2).amin(0).sum()

    wrong = [
        (lambda lam: (2 - 1 / lam).log().sum(), "a factor of two too large: is a half missing?"),
        (lambda lam: (2 - 1 / lam).log().mean() / 2, "that is the mean over the directions; they add up"),
        (lambda lam: (2 - lam).abs().log().sum() / 2, "is λ upside down?"),
        (lambda lam: len(lam) * torch.tensor(2.0).log() / 2, "that is the limit of sharp posteriors"),
    ]
    cases = [(torch.tensor([1.5, 3.0, 20.0], dtype=torch.float64),), (torch.tensor([2.0, 5.0]).double(),)]
    compare_function(answer, right, cases, wrong=wrong)


@exercise("ex-13-collapse")
def collapse(answer: Any) -> None:
    """a function of (s, K): the ratio v/τ² above which a direction grows."""

    def moments(s: float, K: int) -> tuple[float, float]:
        left, spread, rho = 1.0, 1.0, 1 - s**2 / 2  # of the start; the variance, which starts at 1
        for _ in range(K):
            left, spread = rho * left, rho**2 * spread + s**2
        return left, spread

    def right(s: float, K: int) -> float:
        left, spread = moments(s, K)
        return spread / (1 - left)

    wrong = [
        (lambda s, K: 1 / right(s, K), "upside down: long chains should ask for less"),
        (lambda s, K: 2 / (K * s**2), "right for short chains only"),
        (
            lambda s, K: (moments(s, K)[1] - moments(s, K)[0] ** 2) / (1 - moments(s, K)[0]),
            "do the latents also keep some of the spread that they started with?",
        ),
        (lambda s, K: 1 / (1 - moments(s, K)[0]), "is the variance of the latents one after K steps?"),
    ]
    compare_function(answer, right, [(0.1, 20), (0.3, 20), (0.3, 5), (0.5, 50)], within=0.003, wrong=wrong)
