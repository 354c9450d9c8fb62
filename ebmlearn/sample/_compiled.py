"""Blocks of steps, each compiled into one graph."""

import warnings
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ebmlearn.energy import Energy, energy_at, grad
from ebmlearn.nets.mlp import MLPEnergy
from ebmlearn.sample import _lowering
from ebmlearn.sample._kernel import Info, Parts, Settings, State
from ebmlearn.sample._steps import Deferred, runs_ahead

Keep = Callable[[State, Info], Tensor]


class Blocks:
    """The graph of ``k`` unrolled steps of a chain.

    Random numbers are drawn outside of the graph, step by step and from the chain's own generator, so that
    they are those of an uncompiled chain. Step sizes and other settings are inputs of the graph: a schedule
    compiles nothing anew.

    Args:
        parts: What to compile.
        state: Where it starts.
        k: Steps in a block.
        cuda_graphs: Replay blocks as CUDA graphs.
        verify: Where undefined decisions go. On a CPU they are refused after each block.
    """

    def __init__(self, parts: Parts, state: State, k: int, cuda_graphs: bool, verify: Deferred) -> None:
        self.parts, self.k, self.cuda_graphs, self.verify = parts, k, cuda_graphs, verify
        self.noise = tuple(m.new_zeros((k, *m.shape)) for m in parts.memory(state))
        # A CPU draws normal numbers in sixteens: a block of them in one call is then the same stream.
        first = self.noise[0]
        self.at_once = len(self.noise) == 1 and first.device.type == "cpu" and first[0].numel() % 16 == 0
        self.table: list[Settings] = []
        self.settings = state.x.new_zeros(())
        self.piece = _piece(parts.energy, state.x)
        graphs = _graphs.setdefault(_anchor(parts.energy), {})
        self.key = k, cuda_graphs, parts.move.__code__
        if (*self.key, self.piece) not in graphs and (*self.key, 0) not in graphs:
            # Errors of an energy are clearer outside of a graph. Nets must be called here, for those who wait
            # to see which; a closed form of the gradient does not.
            grad(lambda x: parts.energy(x), state.x)
        else:
            with torch.no_grad():
                energy_at(parts.energy, state.x)  # for those who wait to see which nets it calls
        self.graphs = graphs

    @torch.no_grad()
    def __call__(self, state: State, keep: Keep | None) -> tuple[State, Tensor | None]:
        """The state ``k`` steps on, and what ``keep`` records at each, stacked."""
        self._prepare(state, keep is not None)
        size = 0 if keep is not None else self.piece  # what is kept may be a mean over all chains
        key = *self.key, size
        if key not in self.graphs:
            self.graphs[key] = _new_graph(self.cuda_graphs)
        parts, graph = self.parts, self.graphs[key]
        n = len(state.x)
        found = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about itself
            try:
                for i in range(0, n, size or n):
                    rows = slice(i, i + (size or n))
                    at = (state.x, state.energy, state.grad, state.momentum)
                    start = tuple(None if part is None else part[rows] for part in at)
                    noise = tuple(part[:, rows] for part in self.noise)
                    found.append(graph(parts.energy, parts.move, keep, start, noise, self.settings))
            except Exception as error:
                explained = _explained(error)
                if explained is None:
                    raise
                raise explained from error
        ends, kept, bad = zip(*found, strict=True)
        if bad[0] is not None:
            self.verify.add(_together(bad))
            if not runs_ahead(state.x):
                self.verify.settle(parts.name)
        x, energy, slope, momentum = (_together(part) for part in zip(*ends, strict=True))
        records = kept[0]
        if self.cuda_graphs:  # whose next replay writes to the same memory
            x, energy, slope, momentum, records = tree_map_only(
                Tensor, torch.clone, (x, energy, slope, momentum, records)
            )
        return State(x, energy, slope, state.t + self.k, momentum), records

    def _prepare(self, state: State, count: bool) -> None:
        """Random numbers and settings of the next steps; the number of each step only for what is kept."""
        table = [self.parts.at(state.t + i) for i in range(self.k)]
        if self.at_once and all(row == table[0] for row in table):
            self.parts.fill(self.noise, table[0])
        else:
            for i, row in enumerate(table):
                self.parts.fill(tuple(numbers[i] for numbers in self.noise), row)
        if count or table != self.table:
            rows = [(*row, state.t + i + 1) for i, row in enumerate(table)]
            self.settings = torch.tensor(rows, dtype=state.x.dtype, device=state.x.device)
            self.table = table


