"""Chapter 8: cooperative learning."""

from functools import partial
from typing import Any

import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import linear
from ebmlearn.exercises._base import Hint, call, exercise, parts, subclass, values
from ebmlearn.exercises._compare import compare
from ebmlearn.methods import CoopNets
from ebmlearn.nets import LinearEnergy, MLPGenerator
from ebmlearn.sample import Chain, ula


@exercise("ex-08-translate")
def translate(answer: Any) -> None:
    """a pair: the temperature of the first code, and of the second."""
    normal, d = Gaussian(torch.zeros(1), torch.eye(1)), 0.002
    for part, what, s in zip(
        parts(answer, "first", "second"), ("first", "second"), (d, 2**0.5 * d), strict=True
    ):
        right = ula(normal, step_size=s, noise_scale=d).temperature(0)
        wrong = [
            (right**-1, "noise that is too small for the drift cools, and does not heat"),
            (right**0.5, "the temperature is the square of a ratio of noise and step"),
            (right / 2, "the drift has half the square of the step size already"),
        ]
        compare(part, right, what=what, wrong=wrong)


@exercise("ex-08-floor")
def floor(answer: Any) -> None:
    """a number, the loss in nats."""
    pixels, tau, K, s = 64, 0.1, 10, 0.01

    def loss(n: int, variance: float) -> float:
        return n * variance / (2 * tau**2)

    wrong = [
        (loss(pixels, tau**2), "that is the generator's noise alone; the chain adds its own"),
        (loss(pixels, K * s**2), "that is the chain's noise alone; the generator adds its own"),
        (loss(pixels, tau**2 + s**2), "that is the noise of one step of the chain"),
        (loss(1, tau**2 + K * s**2), "that is the loss of one pixel"),
    ]
    compare(answer, loss(pixels, tau**2 + K * s**2), wrong=wrong)


@exercise("ex-08-edit")
def edit(answer: Any) -> None:
    """a subclass of CoopNets whose ``infer`` draws from the exact posterior, with τ = 0.3."""
    method = subclass(answer, CoopNets)
    n, tau, x = 10_000, 0.3, torch.tensor([-1.0, 0.5, 2.0])
    for b in (0.5, 0.9):
        generator = MLPGenerator(1, (1,), (), std=tau)
        slope, shift = generator.parameters()  # of one linear layer
        torch.nn.init.constant_(slope, b)
        torch.nn.init.zeros_(shift)
        net = LinearEnergy(lambda x: x**2 / 2, torch.tensor([0.5]))
        made = call(partial(method, net, generator, chain=Chain(ula, n_steps=1, step_size=0.1)))
        law = linear.posterior(linear.from_generator(generator), x[:, None])
        std = law.cov.sqrt().item()
        given = torch.randn(len(x) * n, 1)
        z = values(call(made.infer, x.repeat_interleave(n)[:, None], given), given.shape, "infer")
        if torch.equal(z, given.double()):
            raise Hint("infer returns the latents that it was given")
        draws = z.view(len(x), n)
        compare(
            draws.mean(1),
            law.mean[:, 0],
            absolute=6 * std / n**0.5,
            what="mean",
            wrong=[
                (x / b, "the prior is left out: it pulls latents towards 0"),
                (x, "x itself is not a latent"),
                (torch.zeros(3), "the draws do not look at x: that is the prior"),
            ],
        )
        compare(
            draws.std(1).mean(),
            std,
            within=0.02,
            what="spread",
            wrong=[
                (0.0, "there is none: that is the posterior's mean, and a draw is asked for"),
                (std**2, "that is the variance; draws are scaled by its root"),
                (tau, "that is the noise of the generator"),
                (tau / (b**2 + tau**2), "is a root missing below τ?"),
                (1.0, "that is the prior's"),
            ],
        )
