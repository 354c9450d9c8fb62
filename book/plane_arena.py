"""The plane of the bake-off: six targets, and the judge of the learned.

Every target is a density whose log Z is known, with an exact sampler. The
judge compares an energy with it by quadrature, and samples by a test.
"""

import base64
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

import ebmlearn as el
from arena import Arena, Learned
from contestants import contestants
from ebmlearn import targets
from ebmlearn.energy import ExactEnergy, GaussianMixture
from ebmlearn.evaluate import exact, twosample
from ebmlearn.recipes.plane import SPREAD

GRID = exact.Grid((-10, 10), n=180)
"""Quadrature of the judge."""

COARSE = exact.Grid((-10, 10), n=120)
"""Quadrature along a run."""

CHAIN = el.Chain(el.mala, n_steps=400, step_size=0.3)
"""Draws where a method has no sampler, from noise that covers the data:
20 times as many steps as the chains of training have."""

N_SAMPLES, N_MAP = 1000, 40


def unequal() -> ExactEnergy:
    """25 Gaussians whose weights rise from 1/325 to 25/325, row by row."""
    weights = torch.arange(1.0, 26.0)
    return targets.twenty_five_gaussians(weights=weights / weights.sum())


PLANE_TARGETS: dict[str, Callable[[], ExactEnergy]] = {
    "T4": targets.four_weighted_gaussians,
    "8 Gaussians": targets.eight_gaussians,
    "25 Gaussians": unequal,
    "rings": targets.rings,
    "checkerboard": targets.checkerboard,
    "banana": lambda: targets.banana((1.0, 0.1)),
    "two moons": targets.two_moons,
}
"""By name; the last one is for the search of rates alone."""


def cells(name: str, target: ExactEnergy) -> Callable | None:
    """Where the modes of a target are: points ``(B, 2)`` to their mode
    ``(B, K)``, ones and zeros. A banana is one piece, and has none."""
    if name == "rings":
        return lambda x: _nearest(
            x.norm(dim=1, keepdim=True), target.radii
        )
    if name == "checkerboard":
        corner = torch.tensor(
            [(i, 2 * j + i % 2) for i in range(4) for j in range(2)]
        )
        return lambda x: _nearest(x, 2.0 * corner - 3)
    means = getattr(target, "means", None)
    if means is None or name == "two moons":
        return None
    return lambda x: _nearest(x, means)


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    if centres.ndim == 1:
        centres = centres[:, None]
    which = torch.cdist(x, centres.to(x)).argmin(1)
    return torch.nn.functional.one_hot(which, len(centres)).double()


def quick(energy: Callable) -> Callable:
    """The same energy; that of a mixture of thousands of equal Gaussians,
    such as a generator's, as one product of matrices."""
    if not isinstance(energy, GaussianMixture) or len(energy.means) < 500:
        return energy
    means, var = energy.means.double(), energy.std.double().square()
    if not (var == var.flatten()[0]).all():
        return energy
    var, log_w = var.flatten()[0], energy.weights.double().log()
    slope = (means / var).T
    level = log_w - means.square().sum(1) / (2 * var)
    level = level - (2 * math.pi * var).log()

    def fast(x: Tensor) -> Tensor:
        x = x.double()
        around = x.square().sum(1) / (2 * var)
        rows = [torch.addmm(level, part, slope) for part in x.split(512)]
        return around - torch.cat([row.logsumexp(1) for row in rows])

    return fast


class Looked:
    """An energy on the points of one grid, computed once for several
    integrals, each of which walks through the grid from its beginning."""

    def __init__(self, energy: Callable, grid: exact.Grid) -> None:
        self.values, self.at = grid.tabulate(quick(energy)), 0

    def __call__(self, x: Tensor) -> Tensor:
        part = self.values[self.at : self.at + len(x)]
        self.at = (self.at + len(x)) % len(self.values)
        return part


def finite(value: float) -> float | None:
    """None for a number that is infinite."""
    return value if math.isfinite(value) else None


def nats(target: ExactEnergy, energy: Callable, grid: exact.Grid) -> float:
    """``KL(target ‖ model)``; infinite where the net is not finite."""
    with warnings.catch_warnings():  # without a reference, mass leaks
        warnings.simplefilter("ignore", exact.LeakWarning)
        try:
            return exact.kl(target, quick(energy), grid).value
        except ValueError:  # NaN or no mass at all, said by `exact`
            return math.inf


def draws(learned: Learned, n: int) -> Tensor:
    """By the method's own sampler, or by the one chain for all others."""
    if learned.sample is not None:
        return learned.sample(n).detach()
    return CHAIN(learned.energy, SPREAD * torch.randn(n, 2)).detach()


def judge(name: str, target: ExactEnergy, learned: Learned) -> dict:
    """The numbers of a row; None for infinity, or where there is none."""
    energy = Looked(learned.energy, GRID)
    found: dict = {"kl": finite(nats(target, energy, GRID))}
    found["reverse_kl"] = finite(nats(energy, target, GRID))
    of = cells(name, target)
    shares = exact.expectation(of, target, GRID).value if of else None
    if of and found["kl"] is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exact.LeakWarning)
            own = exact.expectation(of, energy, GRID).value
        found["modes"] = 0.5 * (shares - own).abs().sum().item()
    found |= of_samples(target, learned, of, shares)
    found["map"] = density_map(target, learned)
    return found


def of_samples(
    target: ExactEnergy,
    learned: Learned,
    of: Callable | None = None,
    shares: Tensor | None = None,
) -> dict:
    """What a test says of samples, and how far their weights of modes are
    from those of the target, ``shares``, if it has modes."""
    try:
        x = draws(learned, N_SAMPLES)
    # the chain of an energy without a floor, or a flow without an inverse
    except (FloatingPointError, ValueError):
        return {"accuracy": None, "p": None}
    if not x.isfinite().all():
        return {"accuracy": None, "p": None}
    test = twosample.c2st(x, target.sample(N_SAMPLES))
    found = {"accuracy": test.accuracy, "p": test.p_value}
    if of:
        gap = of(x).mean(0) - shares
        found["sample_modes"] = 0.5 * gap.abs().sum().item()
    return found


def density_map(target: ExactEnergy, learned: Learned) -> str:
    """Square root of the density in the target's box, 40 x 40 bytes."""
    low, high = target.box
    axis = low + (torch.arange(N_MAP) + 0.5) * (high - low) / N_MAP
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    points = torch.stack([x, y], 2).flatten(0, 1)
    with torch.no_grad():
        log_p = -quick(learned.energy)(points).double()
    root = (0.5 * (log_p - log_p.max())).exp().nan_to_num()
    return base64.b64encode(bytes((255 * root).round().byte())).decode()


def arena(name: str) -> Arena:
    """A target by its name, with all contestants."""
    target = PLANE_TARGETS[name]()
    return Arena(target, contestants(), lambda x: judge(name, target, x))
