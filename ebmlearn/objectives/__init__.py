"""Objectives: pure functions of an energy and samples, each a scalar to minimise by backpropagation.

Only `ml_gap` asks for samples of the model. In all others ``log Z`` cancels or is learned: score matching
sees the energy by its gradient, conditional contrast by its differences, the kernel Stein discrepancy by its
gradient at pairs of points, and `nce` takes ``log Z`` for one more parameter.

For an energy with hidden variables `vaes` and `vages` make, from a posterior, an energy that objectives of
slopes take in the place of the marginal one.

Samples are constants: no gradient flows into them, but for `nearest_neighbour_entropy`, which is of samples
alone and is there to move them.
"""

from ebmlearn.objectives._contrastive import conditional_nce, importance_log_z, nce
from ebmlearn.objectives._denoising import denoising_score_matching, multiscale_denoising
from ebmlearn.objectives._likelihood import ml_gap
from ebmlearn.objectives._nearest_neighbour import nearest_neighbour_entropy
from ebmlearn.objectives._posterior import (
    posterior_fisher,
    variational_energy,
    variational_free_energy,
    visited,
)
from ebmlearn.objectives._score_matching import score_matching, sliced_score_matching
from ebmlearn.objectives._stein import kernel_stein_discrepancy
from ebmlearn.objectives._variational import vaes, vages

__all__ = [
    "conditional_nce",
    "denoising_score_matching",
    "importance_log_z",
    "kernel_stein_discrepancy",
    "ml_gap",
    "multiscale_denoising",
    "nce",
    "nearest_neighbour_entropy",
    "posterior_fisher",
    "score_matching",
    "sliced_score_matching",
    "vaes",
    "vages",
    "variational_energy",
    "variational_free_energy",
    "visited",
]
