"""What a kernel is, and what kernels share: schedules, bounds, the Metropolis decision, errors."""

import math
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebmlearn.check import floats, number, shown
from ebmlearn.energy import Energy, grad
from ebmlearn.schedules import Schedule

Bounds = tuple[float, float]
"""Lowest and highest value of every coordinate."""

LARGEST = 1.8e19
"""Of a step size: float32 still holds its square."""


class State(NamedTuple):
    """Where a batch of chains stands. Value and gradient are at ``x``, or None where no kernel needed them
    yet; the momentum is that of `hmc`."""

    x: Tensor
    energy: Tensor | None = None
    grad: Tensor | None = None
    t: int = 0
    momentum: Tensor | None = None


class Info(NamedTuple):
    """What a step did: evaluated at the point it left, before moving.

    Attributes:
        x: The point it left, shape ``(B, *event)``.
        energy: ``E(x)``, shape ``(B,)``; None for a kernel that does not compute it.
        grad: ``∇E(x)``, shape ``(B, *event)``; None for a kernel without gradients.
        step_size: The step size ``s`` that was used; None for a kernel without one.
        acceptance: Probability with which each move was accepted, shape ``(B,)``; None for an unadjusted
            kernel.
    """

    x: Tensor
    energy: Tensor | None = None
    grad: Tensor | None = None
    step_size: float | None = None
    acceptance: Tensor | None = None


Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]
"""``x -> (E(x), ∇E(x))``."""

Settings = tuple[Any, ...]
"""What schedules say at a step, the step size first: numbers, in a compiled block tensors."""

Verify = Callable[[Tensor, State], Tensor]
"""From the log-ratio of a decision and the proposals to the log-ratio, if it is defined."""


class Parts(NamedTuple):
    """What a step is made of. A plain step puts them together, and so does a compiled block of steps, which
    has its random numbers drawn outside.

    Attributes:
        name: Of the kernel.
        energy: The energy.
        at: From the step number to the settings, the step size first.
        memory: From a state to memory for the random numbers of a step.
        fill: Draws them into it: ``fill(memory, settings)``.
        move: The step: ``move(gradient, state, noise, settings, verify) -> (State, Info)``.
        create_graph: Whether the chain is differentiated.
    """

    name: str
    energy: Energy
    at: Callable[[int], Settings]
    memory: Callable[[State], tuple[Tensor, ...]]
    fill: Callable[[tuple[Tensor, ...], Settings], None]
    move: Callable[[Gradient, State, tuple[Tensor, ...], Settings, Verify], tuple[State, Info]]
    create_graph: bool = False


class Kernel(NamedTuple):
    """A Markov transition.

    Attributes:
        init: ``x -> State``.
        step: ``State -> (State, Info)``.
        temperature: The temperature ``T`` at step ``t``: the chain targets ``exp(-E/T)``.
        parts: What the step is made of, if it can be compiled; None: it cannot.
        exact: Whether a step leaves ``exp(-E/T)`` as it is, whatever the step size: `ula` does not.
    """

    init: Callable[[Tensor], State]
    step: Callable[[State], tuple[State, Info]]
    temperature: Schedule
    parts: Parts | None = None
    exact: bool = True

    def __repr__(self) -> str:
        made_by = getattr(self.init, "__qualname__", type(self.init).__qualname__).split(".")[0]
        return f"Kernel({made_by}, temperature={self.temperature(0):g}, exact={self.exact})"


MakeKernel = Callable[..., Kernel]
"""``make(energy, **settings) -> Kernel``: `ula`, `mala`, `hmc`, `gibbs`, or a ``partial`` of one."""


def plain_step(parts: Parts, verify: Verify | None = None) -> Callable[[State], tuple[State, Info]]:
    """The step of a kernel: settings, random numbers, move. ``verify`` is `verifier` if None."""
    gradient = partial(grad, parts.energy, create_graph=parts.create_graph)
    verify = verifier(parts.name) if verify is None else verify

    def step(state: State) -> tuple[State, Info]:
        settings, noise = parts.at(state.t), parts.memory(state)
        parts.fill(noise, settings)
        return parts.move(gradient, state, noise, settings, verify)

    return step


