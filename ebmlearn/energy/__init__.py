"""Energies: what the whole package is about, in one signature.

An energy is any callable ``E`` that maps a batch ``x`` of shape ``(B, *event)`` to ``(B,)``. Low is likely:
``p(x) = exp(-E(x)) / Z``. A network, a lambda and the closed forms below are all energies. The closed forms
also know ``log Z`` and how to draw independent samples: they are the exact answers that learned energies
are held to.
"""

from ebmlearn.energy.base import Energy, ExactEnergy, energy_at, grad
from ebmlearn.energy.gaussian import Gaussian, GaussianMixture
from ebmlearn.energy.grbm import GRBM
from ebmlearn.energy.shapes import DoubleWell, Ring

__all__ = [
    "GRBM",
    "DoubleWell",
    "Energy",
    "ExactEnergy",
    "Gaussian",
    "GaussianMixture",
    "Ring",
    "energy_at",
    "grad",
]
