"""Schedules: settings that change, as functions of a step number from 0.

A learning rate takes the number of updates of its optimiser, a step size or a noise scale the number of the
step in a chain. Any function of the number will do; these are the ones that recur.
"""

import functools
import hashlib
from collections.abc import Callable
from functools import partial

from ebmlearn import check

Schedule = Callable[[int], float]
"""Function of the step number, from 0, that gives the value of a setting at this step."""


def constant(value: float) -> Schedule:
    """The same ``value`` at every step."""
    return partial(_constant, float(value))


def linear(start: float, steps: int, end: float = 0.0) -> Schedule:
    """From ``start`` at step 0 in a straight line to ``end`` at step ``steps``.

    There is no value past ``steps``. An optimiser that makes several updates in an iteration must be given as
    many more steps, and is told so by the error.

    Raises:
        ValueError: If ``steps`` < 1, or ``start`` or ``end`` is no finite number; of the schedule: if it is
            asked past its end.
    """
    start, end = check.number("start", start, ""), check.number("end", end, "")
    return partial(_linear, start, check.count("steps", steps), end)


def inverse(start: float, steps: float) -> Schedule:
    """``start / (1 + t / steps)``: half of ``start`` at step ``steps``; it never ends.

    A learning rate that falls so meets the conditions of Robbins and Monro (1951) for convergence.

    Raises:
        ValueError: If ``steps`` is not positive, or ``start`` no finite number.
    """
    return partial(_inverse, check.number("start", start, ""), check.number("steps", steps))


def describe_schedule(schedule: Schedule) -> str:
    """A schedule as text, by its values: code cannot be compared, values can.

    A few are shown, and a checksum of some 5,000 up to step 10,000,000: of all to step 1,000, then of
    one in 1/500 of the step. One value is shown where all are the same.
    """

    def value(t: int) -> str:
        try:
            return f"{schedule(t):.6g}"
        except (LookupError, ArithmeticError, ValueError):  # past the run's last step: a table ends
            return "undefined"

    values = [*map(value, _steps())]
    if len({*values}) == 1:
        return f"{values[0]} at every step"
    shown = {t: value(t) for t in (0, 1, 10, 100, 1000, 10_000)}
    every = ",".join(values)
    text = ", ".join(f"{t}: {v}" for t, v in shown.items())
    return f"{text}, ... {hashlib.sha256(every.encode()).hexdigest()[:8]}"


@functools.cache
def _steps() -> list[int]:
    steps = [*range(1000), 1000]
    while steps[-1] < 10**7:
        steps.append(steps[-1] + max(1, steps[-1] // 500))
    return steps


def _constant(value: float, t: int) -> float:
    return value


def _linear(start: float, steps: int, end: float, t: int) -> float:
    if t > steps:
        raise ValueError(
            f"a linear schedule of {steps} steps was asked for its value at step {t}; give it more steps. A "
            "learning rate counts the updates of its own optimiser, which may make several in an iteration."
        )
    return start * (1 - t / steps) + end * (t / steps)


def _inverse(start: float, steps: float, t: int) -> float:
    return start / (1 + t / steps)
