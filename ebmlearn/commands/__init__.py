"""What ``python -m ebmlearn`` does, as functions: each prints what it has to say."""

from ebmlearn.commands._plot import plot
from ebmlearn.commands._results import GRID, evaluate, sample
from ebmlearn.commands._show import list_recipes, show
from ebmlearn.commands._train import train

__all__ = ["GRID", "evaluate", "list_recipes", "plot", "sample", "show", "train"]
