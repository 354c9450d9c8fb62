"""What a kernel is: states, what is said of a step, the parts of one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebmlearn.energy import Energy
from ebmlearn.schedules import Schedule


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


def plus(x: Tensor, y: Tensor, factor: Any) -> Tensor:
    """``x + factor y``. Eagerly with a number, where a fused addition is fastest; in a compiled graph with a
    tensor, since it would hold a number as a constant."""
    return x + factor * y if isinstance(factor, Tensor) else torch.add(x, y, alpha=factor)


def total(x: Tensor) -> Tensor:
    """Sum over the event, ``(B, *event)`` to ``(B,)``; an event may be a single number, of shape ``()``."""
    return x.flatten(1).sum(1) if x.ndim > 1 else x


def like(x: Tensor) -> Tensor:
    """Memory for draws, in the order of the elements, so that they do not depend on the order in memory."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)
