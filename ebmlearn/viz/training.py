"""Curves of training metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from ebmlearn import check
from ebmlearn.viz._base import finite_array, new_axes


def traces(
    history: Mapping[str, Tensor],
    ax: Axes | None = None,
    *,
    keys: Sequence[str] | None = None,
    smooth: int = 25,
    start: int = 0,
    labels: Mapping[str, str] | None = None,
    xlabel: str = "step",
    ylabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """Draw training metrics: faint raw values, and their running mean on top.

    Entry ``i`` of a metric is drawn at ``i``. The running mean has a centred window of ``smooth`` entries and
    is drawn only where the whole window exists, so it is neither shifted nor made from fewer values at the
    ends.

    Args:
        history: Metrics by name, each of shape ``(steps,)``; what `ebmlearn.fit` returns.
        ax: Where to draw; a new figure if None.
        keys: The metrics to draw; all if None.
        smooth: Window of the running mean in entries; 1 draws the raw values only.
        start: First entry to draw (and to average); the axis still counts from 0.
        labels: Text by key for the legend (or for the y axis, if there is one metric); the key itself if
            missing.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis, with its unit.
        title: Title of the Axes.

    Returns:
        The Axes.

    Raises:
        KeyError: If a key is not in ``history``.
        ValueError: If there is nothing to draw, a metric is not of shape ``(steps,)`` or not finite, or
            ``smooth`` or ``start`` leaves no value.

    Example:
        >>> import torch
        >>> ax = traces({"gap": torch.linspace(1, 0, 100)}, smooth=10, ylabel="energy gap (nats)")
        >>> len(ax.lines)
        2
    """
    if not isinstance(history, Mapping):
        raise TypeError(f"history is {check.shown(history)}; expected metrics by name, as fit returns them.")
    keys = list(history) if keys is None else list(keys)
    if not keys:
        raise ValueError("no metric to draw: history or keys is empty.")
    missing = [key for key in keys if key not in history]
    if missing:
        raise KeyError(
            f"no metric {', '.join(map(repr, missing))} in the history; it has {', '.join(history)}."
        )
    check.count("smooth", smooth)
    check.count("start", start, 0)
    series = {key: finite_array(history[key], f"metric {key!r}") for key in keys}
    for key, values in series.items():
        if values.ndim != 1:
            raise ValueError(f"metric {key!r} has shape {values.shape}; expected (steps,).")
        if len(values) - start < smooth:
            raise ValueError(
                f"metric {key!r} has {len(values)} values: too few for a running mean of smooth={smooth} "
                f"from start={start}. Use a smaller smooth (1 = raw values only) or start."
            )
    ax = new_axes(ax, (4.0, 2.6))
    names = {key: (labels or {}).get(key, key) for key in keys}
    for key, values in series.items():
        means = np.lib.stride_tricks.sliding_window_view(values[start:], smooth).mean(axis=1)
        middle = start + (smooth - 1) / 2
        (line,) = ax.plot(middle + np.arange(len(means)), means, label=names[key])
        if smooth > 1:
            raw = np.arange(start, len(values)), values[start:]
            ax.plot(*raw, "-", color=line.get_color(), linewidth=0.6, alpha=0.3, zorder=1)
    ax.set_xlabel(xlabel)
    if len(keys) > 1:
        ax.legend()
    if ylabel is not None or len(keys) == 1:
        ax.set_ylabel(names[keys[0]] if ylabel is None else ylabel)
    if title is not None:
        ax.set_title(title)
    return ax


def save_traces(
    history: Mapping[str, Tensor],
    file: str | Path | IO[bytes],
    *,
    title: str | None = None,
    format: str = "png",
) -> None:
    """Write the curves of all metrics as one picture, a panel for each, since their units differ.

    The running mean of `traces` has a window of a fiftieth of the steps.

    Args:
        history: Metrics by name, each of shape ``(steps,)``; what `ebmlearn.fit` returns.
        file: Its path, or a binary file.
        title: Title of the picture.
        format: ``"png"``, ``"pdf"`` or ``"svg"``.

    Raises:
        ValueError: If there is no metric, or one is empty, not of shape ``(steps,)`` or not finite.

    Example:
        >>> import io, torch
        >>> file = io.BytesIO()
        >>> save_traces({"gap": torch.linspace(1, 0, 100)}, file)
        >>> file.getvalue()[1:4]
        b'PNG'
    """
    if not history:
        raise ValueError("no metric to draw: history is empty.")
    figure, axes = plt.subplots(
        len(history),
        1,
        figsize=(6, 1.8 * len(history)),
        layout="constrained",
        squeeze=False,
        facecolor="white",
    )
    try:
        for ax, (name, values) in zip(axes[:, 0], history.items(), strict=True):
            traces({name: values}, ax, smooth=max(1, len(values) // 50), xlabel="")
        axes[-1, 0].set_xlabel("step")
        if title is not None:
            figure.suptitle(title)
        figure.savefig(file, format=format, dpi=150)
    finally:
        plt.close(figure)
