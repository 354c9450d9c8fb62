"""The package's only MCMC loop."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from tqdm import tqdm

from ebmlearn import check
from ebmlearn.energy import Energy
from ebmlearn.progress import progress_enabled
from ebmlearn.sample._compiled import Blocks
from ebmlearn.sample._kernel import Info, Kernel, State
from ebmlearn.sample._refuse import check_finite
from ebmlearn.sample._steps import Deferred, plain_step, runs_ahead
from ebmlearn.sample._ula import ula
from ebmlearn.speed import Speed, current


@overload
def run(
    kernel: Kernel, x: Tensor, n_steps: int, *, progress: bool = False, speed: Speed | None = None
) -> Tensor: ...
@overload
def run(
    kernel: Kernel,
    x: Tensor,
    n_steps: int,
    *,
    keep: Callable[[State, Info], Tensor],
    every: int = 1,
    progress: bool = False,
    speed: Speed | None = None,
) -> tuple[Tensor, Tensor]: ...
def run(
    kernel: Kernel,
    x: Tensor,
    n_steps: int,
    *,
    keep: Callable[[State, Info], Tensor] | None = None,
    every: int = 1,
    progress: bool = False,
    speed: Speed | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Run a batch of chains: the package's only MCMC loop.

    A chain needs one target from start to end. Nets that it calls are therefore in evaluation mode while it
    runs, whatever mode they are in otherwise: dropout is off, and batch normalisation uses its running
    statistics and leaves them alone.

    Args:
        kernel: The transition: `ula`, `mala`, `hmc`, `gibbs` or your own.
        x: Starting points, shape ``(B, *event)``; not modified. With ``n_steps=0`` it comes back as it is.
        n_steps: Number of steps, >= 0.
        keep: What to record, a function of the state after a step and of that step's info. `positions`
            keeps the trajectory; the functions in `ebmlearn.diagnostics` keep one number a step.
        every: Record every so many steps; the first record is after step ``every``.
        progress: Show a progress bar.
        speed: Compiled blocks, bfloat16, channels last: see `ebmlearn.speed.Speed`. None: what is active, as
            in `fit(speed=...) <ebmlearn.train.fit>`; else plain. ``keep`` is a part of a compiled block, and
            evaluated at each of its steps: torch operations only, step number and step size are tensors.

    Returns:
        The last ``x``, shape ``(B, *event)``; with ``keep``, a pair of it and the records stacked along a
        new first dimension, ``(n_steps // every, ...)``.

    Raises:
        ValueError: If ``n_steps`` is negative, ``x`` has no batch dimension or nothing would be recorded; if
            the chain was to be compiled, and its kernel has no parts or ``create_graph``.
        TypeError: If an argument is of another kind, such as an array for ``x``, or an energy or `ula` itself
            for the kernel.
        RuntimeError: If the chain cannot be compiled, or there is no compiler.
        FloatingPointError: If a chain ends in a value that is not finite.

    Warns:
        UserWarning: If a chain ends where the energy is +inf, and the density 0.

    Example:
        >>> from ebmlearn.sample import positions, ula
        >>> kernel = ula(lambda x: 0.5 * x.square().sum(1), step_size=0.1)
        >>> x, path = run(kernel, torch.zeros(3, 2), 100, keep=positions, every=10)
        >>> x.shape, path.shape, kernel.temperature(0)
        (torch.Size([3, 2]), torch.Size([10, 3, 2]), 1.0)
    """
    check.instance("kernel", kernel, Kernel, "a kernel, such as ula(energy, step_size=0.1)")
    check.tensor("x", x)
    check.count("n_steps", n_steps, 0)
    if x.ndim < 1:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, *event), a chain a row")
    if speed is not None:
        check.instance("speed", speed, Speed, "a Speed, such as Speed(compile=10)")
    if keep is not None:
        check.function("keep", keep, "a function of state and info, such as positions")
        check.count("every", every, 0)
    if keep and not 1 <= every <= n_steps:
        raise ValueError(
            f"keep with every={every} records nothing in n_steps={n_steps}; use 1 <= every <= n_steps"
        )
    kept: list[Tensor] = []
    done = 0
    verify = Deferred()
    with nullcontext() if speed is None else speed.active(x.device), evaluation_mode() as all_nets_seen:
        bar = partial(tqdm, disable=not (progress and progress_enabled()), leave=False)
        state = kernel.init(current().batch(x))
        k = min(_block_length(kernel, asked_here=speed is not None), n_steps)
        if k and kernel.parts:
            blocks = Blocks(kernel.parts, state, k, current().cuda_graphs, verify)
            all_nets_seen()
            for _ in bar(range(n_steps // k), unit="block"):
                first = -(done + 1) % every  # to be recorded in this block, if it is as long
                state, records = blocks(state, keep if first < k else None)
                kept += () if records is None else records[first::every]
                done += k
        step = kernel.step
        if kernel.parts and runs_ahead(state.x):
            step = plain_step(kernel.parts, verify)
        for i in bar(range(done, n_steps)):
            state, info = step(state)
            if i == 0:
                all_nets_seen()
            if keep and (i + 1) % every == 0:
                kept.append(keep(state, info))
    if n_steps:
        if kernel.parts:
            verify.settle(kernel.parts.name)
        check_finite(state.x, f"a chain is not finite after {n_steps} steps")
        _warn_of_no_density(state)
    return (state.x, torch.stack(kept)) if keep else state.x


def _warn_of_no_density(state: State) -> None:
    lost = 0 if state.energy is None else int((state.energy == torch.inf).sum())
    if lost:
        warnings.warn(
            f"{lost} of {len(state.x)} chains end where the energy is +inf and the density 0: they are no "
            "samples. Start chains where the energy is finite, or take a step that reaches there.",
            stacklevel=3,
        )


def _block_length(kernel: Kernel, asked_here: bool) -> int:
    """Steps to compile into one graph, 0 if none."""
    if not current().compile:
        return 0
    if kernel.parts is None:
        raise ValueError(
            f"speed has compile={current().compile}, but this kernel cannot be compiled: only ula with "
            "normal noise, mala and hmc say what their steps are made of: leave it out"
        )
    if not kernel.parts.create_graph:
        return current().compile
    if asked_here:
        raise ValueError(
            "a chain with create_graph=True is differentiated, which a compiled one cannot be: leave it out"
        )
    return 0  # a method that differentiates some chain goes on compiling its others


@contextmanager
def evaluation_mode() -> Iterator[Callable[[], None]]:
    """Modules called in here are in evaluation mode until the end; calling the result stops looking for more.

    An energy may be a closure, so its nets are found when they are called. The hook that finds them slows
    every module down, by a tenth for a small net, which is why it stays for the first step only.
    """
    found: list[nn.Module] = []

    def freeze(module: nn.Module, args: Any) -> None:
        if module.training:
            module.training = False  # .eval() would change modules that are not called, too
            found.append(module)

    hook = register_module_forward_pre_hook(freeze)
    try:
        yield hook.remove
    finally:
        hook.remove()
        for module in found:
            module.training = True


def langevin(
    energy: Energy, x: Tensor, *, n_steps: int, speed: Speed | None = None, **settings: Any
) -> Tensor:
    """`run` of `ula`: the short form for ``n_steps`` of Langevin dynamics.

    Args:
        energy: The energy.
        x: Starting points, shape ``(B, *event)``; not modified.
        n_steps: Number of steps.
        speed: As in `run`.
        **settings: Of `ula`: ``step_size``, ``noise_scale``, ``bounds``, ``clamp``, ``create_graph``,
            ``generator``.

    Returns:
        The ends of the chains, shape ``(B, *event)``; detached unless ``create_graph``.
    """
    return run(ula(energy, **settings), x, n_steps, speed=speed)
