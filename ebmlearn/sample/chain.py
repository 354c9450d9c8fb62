"""A chain as one value: which kernel, how many steps, with which settings."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Self, get_args, overload

import torch
from torch import Tensor

from ebmlearn.energy import Energy
from ebmlearn.random import is_generator
from ebmlearn.sample._kernel import Info, Kernel, MakeKernel, State
from ebmlearn.sample._run import run
from ebmlearn.schedules import Schedule, describe_schedule


class Chain:
    """``n_steps`` of a kernel, for any energy: ``Chain(ula, n_steps=20, step_size=0.1)``.

    Methods take their chains so, and every kernel goes wherever a chain is wanted.

    Args:
        kernel: Makes the transition: `ula`, `mala`, `hmc`, `gibbs` or your own.
        n_steps: Number of steps, ``K`` >= 1.
        **settings: Of the kernel: for `ula` ``step_size``, ``noise_scale``, ``bounds`` and so on.

    Raises:
        ValueError: If ``n_steps`` is below 1, or a setting is out of its range.
        TypeError: If the kernel does not know a setting, or lacks one.

    Example:
        >>> from ebmlearn.sample import ula
        >>> chain = Chain(ula, n_steps=20, step_size=0.1)
        >>> chain
        Chain(ula, n_steps=20, step_size=0.1)
        >>> chain(lambda x: 0.5 * x.square().sum(1), torch.zeros(3, 2)).shape
        torch.Size([3, 2])
        >>> chain.replace(n_steps=1000, step_size=0.05)
        Chain(ula, n_steps=1000, step_size=0.05)
    """

    def __init__(self, kernel: MakeKernel, *, n_steps: int, **settings: Any) -> None:
        if isinstance(n_steps, bool) or not isinstance(n_steps, int) or n_steps < 1:
            raise ValueError(f"n_steps is {n_steps!r}; expected the number of steps of a chain, at least 1")
        if not callable(kernel):
            raise TypeError(
                f"the kernel is {kernel!r}; expected ula, mala, hmc, gibbs or a function like them"
            )
        self.make_kernel, self.n_steps, self.settings = kernel, n_steps, settings
        _check_names(kernel, settings)
        self.kernel(_Anything())  # refuses bad values here, not at the first step

    def kernel(self, energy: Energy) -> Kernel:
        """The transition on an energy."""
        return self.make_kernel(energy, **self.settings)

    @overload
    def __call__(self, energy: Energy, x: Tensor) -> Tensor: ...
    @overload
    def __call__(
        self, energy: Energy, x: Tensor, *, keep: Callable[[State, Info], Tensor], every: int = 1
    ) -> tuple[Tensor, Tensor]: ...
    def __call__(
        self,
        energy: Energy,
        x: Tensor,
        *,
        keep: Callable[[State, Info], Tensor] | None = None,
        every: int = 1,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Run the chain on an energy; see `run`.

        Args:
            energy: The energy, ``(B, *event)`` to ``(B,)``.
            x: Starting points, shape ``(B, *event)``; not modified.
            keep: What to record, as in `run`.
            every: Record every so many steps.

        Returns:
            The ends, shape ``(B, *event)``; with ``keep``, a pair of them and of the records.
        """
        if keep is None:
            return run(self.kernel(energy), x, self.n_steps)
        return run(self.kernel(energy), x, self.n_steps, keep=keep, every=every)

    def replace(self, **changes: Any) -> Self:
        """The same chain with other values of ``n_steps`` and of the kernel's settings."""
        return type(self)(self.make_kernel, **{"n_steps": self.n_steps, **self.settings, **changes})

    def schedules(self) -> set[str]:
        """The settings of the kernel that may be schedules, by its annotations."""
        kernel = self.make_kernel
        while isinstance(kernel, partial):
            kernel = kernel.func
        return _schedules(kernel)

    def __repr__(self) -> str:
        kernel, known = self.make_kernel, dict(self.settings)
        while isinstance(kernel, partial):
            known, kernel = {**kernel.keywords, **known}, kernel.func
        schedules = self.schedules()
        text = {k: _describe(v, k in schedules) for k, v in {"n_steps": self.n_steps, **known}.items()}
        name = getattr(kernel, "__qualname__", type(kernel).__name__)
        return f"Chain({name}, {', '.join(f'{k}={v}' for k, v in text.items())})"


class _Anything:
    """Stands in for an energy while the settings of a kernel are checked."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)

    def gibbs_sweep(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x


def _check_names(kernel: MakeKernel, settings: dict[str, Any]) -> None:
    """Refuse settings that the kernel does not know or lacks, by name."""
    parameters = [*inspect.signature(kernel).parameters.values()][1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters]
    name = getattr(kernel, "__qualname__", type(kernel).__name__)
    for setting in settings:
        if setting not in known:
            near = difflib.get_close_matches(setting, known, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"it knows {', '.join(known)}"
            raise TypeError(f"{name} does not know the setting {setting!r}; {hint}")
    lacking = [p.name for p in parameters if p.default is p.empty and p.name not in settings]
    if lacking:
        raise TypeError(f"{name} needs {', '.join(lacking)}; give it to Chain, such as {lacking[0]}=...")


def _schedules(kernel: MakeKernel) -> set[str]:
    """The settings of a kernel that may be schedules, by its annotations."""
    parameters = inspect.signature(kernel).parameters.values()
    return {p.name for p in parameters if Schedule in get_args(p.annotation)}


def _describe(value: Any, may_be_schedule: bool) -> str:
    if is_generator(value):  # whose repr is its place in memory
        return f"a {type(value).__name__}"
    if not callable(value):
        return repr(value)
    if may_be_schedule:
        return f"({describe_schedule(value)})"
    return getattr(value, "__qualname__", type(value).__name__)
