"""What checkers are made of: the table that they enter, hints, and comparisons that know the usual slips."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Checker = Callable[[Any], None]
CHECKERS: dict[str, Checker] = {}

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


class Hint(Exception):
    """A wrong answer; the text says what is off, and not what is right."""


class Form(Hint):
    """An answer of another form than the exercise asks for. What it asks for is added to the text."""


def exercise(label: str) -> Callable[[Checker], Checker]:
    """Enter a checker: it raises `Hint` for a wrong answer. Its docstring says what the answer is."""

    def enter(checker: Checker) -> Checker:
        if label in CHECKERS:
            raise ValueError(f"two checkers for {label!r}; expected one for each exercise")
        CHECKERS[label] = checker
        return checker

    return enter


def named(what: str, hint: str) -> str:
    return f"{what}: {hint}" if what else hint


def values(answer: Any, shape: Sequence[int], what: str = "") -> Tensor:
    """An answer as numbers of this shape, in float64."""
    wanted = f"numbers of shape {tuple(shape)}" if shape else "a number"
    if callable(answer) and not isinstance(answer, Tensor):
        raise Form(named(what, f"is a function; expected {wanted}: call it"))
    try:
        got = torch.as_tensor(answer).detach().cpu()
        if got.is_complex():
            raise TypeError
        got = got.double()
    except (TypeError, ValueError, RuntimeError):
        given = "None" if answer is None else f"of type {type(answer).__name__}"
        raise Form(named(what, f"is {given}; expected {wanted}")) from None
    if got.shape != torch.Size(shape) and not (got.numel() == 1 and math.prod(shape) == 1):
        has = f"has shape {tuple(got.shape)}" if got.ndim else "is one number"
        raise Form(named(what, f"{has}, expected {wanted}"))
    if not got.isfinite().all():
        raise Hint(named(what, "is not finite"))
    return got.reshape(tuple(shape))


def parts(answer: Any, *names: str) -> list[Any]:
    """The parts of an answer that has several."""
    try:
        got = list(answer)
    except TypeError:
        got = []
    if len(got) != len(names) or isinstance(answer, str | dict):
        raise Form(f"expected {len(names)} parts: {', '.join(names)}")
    return got


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


def call(function: Any, *arguments: Any) -> Any:
    """What a given function returns for copies of the arguments; its error becomes a hint."""
    if not callable(function):
        raise Form(f"is {type(function).__name__}; expected a function")
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    try:
        return function(*copies)
    except Exception as error:
        shown = ", ".join(
            f"a tensor of shape {tuple(a.shape)}" if isinstance(a, Tensor) and a.ndim else f"{a}"
            for a in arguments
        )
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
        raise Hint(f"your function raised {text}; it was called with {shown}") from error


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


def subclass(answer: Any, base: type) -> type:
    """An answer that is a subclass of this class."""
    if not (isinstance(answer, type) and issubclass(answer, base) and answer is not base):
        given = getattr(answer, "__name__", type(answer).__name__)
        raise Form(f"is {given}; expected a subclass of {base.__name__}, the class and not an instance")
    return answer


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that changes its sign once is 0, by halving, to the last bit or nearly."""
    rising = f(high) > 0
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if (f(middle) > 0) is rising else (middle, high)
    return middle


def chain_variance(
    precision: float, *, s: float, n_steps: int, start: float = 1.0, noise: float | None = None
) -> float:
    """Exact variance of a chain ``x - s² precision x / 2 + noise · ε`` after ``n_steps`` steps."""
    variance, rho = start, 1 - s**2 * precision / 2
    for _ in range(n_steps):
        variance = rho**2 * variance + (s if noise is None else noise) ** 2
    return variance
