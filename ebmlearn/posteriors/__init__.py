"""Posterior families ``q(h|v)``: what stands in for ``p(h|v)`` where a joint energy ``E(v, h)`` has no other.

One ``v`` gets ``n`` draws of ``h``, so ``h`` always has shape ``(n, B, m)``, and a log-probability
``(n, B)``: a missing axis would broadcast in silence elsewhere. Densities in ``h`` are normalised; gradients
flow by ``h``, by ``v`` and by the parameters of the family.
"""

from ebmlearn.posteriors._base import JointEnergy, Posterior, joint_energies
from ebmlearn.posteriors._binary import BernoulliPosterior, BinaryPosterior, ExactPosterior
from ebmlearn.posteriors._gaussian import ConditionalPosterior, GaussianPosterior

__all__ = [
    "BernoulliPosterior",
    "BinaryPosterior",
    "ConditionalPosterior",
    "ExactPosterior",
    "GaussianPosterior",
    "JointEnergy",
    "Posterior",
    "joint_energies",
]
