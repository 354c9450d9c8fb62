"""Gibbs sampling."""

from typing import Protocol

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.sample._kernel import Info, Kernel, State
from ebmlearn.sample._refuse import check_finite


class GibbsEnergy(Protocol):
    """An energy that knows the conditionals of its own density."""

    def __call__(self, x: Tensor) -> Tensor:
        """Energy, ``(B, *event)`` to ``(B,)``."""
        ...

    def gibbs_sweep(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw every block of ``x`` in turn from its conditional given the rest; returns a new tensor."""
        ...


def gibbs(energy: GibbsEnergy, *, generator: torch.Generator | None = None) -> Kernel:
    """Gibbs sampling: every block in turn from its conditional given the others; exact, and never rejected.

    Geman and Geman (1984). There is no step size to choose and no gradient to compute, but the conditionals
    must be known, as they are for `ebmlearn.energy.GRBM` (hidden units given visible ones and back) and
    `ebmlearn.energy.Gaussian` (coordinate by coordinate).

    Args:
        energy: An energy with a method ``gibbs_sweep(x, generator)``.
        generator: Source of the draws; torch's global one if None.

    Returns:
        The kernel, at temperature 1.

    Raises:
        TypeError: If the energy has no ``gibbs_sweep``, or the generator is none of torch's.
        FloatingPointError: When run, if a chain starts at a value that is not finite: a sweep would draw over
            it.
    """
    check.generator(generator)
    if not hasattr(energy, "gibbs_sweep"):
        raise TypeError(
            f"gibbs needs the conditionals of the energy, but {type(energy).__name__} has no method "
            "gibbs_sweep(x, generator). Use ula, mala or hmc, which need its gradient only."
        )

    def step(state: State) -> tuple[State, Info]:
        with torch.no_grad():
            x = energy.gibbs_sweep(state.x, generator)
        return State(x, t=state.t + 1), Info(state.x)

    def init(x: Tensor) -> State:
        check.tensor("x", x)
        check_finite(x, "gibbs starts at values that are not finite", advice="Start at finite values.")
        return State(x.detach())

    return Kernel(init, step, lambda t: 1.0)
