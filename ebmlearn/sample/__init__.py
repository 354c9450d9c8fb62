"""Markov chain Monte Carlo: kernels, and the one loop that runs them.

A kernel is a pair of functions, ``init(x) -> State`` and ``step(state) -> (State, Info)``; `run` repeats
the step. Langevin dynamics is written everywhere as

    x ← x - (s²/2) ∇E(x) + σ ε,    ε ~ N(0, I),

with step size ``s`` and noise scale ``σ``. It samples ``exp(-E/T)`` at temperature ``T = (σ/s)²``: only ``σ
= s``, the default, samples the energy's own density. Every kernel says its temperature.

A kernel is made by a function of an energy and keyword settings: `ula`, `mala`, `hmc`, `gibbs`, a file each.
"""

from ebmlearn.sample._gibbs import GibbsEnergy, gibbs
from ebmlearn.sample._hmc import hmc
from ebmlearn.sample._kernel import Info, Kernel, MakeKernel, Parts, State
from ebmlearn.sample._mala import mala
from ebmlearn.sample._refuse import Bounds, langevin_schedules
from ebmlearn.sample._run import evaluation_mode, langevin, run
from ebmlearn.sample._ula import ula
from ebmlearn.sample.adapt import adapt_step_size
from ebmlearn.sample.chain import Chain
from ebmlearn.sample.keep import positions
from ebmlearn.sample.start import DataStart, NoiseStart, ReplayBuffer, Start

__all__ = [
    "Bounds",
    "Chain",
    "DataStart",
    "GibbsEnergy",
    "Info",
    "Kernel",
    "MakeKernel",
    "NoiseStart",
    "Parts",
    "ReplayBuffer",
    "Start",
    "State",
    "adapt_step_size",
    "evaluation_mode",
    "gibbs",
    "hmc",
    "langevin",
    "langevin_schedules",
    "mala",
    "positions",
    "run",
    "ula",
]
