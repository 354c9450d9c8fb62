"""What the networks share."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn


def hidden_layers(sizes: Sequence[int], activation: Callable[[], nn.Module]) -> list[nn.Module]:
    """Linear layers from each size to the next, with an activation after each."""
    return [part for n_in, n_out in pairwise(sizes) for part in (nn.Linear(n_in, n_out), activation())]
