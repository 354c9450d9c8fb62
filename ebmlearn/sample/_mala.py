"""The Metropolis-adjusted Langevin algorithm."""

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad
from ebmlearn.sample._kernel import Gradient, Info, Kernel, Parts, Settings, State, Verify, plus, total
from ebmlearn.sample._refuse import Bounds, check_bounds, check_start, langevin_schedules
from ebmlearn.sample._steps import draws_of_proposals, metropolis, plain_step
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

    def at(t: int) -> Settings:
        s, sigma = size(t), noise(t)
        if sigma == 0:
            raise ValueError(f"mala needs a positive noise_scale; got 0 at step {t}. Use ula for T = 0.")
        return s, -0.5 * s * s, sigma, 0.5 * s * s / sigma, (s / sigma) ** 2

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
        (eps, u), (s, drift, sigma, c, inverse_T) = numbers, settings
        # 1. proposal
        x = plus(plus(state.x, state.grad, drift), eps, sigma)
        value, slope = gradient(x)
        # 2. log of the ratio
        # The move back needs the noise ε' = -(ε - c g), g = ∇E + ∇E' and
        # c = s²/2σ, hence log q(x | x') - log q(x' | x) = ½‖ε‖² - ½‖ε'‖²
        # = c g·(ε - ½ c g).
        both = state.grad + slope
        work = total(plus(eps, both, -0.5 * c) * both)
        log_ratio = plus((state.energy - value) * inverse_T, work, c)
        # 3. accept or stay
        new = State(x, value, slope)
        new, acceptance = metropolis(state, new, log_ratio, u, bounds, verify)
        return new, Info(state.x, state.energy, state.grad, s, acceptance)

    parts = Parts("mala", energy, at, *draws_of_proposals(generator), move)
    return Kernel(init, plain_step(parts), temperature, parts)
