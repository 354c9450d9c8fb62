"""Peak memory of chains and of training steps: every allocation counted, which no machine changes.

    python tests/benchmarks/memory.py

The sum of all tensors that PyTorch's allocator holds at once, above what was there before (weights, batch),
from the profiler's list of allocations; a library's own scratch space is not in it. Images of 3 x 32 x 32 in
batches of 64 (0.75 MiB), `ConvEnergy` with its default widths. Each row ran once before it is counted: what
an optimiser or a compiled block keeps for ever is not in it either.
"""

import gc
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from ebmlearn.methods import BiSM, CoopNets, MaximumLikelihood, ScoreMatching
from ebmlearn.nets import EBLVM, ConvEnergy, ConvGenerator
from ebmlearn.objectives import denoising_score_matching, posterior_fisher, sliced_score_matching
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, NoiseStart, langevin, positions, run, ula
from ebmlearn.speed import Speed

SHAPE, BATCH = (3, 32, 32), 64


def peak(function: Callable[[], object]) -> int:
    """Bytes held at once, at the most, by a second call of a function."""
    function()
    # what other work left in circles would otherwise be freed, and counted, in the middle
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = function()
    del result
    # the public list of events leaves out those that fall inside an operation
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def cases() -> dict[str, Callable[[], object]]:
    """Name -> what is measured; the first is the unit."""
    torch.manual_seed(0)
    x = torch.rand(BATCH, *SHAPE) * 2 - 1

    def energy() -> ConvEnergy:
        return ConvEnergy(3, 32)

    def generator() -> ConvGenerator:
        return ConvGenerator(32, 3, 32, (128, 64, 32))

    def chains(n_steps: int, speed: Speed | None = None, times: int = 1) -> Callable[[], object]:
        start = x.repeat(times, 1, 1, 1)
        return partial(langevin, energy(), start, n_steps=n_steps, step_size=0.1, speed=speed)

    def likelihood(n_steps: int) -> Callable[[], object]:
        chain = Chain(ula, n_steps=n_steps, step_size=0.1)
        return partial(MaximumLikelihood(energy(), NoiseStart(), chain=chain).step, x)

    def bilevel(n_unrolled: int) -> Callable[[], object]:
        posterior = GaussianPosterior(nn.Sequential(nn.Flatten(), nn.Linear(3072, 64)), 32)
        objective = partial(denoising_score_matching, sigma=0.3)
        method = BiSM(
            EBLVM(energy(), generator()),
            posterior,
            objective,
            lower=posterior_fisher,
            n_steps=1,
            n_unrolled=n_unrolled,
        )
        return partial(method.step, x)

    net = energy()
    return {
        "forward and backward pass": lambda: torch.autograd.grad(net(x).mean(), list(net.parameters())),
        "langevin, 1 step": chains(1),
        "langevin, 20 steps": chains(20),
        "langevin, 20 steps, 4 times the chains": chains(20, times=4),
        "langevin, 20 steps, all kept": lambda: run(ula(net, step_size=0.1), x, 20, keep=positions),
        "langevin, 20 steps, bf16": chains(20, Speed(precision="bf16")),
        "langevin, 20 steps, compiled": chains(20, Speed(compile=5)),
        "maximum likelihood, 1 step": likelihood(1),
        "maximum likelihood, 20 steps": likelihood(20),
        "cooperative learning, 20 steps": partial(
            CoopNets(energy(), generator(), chain=Chain(ula, n_steps=20, step_size=0.1)).step, x
        ),
        "sliced score matching": partial(ScoreMatching(energy(), sliced_score_matching).step, x),
        "bi-level score matching, 0 unrolled": bilevel(0),
        "bi-level score matching, 2 unrolled": bilevel(2),
        "bi-level score matching, 4 unrolled": bilevel(4),
    }


def table() -> list[dict]:
    """Rows ``name, mib, ratio``: MiB, and relative to one forward and backward pass of the energy."""
    found = {name: peak(function) for name, function in cases().items()}
    unit = next(iter(found.values()))
    return [{"name": name, "mib": most / 2**20, "ratio": most / unit} for name, most in found.items()]


def main() -> None:
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for row in table():
        print("{name:40} {mib:8.1f} MiB {ratio:7.2f} passes".format(**row))


if __name__ == "__main__":
    main()
