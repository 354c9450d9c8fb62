"""A measured number with its spread and its bound."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

HERE = "this notebook"
"""What holds a number that the chapter itself computes."""


@dataclass(frozen=True)
class Measured:
    """A number that was measured, its spread, and the bound that it must keep.

    Several values are shown as their mean and range. The bound holds for each of them unless ``holds_for``
    says otherwise, and never for NaN or infinity, which fail without a bound as well. A contrast (a
    difference, a ratio) is a number of its own, value by value where the runs are paired.

    Args:
        label: What the number is; empty if the text of the row says it.
        value: A number; several, one for each run (a sequence, an array or a tensor); or an estimate with
            ``value`` and ``error``, as those by quadrature. Kept as a tuple; whole numbers stay whole.
        unit: Such as ``"nats"``.
        above: The number must be larger. None: no such bound.
        below: The number must be smaller. None: no such bound.
        holds_for: What keeps the bound: ``"each"`` value, the ``"mean"``, or at least this many values.
        error: An absolute error that is shown after ±, for a single value.
        held_by: What computes the number and fails if it moves: this notebook, a file of results
            (``"book/anomaly_mnist.json"``), or a test (``"tests/test_x.py::test_y"``).
        digits: Significant digits that are shown, >= 1; at least one decimal below 100.

    Raises:
        TypeError: If a value is no number.
        ValueError: If there is no value, or the arguments contradict each other.
    """

    label: str
    value: Any
    unit: str = ""
    above: float | None = None
    below: float | None = None
    holds_for: Literal["each", "mean"] | int = "each"
    error: float | None = None
    held_by: str = HERE
    digits: int = 2

    def __post_init__(self) -> None:
        value, error, k = self.value, self.error, self.holds_for
        if hasattr(value, "value") and hasattr(value, "error"):
            value, error = value.value, value.error if error is None else error
        values = _flat(value, self.label)
        if not values:
            raise ValueError(f"{self.label!r} has no value; pass a number, or one for each run")
        if error is not None and len(values) > 1:
            raise ValueError(
                f"{self.label!r} has {len(values)} values, which show their range; drop the error"
            )
        if any(b is not None and not math.isfinite(b) for b in (self.above, self.below)):
            raise ValueError(f"{self.label!r}: a bound must be finite; leave it out for none")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"{self.label!r}: above={self.above} must be less than below={self.below}")
        if k not in ("each", "mean") and not (type(k) is int and 1 <= k <= len(values)):
            raise ValueError(
                f"holds_for is {k!r}; pass 'each', 'mean' or a number of runs, 1 … {len(values)}"
            )
        if not self.held_by.strip() or self.digits < 1:
            raise ValueError(f"{self.label!r}: held_by must name something, and digits be >= 1")
        object.__setattr__(self, "value", values)
        object.__setattr__(self, "error", None if error is None else float(error))

    @property
    def bounded(self) -> bool:
        """Is there a bound?"""
        return self.above is not None or self.below is not None

    @property
    def held(self) -> bool:
        """Are the values that must be finite and inside the bound?"""
        tried = [sum(self.value) / len(self.value)] if self.holds_for == "mean" else self.value
        inside = [
            math.isfinite(v)
            and (self.above is None or v > self.above)
            and (self.below is None or v < self.below)
            for v in tried
        ]
        return sum(inside) >= (self.holds_for if isinstance(self.holds_for, int) else len(tried))

    @property
    def must_be(self) -> str:
        """The bound in words, such as ``below 0.7 in 4 of 5``; empty without one."""
        if not self.bounded:
            return ""
        if self.above is None:
            text = f"below {self.below:g}"
        elif self.below is None:
            text = f"above {self.above:g}"
        else:
            text = f"{self.above:g} to {self.below:g}"
        if self.holds_for == "mean":
            return f"{text} on average"
        return text if self.holds_for == "each" else f"{text} in {self.holds_for} of {len(self.value)}"

    def __str__(self) -> str:
        """The number in words, such as ``end: 0.56 nats (mean of 3; 0.48 to 0.61)``."""
        n = len(self.value)
        text = _rounded(sum(self.value) / n if n > 1 else self.value[0], self.digits)
        text += "" if self.error is None else f" ± {_rounded(self.error, 1)}"
        text += f" {self.unit}" if self.unit else ""
        if n > 1:
            order = sorted(self.value, key=lambda v: (math.isnan(v), v))
            text += f" (mean of {n}; {_rounded(order[0], self.digits)} to {_rounded(order[-1], self.digits)})"
        return f"{self.label}: {text}" if self.label else text

    def row(self) -> dict[str, Any]:
        """All of it as JSON has it; JSON has no NaN, so that such values become text."""
        fields = asdict(self)
        fields["values"] = [v if math.isfinite(v) else str(v) for v in fields.pop("value")]
        return fields | {"held": self.held, "shown": str(self), "must_be": self.must_be}


def _flat(value: Any, label: str) -> tuple[float, ...]:
    """The numbers in a value."""
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        value = torch.as_tensor(value).detach().flatten().tolist()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, (str, bool)) or not hasattr(value, "__iter__"):
        raise TypeError(f"{label!r} is {value!r}; pass the number that is compared, or one for each run")
    return tuple(v for part in value for v in _flat(getattr(part, "value", part), label))


def _rounded(value: float, digits: int) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size < 6:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(digits - 1 - size, int(size < 2))}f}"
