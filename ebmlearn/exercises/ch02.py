"""Chapter 2: representations."""

from typing import Any

import torch
from torch import Tensor

from ebmlearn.evaluate import linear
from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare_function


@exercise("ex-02-rate")
def rate(answer: Any) -> None:
    """a function of (s, T): the root mean squared error in cells after T moves in the plane."""

    def right(s: float, T: int) -> float:
        return (2 * T * s**2) ** 0.5

    wrong = [
        (lambda s, T: s * T**0.5, "that is the error along one axis; the plane has two"),
        (lambda s, T: s * T, "errors of different moves are independent: some cancel"),
        (lambda s, T: 2**0.5 * s * T, "errors of different moves are independent: some cancel"),
        (lambda s, T: 2 * T * s**2, "that is the mean square: is a root missing?"),
        (
            lambda s, T: 2**0.5 * s,
            "does it not grow with the moves? A place that is wrong is clean, too",
        ),
    ]
    compare_function(answer, right, [(0.1, 1), (0.1, 50), (0.3, 8)], wrong=wrong)


@exercise("ex-02-missing")
def missing(answer: Any) -> None:
    """a function of (W, b, tau, x, seen): the mean of all pixels given those seen, b + W E[z | seen]."""

    def filled(of_seen: Tensor, W: Tensor, b: Tensor, tau: float, x: Tensor, prior: float = 1.0) -> Tensor:
        Ws = W[of_seen]
        P = prior * torch.eye(W.shape[1]).to(W) + Ws.T @ Ws / tau**2
        return b + W @ torch.linalg.solve(P, Ws.T @ (x - b)[of_seen] / tau**2)

    def right(W: Tensor, b: Tensor, tau: float, x: Tensor, seen: Tensor) -> Tensor:
        # the package's posterior, of a model that has the seen pixels only
        part = linear.LinearGaussian(W[seen], b[seen], tau)
        return b + W @ linear.posterior(part, x[seen][None]).mean[0]

    def all_precision(W: Tensor, b: Tensor, tau: float, x: Tensor, seen: Tensor) -> Tensor:
        P = torch.eye(W.shape[1]).to(W) + W.T @ W / tau**2
        return b + W @ torch.linalg.solve(P, W[seen].T @ (x - b)[seen] / tau**2)

    wrong = [
        (
            lambda W, b, tau, x, seen: filled(torch.ones_like(seen), W, b, tau, x),
            "pixels that are not seen take part, too",
        ),
        (all_precision, "is the precision that of all pixels? What is not seen makes nothing certain"),
        (
            lambda W, b, tau, x, seen: filled(seen, W, b, tau, x, prior=0.0),
            "that is regression on the seen pixels: where is the prior of the latents?",
        ),
        (
            lambda W, b, tau, x, seen: filled(seen, W, torch.zeros_like(b), tau, x) + b,
            "is the mean taken from the seen pixels before?",
        ),
        (
            lambda W, b, tau, x, seen: filled(seen, W, b, tau, x) - b,
            "the mean of the pixels is missing in the end",
        ),
        (lambda W, b, tau, x, seen: filled(seen, W, b, tau**0.5, x), "is the noise squared?"),
    ]
    generator = torch.Generator().manual_seed(0)
    W, b, x = (torch.randn(*n, generator=generator, dtype=torch.float64) for n in ((6, 2), (6,), (6,)))
    seen = torch.tensor([True, True, False, True, False, False])
    cases = [(W, b, 0.5, x, seen), (W, b, 2.0, x, ~seen)]
    compare_function(answer, right, cases, wrong=wrong)
