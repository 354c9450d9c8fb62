"""An arena of the bake-off in 20 dimensions: a Gaussian-Bernoulli machine
learns from samples of another machine, and both densities are exact by
enumeration.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

import ebmlearn as el
from arena import Arena, Contestant, Energy, Learned, Watch
from beyond_plane import (
    BATCH,
    DENOISE,
    RIVALS,
    Judged,
    Rates,
    exact,
    falling,
    fixed,
    formula,
    gaussian,
    log_prob,
    taught,
)
from ebmlearn import objectives, posteriors
from ebmlearn.diagnostics import squared_jump
from ebmlearn.energy import GRBM, Gaussian
from ebmlearn.energy.grbm import binary_states
from ebmlearn.evaluate import twosample

VISIBLE, HIDDEN = 20, 8
COUPLING, MACHINE = 1.25, 56
"""Spread of the true couplings, and their seed: of the seeds below 60 that
with the most hidden states of more than 1 %."""


def machine() -> GRBM:
    """The truth, with the law of couplings of ``test_grbm_league``."""
    weight = COUPLING * torch.randn(
        VISIBLE, HIDDEN, generator=fixed(MACHINE)
    )
    zero = torch.zeros(VISIBLE)
    return GRBM.from_parameters(
        weight, zero, -0.5 * weight.square().sum(0), 1.0
    )


def large_modes(rbm: GRBM) -> Tensor:
    """Means of the components of more than 1 %, largest first."""
    h = binary_states(HIDDEN, rbm.weight)
    with torch.no_grad():
        # the weight of h is the integral of exp(-E(x, h)) over x
        mean = rbm.visible_mean(h)
        shift = 0.5 * (mean / rbm.std).square().sum(1)
        bias = 0.5 * (rbm.visible_bias / rbm.std).square().sum()
        prob = (h @ rbm.hidden_bias + shift - bias).softmax(0)
        order = prob.argsort(descending=True)
        return mean[order[: int((prob > 0.01).sum())]]


class MachineJudge:
    """Numbers of a density with known log Z against the true machine.

    - ``kl``, ``error``: KL(truth | model) over 20,000 exact samples of the
      truth, and its standard error;
    - ``modes``: total variation between truth and model of the shares of
      points next to each of the truth's large modes, over exact samples of
      the model; ``sample_modes`` the same of the contestant's own samples;
    - ``accuracy``, ``p``: C2ST by nearest neighbours of 1,000 of its own
      samples against 1,000 of the truth.

    A machine without a sampler of its own is sampled by 100 sweeps of
    Gibbs sampling, from noise with the mean and deviation of each
    coordinate. The share of a mode in 1,000 samples is itself uncertain:
    see what ``sample_modes`` is for the oracle.
    """

    def __init__(self, truth: GRBM) -> None:
        self.x = truth.sample(20_000, fixed(1))
        self.other = truth.sample(1000, fixed(2))
        self.log_p = log_prob(truth, self.x)
        self.means = large_modes(truth)
        self.shares = self.share(self.x)

    def share(self, x: Tensor) -> Tensor:
        """Of points next to each mode, shape ``(modes,)``."""
        near = torch.cdist(x.to(self.means), self.means).argmin(1)
        return near.bincount(minlength=len(self.means)) / len(x)

    def off(self, x: Tensor) -> float:
        return 0.5 * (self.share(x) - self.shares).abs().sum().item()

    def gibbs(self, energy: Energy) -> Tensor:
        mean, std = self.x.mean(0), self.x.std(0)
        start = mean + std * torch.randn(1000, VISIBLE, generator=fixed(3))
        kernel = el.gibbs(energy, generator=fixed(4))
        return el.run(kernel, start, 100)

    def __call__(self, learned: Learned) -> Judged:
        lost = self.log_p - log_prob(learned.energy, self.x)
        if learned.sample is None:
            x = self.gibbs(learned.energy)
        else:
            x = learned.sample(1000)
        exact = learned.energy.sample(20_000, fixed(5))
        test = twosample.c2st(
            x.to(self.other), self.other, generator=fixed(6)
        )
        return {
            "kl": lost.mean().item(),
            "error": (lost.std() / len(lost) ** 0.5).item(),
            "accuracy": test.accuracy,
            "p": test.p_value,
            "modes": self.off(exact),
            "sample_modes": self.off(x),
        }


def moments(truth: GRBM) -> Gaussian:
    """The Gaussian fitted to 10,000 samples."""
    return gaussian(truth.sample(10_000))


def learner(
    gradients: float,
    make: Callable[[GRBM, GRBM, Rates], el.Method],
    *,
    own: bool = False,
) -> Contestant:
    """A method that learns a machine; with ``own`` it has a sampler.

    Args:
        gradients: Of one datum in an update.
        make: From the machine to train, the truth to draw from and rates.
        own: Whether the ends of its chains are judged as its samples.
    """

    def train(
        truth: GRBM, updates: int, scale: float, watch: Watch | None
    ) -> Learned:
        rbm = GRBM(VISIBLE, HIDDEN)
        rbm.match_moments(truth.sample(10_000), std_scale=0.5)
        method = make(rbm, truth, falling(updates, scale))
        return taught(method, truth.sample, updates, own)

    return Contestant(BATCH * gradients, train, budgets=("gradients",))


def chains(
    kernel: el.Chain, lr: float, persistent: bool = True
) -> Callable[[GRBM, GRBM, Rates], el.Method]:
    """Maximum likelihood with chains that persist, or start at data.

    1,000 persistent chains begin at exact samples of the untrained
    machine, as in chapter 4.
    """

    def make(rbm: GRBM, truth: GRBM, rates: Rates) -> el.Method:
        bank = el.ReplayBuffer(rbm.sample(1000))
        start = bank if persistent else el.DataStart()
        return el.MaximumLikelihood(
            rbm,
            start,
            chain=kernel,
            diagnostic=squared_jump,
            lr=rates(lr),
        )

    return make


def langevin(noise: float = 1.0) -> el.Chain:
    """Five steps; ``noise`` other than 1 is another temperature."""
    return el.Chain(
        el.ula, n_steps=5, step_size=0.4, noise_scale=0.4 * noise
    )


def by_score(
    objective: Callable[..., Tensor], lr: float
) -> Callable[[GRBM, GRBM, Rates], el.Method]:
    return lambda rbm, truth, rates: el.ScoreMatching(
        rbm, objective, lr=rates(lr)
    )


def with_posterior(
    method: Callable[..., el.Method],
) -> Callable[[GRBM, GRBM, Rates], el.Method]:
    """A method that sees the joint energy, and learns its posterior."""
    return lambda rbm, truth, rates: method(
        rbm,
        posteriors.BernoulliPosterior(nn.Linear(VISIBLE, HIDDEN), HIDDEN),
        DENOISE,
        n_steps=2,
        lr=rates(0.016),
        lr_posterior=rates(0.016, 2),
    )


SWEEP = el.Chain(el.gibbs, n_steps=1)

# Gradients of one datum. A sweep or a step of a chain is one. Learning by
# chains adds two, at the datum and at the end. The sum over hidden states
# counts one for each. A slope that is then differentiated by the weights
# is two, one with a curvature is three. A lower step of BiSM or VaGES is
# one; an unrolled one is two, there and back. VaGES takes slopes at three
# times 2 draws, and differentiates those of 2.
MACHINES = {
    "exact likelihood": learner(
        1 + 2**HIDDEN / BATCH,
        lambda rbm, truth, rates: el.ExactLikelihood(
            rbm, lambda rbm: rbm.log_z, lr=rates(0.05)
        ),
    ),
    "contrastive divergence": learner(3, chains(SWEEP, 0.03, False)),
    "persistent chains, Gibbs": learner(3, chains(SWEEP, 0.03), own=True),
    "persistent chains, Langevin": learner(
        7, chains(langevin(), 0.003), own=True
    ),
    "sliced score matching": learner(
        3, by_score(objectives.sliced_score_matching, 0.05)
    ),
    "denoising score matching": learner(2, by_score(DENOISE, 0.05)),
    "noise-contrastive estimation": learner(
        2,
        lambda rbm, truth, rates: el.NCE(
            rbm, moments(truth), lr=rates(0.05)
        ),
    ),
    "energy discrepancy": learner(
        5,
        lambda rbm, truth, rates: el.EnergyDiscrepancy(
            rbm, sigma=0.5, lr=rates(0.05)
        ),
    ),
    "BiSM": learner(2 + 2 * 5 + 2, with_posterior(el.BiSM)),
    "VaGES": learner(2 + 3 * 2 + 2, with_posterior(el.VaGES)),
    "Gaussian": formula(lambda truth: exact(moments(truth))),
    "oracle": formula(exact),
}


def grbm() -> Arena:
    truth = machine()
    return Arena(truth, MACHINES | RIVALS, MachineJudge(truth))
