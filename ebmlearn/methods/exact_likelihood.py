"""Maximum likelihood with the partition function computed exactly: the oracle that other methods are held to.

It exists where ``log Z`` does: in the plane by quadrature (`ebmlearn.evaluate.exact.Grid.log_z`), in a small
`ebmlearn.energy.GRBM` by enumeration. What it reaches shows what the net and the optimiser can do; what
another method loses against it is the method's own.

Algorithm, one iteration on a batch of ``B`` data:
    1. ``L = mean E(x⁺) + log Z``, the mean negative log-likelihood.
    2. One optimiser step down its gradient, through ``log Z``.
"""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.energy import energy_at
from ebmlearn.evaluate.quadrature import Grid, LeakWarning, energies, warn_of_leak
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory

_LOOK = 100  # updates from one look for mass outside the box to the next
_MUCH = 1 / 9  # of the mass inside: a tenth of all


class ExactLikelihood(Method):
    """Gradient descent on the exact negative log-likelihood.

    Args:
        energy: The net to train, ``(B, *event)`` to ``(B,)``.
        log_z: ``log_z(energy)``, shape ``()``, differentiable by the parameters: ``grid.log_z``, or ``lambda
            rbm: rbm.log_z``.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.

    Raises:
        TypeError: If ``energy`` is no module, or ``log_z`` no function.
        ValueError: At a step, if a datum lies outside the box of ``grid.log_z``: its energy would fall
            without end, at no cost.

    Warns:
        LeakWarning: If, after a hundredth update, more than a tenth of the model's mass is outside the box of
            ``grid.log_z``, where it is not counted. A new net often has as much, and soon loses it;
            of less, `ebmlearn.evaluate.exact` warns when the model is evaluated.
    """

    def __init__(
        self,
        energy: nn.Module,
        log_z: Callable[[nn.Module], Tensor],
        *,
        lr: float | Schedule = 1e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        check.module("energy", energy)
        check.function("log_z", log_z, "a function of the energy, such as Grid((-4, 4)).log_z")
        self.energy, self.log_z = energy, log_z
        self.add_optimizer("energy", energy.parameters(), lr, optimizer)

    def step(self, batch: Tensor) -> dict[str, Tensor]:
        """One iteration on a batch ``(B, *event)``.

        Returns:
            ``nll``, the mean negative log-likelihood in nats.
        """
        grid = getattr(self.log_z, "__self__", None)  # of grid.log_z
        if isinstance(grid, Grid):
            _check_inside(batch, grid)
        # 1. exact negative log-likelihood
        nll = energy_at(self.energy, batch).mean() + self.log_z(self.energy)
        # 2. update
        self.update("energy", nll)
        if isinstance(grid, Grid) and self.updates["energy"] % _LOOK == 0:
            _warn_of_mass_outside(self.energy, grid)
        return {"nll": nll.detach()}


def _check_inside(x: Tensor, grid: Grid) -> None:
    check.floats("the batch", x)
    low, high = grid.box
    outside = int(((x < low) | (x > high)).flatten(1).any(1).sum()) if x.ndim > 1 else 0
    if outside:
        raise ValueError(
            f"{outside} of {len(x)} data lie outside the box {grid.box} of the quadrature, where the model "
            "would put any mass for nothing: use a larger box"
        )


def _warn_of_mass_outside(energy: nn.Module, grid: Grid) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)  # of a thousandth, which training has yet to move
        _, leak = energies(energy, grid)
    if leak > _MUCH:
        warn_of_leak(leak, grid)
