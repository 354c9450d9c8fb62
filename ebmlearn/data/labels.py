"""Which images of a set have labels, where only a few do."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.data.checks import whole_labels


def labelled(y: Any, per_class: int, *, seed: int = 0, n_classes: int | None = None) -> Tensor:
    """The indices of a few examples of each class, the same on every machine: a labelled subset.

    The rule: ``numpy.random.RandomState(seed).random_sample(len(y))`` gives each example a number, and those
    with the smallest numbers in their class are chosen. NumPy keeps the stream of this generator for good. So
    the choice depends on the seed and on nothing but the number of examples and their classes, in their
    order, and a subset with more examples of each class holds the one with fewer.

    Args:
        y: Classes, ``(N,)`` whole numbers from 0 on: a tensor, an array or a list.
        per_class: Examples of each class, at least 1.
        seed: Another gives another subset; a whole number from 0 to 2³² - 1.
        n_classes: Number of classes; None: up to the largest of ``y``.

    Returns:
        Indices into ``y``, ``(n_classes * per_class,)`` int64, in rising order.

    Raises:
        ValueError: If ``per_class``, ``seed`` or ``n_classes`` is out of its range, ``y`` holds no whole
            numbers in range or is not flat, or a class has no or too few examples.

    >>> labelled([0, 1, 1, 0, 1, 0, 0, 1], 2)
    tensor([2, 3, 4, 6])
    """
    check.count("per_class", per_class)
    if check.count("seed", seed, 0) >= 2**32:
        raise ValueError(f"seed is {seed}; expected a whole number < 2**32")
    classes = whole_labels(y, "y", None if n_classes is None else check.count("n_classes", n_classes))
    if classes.ndim != 1:
        raise ValueError(f"y has shape {classes.shape}; expected (N,), one class for each example")
    counts = np.bincount(classes, minlength=n_classes or 1)
    for label in np.flatnonzero(counts < per_class)[:1]:
        raise ValueError(
            f"per_class is {per_class}, but class {label} has {counts[label] or 'none'} of the"
            f" {len(classes):,} examples of y; ask for fewer, or number the classes from 0 on without a gap"
        )
    order = np.random.RandomState(seed).random_sample(len(classes)).argsort(kind="stable")
    chosen = [order[classes[order] == label][:per_class] for label in range(len(counts))]
    return torch.from_numpy(np.sort(np.concatenate(chosen)))
