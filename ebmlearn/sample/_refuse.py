"""What kernels refuse: schedules, bounds and starts out of range, and chains that are no longer finite."""

from numbers import Real

from torch import Tensor

from ebmlearn.check import floats, number, shown
from ebmlearn.schedules import Schedule

Bounds = tuple[float, float]
"""Lowest and highest value of every coordinate."""

LARGEST = 1.8e19
"""Of a step size: float32 still holds its square."""

_ADVICE = (
    "The step is too large for this energy, or the energy itself is not finite: lower step_size, bound the "
    "energy's slope (smaller learning rate, a Gaussian reference term) or start the chains nearer to the "
    "data."
)


def check_finite(value: Tensor, what: str, allow_inf: bool = False, advice: str = _ADVICE) -> None:
    bad = value.isnan() if allow_inf else ~value.isfinite()
    if bad.any():
        n = int(bad.reshape(len(value), -1).any(1).sum())
        raise FloatingPointError(f"{what} ({n} of {len(value)} chains). {advice}")


def make_schedule(name: str, value: float | Schedule, *, positive: bool) -> Schedule:
    """A number or a schedule as a schedule whose values are checked when it is asked."""
    span = "> 0" if positive else ">= 0"

    def at(t: int) -> float:
        v = schedule(t)
        if not isinstance(v, float | Real | Tensor) or not (v > 0 if positive else v >= 0) or v >= LARGEST:
            raise ValueError(f"{name} is {shown(v)} at step {t}; expected a number {span}, below {LARGEST:g}")
        return float(v)

    if callable(value):
        schedule = value
        return at
    constant = number(name, value, span, hint=", or a schedule")
    if constant >= LARGEST:
        raise ValueError(f"{name} is {value}, whose square float32 cannot hold; expected a number {span}")
    return lambda t: constant


def langevin_schedules(
    step_size: float | Schedule, noise_scale: float | Schedule | None
) -> tuple[Schedule, Schedule, Schedule]:
    """Step size, noise scale and temperature of Langevin dynamics, as schedules that check their values.

    Args:
        step_size: ``s`` > 0, or a schedule of the step number.
        noise_scale: ``σ`` >= 0, or a schedule; None: ``s``.

    Raises:
        ValueError: If a value is out of its range; of a schedule when it is asked.
    """
    size = make_schedule("step_size", step_size, positive=True)
    noise = size if noise_scale is None else make_schedule("noise_scale", noise_scale, positive=False)
    return size, noise, lambda t: (noise(t) / size(t)) ** 2


def check_bounds(bounds: Bounds, name: str = "bounds") -> Bounds:
    try:
        low, high = bounds
        in_order = not isinstance(low, str) and bool(low < high)
    except (TypeError, ValueError, RuntimeError):
        in_order = False
    if not in_order:
        raise ValueError(f"{name} are {shown(bounds)}; expected (low, high) with low < high")
    return low, high


def check_start(x: Tensor) -> None:
    """Refuse where no chain by gradients can start.

    Raises:
        TypeError: If ``x`` is no tensor.
        ValueError: If it is not of float32 or float64.
    """
    floats("x", x)
    if x.element_size() < 4:
        raise ValueError(
            f"x is {x.dtype}, in which a chain drifts, since most of a small step is rounded away: start at "
            'x.float(). Energies may be computed in bfloat16: Speed(precision="bf16").'
        )
