"""What functions refuse: numbers out of their range, and what is no tensor, function or module.

Each message says what was passed, what was expected and, where it is not plain, what to do. A number, a word
or a tensor that is off is a ``ValueError``, a thing of another kind a ``TypeError``. Checks are made where a
function is entered or an object made, and never in the steps of a chain.
"""

import math
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

_RANGES: dict[str, Callable[[float], bool]] = {
    "> 0": lambda v: v > 0,
    ">= 0": lambda v: v >= 0,
    "in (0, 1)": lambda v: 0 < v < 1,
    "in [0, 1)": lambda v: 0 <= v < 1,
    "in [0, 1]": lambda v: 0 <= v <= 1,
    "": lambda v: True,
}


def shown(value: Any) -> str:
    """A value in a message: in short where it is long."""
    if isinstance(value, Tensor):
        kind = f"{str(value.dtype).removeprefix('torch.')} tensor"
        return f"{value.item()} (a {kind})" if value.numel() == 1 else f"a {kind} of shape {(*value.shape,)}"
    if hasattr(value, "__array__") and hasattr(value, "shape") and value.shape != ():
        return f"a numpy array of shape {(*value.shape,)}"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def count(name: str, value: Any, least: int = 1) -> int:
    """A whole number.

    Raises:
        ValueError: If it is none, as 2.0 and True are, or below ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ValueError(f"{name} is {shown(value)}; expected a whole number >= {least}")
    return int(value)


def counts(name: str, values: Any, *, least: int = 1, some: bool = True) -> tuple[int, ...]:
    """Several whole numbers, such as widths or a shape.

    Args:
        name: What messages call them.
        values: The numbers.
        least: The least that each may be.
        some: Whether there must be one at least.

    Raises:
        ValueError: If they are no sequence of such numbers.
    """
    expected = f"expected whole numbers >= {least}{', at least one' if some else ''}, such as (2, 3)"
    if isinstance(values, str | dict | Tensor) or not isinstance(values, Iterable):
        raise ValueError(f"{name} is {shown(values)}; {expected}")
    found = tuple(values)
    if (some and not found) or any(
        isinstance(v, bool) or not isinstance(v, Integral) or int(v) < least for v in found
    ):
        raise ValueError(f"{name} is {shown(values)}; {expected}")
    return tuple(int(v) for v in found)


def number(name: str, value: Any, span: str = "> 0", hint: str = "") -> float:
    """A finite number.

    Args:
        name: What messages call it.
        value: The number; a tensor of shape ``()`` is one, too.
        span: Where it must lie: ``"> 0"``, ``">= 0"``, ``"in (0, 1)"``, ``"in [0, 1)"``, ``"in [0, 1]"`` or,
            for any, ``""``.
        hint: What else to say.

    Raises:
        ValueError: If it is none, not finite, or lies elsewhere.
    """
    plain = value
    if isinstance(value, Tensor) and value.ndim == 0 and value.dtype != torch.bool and not value.is_complex():
        plain = value.item()
    if isinstance(plain, bool) or not isinstance(plain, Real) or not _RANGES[span](float(plain)):
        raise ValueError(f"{name} is {shown(value)}; expected a number{span and f' {span}'}{hint}")
    if not math.isfinite(plain):
        raise ValueError(f"{name} is {shown(value)}; expected a finite number{span and f' {span}'}{hint}")
    return float(plain)


def choice(name: str, value: Any, options: Iterable[Any]) -> None:
    """One of some words or values.

    Raises:
        ValueError: If it is another.
    """
    known = list(options)
    if not any(type(value) is type(option) and value == option for option in known):
        raise ValueError(f"{name} is {shown(value)}; expected one of {', '.join(map(repr, known))}")


def interval(name: str, value: Any) -> tuple[float, float]:
    """Two finite numbers in order.

    Raises:
        ValueError: If they are not.
    """
    try:
        low, high = value
        low, high = number(name, low, ""), number(name, high, "")
        if not low < high:
            raise ValueError
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} is {shown(value)}; expected two finite numbers (low, high) with low < high"
        ) from None
    return low, high


def function(name: str, value: Any, what: str = "a function") -> None:
    """What can be called.

    Raises:
        TypeError: If it cannot.
    """
    if not callable(value):
        raise TypeError(f"{name} is {shown(value)}; expected {what}")


def instance(name: str, value: Any, kind: type, what: str = "") -> None:
    """An object of a class.

    Raises:
        TypeError: If it is of another.
    """
    if not isinstance(value, kind):
        made = "the class itself" if isinstance(value, type) else shown(value)
        raise TypeError(f"{name} is {made}; expected {what or f'an object of {kind.__name__}'}")


def module(name: str, value: Any) -> None:
    """A net, whose parameters can be found.

    Raises:
        TypeError: If it is none, as a function or a class.
    """
    instance(name, value, nn.Module, "a torch.nn.Module, whose parameters can be found")


def generator(value: Any) -> None:
    """A source of random numbers, or None for torch's global one.

    Raises:
        TypeError: If it is anything else, as a seed.
    """
    if value is not None and not isinstance(value, torch.Generator):
        raise TypeError(
            f"generator is {shown(value)}; expected a torch.Generator, such as "
            "torch.Generator().manual_seed(0), or None for the global one"
        )


def draws(n: Any, source: Any) -> None:
    """What functions that draw take: their number ``n`` >= 0, and a generator or None.

    Raises:
        ValueError: If ``n`` is no such number.
        TypeError: If the source is no generator.
    """
    count("n", n, 0)
    generator(source)


def batch(
    name: str, x: Any, *, least: int = 0, event: tuple[int, ...] | None = None, finite: bool = False
) -> None:
    """A batch of floating values, ``(B, *event)`` with at least one axis of event.

    Args:
        name: What messages call it.
        x: The batch.
        least: Rows that it must have.
        event: Shape of an event; None: any.
        finite: Whether its values must be finite.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If its dtype, its shape or a value is off.
    """
    floats(name, x)
    wanted = ("B, *event" if event is None else ", ".join(map(str, ("B", *event)))) if event != () else "B,"
    if x.ndim < 2 if event is None else x.shape[1:] != event:
        hint = f". Of single numbers make {name}[:, None], of one point {name}[None]" if x.ndim < 2 else ""
        raise ValueError(f"{name} has shape {(*x.shape,)}; expected ({wanted}){hint}")
    if len(x) < least:
        raise ValueError(f"{name} has shape {(*x.shape,)}; expected ({wanted}) with B >= {least}")
    if finite and not x.isfinite().all():
        bad = int((~x.isfinite()).reshape(len(x), -1).any(1).sum())
        raise ValueError(f"{bad} of {len(x)} rows of {name} are NaN or infinite; remove them, or mend them")


def floats(name: str, x: Any) -> None:
    """A tensor of floating numbers.

    Raises:
        TypeError: If it is no tensor.
        ValueError: If it is of integers, booleans or complex numbers.
    """
    tensor(name, x)
    if not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype}; expected floating numbers, such as {name}.float()")


def tensor(name: str, x: Any) -> None:
    """A tensor.

    Raises:
        TypeError: If it is none, as a list or an array.
    """
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name} is {shown(x)} ({type(x).__name__}); expected a tensor, such as "
            f"torch.as_tensor({name}, dtype=torch.float32)"
        )


def labels(name: str, y: Any, n_classes: int) -> None:
    """Classes of examples, ``(B,)`` int64 from 0 to ``n_classes - 1``.

    Raises:
        TypeError: If they are no tensor.
        ValueError: If their dtype or shape is off, or a class is out of range.
    """
    tensor(name, y)
    if y.dtype != torch.int64 or y.ndim != 1:
        raise ValueError(f"{name} is a {y.dtype} tensor of shape {(*y.shape,)}; expected torch.int64, (B,)")
    if len(y) and (int(y.min()) < 0 or int(y.max()) >= n_classes):
        raise ValueError(
            f"{name} has classes from {int(y.min())} to {int(y.max())}; expected 0 to {n_classes - 1}, for "
            f"{n_classes} classes"
        )
