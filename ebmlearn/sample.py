"""Markov chain Monte Carlo: kernels, and the one loop that runs them.

A kernel is a pair of functions, ``init(x) -> State`` and ``step(state) -> (State, Info)``; `run` repeats
the step. Langevin dynamics is written everywhere as

    x ← x - (s²/2) ∇E(x) + σ ε,    ε ~ N(0, I),

with step size ``s`` and noise scale ``σ``. It samples ``exp(-E/T)`` at temperature ``T = (σ/s)²``: only ``σ
= s``, the default, samples the energy's own density. Every kernel says its temperature.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, overload

import torch
from torch import Tensor
from tqdm import tqdm

from ebmlearn.energy import Energy, grad
from ebmlearn.progress import progress_enabled

Schedule = Callable[[int], float]
"""Function of the step number, from 0, that gives the value of a setting at this step."""

Bounds = tuple[float, float]
"""Lowest and highest value of every coordinate."""


class State(NamedTuple):
    """Where a batch of chains stands. Value and gradient are at ``x``, or None where no kernel needed them
    yet."""

    x: Tensor
    energy: Tensor | None = None
    grad: Tensor | None = None
    t: int = 0


class Info(NamedTuple):
    """What a step did: evaluated at the point it left, before moving.

    Attributes:
        energy: ``E(x)``, shape ``(B,)``.
        grad: ``∇E(x)``, shape ``(B, *event)``.
        step_size: The step size ``s`` that was used.
        acceptance: Probability with which each move was accepted, shape ``(B,)``; None for an unadjusted
            kernel.
    """

    energy: Tensor
    grad: Tensor
    step_size: float
    acceptance: Tensor | None = None


class Kernel(NamedTuple):
    """A Markov transition.

    Attributes:
        init: ``x -> State``.
        step: ``State -> (State, Info)``.
        temperature: The temperature ``T`` at step ``t``: the chain targets ``exp(-E/T)``.
    """

    init: Callable[[Tensor], State]
    step: Callable[[State], tuple[State, Info]]
    temperature: Schedule


def ula(
    energy: Energy,
    *,
    step_size: float | Schedule,
    noise_scale: float | Schedule | None = None,
    bounds: Bounds | None = None,
    create_graph: bool = False,
    generator: torch.Generator | None = None,
) -> Kernel:
    """Unadjusted Langevin algorithm: ``x ← x - (s²/2) ∇E(x) + σ ε``, one gradient a step.

    Its stationary law is biased: on ``N(0, 1)`` the variance is ``1 / (1 - s²/4)``, and there is none for
    ``s >= 2``.

    Args:
        energy: The energy, any event shape.
        step_size: ``s`` > 0, a number or a schedule.
        noise_scale: ``σ`` >= 0, a number or a schedule; ``step_size`` if None (temperature 1).
        bounds: Reflect the chain at these bounds (which keeps the mass inside, where clamping would pile it
            up on the edge).
        create_graph: Keep the graph through the chain, to differentiate its end by its start.
        generator: Source of the noise; torch's global one if None.

    Returns:
        The kernel.

    Raises:
        ValueError: If ``step_size`` is not positive, ``noise_scale`` is negative or ``bounds`` are not in
            order.
    """
    size, noise, temperature = _settings(step_size, noise_scale)
    reflect = _reflection(bounds)

    def init(x: Tensor) -> State:
        return State(x if create_graph else x.detach())

    def step(state: State) -> tuple[State, Info]:
        s, sigma = size(state.t), noise(state.t)
        value, slope = _value_and_grad(energy, state, create_graph)
        x = torch.add(state.x, slope, alpha=-0.5 * s * s)
        if sigma > 0:
            x = x.add(_normal_like(x, generator), alpha=sigma)
        return State(reflect(x), t=state.t + 1), Info(value, slope, s)

    return Kernel(init, step, temperature)


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
        ValueError: As for `ula`, and if ``noise_scale`` is 0.
    """
    size, noise, temperature = _settings(step_size, noise_scale)
    low, high = _checked(bounds) if bounds else (-torch.inf, torch.inf)

    def init(x: Tensor) -> State:
        value, slope = grad(energy, x)
        return State(x.detach(), value, slope)

    def step(state: State) -> tuple[State, Info]:
        s, sigma = size(state.t), noise(state.t)
        if sigma == 0:
            raise ValueError(
                f"mala needs a positive noise_scale; got 0 at step {state.t}. Use ula for T = 0."
            )
        value, slope = _value_and_grad(energy, state)
        noise_out = _normal_like(state.x, generator)
        x = torch.add(state.x, slope, alpha=-0.5 * s * s).add_(noise_out, alpha=sigma)
        new_value, new_slope = grad(energy, x)
        noise_back = (state.x - x).add_(new_slope, alpha=0.5 * s * s).div_(sigma)
        log_ratio = (value - new_value) * (s / sigma) ** 2
        log_ratio = log_ratio + 0.5 * (noise_out.square() - noise_back.square()).flatten(1).sum(1)
        if bounds:
            inside = ((x >= low) & (x <= high)).flatten(1).all(1)
            log_ratio = torch.where(inside, log_ratio, -torch.inf)
        log_ratio = torch.where(new_value == torch.inf, -torch.inf, log_ratio)
        _check_finite(
            log_ratio, x, "a proposal of mala has an undefined acceptance probability", allow_inf=True
        )
        uniform = torch.rand(value.shape, generator=generator, dtype=value.dtype, device=value.device)
        accept = uniform.log() < log_ratio
        wide = accept.reshape(-1, *[1] * (x.ndim - 1))
        new = State(
            torch.where(wide, x, state.x),
            torch.where(accept, new_value, value),
            torch.where(wide, new_slope, slope),
            state.t + 1,
        )
        return new, Info(value, slope, s, log_ratio.exp().clamp_max(1))

    return Kernel(init, step, temperature)


