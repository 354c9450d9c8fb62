"""Times of several things in one process, taken in turn."""

import os
import statistics
import time
from collections.abc import Callable


def pin(index: int = 0) -> int:
    """Bind this process, and the processes it starts, to one core; return the number of cores left to it.

    A limit on threads does not bind every library: unpinned, XLA took nearly two cores in spite of its flags.
    Call it before a library starts threads, because a running thread keeps its own set.
    Where the system cannot bind (macOS, Windows), nothing changes and the return value says so.

    Args:
        index: which of the cores this process may use, counted modulo their number.
    """
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})
    return len(os.sched_getaffinity(0))


def in_turn(entries: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each entry in each round. A first round warms up and does not count.

    A machine's speed drifts: what is to be compared runs in one round, and nobody always in the same place.
    """
    seconds: dict[str, list[float]] = {name: [] for name in entries}
    order = list(entries)
    for _ in range(repeats + 1):
        order.append(order.pop(0))
        for name in order:
            begin = time.perf_counter()
            entries[name]()
            seconds[name].append(time.perf_counter() - begin)
    return {name: times[1:] for name, times in seconds.items()}


def ratio(times: list[float], unit: list[float]) -> float:
    """Median over rounds of ``times / unit``."""
    return statistics.median(t / u for t, u in zip(times, unit, strict=True))
