"""What ``python -m ebmlearn`` does, as functions: each prints what it has to say."""

from ebmlearn.commands._gpu import measured
from ebmlearn.commands._plot import plot
from ebmlearn.commands._results import GRID, evaluate, sample
from ebmlearn.commands._show import list_recipes, show
from ebmlearn.commands._train import TIMEOUT, train

__all__ = ["GRID", "TIMEOUT", "evaluate", "list_recipes", "measured", "plot", "sample", "show", "train"]
