"""Blocks of Langevin steps, each compiled into one graph."""

import warnings
from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ebmlearn.energy import Energy, energy_at, grad
from ebmlearn.sample._kernel import Info, LangevinParts, State
from ebmlearn.sample._ula import langevin_move

Keep = Callable[[State, Info], Tensor]


class Blocks:
    """The graph of ``k`` unrolled steps of a chain.

    Noise is drawn outside of the graph, step by step and from the chain's own generator, so that it is the
    noise of an uncompiled chain. Step sizes and noise scales are inputs of the graph: a schedule compiles
    nothing anew.

    Args:
        parts: What to compile.
        x: Where it starts, shape ``(B, *event)``.
        k: Steps in a block.
        cuda_graphs: Replay blocks as CUDA graphs.
    """

    def __init__(self, parts: LangevinParts, x: Tensor, k: int, cuda_graphs: bool) -> None:
        self.parts, self.k, self.cuda_graphs = parts, k, cuda_graphs
        self.noise = x.new_zeros((k, *x.shape))
        graphs = _graphs.setdefault(_anchor(parts.energy), {})
        if (k, cuda_graphs) not in graphs:
            # Errors of an energy are clearer outside of a graph. Nets must be called here, for those who wait
            # to see which; a closed form of the gradient does not.
            grad(lambda x: parts.energy(x), x)
            graphs[k, cuda_graphs] = _new_graph(cuda_graphs)
        else:
            with torch.no_grad():
                energy_at(parts.energy, x)  # for those who wait to see which nets it calls
        self.graph = graphs[k, cuda_graphs]

    @torch.no_grad()
    def __call__(self, state: State, keep: Keep | None) -> tuple[State, Tensor | None]:
        """The state ``k`` steps on, and what ``keep`` records at each, stacked."""
        x, t = state.x, state.t
        table = []
        for i, eps in enumerate(self.noise.unbind()):
            table.append((*self.parts.at(t + i), t + i + 1))
            if table[i][2]:  # as in an uncompiled step, no noise is drawn where its scale is 0
                eps.normal_(generator=self.parts.generator)
        settings = torch.tensor(table, dtype=x.dtype, device=x.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about itself
            try:
                x, kept = self.graph(self.parts.energy, self.parts.confine, keep, x, self.noise, settings)
            except Exception as error:
                explained = _explained(error)
                if explained is None:
                    raise
                raise explained from error
        if self.cuda_graphs:  # whose next replay writes to the same memory
            x, kept = x.clone(), None if kept is None else kept.clone()
        return State(x, t=t + self.k), kept


_graphs: WeakKeyDictionary[Any, dict[tuple[int, bool], Callable[..., Any]]] = WeakKeyDictionary()


def _anchor(energy: Energy) -> Any:
    """What lives as long as an energy: a lambda is made anew for each chain, but not its code."""
    while isinstance(energy, partial):
        energy = energy.func
    energy = getattr(energy, "__func__", energy)
    return energy if isinstance(energy, nn.Module) else getattr(energy, "__code__", type(energy))


def _new_graph(cuda_graphs: bool) -> Callable[..., Any]:
    # Dynamo keeps what it compiled, and counts how often, by code object: each energy has one of its own.
    block = FunctionType(_block.__code__.replace(), globals())
    return torch.compile(block, fullgraph=True, mode="reduce-overhead" if cuda_graphs else None)


def _block(
    energy: Energy,
    confine: Callable[[Tensor], Tensor],
    keep: Keep | None,
    x: Tensor,
    noise: Tensor,
    settings: Tensor,
) -> tuple[Tensor, Tensor | None]:
    """What is compiled: the steps of `ula`, with one row of ``settings`` and of ``noise`` for each."""

    def total(x: Tensor) -> tuple[Tensor, Tensor]:
        value = energy_at(energy, x)
        return value.sum(), value

    # Not the closed form that an energy may offer: the compiler finds it by itself (with the perceptron's the
    # results are the same bit for bit, and the time is .98), and hooks are looked for outside of a graph.
    gradient = torch.func.grad(total, has_aux=True)
    kept = []
    for row, eps in zip(settings.unbind(), noise.unbind(), strict=True):
        s, drift, sigma, t = row.unbind()
        slope, value = gradient(x)
        new = confine(langevin_move(x, slope, drift, sigma, partial(_given, eps)))
        if keep is not None:
            kept.append(keep(State(new, t=cast(int, t)), Info(x, value, slope, cast(float, s))))
        x = new
    return x, torch.stack(kept) if kept else None


def _given(eps: Tensor, x: Tensor) -> Tensor:
    return eps


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
