"""An arena of the bake-off on digits: a linear generator, whose likelihood
is a Gaussian's, and the best one of which is known.
"""

from collections.abc import Callable

import torch
from torch import nn

import ebmlearn as el
from arena import Arena, Contestant, Energy, Learned, Watch
from beyond_plane import (
    BATCH,
    LATENTS,
    RIVALS,
    Digits,
    Judged,
    Rates,
    exact,
    falling,
    fitted,
    fixed,
    formula,
    log_prob,
    pixels,
)
from ebmlearn import nets, posteriors
from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import linear, twosample


class LinearJudge:
    """Numbers of a density of digits with known log Z.

    - ``nats``: mean log-likelihood of the test digits, in nats an image;
    - ``gap``: how much less likely the training digits are than under the
      best linear generator, which probabilistic PCA is; of Gaussians only,
      since other rivals may know the training digits by heart, and below 0
      for one that is no generator of so few latents;
    - ``accuracy``, ``p``: C2ST by nearest neighbours of as many samples as
      there are test digits; weak on pixels.
    """

    def __init__(self, digits: Digits) -> None:
        self.digits = digits
        self.best = self.fit(linear.marginal(best(digits)))

    def fit(self, energy: Energy) -> float:
        return log_prob(energy, self.digits.train).mean().item()

    def __call__(self, learned: Learned) -> Judged:
        energy, test = learned.energy, self.digits.test
        found = {"nats": log_prob(energy, test).mean().item()}
        if isinstance(energy, Gaussian):
            found["gap"] = self.best - self.fit(energy)
        if learned.sample is not None:
            x = learned.sample(len(test)).to(test)
            told = twosample.c2st(x, test, generator=fixed(8))
            found |= {"accuracy": told.accuracy, "p": told.p_value}
        return found


def best(digits: Digits) -> linear.LinearGaussian:
    return linear.ppca(digits.train, LATENTS)


def generative(
    gradients: float,
    make: Callable[[nets.MLPGenerator, int, Rates], el.Method],
    *,
    rows: bool = False,
) -> Contestant:
    """A method that learns the linear generator.

    The noise of the generator is that of PCA and not learned: the package
    has it fixed, so that contestants differ in weights only.

    Args:
        gradients: Of the generator, at one datum in an update.
        make: From the generator, the number of data and rates.
        rows: Whether a datum comes with its row number.
    """

    def train(
        digits: Digits, updates: int, scale: float, watch: Watch | None
    ) -> Learned:
        x, std = digits.train, best(digits).std
        generator = nets.MLPGenerator(LATENTS, (64,), (), std=std)
        method = make(generator, len(x), falling(updates, scale))
        data = (x, torch.arange(len(x))) if rows else x
        el.fit(
            method, data, steps=updates, batch_size=BATCH, progress=False
        )
        learned = linear.marginal(linear.from_generator(generator))
        return Learned(learned, method.sample)

    return Contestant(BATCH * gradients, train, budgets=("gradients",))


def infer(n_steps: int) -> el.Chain:
    """A chain on latents; the posterior's narrowest width is 0.18."""
    return el.Chain(el.ula, n_steps=n_steps, step_size=0.2)


# The prior of a latent-space energy is no Gaussian, and its likelihood is
# not of closed form: it is not among them. A step of a chain is one
# gradient of the generator at a datum, an update one more.
GENERATORS = {
    "alternating back-propagation": generative(
        3,
        lambda net, n, rates: el.AlternatingBackprop(
            net, n, chain=infer(2), lr=rates(0.03)
        ),
        rows=True,
    ),
    "variational auto-encoder": generative(
        1,
        lambda net, n, rates: el.VAE(
            net,
            posteriors.GaussianPosterior(
                nn.Linear(64, 2 * LATENTS), LATENTS
            ),
            lr=rates(0.01),
        ),
    ),
    "short-run inference": generative(
        21,
        lambda net, n, rates: el.ShortRunInference(
            net, chain=infer(20), lr=rates(0.03)
        ),
    ),
    "Gaussian": formula(lambda digits: exact(fitted(digits))),
    "oracle": formula(lambda digits: exact(linear.marginal(best(digits)))),
}


def linear_gaussian() -> Arena:
    digits = pixels()
    return Arena(digits, GENERATORS | RIVALS, LinearJudge(digits))
