"""Arenas of the bake-off beyond the plane: what is exact there, and what
is only bracketed.

A machine in 20 dimensions learns from samples of another machine, and both
densities are exact by enumeration. A linear generator learns digits, and
its likelihood is a Gaussian's. A perceptron learns digits, and annealed
importance sampling says how good it is: from either side, if its chains
have converged.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

import ebmlearn as el
from arena import Arena, Contestant, Energy, Learned, Watch
from contestants import FLOW_BATCH, N_FIT, FlowLikelihood
from ebmlearn import nets, objectives, posteriors
from ebmlearn.diagnostics import squared_jump
from ebmlearn.energy import GRBM, ExactEnergy, Gaussian, GaussianMixture
from ebmlearn.energy.grbm import binary_states
from ebmlearn.evaluate import ais, linear, twosample

BATCH = 200
"""Data in an update, of all contestants that make updates."""

VISIBLE, HIDDEN = 20, 8
COUPLING, MACHINE = 1.25, 56
"""Spread of the true couplings, and their seed: of the seeds below 60 that
with the most hidden states of more than 1 %."""

LATENTS = 10

BANDWIDTHS = 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0
"""Of the kernel density estimate, in standard deviations of the data."""

Judged = dict[str, float | None]
Rates = Callable[..., el.schedules.Schedule]
"""``rates(start, n=1)`` falls from ``start`` times the contest's factor to
0 in n times as many steps as there are updates."""


def fixed(seed: int) -> torch.Generator:
    """Random numbers of its own, whatever the global stream is at."""
    return torch.Generator().manual_seed(seed)


def falling(updates: int, scale: float) -> Rates:
    return lambda start, n=1: el.schedules.linear(
        scale * start, n * updates
    )


def log_prob(energy: Energy, x: Tensor) -> Tensor:
    """Log-density, in pieces: a kernel density has many points."""
    if not isinstance(energy, ExactEnergy):
        raise TypeError(
            f"the energy is a {type(energy).__name__}; this arena expects "
            "an ExactEnergy, whose log_z is known"
        )
    x = x.to(energy.log_z)
    with torch.no_grad():
        return torch.cat([energy.log_prob(part) for part in x.split(100)])


def gaussian(x: Tensor) -> Gaussian:
    """That of maximum likelihood."""
    cov = torch.cov(x.T, correction=0)
    # symmetric up to rounding
    return Gaussian(x.mean(0), 0.5 * (cov + cov.T))


def exact(energy: ExactEnergy) -> Learned:
    return Learned(energy, energy.sample)


def formula(find: Callable[..., Learned]) -> Contestant:
    """A contestant that needs no updates: ``find(target)``."""
    return Contestant(
        0.0,
        lambda target, updates, scale, watch: find(target),
        budgets=("gradients",),
        tuned=False,
    )


# Rivals, which know their log Z


@dataclass(frozen=True)
class Coordinates:
    """Those in which a Gaussian is N(0, I)."""

    gauss: Gaussian

    def white(self, x: Tensor) -> Tensor:
        delta = (x - self.gauss.mean).T
        factor = self.gauss.factor
        return torch.linalg.solve_triangular(factor, delta, upper=False).T

    def back(self, x: Tensor) -> Tensor:
        return self.gauss.mean + x @ self.gauss.factor.T

    @property
    def log_det(self) -> float:
        """To add to a log-density in these coordinates."""
        return -self.gauss.factor.diagonal().log().sum().item()


class MovedBack(ExactEnergy):
    """A density in such coordinates, in those of the data."""

    def __init__(self, inner: ExactEnergy, at: Coordinates) -> None:
        super().__init__()
        self.inner, self.at = inner, at
        self.event_shape = inner.event_shape
        self.register_buffer("log_z", inner.log_z - at.log_det)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.at.white(x))

    def sample(self, n: int, generator: torch.Generator | None = None):
        return self.at.back(self.inner.sample(n, generator))


def split(target: Any, n: int) -> tuple[Tensor, Tensor]:
    """Data to fit to and others to choose by: n and `N_FIT` draws, or four
    in five of the digits and the rest."""
    if isinstance(target, Digits):
        other = torch.arange(len(target.train)) % 5 == 0
        return target.train[~other], target.train[other]
    return target.sample(n), target.sample(N_FIT)


def kernels(target: Any) -> Learned:
    """A kernel density estimate. Its kernels are round, or have the shape
    of the data's Gaussian: of 8 bandwidths for either, that which 500
    other data like best."""
    x, other = split(target, N_FIT)
    own = gaussian(x)
    width = x.var(0).mean() * torch.eye(x.shape[1])
    best = max(
        (
            MovedBack(GaussianMixture(at.white(x), h), at)
            for at in map(Coordinates, (own, Gaussian(own.mean, width)))
            for h in BANDWIDTHS
        ),
        key=lambda p: log_prob(p, other[:500]).mean().item(),
    )
    return exact(best)


def by_flow(
    target: Any, updates: int, scale: float, watch: Watch | None = None
) -> Learned:
    """An autoregressive flow of the package zuko, in coordinates in which
    the data have mean 0 and covariance I. Its best update by other data is
    kept: it knows its likelihood, and would learn the digits by heart."""
    import zuko

    x, other = split(target, 100_000)
    at = Coordinates(gaussian(x))
    net = zuko.flows.MAF(
        x.shape[1], transforms=3, hidden_features=(64, 64)
    )
    flow = nets.ZukoFlow(net)
    method = FlowLikelihood(
        flow, el.schedules.linear(3e-3 * scale, updates)
    )
    kept = [(float("inf"), copy.deepcopy(flow.state_dict()))]
    other = at.white(other)

    def keep(step: int, *_: Any) -> None:
        if step % 20 == 0 or step == updates:
            nats = -log_prob(flow, other).mean().item()
            if nats < kept[0][0]:
                kept[0] = nats, copy.deepcopy(flow.state_dict())

    el.fit(
        method,
        at.white(x),
        steps=updates,
        batch_size=FLOW_BATCH,
        hooks=[keep],
        progress=False,
    )
    flow.load_state_dict(kept[0][1])
    return exact(MovedBack(flow, at))


# The machine in 20 dimensions


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


def taught(method: Any, data: Any, updates: int, own: bool) -> Learned:
    """Train a method of an energy, maybe with a sampler of its own."""
    how = {"steps": updates, "batch_size": BATCH}
    el.fit(method, data, **how, progress=False)
    return Learned(method.energy, method.sample if own else None)


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


DENOISE = partial(objectives.denoising_score_matching, sigma=0.3)
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


# Digits


@dataclass(frozen=True)
class Digits:
    """Pixels in [-1, 1] with uniform noise as wide as one of their levels,
    as in chapter 4: a density has no upper limit on a lattice.

    Attributes:
        train: Shape ``(1442, 64)``.
        test: Shape ``(355, 64)``.
    """

    train: Tensor
    test: Tensor

    def sample(self, n: int) -> Tensor:
        """Some of the training data, drawn with replacement."""
        return self.train[torch.randint(len(self.train), (n,))]


def pixels() -> Digits:
    noise = fixed(7)

    def load(split: str) -> Tensor:
        x = el.data.load("digits", split).x.flatten(1)
        return x + (torch.rand(x.shape, generator=noise) - 0.5) / 8

    return Digits(load("train"), load("test"))


def fitted(digits: Digits) -> Gaussian:
    """The Gaussian of the training data."""
    return gaussian(digits.train)


# The linear generator


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


# Perceptrons, and annealing


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


RIVALS = {"kernel density": formula(kernels)}
if find_spec("zuko"):
    RIVALS["flow"] = Contestant(
        FLOW_BATCH, by_flow, budgets=("gradients",)
    )
else:
    print("zuko is not installed: no flow takes part")

ARENAS: dict[str, Callable[[], Arena]] = {
    "GRBM, 20-d": grbm,
    "linear-Gaussian, digits": linear_gaussian,
    "digits, AIS": annealed,
}
