"""Grids of images."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from ebmlearn import check
from ebmlearn.viz._base import finite_array, new_axes

BORDER = 0.6  # a mid grey: seen against images with a black and with a white ground


def image_array(x: Tensor) -> Any:
    """A batch of grey or colour images, checked and as an array ``(N, H, W, C)`` in [0, 1]."""
    check.tensor("x", x) if not isinstance(x, np.ndarray) else None
    x = torch.as_tensor(x)
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(
            f"expected images of shape (N, C, H, W) with C = 1 or 3; got {tuple(x.shape)}. "
            "One image needs a leading axis: x[None]; grey images a channel axis: x.unsqueeze(1)."
        )
    if not x.is_floating_point():
        raise ValueError(
            f"expected images of floating-point numbers in [-1, 1]; got {x.dtype}. Use x / 127.5 - 1."
        )
    return np.clip((finite_array(x, "the batch of images") + 1) / 2, 0, 1).transpose(0, 2, 3, 1)


def arrange(n: int, n_cols: int | None) -> tuple[int, int]:
    """Rows and columns of a grid of ``n`` images; ``n_cols`` None = the smallest square that holds them."""
    if n_cols is None:
        n_cols = math.ceil(math.sqrt(n))
    check.count("n_cols", n_cols)
    n_cols = min(n_cols, n)
    return math.ceil(n / n_cols), n_cols


def tile(images: Any, n_rows: int, n_cols: int) -> Any:
    """Images ``(N, H, W, C)`` side by side, with a border around each: one array ``(rows, columns[, 3])``."""
    _, height, width, channels = images.shape
    gap = max(1, round(max(height, width) / 20))
    page = np.ones((n_rows * (height + gap) + gap, n_cols * (width + gap) + gap, channels))
    for k, image in enumerate(images):
        top, left = (k // n_cols) * (height + gap), (k % n_cols) * (width + gap)
        page[top : top + height + 2 * gap, left : left + width + 2 * gap] = BORDER
        page[top + gap : top + gap + height, left + gap : left + gap + width] = image
    return page if channels == 3 else page[..., 0]


def image_grid(
    x: Tensor,
    ax: Axes | None = None,
    *,
    n_cols: int | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a batch of images as one tiled picture, row by row.

    Image ``k`` stands in row ``k // n_cols`` and column ``k % n_cols``, with a grey border around it.

    Args:
        x: Images, shape ``(N, C, H, W)`` with C = 1 or 3, in [-1, 1]. Values outside are clipped in the
            display only: samples of a chain may leave the range, and ``x`` is not changed.
        ax: Where to draw; a new figure if None.
        n_cols: Images in a row; if None, as many as ``labels`` imply, else the smallest square that holds
            them.
        labels: One label for each row, written at its left.
        title: Title of the Axes.

    Returns:
        The Axes.

    Raises:
        ValueError: If the shape, the dtype, ``n_cols`` or the number of labels does not fit, or a value is
            not finite.

    Example:
        >>> ax = image_grid(torch.zeros(6, 1, 8, 8), n_cols=3, labels=["data", "model"])
        >>> ax.images[0].get_array().shape
        (19, 28)
    """
    images = image_array(x)
    if n_cols is None and labels:
        n_cols = math.ceil(len(images) / len(labels))
    n_rows, n_cols = arrange(len(images), n_cols)
    if labels is not None and len(labels) != n_rows:
        raise ValueError(
            f"{len(labels)} labels for {n_rows} rows of {n_cols} images: give one label for each row."
        )
    page = tile(images, n_rows, n_cols)
    inches = min(0.5, 6.0 / n_cols, 6.0 / n_rows) * n_rows
    ax = new_axes(ax, (max(1.2, inches * page.shape[1] / page.shape[0]), max(1.0, inches)))
    ax.imshow(page, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if labels is not None:
        rows = (np.arange(n_rows) + 0.5) * page.shape[0] / n_rows - 0.5
        ax.set_yticks(rows, labels)
        ax.tick_params(axis="y", length=0)
    if title is not None:
        ax.set_title(title)
    return ax


def save_grid(x: Tensor, file: str | Path | IO[bytes], *, n_cols: int | None = None) -> None:
    """Write a batch of images as one tiled PNG, pixel by pixel: the picture of `image_grid` without a figure.

    Args:
        x: Images, shape ``(N, C, H, W)`` with C = 1 or 3, in [-1, 1]. Values outside are clipped in the
            picture only.
        file: Its path, or a binary file.
        n_cols: Images in a row; None: the smallest square that holds them.

    Raises:
        ValueError: If the shape, the dtype or ``n_cols`` does not fit, or a value is not finite.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> save_grid(torch.zeros(6, 3, 8, 8), file, n_cols=3)
        >>> Image.open(file).size
        (28, 19)
    """
    images = image_array(x)
    page = tile(images, *arrange(len(images), n_cols))
    Image.fromarray(np.round(255 * page).astype(np.uint8)).save(file, "PNG")
