"""Every objective with the variance at which its one-parameter fit must end: the battery runs over this
table. Add a line for a new one.

The data are N(0, V I) with V = 4, the energy is a |x|²/2, and the variance of the fit is 1/a.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from scipy.optimize import brentq
from torch import nn

from ebmlearn.energy import Gaussian
from ebmlearn.methods import (
    NCE,
    EnergyDiscrepancy,
    ExactLikelihood,
    FlowContrastive,
    MaximumLikelihood,
    ScoreMatching,
)
from ebmlearn.nets import RealNVP
from ebmlearn.objectives import (
    conditional_nce,
    denoising_score_matching,
    kernel_stein_discrepancy,
    multiscale_denoising,
    score_matching,
    sliced_score_matching,
)
from ebmlearn.sample import Chain, DataStart, NoiseStart, ReplayBuffer, hmc, mala, ula
from ebmlearn.train import Method

V = 4.0


class Precision(nn.Module):
    """E(x) = a |x|² / 2: one parameter, every fixed point known."""

    def __init__(self, a: float = 1.0, dim: int = 2) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.dim = dim

    def forward(self, x):
        return 0.5 * self.a * x.square().flatten(1).sum(1)

    @property
    def log_z(self):
        return 0.5 * self.dim * torch.log(2 * math.pi / self.a)


class Case(NamedTuple):
    make: Callable[..., Method]
    """``make(energy, lr=...)``."""
    variance: float
    """``1/a`` at the objective's own optimum."""


def with_ula(v: float, s: float) -> float:
    """ULA at precision a has variance 1/(a (1 - s² a/4)): learning ends where that is ``v``."""
    return 0.5 * s * s / (1 - math.sqrt(1 - s * s / v))


def short_run(v: float, start: float, s: float, k: int) -> float:
    """K steps of ULA must take the variance from ``start`` to ``v``."""

    def end(a: float) -> float:
        rho = 1 - s * s * a / 2
        return rho ** (2 * k) * start + s * s * (1 - rho ** (2 * k)) / (1 - rho**2)

    return 1 / brentq(lambda a: end(a) - v, 1e-6, 2 / s**2)


def bank(energy: Precision) -> ReplayBuffer:
    return ReplayBuffer(2 * torch.randn(8000 // energy.dim, energy.dim))


def by(objective, variance: float) -> Case:
    return Case(lambda e, lr: ScoreMatching(e, objective, lr=lr), variance)


def multiscale(v: float, low: float, high: float, reference: float) -> float:
    """Least squares of ``ε`` on ``(σ₀²/σ)(x + σε)``: ``1/a = σ₀² (1 + v E[1/σ²])``, with σ uniform."""
    return reference**2 * (1 + v / (low * high))


def contrast(n_noise: int) -> Case:
    """With noise of variance 5. Energy and ``log_z`` pull on the same rope, which is slow: larger steps."""

    def make(e, lr):
        noise = Gaussian(torch.zeros(e.dim), 5 * torch.eye(e.dim))
        adam = partial(torch.optim.Adam, betas=(0.5, 0.999))
        return NCE(e, noise, n_noise=n_noise, lr=lambda t: 15 * lr(t), optimizer=adam)

    return Case(make, V)


def against_a_flow(e, lr):
    """As `contrast`, with a flow that starts at N(0, I) and adapts."""
    adam = partial(torch.optim.Adam, betas=(0.5, 0.999))
    flow = RealNVP((e.dim,), 2, 8)
    return FlowContrastive(e, flow, lr_energy=lambda t: 15 * lr(t), lr_flow=lr, optimizer=adam)


ULA = Chain(ula, n_steps=5, step_size=1.4)
MALA = Chain(mala, n_steps=5, step_size=1.5)

OBJECTIVES = {
    "exact likelihood": Case(lambda e, lr: ExactLikelihood(e, lambda e: e.log_z, lr=lr), V),
    "CD-1, ula": Case(
        lambda e, lr: MaximumLikelihood(e, DataStart(), chain=ULA.replace(n_steps=1), lr=lr),
        with_ula(V, 1.4),
    ),
    "CD-3, mala": Case(
        lambda e, lr: MaximumLikelihood(e, DataStart(), chain=MALA.replace(n_steps=3), lr=lr), V
    ),
    "PCD, ula": Case(
        lambda e, lr: MaximumLikelihood(e, bank(e), chain=ULA, lr=lr),
        with_ula(V, 1.4),
    ),
    "PCD, mala": Case(lambda e, lr: MaximumLikelihood(e, bank(e), chain=MALA, lr=lr), V),
    "PCD, hmc": Case(
        lambda e, lr: MaximumLikelihood(
            e, bank(e), chain=Chain(hmc, n_steps=2, step_size=0.8, n_leapfrog=3), lr=lr
        ),
        V,
    ),
    "PCD, data noise 1": Case(
        lambda e, lr: MaximumLikelihood(e, bank(e), chain=MALA, lr=lr, data_noise=1.0),
        V + 1,
    ),
    "PCD, temperature 4": Case(
        lambda e, lr: MaximumLikelihood(
            e, bank(e), chain=MALA.replace(step_size=0.75, noise_scale=1.5), lr=lr
        ),
        V / 4,
    ),
    "short-run from N(0, 16)": Case(
        lambda e, lr: MaximumLikelihood(
            e, NoiseStart("normal", 4.0), chain=Chain(ula, n_steps=5, step_size=0.7), lr=lr
        ),
        short_run(V, 16.0, 0.7, 5),
    ),
    "score matching": by(score_matching, V),
    "sliced": by(partial(sliced_score_matching, variance_reduced=False, n_projections=4), V),
    "sliced, variance-reduced, normal": by(partial(sliced_score_matching, projection="normal"), V),
    "denoising, noise 1": by(partial(denoising_score_matching, sigma=1.0), V + 1),
    "denoising, noise 1, control variate": by(
        partial(denoising_score_matching, sigma=1.0, control_variate=True), V + 1
    ),
    "denoising, noise 1 to 3": by(
        partial(multiscale_denoising, sigmas=(1.0, 3.0), reference=1.5), multiscale(V, 1.0, 3.0, 1.5)
    ),
    "kernel Stein discrepancy": by(lambda e, x: kernel_stein_discrepancy(e, x[:400], bandwidth=6.0), V),
    "conditional NCE": by(partial(conditional_nce, sigma=1.0, n_noise=2), V),
    "energy discrepancy": Case(lambda e, lr: EnergyDiscrepancy(e, sigma=1.0, lr=lr), V),
    "NCE": contrast(n_noise=1),
    "NCE, 3 noise points a datum": contrast(n_noise=3),
    "flow contrastive": Case(against_a_flow, V),
}
