"""Hamiltonian Monte Carlo."""

import math

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad
from ebmlearn.sample._kernel import Gradient, Info, Kernel, Parts, Settings, State, Verify, plus, total
from ebmlearn.sample._refuse import Bounds, check_bounds, check_start, make_schedule
from ebmlearn.sample._steps import draws_of_proposals, metropolis, plain_step
from ebmlearn.schedules import Schedule


def hmc(
    energy: Energy,
    *,
    step_size: float | Schedule,
    n_leapfrog: int,
    temperature: float | Schedule = 1.0,
    persistence: float = 0.0,
    bounds: Bounds | None = None,
    generator: torch.Generator | None = None,
) -> Kernel:
    """Hamiltonian Monte Carlo: exact, ``L`` gradients a proposal (those at the start are kept).

    Neal (2011), "MCMC using Hamiltonian dynamics"; ``persistence`` is that of Horowitz (1991). A proposal:

    1. Refresh the momentum: ``p ← α p + √(1 - α²) ξ``, ``ξ ~ N(0, T I)``.
    2. ``L`` leapfrog steps of ``H(x, p) = E(x) + ½‖p‖²``: ``p ← p - (s/2) ∇E(x)``, ``x ← x + s p``,
       ``p ← p - (s/2) ∇E(x)``.
    3. Accept with probability ``min(1, exp(-(H' - H)/T))``. Otherwise stay and turn round: ``p ← -p``.

    With ``L = 1`` and ``α = 0`` this is `mala` of the same step size.

    Args:
        energy: The energy, any event shape. It may be ``+inf`` where the density is zero.
        step_size: ``s`` > 0, a number or a schedule. On ``N(0, v)`` the leapfrog steps are stable for ``s <
            2 √v``, with ``v`` the smallest variance.
        n_leapfrog: ``L`` >= 1.
        temperature: ``T`` > 0, a number or a schedule.
        persistence: ``α`` in [0, 1): 0 draws a new momentum at each proposal; near 1, with ``L = 1``, the
            chain is underdamped Langevin dynamics.
        bounds: Proposals outside are rejected, which samples the density restricted to the bounds exactly.
        generator: Source of the noise; torch's global one if None.

    Returns:
        The kernel.

    Raises:
        ValueError, TypeError: If a setting is out of its range; else as for `ula`.
    """
    check.function("energy", energy)
    check.generator(generator)
    size = make_schedule("step_size", step_size, positive=True)
    heat = make_schedule("temperature", temperature, positive=True)
    check.count("n_leapfrog", n_leapfrog)
    check.number("persistence", persistence, "in [0, 1)")
    if bounds is not None:
        check_bounds(bounds)
    fresh = math.sqrt(1 - persistence**2)

    def at(t: int) -> Settings:
        s, T = size(t), heat(t)
        return s, -0.5 * s, -s, T, math.sqrt(T)

    def init(x: Tensor) -> State:
        check_start(x)
        value, slope = grad(energy, x)
        return State(x.detach(), value, slope)

    def move(
        gradient: Gradient,
        state: State,
        numbers: tuple[Tensor, ...],
        settings: Settings,
        verify: Verify,
    ) -> tuple[State, Info]:
        assert state.energy is not None and state.grad is not None
        (xi, u), (s, half, whole, T, root) = numbers, settings
        # 1. momentum
        p = xi * root
        if persistence and state.momentum is not None:
            p = plus(fresh * p, state.momentum, persistence)
        # 2. leapfrog; two half steps of p that follow each other are one
        x, p_new = state.x, plus(p, state.grad, half)
        for i in range(n_leapfrog):
            x = plus(x, p_new, s)
            value, slope = gradient(x)
            p_new = plus(p_new, slope, half if i + 1 == n_leapfrog else whole)
        # 3. accept or turn round
        lost = 0.5 * total(p.square() - p_new.square())
        log_ratio = (state.energy - value + lost) / T
        new = State(x, value, slope, momentum=p_new if persistence else None)
        old = state._replace(momentum=-p if persistence else None)
        new, acceptance = metropolis(old, new, log_ratio, u, bounds, verify)
        return new, Info(state.x, state.energy, state.grad, s, acceptance)

    parts = Parts("hmc", energy, at, *draws_of_proposals(generator), move)
    return Kernel(init, plain_step(parts), heat, parts)
