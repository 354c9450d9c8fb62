"""Where the time of a training update goes: chain, loss, update, and what `fit` itself costs.

    python tests/benchmarks/updates.py [--repeats 5]

``chain`` is all of the calls of a `Chain`. ``update`` is `Method.update`: backward pass, optimiser, average
of the weights, and whether the loss is finite. ``loss`` is the rest of a method's step: its forward passes,
starts, noise, metrics. ``data`` is the function that draws the batches, where the data are one. ``fit`` is
what else happens outside of the step: a batch of a tensor, checks, metrics, history, signals. No checkpoint
is written. They are shares of one whole, from the first step of a run to its last, and add up to one.

The methods are those of the plane (200 points a batch) and of images (64 of 28 x 28). Two more rows show
`fit` alone, around a step that waits for 1 ms. Where there are two cores each row is taken with one thread
and with two; ``ratio`` is the time of the whole to that with one.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import timing
import torch
import training
from torch import Tensor, nn

from ebmlearn.methods import LatentPrior
from ebmlearn.nets import MLPEnergy
from ebmlearn.recipes import plane
from ebmlearn.sample import Chain
from ebmlearn.train import Method, fit

PARTS = ("chain", "loss", "update", "data", "fit")
OF_IMAGES = (
    "maximum likelihood, persistent",
    "cooperative learning",
    "latent prior",
    "denoising score matching",
    "NCE",
)
OF_THE_PLANE = (
    "persistent chains",
    "cooperative learning",
    "score matching",
    "denoising score matching",
    "noise-contrastive estimation",
)


class Wait(Method):
    """A method whose step only takes time."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.net, self.seconds = nn.Linear(2, 1), seconds

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            pass
        return {"loss": torch.zeros(()), "displacement": torch.ones(())}


class Case(NamedTuple):
    """A method, its data, and the updates in a run of it."""

    scale: str
    name: str
    method: Method
    data: Any
    batch_size: int
    steps: int


def cases() -> list[Case]:
    """What is measured."""
    target = plane.TARGETS["T4"]()
    found = [
        Case("plane", name, plane.PLANE[name].make(target, 10_000), target.sample, 200, 41)
        for name in OF_THE_PLANE
    ]
    latent = LatentPrior(
        MLPEnergy(2, (64, 64), reference_std=1.0),
        plane.generator(),
        prior_chain=plane.CHAIN,
        posterior_chain=plane.CHAIN,
    )
    found.append(Case("plane", "latent prior", latent, target.sample, 200, 41))
    x = torch.rand(1000, *training.SHAPE) * 2 - 1
    known = training.cases()
    found += [Case("28 x 28", name, known[name].method, x, training.BATCH, 5) for name in OF_IMAGES]
    points = torch.randn(10_000, 2)
    alone = {"points in a tensor": points, "points of a function": target.sample}
    for name, data in alone.items():
        found.append(Case("fit alone", f"a step of 1 ms, {name}", Wait(1e-3), data, 200, 401))
    return found


class Clock:
    """Adds up the seconds of parts of a run.

    Args:
        now: What tells the time.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.seconds = {"chain": 0.0, "update": 0.0, "step": 0.0, "data": 0.0}
        self.starts: list[dict[str, float]] = []

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts as that of a part."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            begin = self.now()
            if part == "step":
                self.starts.append({"whole": begin, **self.seconds})
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += self.now() - begin

        return wrapper

    @contextmanager
    def watching(self, kind: type[Method]) -> Iterator[None]:
        """Inside, the chains, updates and steps of a kind of method are timed."""
        with (
            mock.patch.object(Chain, "__call__", self.timed("chain", Chain.__call__)),
            mock.patch.object(Method, "update", self.timed("update", Method.update)),
            mock.patch.object(kind, "step", self.timed("step", kind.step)),
        ):
            yield

    def split(self) -> dict[str, float]:
        """Seconds of each part of an update, the mean from the first step's start to the last's."""
        first, last, n = self.starts[0], self.starts[-1], len(self.starts) - 1
        taken = {name: (last[name] - first[name]) / n for name in first}
        return {
            "chain": taken["chain"],
            "loss": taken["step"] - taken["chain"] - taken["update"],
            "update": taken["update"],
            "data": taken["data"],
            "fit": taken["whole"] - taken["step"] - taken["data"],
        }


def measure(case: Case, clock: Clock, hooks: Sequence[Any] = ()) -> dict[str, float]:
    """Seconds of each part of an update of a case."""
    data = clock.timed("data", case.data) if callable(case.data) else case.data
    with clock.watching(type(case.method)):
        fit(case.method, data, steps=case.steps, batch_size=case.batch_size, hooks=hooks, progress=False)
    return clock.split()


def table(repeats: int = 5, now: Callable[[], float] = time.perf_counter) -> list[dict]:
    """Rows ``scale, name, threads, us, ratio, chain, loss, update, data, fit``."""
    torch.manual_seed(0)
    known = cases()
    counts = (1, 2) if len(timing.CORES) > 1 else (1,)
    entries = [(i, n) for i in range(len(known)) for n in counts]
    found: dict[tuple[int, int], list[dict[str, float]]] = {entry: [] for entry in entries}
    for _ in range(repeats + 1):  # the first round warms up
        entries.append(entries.pop(0))
        for i, n in entries:
            with timing.threads(n):
                found[i, n].append(measure(known[i], Clock(now)))
    return [row(known[i], n, found[i, n][1:], found[i, 1][1:]) for i, n in sorted(found)]


def row(case: Case, threads: int, rounds: list[dict[str, float]], alone: list[dict[str, float]]) -> dict:
    """A row from the rounds of a case, and from those with one thread."""
    wholes = [sum(parts.values()) for parts in rounds]
    ratio = timing.ratio(wholes, [sum(parts.values()) for parts in alone])
    shares = {part: sum(parts[part] for parts in rounds) / sum(wholes) for part in PARTS}
    us = 1e6 * statistics.median(wholes)
    return {"scale": case.scale, "name": case.name, "threads": threads, "us": us, "ratio": ratio, **shares}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--busy", action="store_true", help="count the time of the processor, to look only")
    args = parser.parse_args()
    print(f"torch {torch.__version__}, {len(timing.CORES)} cores; shares of the whole, and what fit costs")
    for found in table(args.repeats, time.process_time if args.busy else time.perf_counter):
        shares = ", ".join(f"{part} {found[part]:.3f}" for part in PARTS)
        print(
            "{scale:10} {name:38} {threads} threads {us:10.1f} us {ratio:5.2f};".format(**found),
            f"{shares}; fit {found['us'] * found['fit']:.1f} us",
        )


if __name__ == "__main__":
    main()
