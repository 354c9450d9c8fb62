"""Learning energy-based models: energies, samplers, methods and exact checks.

An energy ``E`` maps ``(B, *event)`` to ``(B,)``; low means likely, ``p(x) = exp(-E(x)) / Z``.
"""

import importlib
from types import ModuleType

from ebmlearn import (
    diagnostics,
    energy,
    evaluate,
    methods,
    nets,
    objectives,
    posteriors,
    random,
    sample,
    schedules,
    speed,
    targets,
    testing,
    train,
    unroll,
)
from ebmlearn.energy import grad
from ebmlearn.methods import (
    NCE,
    VAE,
    AlternatingBackprop,
    BiDVL,
    BiSM,
    Classification,
    CoopNets,
    DivergenceTriangle,
    DualMCMC,
    EnergyDiscrepancy,
    ExactLikelihood,
    FisherCritic,
    FlowContrastive,
    LatentPrior,
    MaximumLikelihood,
    MotionRepresentation,
    NeuralTransport,
    ScoreMatching,
    ShortRunGenerator,
    ShortRunInference,
    SymbolVectorCoupling,
    VaGES,
    VariationalTeaching,
    WeightSampler,
)
from ebmlearn.objectives import ml_gap
from ebmlearn.random import seed
from ebmlearn.sample import (
    Chain,
    DataStart,
    NoiseStart,
    ReplayBuffer,
    adapt_step_size,
    gibbs,
    hmc,
    langevin,
    mala,
    positions,
    run,
    ula,
)
from ebmlearn.speed import Speed
from ebmlearn.train import Method, Stopped, fit, load, load_energy, load_net

__version__ = "0.1.0"

# Imported at first use: they need packages that training does not.
_LAZY = ("data", "exercises", "pretrained", "runs", "viz")


def __getattr__(name: str) -> ModuleType:
    if name in _LAZY:
        return importlib.import_module(f"ebmlearn.{name}")
    raise AttributeError(f"module 'ebmlearn' has no attribute {name!r}")


__all__ = [
    "NCE",
    "VAE",
    "AlternatingBackprop",
    "BiDVL",
    "BiSM",
    "Chain",
    "Classification",
    "CoopNets",
    "DataStart",
    "DivergenceTriangle",
    "DualMCMC",
    "EnergyDiscrepancy",
    "ExactLikelihood",
    "FisherCritic",
    "FlowContrastive",
    "LatentPrior",
    "MaximumLikelihood",
    "Method",
    "MotionRepresentation",
    "NeuralTransport",
    "NoiseStart",
    "ReplayBuffer",
    "ScoreMatching",
    "ShortRunGenerator",
    "ShortRunInference",
    "Speed",
    "Stopped",
    "SymbolVectorCoupling",
    "VaGES",
    "VariationalTeaching",
    "WeightSampler",
    "adapt_step_size",
    "data",
    "diagnostics",
    "energy",
    "evaluate",
    "exercises",
    "fit",
    "gibbs",
    "grad",
    "hmc",
    "langevin",
    "load",
    "load_energy",
    "load_net",
    "mala",
    "methods",
    "ml_gap",
    "nets",
    "objectives",
    "positions",
    "posteriors",
    "pretrained",
    "random",
    "run",
    "runs",
    "sample",
    "schedules",
    "seed",
    "speed",
    "targets",
    "testing",
    "train",
    "ula",
    "unroll",
    "viz",
]