@overload
def run(kernel: Kernel, x: Tensor, n_steps: int, *, progress: bool = False) -> Tensor: ...
@overload
def run(
    kernel: Kernel,
    x: Tensor,
    n_steps: int,
    *,
    keep: Callable[[State, Info], Tensor],
    every: int = 1,
    progress: bool = False,
) -> tuple[Tensor, Tensor]: ...
def run(
    kernel: Kernel,
    x: Tensor,
    n_steps: int,
    *,
    keep: Callable[[State, Info], Tensor] | None = None,
    every: int = 1,
    progress: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run a batch of chains: the package's only MCMC loop.

    Args:
        kernel: The transition, for example `ula` or `mala`.
        x: Starting points, shape ``(B, *event)``; not modified. With ``n_steps=0`` it comes back as it is.
        n_steps: Number of steps, >= 0.
        keep: What to record, a function of the state after a step and of that step's info. `positions`
            keeps the trajectory; the functions in `ebmlearn.diagnostics` keep one number a step.
        every: Record every so many steps; the first record is after step ``every``.
        progress: Show a progress bar.

    Returns:
        The last ``x``, shape ``(B, *event)``; with ``keep``, a pair of it and the records stacked along a
        new first dimension, ``(n_steps // every, ...)``.

    Raises:
        ValueError: If ``n_steps`` is negative, ``x`` has no batch dimension or nothing would be recorded.
        FloatingPointError: If a chain ends in a value that is not finite.

    Example:
        >>> kernel = ula(lambda x: 0.5 * x.square().sum(1), step_size=0.1)
        >>> x, path = run(kernel, torch.zeros(3, 2), 100, keep=positions, every=10)
        >>> x.shape, path.shape, kernel.temperature(0)
        (torch.Size([3, 2]), torch.Size([10, 3, 2]), 1.0)
    """
    if n_steps < 0 or x.ndim < 1:
        raise ValueError(
            f"expected n_steps >= 0 and x of shape (B, *event); got {n_steps} and {tuple(x.shape)}"
        )
    if keep and not 1 <= every <= n_steps:
        raise ValueError(
            f"keep with every={every} records nothing in n_steps={n_steps}; use 1 <= every <= n_steps"
        )
    kept = []
    state = kernel.init(x)
    for i in tqdm(range(n_steps), disable=not (progress and progress_enabled()), leave=False):
        state, info = kernel.step(state)
        if keep and (i + 1) % every == 0:
            kept.append(keep(state, info))
    if n_steps:
        _check_finite(state.x, state.x, f"a chain is not finite after {n_steps} steps")
    return (state.x, torch.stack(kept)) if keep else state.x


def langevin(energy: Energy, x: Tensor, *, n_steps: int, **settings: Any) -> Tensor:
    """`run` of `ula`: the short form for ``n_steps`` of Langevin dynamics.

    Args:
        energy: The energy.
        x: Starting points, shape ``(B, *event)``; not modified.
        n_steps: Number of steps.
        **settings: Of `ula`: ``step_size``, ``noise_scale``, ``bounds``, ``create_graph``, ``generator``.

    Returns:
        The ends of the chains, shape ``(B, *event)``; detached unless ``create_graph``.
    """
    return run(ula(energy, **settings), x, n_steps)


def positions(state: State, info: Info) -> Tensor:
    """For ``run(..., keep=positions)``: the trajectory, ``(B, *event)`` at each record."""
    return state.x


def _settings(
    step_size: float | Schedule, noise_scale: float | Schedule | None
) -> tuple[Schedule, Schedule, Schedule]:
    """Step size, noise scale and temperature as checked schedules."""
    size = _schedule("step_size", step_size, positive=True)
    noise = size if noise_scale is None else _schedule("noise_scale", noise_scale, positive=False)
    return size, noise, lambda t: (noise(t) / size(t)) ** 2


def _schedule(name: str, value: float | Schedule, *, positive: bool) -> Schedule:
    def check(v: float, where: str = "") -> float:
        v = float(v)
        if not (v > 0 if positive else v >= 0) or v == float("inf"):
            raise ValueError(f"{name} is {v}{where}; expected a number {'> 0' if positive else '>= 0'}")
        return v

    if callable(value):
        return lambda t: check(value(t), f" at step {t}")
    constant = check(value)
    return lambda t: constant


def _value_and_grad(energy: Energy, state: State, create_graph: bool = False) -> tuple[Tensor, Tensor]:
    if state.energy is None or state.grad is None:
        return grad(energy, state.x, create_graph=create_graph)
    return state.energy, state.grad


def _normal_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _checked(bounds: Bounds) -> Bounds:
    low, high = bounds
    if not low < high:
        raise ValueError(f"bounds are {bounds}; expected (low, high) with low < high")
    return low, high


def _reflection(bounds: Bounds | None) -> Callable[[Tensor], Tensor]:
    """Fold the real line onto the bounds, like light between two mirrors."""
    if bounds is None:
        return lambda x: x
    low, high = _checked(bounds)
    width = high - low
    return lambda x: low + width - ((x - low).remainder(2 * width) - width).abs()


def _check_finite(value: Tensor, x: Tensor, what: str, allow_inf: bool = False) -> None:
    bad = value.isnan() if allow_inf else ~value.isfinite()
    if bad.any():
        n = int(bad.reshape(len(x), -1).any(1).sum())
        raise FloatingPointError(
            f"{what} ({n} of {len(x)} chains). The step is too large for this energy, or the energy itself "
            "is not finite: lower step_size, bound the energy's slope (smaller learning rate, a Gaussian "
            "reference term) or start the chains nearer to the data."
        )
