"""What steps share: how one is put together, the random numbers of proposals, and the Metropolis decision."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ebmlearn.energy import grad
from ebmlearn.sample._kernel import Info, Parts, Settings, State, Verify, like
from ebmlearn.sample._refuse import Bounds, check_finite


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
