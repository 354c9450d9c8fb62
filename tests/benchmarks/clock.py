"""The clock of a run that is judged as it goes: it counts training, and stands still for the judge."""

import math
import time
from collections.abc import Callable, Iterator, Sequence

BOUNDS = {"010": 0.1, "005": 0.05}
"""Divergences to reach, in nats, under the names that the fields of a row end in."""

STAYS = 2
"""So many evaluations after the first below a bound must be below it, too."""


class Enough(Exception):
    """Ends a run from within its hook."""


def evaluations(growth: float = 1.05) -> Iterator[int]:
    """Numbers of updates after which the divergence is computed."""
    n = 10
    while True:
        yield n
        n = max(n + 1, round(growth * n))


def reached(values: Sequence[float], bound: float) -> int | None:
    """Index of the first value below a bound after which the next two are below it; None if there is none."""
    for i in range(len(values) - STAYS):
        if max(values[i : i + 1 + STAYS]) < bound:
            return i
    return None


class Watch:
    """The clock of a run; called after each update with the energy to judge, it evaluates and ends the run.

    Args:
        divergence: Of an energy, in nats; inf where it has none.
        cap: Seconds of training after which the run ends.
        clock: Gives seconds.

    Raises:
        Enough: When the lower bound is reached, or the cap.
    """

    def __init__(
        self, divergence: Callable[..., float], cap: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.divergence, self.cap, self.clock = divergence, cap, clock
        self.updates, self.seconds, self.first = 0, 0.0, math.nan
        self.curve: list[tuple[int, float, float]] = []
        self.energy: Callable | None = None
        self.ended = False
        self.due = evaluations()
        self.next = next(self.due)
        self.begun = clock()

    def __call__(self, energy: Callable) -> None:
        passed = self.clock() - self.begun
        self.energy, self.updates = energy, self.updates + 1
        if self.updates == 1:
            self.first = passed
        else:
            self.seconds += passed
        if self.updates == self.next or self.seconds >= self.cap:
            self.next = next(self.due)
            self.curve.append((self.updates, self.seconds, self.divergence(energy)))
            if self.when(min(BOUNDS.values())) is not None:
                raise Enough("reached")
            if self.seconds >= self.cap:
                raise Enough("cap")
        self.begun = self.clock()

    def finish(self) -> None:
        """Judge the last energy of a run that ended by itself: nothing moves after it."""
        self.ended = True
        if self.energy is not None and (not self.curve or self.curve[-1][0] < self.updates):
            self.curve.append((self.updates, self.seconds, self.divergence(self.energy)))

    def when(self, bound: float) -> tuple[int, float] | None:
        """Updates and seconds at which a bound was reached."""
        values = [nats for _, _, nats in self.curve]
        i = reached(values + values[-1:] * (STAYS if self.ended else 0), bound)
        return None if i is None else self.curve[i][:2]

    def row(self) -> dict:
        """What it saw, in the fields of a row."""
        found: dict = {}
        for name, bound in BOUNDS.items():
            at = self.when(bound)
            found[f"updates_{name}"], found[f"seconds_{name}"] = at if at is not None else (None, None)
        finite = [nats for _, _, nats in self.curve if math.isfinite(nats)]
        return found | {
            "best": min(finite, default=None),
            "updates": self.updates,
            "seconds": self.seconds,
            "first": self.first,
        }