def verifier(name: str) -> Verify:
    """Refuses undefined acceptance probabilities of the kernel of this name, with ``FloatingPointError``."""

    def verify(log_ratio: Tensor, new: State) -> Tensor:
        # One reduction in the usual case; infinities of both signs also end here, and are looked at one by
        # one.
        if math.isnan(log_ratio.sum().item()):
            log_ratio = forbid_infinite(log_ratio, new)
            check_defined(log_ratio, name)
        return log_ratio

    return verify


class Deferred:
    """A `Verify` that does not look at the numbers: a GPU would have to finish everything before it could say
    what they are. A chain whose decision is undefined stays where it is until `settle` refuses it."""

    def __init__(self) -> None:
        self.undefined: Tensor | None = None

    def __call__(self, log_ratio: Tensor, new: State) -> Tensor:
        log_ratio = forbid_infinite(log_ratio, new)
        self.add(log_ratio.isnan())
        return log_ratio

    def add(self, undefined: Tensor) -> None:
        """Take note of chains, shape ``(B,)``, of which a decision was undefined."""
        self.undefined = undefined.clone() if self.undefined is None else self.undefined | undefined

    def settle(self, name: str) -> None:
        """Refuse with ``FloatingPointError`` if any decision of the kernel of this name was undefined."""
        if self.undefined is not None:
            check_defined(torch.where(self.undefined, torch.nan, 0.0), name)


def runs_ahead(x: Tensor) -> bool:
    """Whether Python goes on before a step is done, which it can as long as it does not look at a number."""
    return x.device.type != "cpu"


def forbid_infinite(log_ratio: Tensor, new: State) -> Tensor:
    """Proposals of infinite energy are rejected, whatever their slope."""
    assert new.energy is not None
    return torch.where(new.energy == torch.inf, -torch.inf, log_ratio)


def check_defined(log_ratio: Tensor, name: str) -> None:
    what = f"a proposal of {name} has an undefined acceptance probability"
    check_finite(log_ratio, what, allow_inf=True)


def metropolis(
    state: State, new: State, log_ratio: Tensor, uniform: Tensor, bounds: Bounds | None, verify: Verify
) -> tuple[State, Tensor]:
    """Accept each proposal with probability ``min(1, exp(log_ratio))``, or stay.

    Args:
        state: Where the chains stand.
        new: The proposals, with energy and gradient, and the momentum if there is one.
        log_ratio: Log of the ratio of Metropolis and Hastings, shape ``(B,)``.
        uniform: What decides, in [0, 1), shape ``(B,)``.
        bounds: Proposals outside are rejected.
        verify: See `Verify`.

    Returns:
        The next state, and the acceptance probabilities ``(B,)``. A rejected chain keeps the momentum of
        ``state``.

    Raises:
        FloatingPointError: If an acceptance probability is undefined.
    """
    assert new.energy is not None and new.grad is not None
    assert state.energy is not None and state.grad is not None
    if bounds is not None:
        outside = (new.x < bounds[0]) | (new.x > bounds[1])  # NaN is not, and goes on to the error
        outside = outside.flatten(1).any(1) if outside.ndim > 1 else outside
        log_ratio = torch.where(outside, -torch.inf, log_ratio)
    probability = verify(log_ratio, new).exp().clamp_max(1)
    accept = uniform < probability
    wide = accept.view(-1, *[1] * (new.x.ndim - 1))
    momentum = None
    if new.momentum is not None and state.momentum is not None:
        momentum = torch.where(wide, new.momentum, state.momentum)
    return State(
        torch.where(wide, new.x, state.x),
        torch.where(accept, new.energy, state.energy),
        torch.where(wide, new.grad, state.grad),
        state.t + 1,
        momentum,
    ), probability


def plus(x: Tensor, y: Tensor, factor: Any) -> Tensor:
    """``x + factor y``. Eagerly with a number, where a fused addition is fastest; in a compiled graph with a
    tensor, since it would hold a number as a constant."""
    return x + factor * y if isinstance(factor, Tensor) else torch.add(x, y, alpha=factor)


