"""The unadjusted Langevin algorithm."""

from collections.abc import Callable

from torch import Generator, Tensor

from ebmlearn import check
from ebmlearn.energy import Energy
from ebmlearn.sample._kernel import Gradient, Info, Kernel, Parts, Settings, State, Verify, like, plus
from ebmlearn.sample._refuse import Bounds, check_bounds, check_start, langevin_schedules
from ebmlearn.sample._steps import plain_step
from ebmlearn.schedules import Schedule


def ula(
    energy: Energy,
    *,
    step_size: float | Schedule,
    noise_scale: float | Schedule | None = None,
    bounds: Bounds | None = None,
    clamp: Bounds | None = None,
    create_graph: bool = False,
    generator: Generator | None = None,
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

    def at(t: int) -> Settings:
        s, sigma = size(t), scale(t)
        return s, -0.5 * s * s, sigma

    def init(x: Tensor) -> State:
        check_start(x)
        return State(x if create_graph else x.detach())

    def memory(state: State) -> tuple[Tensor, ...]:
        return (like(state.x) if noise is None else noise(state.x),)

    def fill(eps: tuple[Tensor, ...], settings: Settings) -> None:
        if noise is None and settings[2]:  # at T = 0 nothing is drawn
            eps[0].normal_(generator=generator)

    def move(
        gradient: Gradient,
        state: State,
        eps: tuple[Tensor, ...],
        settings: Settings,
        _: Verify,
    ) -> tuple[State, Info]:
        s, drift, sigma = settings
        value, slope = gradient(state.x)
        x = plus(state.x, slope, drift)
        if isinstance(sigma, Tensor) or sigma:
            x = plus(x, eps[0], sigma)
        return State(confine(x), t=state.t + 1), Info(state.x, value, slope, s)

    parts = Parts("ula", energy, at, memory, fill, move, create_graph)
    step = plain_step(parts)
    return Kernel(init, step, temperature, parts if noise is None else None, exact=False)


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
