"""What the arenas of the bake-off beyond the plane share: the digits, the
rivals that take part in each of them, and how a method is trained.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

import ebmlearn as el
from arena import Contestant, Energy, Learned, Watch
from contestants import FLOW_BATCH, N_FIT, FlowLikelihood
from ebmlearn import nets, objectives
from ebmlearn.energy import ExactEnergy, Gaussian, GaussianMixture

BATCH = 200
"""Data in an update, of all contestants that make updates."""

LATENTS = 10

BANDWIDTHS = 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0
"""Of the kernel density estimate, in standard deviations of the data."""

Judged = dict[str, float | None]
Rates = Callable[..., el.schedules.Schedule]
"""``rates(start, n=1)`` falls from ``start`` times the contest's factor to
0 in n times as many steps as there are updates."""

DENOISE = partial(objectives.denoising_score_matching, sigma=0.3)


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


def taught(method: Any, data: Any, updates: int, own: bool) -> Learned:
    """Train a method of an energy, maybe with a sampler of its own."""
    how = {"steps": updates, "batch_size": BATCH}
    el.fit(method, data, **how, progress=False)
    return Learned(method.energy, method.sample if own else None)


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


RIVALS = {"kernel density": formula(kernels)}
if find_spec("zuko"):
    RIVALS["flow"] = Contestant(
        FLOW_BATCH, by_flow, budgets=("gradients",)
    )
else:
    print("zuko is not installed: no flow takes part")
