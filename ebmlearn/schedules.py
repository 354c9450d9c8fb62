"""Schedules: settings that change, as functions of a step number from 0.

A learning rate takes the number of updates of its optimiser, a step size or a noise scale the number of the
step in a chain. Any function of the number will do; these are the ones that recur.
"""

from collections.abc import Callable
from functools import partial

from ebmlearn import check

Schedule = Callable[[int], float]
"""Function of the step number, from 0, that gives the value of a setting at this step."""


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
    """A schedule as text, by some of its values: code cannot be compared, values can."""

    def value(t: int) -> str:
        try:
            return f"{schedule(t):.6g}"
        except (LookupError, ArithmeticError, ValueError):  # past the run's last step: a table ends
            return "undefined"

    return ", ".join(f"{t}: {value(t)}" for t in (0, 1, 10, 100, 1000, 10_000))


def _linear(start: float, steps: int, end: float, t: int) -> float:
    if t > steps:
        raise ValueError(
            f"a linear schedule of {steps} steps was asked for its value at step {t}; give it more steps. A "
            "learning rate counts the updates of its own optimiser, which may make several in an iteration."
        )
    return start * (1 - t / steps) + end * (t / steps)


def _inverse(start: float, steps: float, t: int) -> float:
    return start / (1 + t / steps)
