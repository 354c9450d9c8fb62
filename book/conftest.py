"""What `pytest --nbval book/` does with the tags of a cell.

    nbval-approx-P    the text must match; a number may differ by P percent
    needs-mnist[-N]   skipped where MNIST (its first N images) is absent
    needs-names       skipped where the list of names is absent
    needs-gpu         skipped without CUDA

A cell that uses what a skipped cell made carries the same tag; all others
run.
"""

import copy
import os
import types

import pytest

from notebooks import KERNEL_ENVIRONMENT, unmet
from tolerance import MIMES, allowed, close


def _compare(self, test, ref, skip_compare=None):
    """nbval's comparison, once every text that is close is made equal."""
    test = copy.deepcopy(test)
    for t, r in zip(test, ref, strict=False):
        _settle(t, r, self.tolerance)
        _settle(t.get("data", {}), r.get("data", {}), self.tolerance)
    return type(self).compare_outputs(self, test, ref, skip_compare)


def _settle(new, stored, tol):
    for key in ("text", *MIMES):
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
    if (tolerance := allowed(tags)) is not None:
        item.tolerance = tolerance
        item.compare_outputs = types.MethodType(_compare, item)
