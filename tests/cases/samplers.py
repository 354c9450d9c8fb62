"""Every sampler with the law it leaves invariant on a Gaussian: the battery runs over this table. Add a line
for a new one."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from ebmlearn.sample import MakeKernel, gibbs, hmc, mala, ula


class Case(NamedTuple):
    make: MakeKernel
    stationary: Callable[[Tensor], Tensor]
    """From the target's covariance to the covariance of the sampler's own stationary law."""
    n_steps: int
    """Enough to get there from the start of the battery."""


def exact(cov: Tensor) -> Tensor:
    return cov


def of_ula(cov: Tensor, *, s: float, temperature: float = 1.0) -> Tensor:
    """``x' = (I - (s²/2) P) x + σ ε`` with ``P = cov⁻¹`` has the covariance ``T cov (I - (s²/4) P)⁻¹``."""
    precision = torch.linalg.inv(cov)
    return temperature * cov @ torch.linalg.inv(torch.eye(len(cov), dtype=cov.dtype) - s * s / 4 * precision)


SAMPLERS = {
    "ula": Case(partial(ula, step_size=0.8), partial(of_ula, s=0.8), 60),
    "ula, smaller steps": Case(partial(ula, step_size=0.6), partial(of_ula, s=0.6), 100),
    "ula, hot": Case(
        partial(ula, step_size=0.8, noise_scale=1.2), partial(of_ula, s=0.8, temperature=2.25), 60
    ),
    "mala": Case(partial(mala, step_size=0.8), exact, 100),
    "mala, large steps": Case(partial(mala, step_size=1.2), exact, 150),
    "mala, hot": Case(partial(mala, step_size=0.6, noise_scale=0.9), lambda cov: 2.25 * cov, 150),
    # a trajectory of length π times a standard deviation returns to its mirror image: not this long
    "hmc": Case(partial(hmc, step_size=0.5, n_leapfrog=3), exact, 40),
    "hmc, one leapfrog step": Case(partial(hmc, step_size=0.8, n_leapfrog=1), exact, 100),
    "hmc, hot": Case(partial(hmc, step_size=0.5, n_leapfrog=3, temperature=2.25), lambda cov: 2.25 * cov, 40),
    "hmc, persistent momentum": Case(partial(hmc, step_size=0.9, n_leapfrog=1, persistence=0.7), exact, 150),
    "gibbs": Case(gibbs, exact, 25),
}
