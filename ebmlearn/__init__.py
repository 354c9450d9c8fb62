"""Learning energy-based models: energies, samplers, methods and exact checks.

An energy ``E`` maps ``(B, *event)`` to ``(B,)``; low means likely, ``p(x) = exp(-E(x)) / Z``.
"""

import importlib
import random
from types import ModuleType

import numpy as np
import torch

from ebmlearn import (
    adapt,
    buffer,
    diagnostics,
    energy,
    evaluate,
    methods,
    nets,
    objectives,
    posteriors,
    sample,
    speed,
    targets,
    train,
    unroll,
)
from ebmlearn.adapt import adapt_step_size
from ebmlearn.buffer import DataStart, NoiseStart, ReplayBuffer
from ebmlearn.energy import grad
from ebmlearn.methods import (
    NCE,
    VAE,
    BiSM,
    CoopNets,
    ExactLikelihood,
    FisherCritic,
    FlowContrastive,
    LatentPrior,
    MaximumLikelihood,
    ScoreMatching,
    ShortRunGenerator,
    ShortRunInference,
    VaGES,
)
from ebmlearn.objectives import ml_gap
from ebmlearn.sample import gibbs, hmc, langevin, mala, positions, run, ula
from ebmlearn.speed import Speed
from ebmlearn.train import fit

__version__ = "0.1.0"

# Imported at first use: they need packages that training does not.
_LAZY = ("data", "viz")


def seed(value: int) -> torch.Generator:
    """Seed Python, numpy and torch; call it at the top of a script or chapter.

    Args:
        value: The seed, in 0 … 2³² - 1.

    Returns:
        A torch generator with the same seed, for functions that take ``generator=``.
    """
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return torch.Generator().manual_seed(value)


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"ebmlearn.{name}")
    raise AttributeError(f"module 'ebmlearn' has no attribute {name!r}")


__all__ = [
    "NCE",
    "VAE",
    "BiSM",
    "CoopNets",
    "DataStart",
    "ExactLikelihood",
    "FisherCritic",
    "FlowContrastive",
    "LatentPrior",
    "MaximumLikelihood",
    "NoiseStart",
    "ReplayBuffer",
    "ScoreMatching",
    "ShortRunGenerator",
    "ShortRunInference",
    "Speed",
    "VaGES",
    "adapt",
    "adapt_step_size",
    "buffer",
    "data",
    "diagnostics",
    "energy",
    "evaluate",
    "fit",
    "gibbs",
    "grad",
    "hmc",
    "langevin",
    "mala",
    "methods",
    "ml_gap",
    "nets",
    "objectives",
    "positions",
    "posteriors",
    "run",
    "sample",
    "seed",
    "speed",
    "targets",
    "train",
    "ula",
    "unroll",
    "viz",
]
