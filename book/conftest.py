"""What `pytest --nbval book/` does with the tags of a cell.

    nbval-approx-P    the text must match; a number may differ by P percent
    needs-mnist[-N]   skipped where MNIST (its first N images) is absent
    needs-names       skipped where the list of names is absent
    needs-gpu         skipped without CUDA

A cell that uses what a skipped cell made carries the same tag; all others
run.
"""

import copy
import math
import os
import re
import types

import pytest

from notebooks import KERNEL_ENVIRONMENT, unmet

NUMBER = re.compile(
    r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d*))?(?:[eE]([-+]?\d+))?"
    r"|\binf\b|\bnan\b)"
)
TAG = re.compile(r"nbval-approx-(\d+)")


def close(a: str, b: str, tol: float) -> bool:
    """Same text once numbers are masked, and each pair of numbers close.

    Close means: within ``tol`` relatively, or one unit of the last digit
    that is printed, since what is printed was rounded.
    """
    if NUMBER.sub("#", a).split() != NUMBER.sub("#", b).split():
        return False
    for m, n in zip(NUMBER.finditer(a), NUMBER.finditer(b), strict=True):
        unit = max(_unit(m), _unit(n))
        if not math.isclose(
            _value(m), _value(n), rel_tol=tol, abs_tol=unit
        ):
            return False
    return True


def _value(match: re.Match) -> float:
    return float(match[0].replace(",", ""))


def _unit(match: re.Match) -> float:
    decimals, exponent = match[1], match[2]
    if decimals is None and exponent is None:
        return 0.0  # an integer counts something: it was not rounded
    # a little more than one unit: 0.3 - 0.2 is below 0.1 in binary
    return 1.0001 * 10.0 ** (int(exponent or 0) - len(decimals or ""))


def _compare(self, test, ref, skip_compare=None):
    """nbval's comparison, once every text that is close is made equal."""
    test = copy.deepcopy(test)
    for t, r in zip(test, ref, strict=False):
        _settle(t, r, self.tolerance)
        _settle(t.get("data", {}), r.get("data", {}), self.tolerance)
    return type(self).compare_outputs(self, test, ref, skip_compare)


def _settle(new, stored, tol):
    for key in ("text", "text/plain", "text/markdown"):
        a, b = new.get(key), stored.get(key)
        if isinstance(a, str) and isinstance(b, str) and close(a, b, tol):
            new[key] = b


def pytest_configure(config):
    os.environ.update(KERNEL_ENVIRONMENT)  # the kernels inherit it


def pytest_itemcollected(item):
    """Act on the tags of a notebook's cell."""
    cell = getattr(item, "cell", None)
    if cell is None:
        return
    tags = cell.metadata.get("tags", [])
    if reason := unmet(tags):
        item.add_marker(pytest.mark.skip(reason=reason))
    percent = [int(m[1]) for tag in tags if (m := TAG.fullmatch(tag))]
    if percent:
        item.tolerance = percent[0] / 100
        item.compare_outputs = types.MethodType(_compare, item)
