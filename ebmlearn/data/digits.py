"""The digits that come with scikit-learn."""

from typing import Any

import numpy as np

from ebmlearn.data.checks import require


def read_digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Levels (N, 1, 8, 8) uint8 and labels (N, 1) uint8 of scikit-learn's digits, in its order.

    Within each class every fifth image is a test image, so both splits hold the classes and the writers
    (neighbours in the file) in equal proportion, with no random number involved.
    """
    bunch: Any = require("sklearn.datasets").load_digits()
    y = bunch.target.astype(np.uint8)
    rank = np.empty(len(y), dtype=np.int64)
    for c in range(10):
        rank[y == c] = np.arange((y == c).sum())
    chosen = (rank % 5 == 4) == (split == "test")
    return bunch.images.astype(np.uint8)[chosen, None], y[chosen, None]
