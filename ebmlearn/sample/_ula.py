"""The unadjusted Langevin algorithm."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad
from ebmlearn.sample._kernel import (
    Bounds,
    Info,
    Kernel,
    LangevinParts,
    State,
    check_bounds,
    check_start,
    langevin_schedules,
    normal_like,
)
from ebmlearn.schedules import Schedule


def ula(
    energy: Energy,
    *,
    step_size: float | Schedule,
    noise_scale: float | Schedule | None = None,
    bounds: Bounds | None = None,
    clamp: Bounds | None = None,
    create_graph: bool = False,
    generator: torch.Generator | None = None,
    noise: Callable[[Tensor], Tensor] | None = None,
) -> Kernel:
    """Unadjusted Langevin algorithm: ``x ← x - (s²/2) ∇E(x) + σ ε``, one gradient a step.

    Its stationary law is biased: on ``N(0, 1)`` the variance is ``1 / (1 - s²/4)``, and there is none for
    ``s >= 2``.

    Args:
        energy: The energy, any event shape.
        step_size: ``s`` > 0, a number or a schedule.
        noise_scale: ``σ`` >= 0, a number or a schedule; ``step_size`` if None (temperature 1).
        bounds: Reflect the chain at these bounds, which keeps the mass inside.
        clamp: Clamp the chain to these bounds instead, which piles mass up on the edge. Only for recipes
            that did so.
        create_graph: Keep the graph through the chain, to differentiate its end by its start.
        generator: Source of the noise; torch's global one if None.
        noise: ``x -> ε`` of the shape of ``x``, in place of draws from ``N(0, I)``: to see what other noise
            does, or to give it. The stationary law is then another, and the chain cannot be compiled.

    Returns:
        The kernel.

    Raises:
        ValueError: If ``step_size`` is not positive, ``noise_scale`` is negative, ``bounds`` or ``clamp`` are
            not in order, or both are given; also if both ``noise`` and ``generator`` are. When run, if ``x``
            is not of float32 or float64.
        TypeError: If the energy or the noise is no function, or the generator none of torch's.
    """
    check.function("energy", energy)
    check.generator(generator)
    size, scale, temperature = langevin_schedules(step_size, noise_scale)
    confine = _confinement(bounds, clamp)
    if noise is not None and generator is not None:
        raise ValueError("got noise and a generator, which only normal noise uses: give one of them")
    if noise is not None:
        check.function("noise", noise)
    draw = noise or partial(normal_like, generator=generator)

    def at(t: int) -> tuple[float, float, float]:
        s, sigma = size(t), scale(t)
        return s, -0.5 * s * s, sigma

    def init(x: Tensor) -> State:
        check_start(x)
        return State(x if create_graph else x.detach())

    def step(state: State) -> tuple[State, Info]:
        s, drift, sigma = at(state.t)
        value, slope = grad(energy, state.x, create_graph=create_graph)
        x = langevin_move(state.x, slope, drift, sigma, draw)
        new = State(confine(x), t=state.t + 1)
        return new, Info(state.x, value, slope, s)

    parts = LangevinParts(energy, at, confine, generator, create_graph) if noise is None else None
    return Kernel(init, step, temperature, parts, exact=False)


def langevin_move(
    x: Tensor, slope: Tensor, drift: float | Tensor, sigma: float | Tensor, draw: Callable[[Tensor], Tensor]
) -> Tensor:
    """``x + drift ∇E(x) + σ ε``. Eagerly with numbers, where a fused addition is fastest and ``σ = 0`` draws
    nothing; in a compiled graph with tensors, since it would hold numbers as constants."""
    if isinstance(drift, Tensor) or isinstance(sigma, Tensor):
        return x + drift * slope + sigma * draw(x)
    x = torch.add(x, slope, alpha=drift)
    return x.add_(draw(x), alpha=sigma) if sigma else x


def _confinement(bounds: Bounds | None, clamp: Bounds | None) -> Callable[[Tensor], Tensor]:
    """Reflection folds the real line onto the bounds, like light between two mirrors."""
    if bounds is not None and clamp is not None:
        raise ValueError(f"got bounds={bounds} and clamp={clamp}; a chain is reflected or clamped, not both")
    if clamp is not None:
        low, high = check_bounds(clamp, "clamp bounds")
        return lambda x: x.clamp(low, high)
    if bounds is None:
        return lambda x: x
    low, high = check_bounds(bounds)
    if not high - low < float("inf"):
        raise ValueError(f"bounds are {bounds}; a chain is reflected at finite ones")
    width = high - low
    return lambda x: low + width - ((x - low).remainder(2 * width) - width).abs()
