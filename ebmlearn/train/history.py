"""The metrics of a run, step by step, in as little memory as their numbers take."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

ROWS = 64
"""Rows of a history that are numbers, before they are written into its tensors."""


class History:
    """Scalars by name, a row for each step. Tensors grow to twice their size when they are full.

    The newest rows, up to `ROWS`, are Python's numbers: to write one element of a tensor takes about as long
    as to write sixty.

    Args:
        rows: What there is already, each ``(steps,)``.
    """

    def __init__(self, rows: Mapping[str, Tensor] | None = None) -> None:
        self.values = {name: values.cpu().clone() for name, values in (rows or {}).items()}
        self.length = len(next(iter(self.values.values()))) if self.values else 0
        self.kinds = {name: values.dtype for name, values in self.values.items()}
        self.recent: dict[str, list[Any]] = {name: [] for name in self.values}
        self.written = self.length

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """One more row, with the names of those before it."""
        for name, value in metrics.items():
            kind = self.kinds.get(name)
            if kind != value.dtype:
                self.kinds[name] = torch.promote_types(kind or value.dtype, value.dtype)
            # a copy, since a method may write into what it has returned
            self.recent.setdefault(name, []).append(value.item())
        self.length += 1
        if self.length - self.written == ROWS:
            self._write()

    def _write(self) -> None:
        """Move the rows that are numbers into the tensors."""
        if self.written == self.length:
            return
        for name, numbers in self.recent.items():
            kind = self.kinds[name]
            values = self.values.get(name, torch.empty(0, dtype=kind))
            if len(values) < self.length or values.dtype != kind:
                grown = values.new_empty(2 * self.length, dtype=kind)
                grown[: self.written] = values[: self.written]
                self.values[name] = values = grown
            values[self.written : self.length] = torch.tensor(numbers, dtype=kind)
            numbers.clear()
        self.written = self.length

    def tensors(self) -> dict[str, Tensor]:
        """The rows so far, each ``(steps,)``, in memory of their own."""
        self._write()
        return {name: values[: self.length].clone() for name, values in self.values.items()}

    def last(self) -> dict[str, Tensor]:
        """The last row; empty if there is none."""
        self._write()
        return {name: values[self.length - 1] for name, values in self.values.items()} if self.length else {}


def checked(method: Any, found: Any, names: tuple[str, ...] | None) -> dict[str, Tensor]:
    """The metrics of a step as scalars on the CPU; NaN for those that it may leave out and has.

    Args:
        method: The method, for its ``occasional`` metrics and for messages.
        found: What its step returned.
        names: Those of the steps before; None at the first.

    Raises:
        TypeError: If ``found`` is no dict of numbers by name.
        ValueError: If one is no scalar, or they are others than before.
    """
    kind = type(method).__name__
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        what = "None" if found is None else f"a {type(found).__name__}"
        if isinstance(found, dict):
            what = f"a dict with keys {list(found)}"
        raise TypeError(
            f"step of {kind} returned {what}; expected a dict of scalar metrics by name, such as "
            '{"loss": loss.detach()}'
        )
    metrics = {name: _scalar(kind, name, value) for name, value in found.items()}
    if names == tuple(metrics):
        return metrics
    occasional = tuple(method.occasional)
    wanted = names if names is not None else (*metrics, *(n for n in occasional if n not in metrics))
    odd = [n for n in metrics if n not in wanted] + [n for n in wanted if n not in (*metrics, *occasional)]
    if odd:
        raise ValueError(
            f"step of {kind} returned the metrics {', '.join(metrics) or 'none'}; the steps before returned "
            f"{', '.join(wanted)}. Return the same each time, or name in the class those that may be absent: "
            f"occasional = ({', '.join(map(repr, odd))},)"
        )
    return {name: metrics[name] if name in metrics else torch.tensor(math.nan) for name in wanted}


def _scalar(kind: str, name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor) and value.is_cpu and not value.requires_grad:
        tensor = value
    else:
        try:
            tensor = torch.as_tensor(value).detach().cpu()
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"the metric {name!r} of {kind} is a {type(value).__name__}; expected a number or a tensor "
                "of shape ()"
            ) from None
    if tensor.shape != ():
        raise ValueError(
            f"the metric {name!r} of {kind} has shape {tuple(tensor.shape)}; expected a scalar, shape (): "
            "use .mean()"
        )
    if tensor.is_complex():
        raise TypeError(f"the metric {name!r} of {kind} is complex; expected a real number")
    return tensor
