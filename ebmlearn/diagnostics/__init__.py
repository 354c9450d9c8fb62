"""Diagnostics of chains, and of learning with them.

`displacement`, `acceptance`, `mean_energy` and `squared_jump` are for ``run(..., keep=...)``: one number a
step. `r_hat`, `ess` and `autocorrelation` judge whole trajectories, which `ebmlearn.sample.positions` keeps,
shape ``(n_steps, B, *event)``: every coordinate of the event by itself, all at once. `cross_correlation`
compares two metrics of a training run.

Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and localization: an
improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16.
"""

from ebmlearn.diagnostics._convergence import autocorrelation, ess, r_hat
from ebmlearn.diagnostics._series import cross_correlation
from ebmlearn.diagnostics._steps import energy_gap
from ebmlearn.sample.keep import acceptance, displacement, mean_energy, squared_jump

__all__ = [
    "acceptance",
    "autocorrelation",
    "cross_correlation",
    "displacement",
    "energy_gap",
    "ess",
    "mean_energy",
    "r_hat",
    "squared_jump",
]
