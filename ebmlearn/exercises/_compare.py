"""Comparisons with what is right, which know the usual slips."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ebmlearn.exercises._base import Form, Hint, call, named, values

# Slips that no exercise needs to name: what was given, as a function of the right value.
SLIPS: tuple[tuple[Callable[[Tensor], Tensor], str], ...] = (
    (lambda x: -x, "the sign is reversed"),
    (lambda x: 2 * x, "a factor of two too large"),
    (lambda x: x / 2, "a factor of two too small"),
    (lambda x: 1 / x, "upside down: one over what is asked for"),
    (lambda x: x.abs().sqrt(), "the root of what is asked for: is the square missing?"),
    (lambda x: x.square(), "the square of what is asked for: is a root missing?"),
    (lambda x: 4 * x, "a factor of four too large"),
    (lambda x: x / 4, "a factor of four too small"),
    (lambda x: 2**0.5 * x, "a factor of the root of two too large"),
    (lambda x: x / 2**0.5, "a factor of the root of two too small"),
)


def near(a: Tensor, b: Tensor, within: float, absolute: float) -> Tensor:
    return (a - b).abs() <= within * b.abs() + absolute


def compare(
    answer: Any,
    right: Any,
    *,
    within: float = 0.01,
    absolute: float = 0.0,
    what: str = "",
    wrong: Sequence[tuple[Any, str]] = (),
    entries: Sequence[str] = (),
) -> None:
    """Compare numbers with the right ones.

    Args:
        answer: What was given.
        right: A number or a tensor.
        within: Largest relative error.
        absolute: What is allowed beside it, where an entry is 0.
        what: Name of this part of the answer.
        wrong: Pairs of what a slip gives and the hint for it.
        entries: Names of the entries, for a hint on those that are off.

    Raises:
        Hint: If the answer is not right.
    """
    truth = torch.as_tensor(right, dtype=torch.float64)
    got = values(answer, truth.shape, what)

    def same(other: Any) -> bool:
        slip = torch.as_tensor(other, dtype=torch.float64).expand_as(got)
        return bool(near(got, slip, within, absolute).all())

    if same(truth):
        return
    own = [hint for slip, hint in wrong if same(slip)]
    usual = [hint for slip, hint in SLIPS if truth.all() and same(slip(truth))]
    if own or usual:
        raise Hint(named(what, [*own, *usual][0]))
    good = near(got, truth, within, absolute).flatten()
    if good.any():
        labels = entries or [f"number {i}" for i in range(1, got.numel() + 1)]
        off = [label for label, fine in zip(labels, good.tolist(), strict=True) if not fine]
        raise Hint(named(what, f"right in part; off: {', '.join(off)}"))
    if near(got, truth, max(0.1, 3 * within), absolute).all():
        text = f"close, but not within {100 * within:g} %: give more digits, or look for a small term"
        raise Hint(named(what, text))
    if (got > truth).all() or (got < truth).all():
        raise Hint(named(what, f"too {'large' if got.flatten()[0] > truth.flatten()[0] else 'small'}"))
    raise Hint(named(what, "not right, by no slip that this check knows"))


def compare_function(
    function: Any,
    right: Callable[..., Any],
    cases: Sequence[tuple[Any, ...]],
    *,
    within: float = 0.01,
    what: str = "",
    wrong: Sequence[tuple[Callable[..., Any], str]] = (),
) -> None:
    """Call a function on each case and `compare` what it returns; slips are functions, too."""
    names = ", ".join(inspect.signature(right).parameters)
    if not callable(function) or isinstance(function, Tensor | type):
        raise Form(named(what, f"is {type(function).__name__}; expected a function of {names}"))

    def table(f: Callable[..., Any]) -> Tensor:
        return torch.stack([torch.as_tensor(f(*case), dtype=torch.float64) for case in cases])

    truth = table(right)
    got = torch.stack([values(call(function, *case), truth.shape[1:], what) for case in cases])
    compare(
        got,
        truth,
        within=within,
        what=what,
        wrong=[(table(slip), hint) for slip, hint in wrong],
        entries=[f"({names}) = {case}" for case in cases] if truth.ndim == 1 else (),
    )
