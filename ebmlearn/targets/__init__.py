"""Densities in the plane with an exact log-density and an exact sampler: the data sets of the 2-D chapters.

Every function returns an `ebmlearn.energy.ExactEnergy`: call it for the energy, and use its ``log_prob``,
``score``, ``sample`` and ``log_z``. Besides, it has ``box = (low, high)``: all but about 1e-9 of the mass is
in the square ``[low, high]²``, which is what a quadrature grid or a plot needs. `correlated_gaussian` and
`funnel` exist in more dimensions too; their box is then a cube. `phrase_book` is a language, no density: its
``x`` are sentences; it has an exact entropy, no score and no box. `topic_corpus` (counts of words) and
`mixed_table` (numbers and yes or no) have labels and an exact ``p(y|x)``, no score and no box either.

Buffers are made in torch's default dtype; ``.double()`` and ``.to(device)`` work as on any module.

Example:
    >>> import torch
    >>> from ebmlearn import targets
    >>> target = targets.eight_gaussians()
    >>> x = target.sample(5, torch.Generator().manual_seed(0))
    >>> x.shape, target.log_prob(x).shape
    (torch.Size([5, 2]), torch.Size([5]))
    >>> target.box
    (-3.625, 3.625)
"""

from ebmlearn.targets.closed_form import checkerboard, pinwheel, rings
from ebmlearn.targets.mixtures import (
    eight_gaussians,
    four_weighted_gaussians,
    swiss_roll,
    twenty_five_gaussians,
    two_moons,
)
from ebmlearn.targets.phrases import phrase_book
from ebmlearn.targets.stiff import banana, correlated_gaussian, funnel
from ebmlearn.targets.table import mixed_table
from ebmlearn.targets.topics import topic_corpus

__all__ = [
    "banana",
    "checkerboard",
    "correlated_gaussian",
    "eight_gaussians",
    "four_weighted_gaussians",
    "funnel",
    "mixed_table",
    "phrase_book",
    "pinwheel",
    "rings",
    "swiss_roll",
    "topic_corpus",
    "twenty_five_gaussians",
    "two_moons",
]
