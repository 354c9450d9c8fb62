"""How far two printed texts are apart, how far a cell's may be; and in
how many runs a check must hold."""

import math
import re

NUMBER = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d*))?(?:[eE]([-+]?\d+))?"
    r"|\binf\b|\bnan\b)"
)
TAG = re.compile(r"nbval-approx-(\d+)")
# what is compared as text, besides streams
MIMES = "text/plain", "text/markdown"


def allowed(tags: list[str]) -> float | None:
    """P / 100 of a cell tagged ``nbval-approx-P``; None: exact."""
    percent = [int(m[1]) for tag in tags if (m := TAG.fullmatch(tag))]
    return percent[0] / 100 if percent else None


def difference(a: str, b: str) -> float:
    """The largest relative difference of two numbers in the same place.

    One unit of the last digit that is printed is none, since what is
    printed was rounded. Infinity if the texts differ once numbers are
    masked, or a number is finite in one text only.
    """
    if NUMBER.sub("#", a).split() != NUMBER.sub("#", b).split():
        return math.inf
    pairs = zip(NUMBER.finditer(a), NUMBER.finditer(b), strict=True)
    return max((_apart(m, n) for m, n in pairs), default=0.0)


def close(a: str, b: str, tol: float) -> bool:
    """Is no number further apart than ``tol``, relatively?"""
    return difference(a, b) <= tol


def _apart(m: re.Match, n: re.Match) -> float:
    a, b = (float(match[0].replace(",", "")) for match in (m, n))
    if a == b or abs(a - b) <= max(_unit(m), _unit(n)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))


def _unit(match: re.Match) -> float:
    decimals, exponent = match[1], match[2]
    if decimals is None and exponent is None:
        return 0.0  # an integer counts something: it was not rounded
    # a little more than one unit: 0.3 - 0.2 is below 0.1 in binary
    return 1.0001 * 10.0 ** (int(exponent or 0) - len(decimals or ""))


RATE = re.compile(r"\b(\d+) of (\d+) (?:other )?seeds\b")


def needed(n: int, often: list[int] | None) -> int:
    """In how many of n pairs a check must hold."""
    if often is None:
        return math.ceil(7 * n / 8)
    return math.floor(n * often[0] / often[1])


def said_often(row: dict) -> list[int] | None:
    """How often a row of claims says that it holds."""
    said = RATE.search(f"{row['test']} {row['note']}")
    return [int(k) for k in said.groups()] if said else None
