"""Seconds on one core until a learned density is within 0.1 and 0.05 nats of the true one.

    python tests/benchmarks/truth.py [--out book/truth.json] [--jobs 2] [--cap 20] [--seeds 5] [--only WORD ...]

Each run is a process of its own on a core of its own, with one thread: a target, a learner (``learners.py``)
and a seed. After updates 10, 11, ... (each count about 5 % above the last) the clock stands still, and
``KL(target ‖ model)`` is computed by quadrature on one grid for all. The clock counts training only: batches,
updates, schedules and averages. The first update does not count, since chains compile in it; its seconds are
kept. A bound is reached at the first evaluation below it after which the next two are below it, too, because
one dip of a noisy curve is no result. A run ends with the lower bound, the end of its schedule, or the cap.

The file is written anew after each run, and a second call goes on with the runs that it lacks. It is one
object:

``date``
    Day of the last run, as 2026-11-21.
``machine``, ``versions``
    As in ``run_all.py``.
``cap``
    Seconds of training after which a run ends.
``rows``
    A row for each run: ``target``, ``package``, ``settings``, ``learner``, ``seed``; ``seconds_010`` and
    ``seconds_005``, when 0.1 and 0.05 nats were reached, and ``updates_010`` and ``updates_005``, after how
    many updates, all four null where they were not; ``best``, the least divergence that was seen, in nats,
    null where none was finite; ``updates`` and ``seconds`` in all; ``first``, the seconds of the first
    update; ``end``, which is "reached", "schedule", "cap" or "diverged".
"""

import argparse
import datetime
import itertools
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from timing import pin

BOUNDS = {"010": 0.1, "005": 0.05}
STAYS = 2  # evaluations after the first below a bound
TARGETS = ("T4", "8 Gaussians")
GRID = {"box": (-10, 10), "n": 150}
FIELDS: dict[str, tuple[type, ...]] = {
    "target": (str,),
    "package": (str,),
    "settings": (str,),
    "learner": (str,),
    "seed": (int,),
    "seconds_010": (float, type(None)),
    "seconds_005": (float, type(None)),
    "updates_010": (int, type(None)),
    "updates_005": (int, type(None)),
    "best": (float, type(None)),
    "updates": (int,),
    "seconds": (float,),
    "first": (float,),
    "end": (str,),
}
KEY = ("target", "package", "settings", "learner", "seed")


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
        cap: Seconds of training.
        clock: Gives seconds.
    """

    def __init__(
        self, divergence: Callable[..., float], cap: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.divergence, self.cap, self.clock = divergence, cap, clock
        self.updates, self.seconds, self.first = 0, 0.0, math.nan
        self.curve: list[tuple[int, float, float]] = []
        self.due = evaluations()
        self.next = next(self.due)
        self.begun = clock()

    def __call__(self, energy: Callable) -> None:
        passed = self.clock() - self.begun
        self.updates += 1
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

    def when(self, bound: float) -> tuple[int, float] | None:
        """Updates and seconds at which a bound was reached."""
        i = reached([nats for _, _, nats in self.curve], bound)
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


def run(key: tuple, cap: float, clock: Callable[[], float] = time.perf_counter) -> dict:
    """Train one learner on one target with one seed; a row."""
    import torch
    from learners import LEARNERS

    import ebmlearn
    from ebmlearn.evaluate import exact
    from ebmlearn.recipes import plane

    torch.set_num_threads(1)
    target_name, *learner, seed = key
    target, grid = plane.TARGETS[target_name](), exact.Grid(**GRID)

    def divergence(energy: Callable) -> float:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", exact.LeakWarning)  # without a reference, mass is everywhere
            if not energy(grid.points).isfinite().all():
                return math.inf
            return exact.kl(target, energy, grid).value

    ebmlearn.seed(seed)
    watch = Watch(divergence, cap, clock)
    end = "schedule"
    try:
        LEARNERS[tuple(learner)](target, watch)
    except Enough as enough:
        end = str(enough)
    except FloatingPointError:
        end = "diverged"
    return dict(zip(KEY, key, strict=True)) | watch.row() | {"end": end}
