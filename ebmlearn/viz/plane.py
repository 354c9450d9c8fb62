"""Pictures in the plane: an energy on a box, samples and chains in it."""

import itertools
import warnings
from typing import Any, Literal

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.energy import Energy
from ebmlearn.evaluate.quadrature import Grid, LeakWarning, energies
from ebmlearn.viz._base import CHAIN, DATA, DENSITY_MAP, ENERGY_MAP, finite_array, new_axes, note

SIZE = (3.6, 3.0)


def frame(ax: Axes, box: tuple[float, float] | None) -> None:
    """Equal aspect, named axes and, with a box, its limits."""
    ax.set_aspect("equal")
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    if box is not None:
        limits = Grid(box, n=6).box  # checks the box, with the errors of the grid
        ax.set(xlim=limits, ylim=limits)


def points_array(x: Tensor, name: str, shapes: dict[int, str]) -> np.ndarray:
    """``x`` as an array, checked: as many axes as one of ``shapes`` has, and a last axis of 2."""
    check.tensor(name, x) if not isinstance(x, np.ndarray) else None
    x = torch.as_tensor(x)
    if x.ndim not in shapes or x.shape[-1] != 2:
        raise ValueError(
            f"expected {name} of shape {' or '.join(shapes.values())}; got {tuple(x.shape)}. "
            "Of points in more dimensions draw two coordinates: x[..., :2]."
        )
    return finite_array(x, name)


def note_outside(ax: Axes, points: np.ndarray, name: str) -> None:
    """Write into the figure how many of ``points (N, 2)`` lie beyond the limits of the axes."""
    low, high = np.array([ax.get_xlim(), ax.get_ylim()]).T
    outside = int(((points < low) | (points > high)).any(axis=1).sum())
    if outside:
        note(ax, f"{outside:,} of {len(points):,} {name} outside the frame")