PIECE = 1024
"""Most chains in a piece."""


def _piece(energy: Energy, x: Tensor) -> int:
    """Chains in a piece: many run piece after piece, a block of steps each, so that the layers of a net stay
    in the cache of a core. 0: all at once.

    Pieces are equal, since each size is compiled anew. Only the chains of an `MLPEnergy` run so: a closure or
    a class of somebody else's may hold a tensor with a row for each chain.
    """
    n = len(x)
    if n <= PIECE or x.device.type != "cpu" or type(energy) is not MLPEnergy:
        return 0
    return next((size for size in range(PIECE, PIECE // 4, -1) if n % size == 0), 0)


def _together(parts: tuple[Tensor | None, ...]) -> Any:
    return parts[0] if len(parts) == 1 or parts[0] is None else torch.cat(cast(tuple[Tensor, ...], parts))


_graphs: WeakKeyDictionary[Any, dict[Any, Callable[..., Any]]] = WeakKeyDictionary()


def _anchor(energy: Energy) -> Any:
    """What lives as long as an energy: a lambda is made anew for each chain, but not its code."""
    while isinstance(energy, partial):
        energy = energy.func
    energy = getattr(energy, "__func__", energy)
    return energy if isinstance(energy, nn.Module) else getattr(energy, "__code__", type(energy))


def _new_graph(cuda_graphs: bool) -> Callable[..., Any]:
    # Dynamo keeps what it compiled, and counts how often, by code object: each energy has one of its own.
    block = FunctionType(_block.__code__.replace(), globals())
    if cuda_graphs:
        return torch.compile(block, fullgraph=True, mode="reduce-overhead")
    return torch.compile(block, fullgraph=True, backend=_lowering.backend)


def _block(
    energy: Energy,
    move: Callable[..., tuple[State, Info]],
    keep: Keep | None,
    start: tuple[Tensor, Tensor | None, Tensor | None, Tensor | None],
    noise: tuple[Tensor, ...],
    settings: Tensor,
) -> tuple[Any, Tensor | None, Tensor | None]:
    """What is compiled: steps of a kernel, with one row of ``settings`` and of ``noise`` for each.

    Returns:
        Position, energy, gradient and momentum at the end; the records; and, where the kernel decides,
        whether a decision of each chain was undefined.
    """

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        value = energy_at(energy, x)
        return value.sum(), value

    # Not the closed form that an energy may offer: the compiler finds it by itself (with the perceptron's the
    # results are the same bit for bit, and the time is .98), and hooks are looked for outside of a graph.
    slope_and_value = torch.func.grad(total, has_aux=True)

    def gradient(x: Tensor) -> tuple[Tensor, Tensor]:
        slope, value = slope_and_value(x)
        return value, slope

    verify = Deferred()
    kept = []
    x, value, slope, momentum = start
    for row, *numbers in zip(settings.unbind(), *(part.unbind() for part in noise), strict=True):
        *now, t = row.unbind()
        state = State(x, value, slope, cast(int, t - 1), momentum)
        (x, value, slope, _, momentum), info = move(gradient, state, tuple(numbers), tuple(now), verify)
        if keep is not None:
            kept.append(keep(State(x, value, slope, cast(int, t), momentum), info))
    return (x, value, slope, momentum), torch.stack(kept) if kept else None, verify.undefined


def _explained(error: Exception) -> Exception | None:
    """An error of the compiler in the user's terms; None for any other one."""
    chain: list[BaseException | None] = [error]
    while chain[-1] is not None:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    names = {type(e).__name__ for e in chain}
    if names & {"InvalidCxxCompiler", "TritonMissing"}:
        return RuntimeError(
            "compiling a chain needs a C++ compiler on a CPU, and Triton on a GPU, but there is none. "
            "Install one (Debian: apt install g++; conda: conda install cxx-compiler; GPU: pip install "
            "triton), or name it in the environment variable CXX; or leave out compile."
        )
    if "FailOnRecompileLimitHit" in names:
        return RuntimeError(
            "this chain was compiled again and again: something in its energy, its bounds or `keep` is "
            "another Python number, or another function, in each call. Make a number a tensor, which is an "
            "input of the graph, or leave out compile. If all of them were wanted, torch.compiler.reset() "
            "forgets the old ones."
        )
    if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
        return RuntimeError(
            "the energy, or what `keep` records, cannot be compiled into one graph; it must not branch on "
            f"values or print, for instance. Change it, or leave out compile. {str(error).splitlines()[0]}"
        )
    return None
