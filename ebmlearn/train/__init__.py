"""Training: what a method is, the one loop that trains it, and what survives a crash.

`Method` is what every learning method is: nets, optimisers and one ``step``. `fit` repeats the step. A run's
folder holds whole sets of checkpoints, with which it goes on bit for bit.
"""

from ebmlearn.train.batch import Batch
from ebmlearn.train.data import BatchSize, Data, checksum
from ebmlearn.train.fit import Hook, fit, load
from ebmlearn.train.method import Method, OptimizerFactory
from ebmlearn.train.ranks import RankLost
from ebmlearn.train.reuse import load_energy, load_net
from ebmlearn.train.signals import Stopped

__all__ = [
    "Batch",
    "BatchSize",
    "Data",
    "Hook",
    "Method",
    "OptimizerFactory",
    "RankLost",
    "Stopped",
    "checksum",
    "fit",
    "load",
    "load_energy",
    "load_net",
]