def energy_map(
    energy: Energy,
    ax: Axes | None = None,
    *,
    box: tuple[float, float] | None = None,
    n: int = 201,
    kind: Literal["density", "energy"] = "density",
    vmax: float | None = None,
    colorbar: bool = True,
    device: torch.device | str | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the density of an energy, or the energy itself, on a box of the plane. Dark means likely in both.

    Args:
        energy: Energy ``(B, 2) -> (B,)``; it may be unnormalised.
        ax: Where to draw; a new figure if None.
        box: Ends ``(low, high)`` of the square, the same on both axes; None: the ``box`` of the energy, which
            targets have.
        n: Cells along each side, a multiple of 3 (see `ebmlearn.evaluate.exact.Grid`).
        kind: ``"density"``: ``exp(-E) / Z``, where ``Z`` is the integral over the box (midpoint rule). If
            more than 0.1 % of the mass seems to lie outside, a line in the figure says so. ``"energy"``:
            ``E - min E`` over the box, in nats; an energy is defined up to a constant.
        vmax: Top of the colour scale, which starts at 0: the maximum for a density and 10 nats for an energy
            if None. Give the same value to maps that stand side by side. Values above it have the last
            colour; the colour bar then ends in an arrow; without a colour bar, a line in the figure says so.
        colorbar: Draw the colour bar.
        device: Where the energy gets its points; if None, where its parameters are if it is a module, else
            the CPU.
        title: Title of the Axes.

    Returns:
        The Axes; its limits are those of the box and stay so when samples or chains are drawn over it.

    Raises:
        ValueError: If the box, ``n``, ``kind`` or ``vmax`` does not fit, or the energy has the wrong shape or
            is not a finite number somewhere on the box (``+inf``, density 0, is allowed).

    Example:
        >>> from ebmlearn.energy import Ring
        >>> ax = energy_map(Ring(2.0, 0.3), box=(-4, 4), n=60)
        >>> density = ax.images[0].get_array()
        >>> print(f"{density.sum() * (8 / 60) ** 2:.3f}")
        1.000
    """
    if kind not in ("density", "energy"):
        raise ValueError(f'kind must be "density" or "energy"; got {kind!r}.')
    if vmax is not None and (not isinstance(vmax, float | int) or not 0 < vmax < np.inf):
        raise ValueError(f"vmax must be positive and finite, as the scale starts at 0; got {vmax!r}.")
    box = getattr(energy, "box", None) if box is None else box
    if box is None:
        raise ValueError("this energy has no box of its own: pass box=(low, high), the square to draw.")
    tensors = itertools.chain(energy.parameters(), energy.buffers()) if isinstance(energy, nn.Module) else ()
    like = next((t for t in tensors if t.is_floating_point()), torch.empty(0))
    grid = Grid(box, n, dtype=like.dtype, device=like.device if device is None else device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)  # said in the figure instead
        table, leak = energies(energy, grid)
    table = (-table).softmax(0) / grid.volume if kind == "density" else table - table.min()
    # The last coordinate of the grid varies fastest; in a picture the first one runs along the row.
    values = table.view(n, n).T.numpy()
    if vmax is None:
        vmax = values.max() if kind == "density" else 10.0
    clipped = bool((values > vmax).any())

    ax = new_axes(ax, SIZE if colorbar else (3.0, 3.0))
    image = ax.imshow(
        np.minimum(values, vmax),  # imshow would leave out +inf
        origin="lower",
        extent=(*grid.box, *grid.box),
        cmap=DENSITY_MAP if kind == "density" else ENERGY_MAP,
        vmin=0,
        vmax=vmax,
    )
    frame(ax, grid.box)
    if colorbar:
        label = "$p(x)$" if kind == "density" else r"$E(x) - \min E$"
        beside = ax.inset_axes((1.04, 0.0, 0.05, 1.0))  # as high as the map, whatever its place in the figure
        ax.figure.colorbar(image, cax=beside, label=label, extend="max" if clipped else "neither")
    elif clipped:
        note(ax, f"colours end at {vmax:.3g}")
    if kind == "density" and leak > 1e-3:
        note(ax, f"{leak / (1 + leak):.1%} of the mass\noutside" if leak < np.inf else "mass outside the box")
    if title is not None:
        ax.set_title(title)
    return ax


def samples(
    x: Tensor,
    ax: Axes | None = None,
    *,
    box: tuple[float, float] | None = None,
    color: str = DATA,
    marker: str = "o",
    label: str | None = None,
    n_max: int = 2000,
    size: float = 6.0,
    alpha: float = 0.8,
    title: str | None = None,
) -> Axes:
    """Scatter samples in the plane, small dots with a white rim, over an energy map if ``ax`` has one.

    Args:
        x: Samples, shape ``(N, 2)``.
        ax: Where to draw; a new figure if None.
        box: Limits ``(low, high)`` of both axes; None leaves those of ``ax``.
        color: Colour; `DATA` or `MODEL` by what is drawn.
        marker: A filled marker of matplotlib; where data and model share an Axes, give them two, for readers
            in grey.
        label: Text for the legend, which is drawn by ``ax.legend()``.
        n_max: Largest number of points drawn; of more, evenly spaced ones are. A line in the figure says when
            not all are shown, or some lie outside the limits.
        size: Area of a point in square points (1/72 inch).
        alpha: Opacity of a point in (0, 1].
        title: Title of the Axes.

    Returns:
        The Axes.

    Raises:
        ValueError: If ``x`` is not of shape ``(N, 2)``, empty or not finite, or ``n_max`` or the box does not
            fit.

    Example:
        >>> ax = samples(torch.tensor([[0.0, 1.0], [2.0, 3.0]]), box=(-4, 4))
        >>> ax.collections[0].get_offsets().tolist()
        [[0.0, 1.0], [2.0, 3.0]]
    """
    points = points_array(x, "samples", {2: "(N, 2)"})
    check.count("n_max", n_max)
    check.number("size", size)
    if check.number("alpha", alpha) > 1:
        raise ValueError(f"alpha is {alpha}; expected a number in (0, 1]")
    ax = new_axes(ax, (3.0, 3.0))
    shown = points
    if len(points) > n_max:
        shown = points[np.linspace(0, len(points) - 1, n_max).round().astype(int)]
        note(ax, f"{n_max:,} of {len(points):,} points shown")
    look: dict[str, Any] = {"s": size, "color": color, "alpha": alpha, "marker": marker}
    ax.scatter(shown[:, 0], shown[:, 1], label=label, edgecolors="white", linewidths=0.25, **look)
    frame(ax, box)
    note_outside(ax, shown, "points")
    if title is not None:
        ax.set_title(title)
    return ax


def chain(
    trajectory: Tensor,
    ax: Axes | None = None,
    *,
    box: tuple[float, float] | None = None,
    color: str = CHAIN,
    title: str | None = None,
) -> Axes:
    """Draw the path of one or several chains in the plane, over an energy map if ``ax`` has one.

    Each chain is a line with a white rim, from an open circle (start) to a filled square (end);
    ``ax.legend()`` names the two marks.

    Args:
        trajectory: States in order, shape ``(T, 2)`` for one chain or ``(T, B, 2)``; what
            `ebmlearn.sample.run` keeps.
        ax: Where to draw; a new figure if None.
        box: Limits ``(low, high)`` of both axes; None leaves those of ``ax``. A line in the figure says how
            many states lie outside the limits.
        color: Colour of the chains.
        title: Title of the Axes.

    Returns:
        The Axes.

    Raises:
        ValueError: If the trajectory has another shape, is empty or not finite, or the box does not fit.
    """
    paths = points_array(trajectory, "a trajectory", {2: "(T, 2)", 3: "(T, B, 2)"})
    paths = paths.reshape(len(paths), -1, 2).swapaxes(0, 1)
    ax = new_axes(ax, (3.0, 3.0))
    lines = LineCollection(list(paths), colors=color, linewidths=0.9, zorder=2)
    lines.set_path_effects([patheffects.withStroke(linewidth=2.0, foreground="white", alpha=0.7)])
    ax.add_collection(lines)
    start, end = paths[:, 0], paths[:, -1]
    mark: dict[str, Any] = {"s": 18, "zorder": 3, "linewidths": 0.9}
    ax.scatter(start[:, 0], start[:, 1], marker="o", color="white", edgecolors=color, label="start", **mark)
    ax.scatter(end[:, 0], end[:, 1], marker="s", color=color, edgecolors="white", label="end", **mark)
    frame(ax, box)
    note_outside(ax, paths.reshape(-1, 2), "states")
    if title is not None:
        ax.set_title(title)
    return ax