def make_schedule(name: str, value: float | Schedule, *, positive: bool) -> Schedule:
    """A number or a schedule as a schedule whose values are checked when it is asked."""
    span = "> 0" if positive else ">= 0"

    def at(t: int) -> float:
        v = schedule(t)
        if not isinstance(v, float | Real | Tensor) or not (v > 0 if positive else v >= 0) or v >= LARGEST:
            raise ValueError(f"{name} is {shown(v)} at step {t}; expected a number {span}, below {LARGEST:g}")
        return float(v)

    if callable(value):
        schedule = value
        return at
    constant = number(name, value, span, hint=", or a schedule")
    if constant >= LARGEST:
        raise ValueError(f"{name} is {value}, whose square float32 cannot hold; expected a number {span}")
    return lambda t: constant


def langevin_schedules(
    step_size: float | Schedule, noise_scale: float | Schedule | None
) -> tuple[Schedule, Schedule, Schedule]:
    """Step size, noise scale and temperature of Langevin dynamics, as schedules that check their values.

    Args:
        step_size: ``s`` > 0, or a schedule of the step number.
        noise_scale: ``σ`` >= 0, or a schedule; None: ``s``.

    Raises:
        ValueError: If a value is out of its range; of a schedule when it is asked.
    """
    size = make_schedule("step_size", step_size, positive=True)
    noise = size if noise_scale is None else make_schedule("noise_scale", noise_scale, positive=False)
    return size, noise, lambda t: (noise(t) / size(t)) ** 2


def draws_of_proposals(
    generator: torch.Generator | None,
) -> tuple[Callable[[State], tuple[Tensor, ...]], Callable[[tuple[Tensor, ...], Settings], None]]:
    """``memory`` and ``fill`` of `Parts` for a step that proposes and decides: normal numbers of the shape of
    ``x``, and one in [0, 1) for each chain."""

    def memory(state: State) -> tuple[Tensor, ...]:
        assert state.energy is not None
        return like(state.x), torch.empty_like(state.energy)

    def fill(numbers: tuple[Tensor, ...], _: Settings) -> None:
        numbers[0].normal_(generator=generator)
        numbers[1].uniform_(generator=generator)

    return memory, fill


def check_bounds(bounds: Bounds, name: str = "bounds") -> Bounds:
    try:
        low, high = bounds
        in_order = not isinstance(low, str) and bool(low < high)
    except (TypeError, ValueError, RuntimeError):
        in_order = False
    if not in_order:
        raise ValueError(f"{name} are {shown(bounds)}; expected (low, high) with low < high")
    return low, high


def check_start(x: Tensor) -> None:
    """Refuse where no chain by gradients can start.

    Raises:
        TypeError: If ``x`` is no tensor.
        ValueError: If it is not of float32 or float64.
    """
    floats("x", x)
    if x.element_size() < 4:
        raise ValueError(
            f"x is {x.dtype}, in which a chain drifts, since most of a small step is rounded away: start at "
            'x.float(). Energies may be computed in bfloat16: Speed(precision="bf16").'
        )


def total(x: Tensor) -> Tensor:
    """Sum over the event, ``(B, *event)`` to ``(B,)``; an event may be a single number, of shape ``()``."""
    return x.flatten(1).sum(1) if x.ndim > 1 else x


_ADVICE = (
    "The step is too large for this energy, or the energy itself is not finite: lower step_size, bound the "
    "energy's slope (smaller learning rate, a Gaussian reference term) or start the chains nearer to the "
    "data."
)


def check_finite(value: Tensor, what: str, allow_inf: bool = False, advice: str = _ADVICE) -> None:
    bad = value.isnan() if allow_inf else ~value.isfinite()
    if bad.any():
        n = int(bad.reshape(len(value), -1).any(1).sum())
        raise FloatingPointError(f"{what} ({n} of {len(value)} chains). {advice}")


def like(x: Tensor) -> Tensor:
    """Memory for draws, in the order of the elements, so that they do not depend on the order in memory."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)
