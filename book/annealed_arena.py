"""An arena of the bake-off on digits where no answer is exact: a
perceptron learns them, and annealed importance sampling says how good it
is, from either side if its chains have converged.
"""

import warnings
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import ebmlearn as el
from arena import Arena, Contestant, Energy, Learned, Watch
from beyond_plane import (
    BATCH,
    DENOISE,
    LATENTS,
    RIVALS,
    Coordinates,
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
    taught,
)
from ebmlearn import nets
from ebmlearn.energy import ExactEnergy, Gaussian
from ebmlearn.evaluate import ais, twosample


def normal() -> Gaussian:
    return Gaussian(torch.zeros(64), torch.eye(64))


class AnnealedJudge:
    """Test log-likelihood in nats an image, with log Z by annealing.

    - ``nats_high``: log Z by AIS from the fitted Gaussian: too low on
      average, and so the likelihood too high;
    - ``nats_low``: log Z by AIS backwards from the ends of long chains
      that began at training digits: too high on average where the ends
      are exact samples. They are ends of chains, so that the two bracket
      the answer only if these have converged;
    - ``error``, ``ess``: of the former, and ``ess_low`` of the latter;
    - ``accuracy``, ``p``: C2ST by nearest neighbours of samples of the
      contestant's own, or else of the ends of these chains.

    A density with known log Z needs none of it: both numbers are exact.
    """

    def __init__(self, digits: Digits, log_det: float) -> None:
        self.digits, self.log_det = digits, log_det

    def __call__(self, learned: Learned) -> Judged:
        energy, test = learned.energy, self.digits.test
        if isinstance(energy, ExactEnergy):
            nats = log_prob(energy, test).mean().item() + self.log_det
            found: Judged = {"nats_high": nats, "nats_low": nats}
            x = learned.sample(len(test))
        else:
            found, x = self.annealed(energy)
            if learned.sample is not None:
                x = learned.sample(len(test))
        told = twosample.c2st(x, test, generator=fixed(9))
        return found | {"accuracy": told.accuracy, "p": told.p_value}

    def annealed(self, energy: Energy) -> tuple[Judged, Tensor]:
        test = self.digits.test
        order = torch.randperm(len(self.digits.train), generator=fixed(10))
        x = self.digits.train[order[: len(test)]]
        hmc = partial(el.hmc, n_leapfrog=LEAPFROG, generator=fixed(11))
        # the step that suits the model serves along the whole path
        step, x = el.adapt_step_size(
            partial(hmc, energy), x, step_size=0.1, target=0.8, n_steps=50
        )
        kernel = partial(hmc, step_size=step)
        x = el.run(kernel(energy), x, LONG)
        path = ais.geometric(normal(), energy)
        with warnings.catch_warnings():
            # the numbers that it warns of are reported
            warnings.simplefilter("ignore", ais.LowESSWarning)
            up = ais.forward(
                path,
                kernel,
                n_chains=CHAINS,
                betas=BETAS,
                generator=fixed(12),
            )
            down = ais.reverse(path, kernel, x[:CHAINS], betas=BETAS)
        with torch.no_grad():
            value = energy(test).mean().item()
        return {
            "nats_high": self.log_det - value - up.log_z,
            "nats_low": self.log_det - value - down.log_z,
            "error": up.error,
            "ess": up.ess,
            "ess_low": down.ess,
        }, x


CHAINS, BETAS, LEAPFROG, LONG = 100, 300, 4, 100


def perceptron() -> nets.MLPEnergy:
    """Of whitened pixels: the fitted Gaussian, tilted by a net."""
    return nets.MLPEnergy(64, (64, 64), reference_std=1.0)


def tilted(
    gradients: float,
    make: Callable[[nets.MLPEnergy, Rates], el.Method],
    *,
    own: bool = False,
) -> Contestant:
    """A method that learns the perceptron; as `learner`."""

    def train(
        digits: Digits, updates: int, scale: float, watch: Watch | None
    ) -> Learned:
        method = make(perceptron(), falling(updates, scale))
        return taught(method, digits.train, updates, own)

    return Contestant(BATCH * gradients, train, budgets=("gradients",))


def walk(n_steps: int) -> el.Chain:
    return el.Chain(el.ula, n_steps=n_steps, step_size=0.3)


def by_chains(
    start: Callable[[], el.sample.Start], n_steps: int
) -> Callable[[nets.MLPEnergy, Rates], el.Method]:
    return lambda net, rates: el.MaximumLikelihood(
        net, start(), chain=walk(n_steps), lr=rates(2e-3)
    )


PERCEPTRONS = {
    "persistent chains": tilted(
        12,
        by_chains(lambda: el.ReplayBuffer(torch.randn(1000, 64)), 10),
        own=True,
    ),
    "contrastive divergence": tilted(12, by_chains(el.DataStart, 10)),
    "short run": tilted(
        32,
        by_chains(lambda: el.NoiseStart(event_shape=(64,)), 30),
        own=True,
    ),
    "denoising score matching": tilted(
        2,
        lambda net, rates: el.ScoreMatching(net, DENOISE, lr=rates(2e-3)),
    ),
    "noise-contrastive estimation": tilted(
        2, lambda net, rates: el.NCE(net, normal(), lr=rates(2e-3))
    ),
    "energy discrepancy": tilted(
        5,
        lambda net, rates: el.EnergyDiscrepancy(
            net, sigma=0.5, lr=rates(2e-3)
        ),
    ),
    "cooperative learning": tilted(
        12,
        lambda net, rates: el.CoopNets(
            net,
            nets.MLPGenerator(LATENTS, (64,), (64,), std=0.5),
            chain=walk(10),
            lr_energy=rates(6e-4),
            lr_generator=rates(6e-4),
        ),
        own=True,
    ),
    "Gaussian": formula(lambda digits: exact(normal())),
}


def annealed() -> Arena:
    raw = pixels()
    at = Coordinates(fitted(raw))
    digits = Digits(at.white(raw.train), at.white(raw.test))
    return Arena(
        digits, PERCEPTRONS | RIVALS, AnnealedJudge(digits, at.log_det)
    )
