"""Quadrature in one and two dimensions: the midpoint rule with an error for every sum.

The error is that of three things:

- discretisation, ``|Q_h - Q_3h|``: every third point of the grid is the midpoint of a cell thrice as wide,
  so the coarser rule costs no evaluation. For a smooth density that vanishes at the border the rule converges
  faster than any power of ``h``, and this difference is far above the error of ``Q_h``;
- terms outside the box, by geometric continuation (`Grid.outside`);
- mass outside the box, which rescales the normalised density inside.

It is an estimate, not a proof: a mode between all points, or beyond the border, is not seen. Rounding in the
energies is not counted; in float32 it is about 1e-7 of their size.
"""

import math
import warnings
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, ExactEnergy, energy_at

# Points evaluated at once: the activations of a small network stay in the processor's cache.
CHUNK = 4096
_MOST = 10**8  # points of a grid: 800 MB

T = TypeVar("T", float, Tensor)


class Estimate(NamedTuple, Generic[T]):
    """A value and its estimated absolute error."""

    value: T
    error: T


class LeakWarning(UserWarning):
    """More than 0.1 % of the mass lies outside the box of the grid."""


class Grid:
    """Midpoints of ``n`` equal cells along each axis of a box.

    Args:
        box: Ends ``(low, high)`` of the box, the same for each axis; a 2-D box is a square.
        n: Cells along an axis, a multiple of 3, at least 6.
        dim: Dimension, 1 or 2.
        dtype: Type in which energies get the points; torch's default if None. Sums are always in float64.
        device: Device on which energies get the points.

    Attributes:
        points: The midpoints, shape ``(n**dim, dim)``; the last coordinate varies fastest.
        volume: Volume of a cell.

    Raises:
        ValueError: If ``box`` is not a finite interval, ``n`` not such a multiple of 3 or ``dim`` not 1 or 2.

    Example:
        >>> Grid((0, 3), n=6, dim=1).points.flatten()
        tensor([0.2500, 0.7500, 1.2500, 1.7500, 2.2500, 2.7500])
    """

    def __init__(
        self,
        box: tuple[float, float],
        n: int = 300,
        *,
        dim: int = 2,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        try:
            if isinstance(box, str):
                raise TypeError
            low, high = map(float, box)
        except (TypeError, ValueError):
            raise ValueError(
                f"box = {box!r}; expected two numbers (low, high), the ends of each axis"
            ) from None
        if not -math.inf < low < high < math.inf:
            raise ValueError(f"box = {box!r}; expected finite ends with low < high")
        if not isinstance(n, int) or isinstance(n, bool) or n < 6 or n % 3:
            raise ValueError(
                f"n = {check.shown(n)}; expected a multiple of 3, at least 6: every third point gives the "
                "error"
            )
        if type(dim) is int and dim in (1, 2) and n**dim > _MOST:
            raise ValueError(f"n = {n} makes {n**dim:,} points; expected at most {_MOST:,}")
        if type(dim) is not int or dim not in (1, 2):
            raise ValueError(f"dim = {dim}; quadrature serves 1 or 2 dimensions; from 3 on, compare samples")
        self.box, self.n, self.dim = (low, high), n, dim
        self.volume = ((high - low) / n) ** dim
        index = torch.arange(n)
        axis = low + (index.double() + 0.5) * ((high - low) / n)
        depth = torch.minimum(index, n - 1 - index)
        points = axis[:, None] if dim == 1 else torch.cartesian_prod(axis, axis)
        self.points = points.to(dtype=dtype or torch.get_default_dtype(), device=device)
        # number of the layer that a cell is in, 0 at the border
        self._layer = depth if dim == 1 else torch.minimum(depth[:, None], depth).flatten()

    def tabulate(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Values of ``(B, dim) -> (B, *k)`` at every point, ``(n**dim, *k)`` in float64 on the CPU."""
        check.function("the function", function, "a function from (B, dim) to (B, ...)")
        with torch.no_grad():
            rows = [function(x).cpu().double() for x in self.points.split(CHUNK)]
        if any(row.ndim == 0 for row in rows) or sum(map(len, rows)) != len(self.points):
            raise ValueError(
                f"the function returned shape {tuple(rows[0].shape)}; expected (B, ...) for x (B, {self.dim})"
            )
        return torch.cat(rows)

    def __repr__(self) -> str:
        return f"Grid({self.box}, n={self.n}, dim={self.dim})"

    def log_z(self, energy: Energy) -> Tensor:
        """Log of the partition function, shape ``()``, in one piece and differentiable by the energy's
        parameters; for its error, and a warning where mass is missing, see `ebmlearn.evaluate.exact.log_z`.
        """
        return (-energy_at(energy, self.points)).logsumexp(0) + math.log(self.volume)

    def coarse(self, table: Tensor) -> Tensor:
        """Rows of a table at the midpoints of the cells three times as wide, ``((n / 3)**dim, *k)``."""
        cells = table.unflatten(0, (self.n,) * self.dim)
        return cells[(slice(1, None, 3),) * self.dim].flatten(0, self.dim - 1)

    def outside(self, terms: Tensor) -> Tensor:
        """Estimate of the sum outside the box of non-negative terms ``(n**dim, *k)``, one a cell.

        The sums over the two outermost layers of cells are continued as a geometric series, which bounds what
        follows if the decay speeds up, as Gaussian tails do; infinite if they do not decrease outwards. A
        border that rounding would swallow counts as none, whichever way it goes.
        """
        border, inner = terms[self._layer == 0].sum(0), terms[self._layer == 1].sum(0)
        series = torch.where(border < inner, border.square() / (inner - border), torch.inf)
        return torch.where(border <= torch.finfo(terms.dtype).eps * terms.sum(0), border, series)


def energies(energy: Energy, grid: Grid) -> tuple[Tensor, float]:
    """Energies ``(n**dim,)``, and the mass outside the box as a fraction of the mass inside."""
    check.instance("grid", grid, Grid, "a Grid, such as Grid((-4, 4))")
    check.function("the energy", energy, "a function from (B, dim) to (B,)")
    if isinstance(energy, ExactEnergy) and energy.event_shape != (grid.dim,):
        raise ValueError(f"the energy has event shape {energy.event_shape}, but the grid dim={grid.dim}")
    table = grid.tabulate(lambda x: energy_at(energy, x))
    bad = table.isnan() | (table == -torch.inf)
    if bad.any():
        first = int(bad.nonzero()[0])
        where = f"x = {grid.points[first].tolist()}, and at {int(bad.sum())} of {len(bad)} points in all"
        raise ValueError(f"the energy is {table[first].item()} at {where}; expected finite numbers or +inf")
    if (table == torch.inf).all():
        raise ValueError(
            f"the energy is +inf at every point of the grid on {grid.box}: there is no mass in it"
        )
    leak = grid.outside((-table).softmax(0)).item()
    warn_of_leak(leak, grid)
    return table, leak


def warn_of_leak(leak: float, grid: Grid, mass: str = "of the mass") -> None:
    """Warn if more than 0.1 % is missing; ``leak`` is a fraction of the mass inside."""
    if leak > 1e-3:
        much = f"about {leak / (1 + leak):.2%} {mass} lies"
        if leak == math.inf:
            much = "an unknown mass (the density does not fall towards the border) lies"
        warnings.warn(f"{much} outside the box {grid.box}; enlarge the box", LeakWarning, stacklevel=4)


def log_total(table: Tensor, grid: Grid) -> Estimate[Tensor]:
    """``log ∫ exp(-E)`` of tabulated energies ``(n**dim, *k)``, value and error of shape ``k``."""
    value = (-table).logsumexp(0)
    coarse = (-grid.coarse(table)).logsumexp(0) + math.log(3**grid.dim)
    leak = grid.outside((-table).softmax(0))
    return Estimate(value + math.log(grid.volume), (value - coarse).abs() + leak.log1p())


def total(terms: Callable[..., Tensor], grid: Grid, tables: list[Tensor], leak: float) -> Estimate[Tensor]:
    """Sum of ``terms(*tables)`` over the cells, with its error."""
    fine = terms(*tables)
    value, coarse = fine.sum(0), terms(*map(grid.coarse, tables)).sum(0)
    # The mass outside also rescales the normalised densities inside: by (1 + |value|) leak at the most.
    error = (value - coarse).abs() + grid.outside(fine.abs()) + (1 + value.abs()) * leak
    return Estimate(value, torch.where(value.isinf(), 0.0, error.nan_to_num(nan=torch.inf, posinf=torch.inf)))
