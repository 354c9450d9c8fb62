"""What the bake-off of chapter 21 is made of: contestants in an arena.

An arena has a target, contestants that learn it, and one judge for all
of them. `bakeoff.py` runs every contestant in every arena.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

Energy = Callable[[Tensor], Tensor]
Watch = Callable[[Callable[[], Energy]], None]
"""Called after each update with a function that gives the energy that
would be judged."""


@dataclass(frozen=True)
class Learned:
    """What a contestant hands to the judge.

    Attributes:
        energy: The energy of its density, of which log Z need not be
            known.
        sample: ``sample(n)`` draws as the method itself draws; None where
            it has no sampler, and the judge runs a chain of MALA.
    """

    energy: Energy
    sample: Callable[[int], Tensor] | None = None


@dataclass(frozen=True)
class Contestant:
    """A learner with its settings.

    Attributes:
        gradients: How many gradients of the net of its density an update
            costs: passes backward at one point, by the point or by the
            weights. 0: it learns by a formula, without updates.
        train: ``train(target, updates, scale, watch)``; ``scale``
            multiplies the learning rates of its recipe.
        budgets: In which of the two contests it takes part.
        tuned: Whether its rates are searched, or stay as documented.
    """

    gradients: float
    train: Callable[[Any, int, float, Watch | None], Learned]
    budgets: tuple[str, ...] = ("gradients", "seconds")
    tuned: bool = True


@dataclass(frozen=True)
class Arena:
    """A target, those who learn it, and the judge.

    Attributes:
        target: What contestants train on: it has ``sample(n)``.
        contestants: By name.
        judge: Numbers of what was learned; None for infinity.
    """

    target: Any
    contestants: dict[str, Contestant]
    judge: Callable[[Learned], dict[str, float | None]]
