"""What checkers are made of: the table that they enter, hints, and the forms that an answer may have."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Checker = Callable[[Any], None]
CHECKERS: dict[str, Checker] = {}


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
        raise Hint(f"your function raised {text}; it was called with {shown or 'nothing'}") from error


def subclass(answer: Any, base: type) -> type:
    """An answer that is a subclass of this class."""
    if not (isinstance(answer, type) and issubclass(answer, base) and answer is not base):
        given = getattr(answer, "__name__", type(answer).__name__)
        raise Form(f"is {given}; expected a subclass of {base.__name__}, the class and not an instance")
    return answer
