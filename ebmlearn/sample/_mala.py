"""The Metropolis-adjusted Langevin algorithm."""

from functools import partial

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad
from ebmlearn.sample._kernel import (
    Bounds,
    Info,
    Kernel,
    State,
    check_bounds,
    check_start,
    langevin_schedules,
    metropolis,
    normal_like,
    total,
)
from ebmlearn.schedules import Schedule


def mala(
    energy: Energy,
    *,
    step_size: float | Schedule,
    noise_scale: float | Schedule | None = None,
    bounds: Bounds | None = None,
    generator: torch.Generator | None = None,
) -> Kernel:
    """Metropolis-adjusted Langevin algorithm: exact, one gradient a step (value and gradient are kept).

    Roberts and Tweedie (1996). The proposal is a step of `ula`; it is accepted with probability
    ``min(1, exp(-(E' - E)/T) q(x | x') / q(x' | x))``, so ``exp(-E/T)`` is invariant for every step size.

    Args:
        energy: The energy, any event shape. It may be ``+inf`` where the density is zero.
        step_size: ``s`` > 0, a number or a schedule.
        noise_scale: ``σ`` > 0, a number or a schedule; ``step_size`` if None (temperature 1).
        bounds: Proposals outside are rejected, which samples the density restricted to the bounds exactly.
        generator: Source of the noise; torch's global one if None.

    Returns:
        The kernel.

    Raises:
        ValueError, TypeError: As for `ula`, and if ``noise_scale`` is 0.
    """
    check.function("energy", energy)
    check.generator(generator)
    size, noise, temperature = langevin_schedules(step_size, noise_scale)
    if bounds is not None:
        check_bounds(bounds)

    accept_or_stay = partial(metropolis, bounds=bounds, generator=generator, name="mala")

    def check_noise(sigma: float, t: int) -> None:
        if sigma == 0:
            raise ValueError(f"mala needs a positive noise_scale; got 0 at step {t}. Use ula for T = 0.")

    def init(x: Tensor) -> State:
        check_start(x)
        value, slope = grad(energy, x)
        return State(x.detach(), value, slope)

    def step(state: State) -> tuple[State, Info]:
        s, sigma = size(state.t), noise(state.t)
        check_noise(sigma, state.t)
        assert state.energy is not None and state.grad is not None
        # 1. proposal
        eps = normal_like(state.x, generator)
        x = torch.add(state.x, state.grad, alpha=-0.5 * s * s)
        x.add_(eps, alpha=sigma)
        value, slope = grad(energy, x)
        # 2. log of the ratio
        # The move back needs the noise ε' = -(ε - c g), g = ∇E + ∇E' and
        # c = s²/2σ, hence log q(x | x') - log q(x' | x) = ½‖ε‖² - ½‖ε'‖²
        # = c g·(ε - ½ c g).
        c, both = 0.5 * s * s / sigma, state.grad + slope
        log_ratio = state.energy - value
        if s != sigma:
            log_ratio.mul_((s / sigma) ** 2)
        work = total(eps.sub_(both, alpha=0.5 * c).mul_(both))
        log_ratio.add_(work, alpha=c)
        # 3. accept or stay
        new = State(x, value, slope)
        new, acceptance = accept_or_stay(state, new, log_ratio)
        return new, Info(state.x, state.energy, state.grad, s, acceptance)

    return Kernel(init, step, temperature)
