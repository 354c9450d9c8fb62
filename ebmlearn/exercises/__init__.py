"""Exercises of the book that check an answer, without giving the right one away.

A checker is a short function in the file of its chapter, such as ``ch08.py``. It computes what is right: by
the package's exact evaluation, by a closed form, or by the recursion that a chain obeys.
"""

import difflib
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

import torch

from ebmlearn import random
from ebmlearn.exercises._base import CHECKERS, Form, Hint

__all__ = ["Verdict", "check", "names"]

for _module in sorted(info.name for info in pkgutil.iter_modules(__path__) if info.name.startswith("ch")):
    importlib.import_module(f"{__name__}.{_module}")


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check found. It is true where the answer is right, and prints as a sentence.

    Attributes:
        label: The exercise.
        right: Whether the answer is right.
        text: ``"right"``, or what is off.
    """

    label: str
    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{self.label}: {self.text}"


def check(label: str, answer: Any) -> Verdict:
    """Check the answer to an exercise.

    A wrong answer raises nothing, so that a notebook runs to its end. Functions are called with a fixed seed;
    afterwards every random generator is as it was. An error inside them becomes part of the text.

    Args:
        label: The exercise, such as ``"ex-08-floor"``; `names` lists them.
        answer: What the exercise asks for: a number, several, a tensor, a function or a class. If it has
            another form, the verdict says which was expected.

    Returns:
        The verdict.

    Raises:
        ValueError: If no exercise with a checker has this label.

    Example:
        >>> check("ex-05-temperature", lambda alpha, beta: beta**2 / alpha)
        ex-05-temperature: a factor of two too large
        >>> check("ex-05-temperature", lambda alpha, beta: beta**2 / (2 * alpha)).right
        True
    """
    if label not in CHECKERS:
        close = difflib.get_close_matches(str(label), CHECKERS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "ebmlearn.exercises.names() lists them"
        raise ValueError(f"no exercise {label!r} has a checker; {hint}")
    checker = CHECKERS[label]
    try:
        with random.kept(0), torch.enable_grad():
            checker(answer)
    except Form as hint:
        return Verdict(label, False, f"{hint}. The answer is {' '.join((checker.__doc__ or '').split())}")
    except Hint as hint:
        return Verdict(label, False, str(hint))
    return Verdict(label, True, "right")


def names() -> dict[int, list[str]]:
    """Labels of the exercises that have a checker, in lists by the number of the chapter.

    Example:
        >>> names()[5]
        ['ex-05-length', 'ex-05-temperature']
    """
    chapters: dict[int, list[str]] = {}
    for label in sorted(CHECKERS):
        chapters.setdefault(int(label.split("-")[1]), []).append(label)
    return chapters
