"""A step of each sampler, as a multiple of a plain loop and of two matrix products.

    python tests/benchmarks/langevin.py [--steps 88] [--repeats 15] [--chains 64 1000 10000] [--json FILE]

The energy is a 2-128-128-1 network with SiLU, as it is in training: its parameters want gradients. The
process is bound to one core, because XLA takes a second one in spite of its flags; ``cpu_share``, processor
seconds over clock seconds, shows for each row that nobody had more. Units are

- the plain loop: ULA written out over the same network with its parameters frozen;
- the two matrix products alone: those of B x 128 by 128 x 128 that a gradient needs, one forwards and one
  backwards, into memory that is there. The ones with an inner or outer size of 2 are not in it, nor are
  activations and noise: no sampler of this network can be faster with this library of products.

The unfused reference is a step of ULA by hand without automatic differentiation: four matrix products, an
activation forwards and two derivatives backwards, the noise and two additions, each one operation of torch.
It is checked against the gradient of the network before it is timed.

A proposal of HMC with L leapfrog steps is divided by L + 1 steps of the plain loop, the gradients it needs
when nothing is kept. Compiled chains are timed once they are compiled, in blocks of 22 steps (HMC: of two
proposals). A sweep of Gibbs sampling has two products of 128 by 128, too: ours is of a machine with 128
Gaussian visible units and 128 hidden ones, ebmkit's has binary visible units, and torchebm has no such
sampler. Other packages are in the table where they are installed (``pip install torchebm ebmkit
blackjax``). BlackJAX runs in this process with the same weights, its chains in one jitted ``lax.scan``. It
has no unadjusted Langevin kernel; its SGLD with the whole gradient is that.
"""

import argparse
import copy
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import torch
from timing import in_turn, pin, ratio
from torch.nn.functional import silu

from ebmlearn.diagnostics import mean_energy
from ebmlearn.energy import GRBM, grad
from ebmlearn.nets import MLPEnergy
from ebmlearn.sample import gibbs, hmc, mala, positions, run, ula
from ebmlearn.speed import Speed

CHAINS = (64, 1000, 10_000)
STEP = 0.1
LEAPFROG = 10
WIDTH = 128
COMPILED = Speed(compile=22)
COMPILED_HMC = Speed(compile=2)  # of L gradients each

Entries = dict[str, tuple[Callable[[], object], int]]
"""Name -> (what to time, how many steps of the plain loop are its unit)."""


def plain(net, x, n_steps):
    for _ in range(n_steps):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(net(x).sum(), x)
        x = x.detach() - 0.5 * STEP**2 * slope + STEP * torch.randn_like(x)
    return x


@torch.no_grad()
def unfused(net, x, n_steps, step=STEP, noise=STEP):
    w1, b1, w2, b2, w3 = net.parameters()
    ones = w3.expand(len(x), -1)
    for _ in range(n_steps):
        a1 = torch.addmm(b1, x, w1.t())
        a2 = torch.addmm(b2, silu(a1), w2.t())
        back = torch.ops.aten.silu_backward(ones, a2) @ w2
        slope = torch.ops.aten.silu_backward(back, a1) @ w1
        x = torch.add(x, slope, alpha=-0.5 * step**2).add_(torch.randn_like(x), alpha=noise)
    return x


@torch.no_grad()
def products(net, x, n_steps):
    weight = net.net[2].weight
    h = torch.randn(len(x), weight.shape[1])
    forwards, backwards = torch.empty_like(h), torch.empty_like(h)
    for _ in range(n_steps):
        torch.mm(h, weight.t(), out=forwards)
        torch.mm(forwards, weight, out=backwards)


def ours(net, frozen, x, n_steps) -> Entries:
    n_proposals = max(1, n_steps // (LEAPFROG + 1))
    langevin = ula(net, step_size=STEP)
    hamiltonian = hmc(net, step_size=STEP, n_leapfrog=LEAPFROG)
    found = {
        "plain loop": (partial(plain, frozen, x, n_steps), n_steps),
        "two products alone": (partial(products, frozen, x, n_steps), n_steps),
        "unfused reference": (partial(unfused, frozen, x, n_steps), n_steps),
        "ula": (partial(run, langevin, x, n_steps), n_steps),
        "ula, trajectory kept": (partial(run, langevin, x, n_steps, keep=positions), n_steps),
        "ula, energy every 10": (partial(run, langevin, x, n_steps, keep=mean_energy, every=10), n_steps),
    }
    if shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        fast = partial(run, langevin, x, n_steps, speed=COMPILED)
        found |= {
            "ula, compiled": (fast, n_steps),
            "ula, compiled, trajectory kept": (partial(fast, keep=positions), n_steps),
            "mala, compiled": (partial(run, mala(net, step_size=STEP), x, n_steps, speed=COMPILED), n_steps),
            f"hmc, L = {LEAPFROG}, by L + 1, compiled": (
                partial(run, hamiltonian, x, n_proposals, speed=COMPILED_HMC),
                n_proposals * (LEAPFROG + 1),
            ),
        }
    visible = torch.randn(len(x), WIDTH)
    return found | {
        f"gibbs, {WIDTH} by {WIDTH}": (partial(run, gibbs(GRBM(WIDTH, WIDTH)), visible, n_steps), n_steps),
        "mala": (partial(run, mala(net, step_size=STEP), x, n_steps), n_steps),
        f"hmc, L = {LEAPFROG}, by L + 1": (
            partial(run, hamiltonian, x, n_proposals),
            n_proposals * (LEAPFROG + 1),
        ),
    }


def torchebm(net, x, n_steps) -> Entries:
    """Its step, like ebmkit's and BlackJAX's, is x - ε ∇E + √(2ε) ξ: ε = s²/2."""
    from torchebm.core import BaseModel
    from torchebm.samplers import HamiltonianMonteCarlo, LangevinDynamics

    class Model(BaseModel):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x)

    n_proposals = max(1, n_steps // (LEAPFROG + 1))
    langevin = partial(LangevinDynamics(Model(), step_size=STEP**2 / 2).sample, x=x, n_steps=n_steps)
    hamiltonian = HamiltonianMonteCarlo(Model(), step_size=STEP, n_leapfrog_steps=LEAPFROG)
    return {
        "torchebm langevin": (langevin, n_steps),
        "torchebm langevin, trajectory": (partial(langevin, return_trajectory=True), n_steps),
        f"torchebm hmc, L = {LEAPFROG}, by L + 1": (
            partial(hamiltonian.sample, x=x, n_steps=n_proposals),
            n_proposals * (LEAPFROG + 1),
        ),
    }


def ebmkit(net, x, n_steps) -> Entries:
    from ebm.nets import RBM
    from ebm.samplers import HMC, MALA, GibbsSampler, LangevinDynamics

    n_proposals = max(1, n_steps // (LEAPFROG + 1))
    langevin = partial(LangevinDynamics(STEP**2 / 2, n_steps).sample, net, x)
    hamiltonian = HMC(step_size=STEP, leapfrog_steps=LEAPFROG, steps=n_proposals)
    return {
        "ebmkit langevin": (langevin, n_steps),
        "ebmkit langevin, trajectory": (partial(langevin, return_trajectory=True), n_steps),
        f"ebmkit gibbs, {WIDTH} by {WIDTH}": (
            partial(GibbsSampler(n_steps).sample, RBM(WIDTH, WIDTH), torch.rand(len(x), WIDTH).round()),
            n_steps,
        ),
        "ebmkit mala": (partial(MALA(STEP**2 / 2, n_steps).sample, net, x), n_steps),
        f"ebmkit hmc, L = {LEAPFROG}, by L + 1": (
            partial(hamiltonian.sample, net, x),
            n_proposals * (LEAPFROG + 1),
        ),
    }


def blackjax(net, x, n_steps) -> Entries:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import blackjax
    import jax
    import jax.numpy as jnp

    w1, b1, w2, b2, w3 = (jnp.asarray(p.detach().numpy()) for p in net.parameters())

    def log_density(x):
        return -(jax.nn.silu(jax.nn.silu(x @ w1.T + b1) @ w2.T + b2) @ w3[0])

    start = jnp.asarray(x.numpy())
    assert abs(log_density(start) + net(x).detach().numpy()).max() < 1e-4
    unadjusted = blackjax.sgld(lambda x, _: jax.grad(lambda x: log_density(x).sum())(x))

    def scan(step, state, n):
        keys = jax.random.split(jax.random.key(0), n)
        return jax.lax.scan(lambda state, key: (step(key, state), None), state, keys)[0]

    @jax.jit
    def langevin(x):
        return scan(lambda key, x: unadjusted.step(key, x, None, STEP**2 / 2), x, n_steps)

    def many(kernel, n):
        """Chains side by side; each has a decision of its own, and so a key."""

        def step(key, states):
            return jax.vmap(kernel.step)(jax.random.split(key, len(x)), states)[0]

        return jax.jit(lambda x: scan(step, jax.vmap(kernel.init)(x), n).position)

    n_proposals = max(1, n_steps // (LEAPFROG + 1))
    adjusted = many(blackjax.mala(log_density, STEP**2 / 2), n_steps)
    hamiltonian = many(blackjax.hmc(log_density, STEP, jnp.ones(2), LEAPFROG), n_proposals)
    return {
        "blackjax langevin": (lambda: langevin(start).block_until_ready(), n_steps),
        "blackjax mala": (lambda: adjusted(start).block_until_ready(), n_steps),
        f"blackjax hmc, L = {LEAPFROG}, by L + 1": (
            lambda: hamiltonian(start).block_until_ready(),
            n_proposals * (LEAPFROG + 1),
        ),
    }


PEERS = {"torchebm": torchebm, "ebm": ebmkit, "blackjax": blackjax}
"""Import name -> its entries."""


def cpu_share(function: Callable[[], object]) -> float:
    """Processor seconds of all threads over seconds on the clock."""
    clock, processor = time.perf_counter(), time.process_time()
    function()
    return (time.process_time() - processor) / (time.perf_counter() - clock)


def table(repeats: int = 15, n_steps: int = 88, chains: tuple[int, ...] = CHAINS) -> list[dict]:
    """Rows ``chains, name, us_per_step, ratio, by_products, cpu_share``: medians over rounds, ratios within
    a round. It binds the process to one core, before jax starts threads.

    Raises:
        ValueError: If ``n_steps`` is no multiple of 44, so that some steps would not be compiled.
    """
    if n_steps % 44:
        raise ValueError(f"n_steps is {n_steps}; expected a multiple of 44, which fills all blocks")
    pin()
    rows = []
    torch.manual_seed(0)
    weights = MLPEnergy(2, (WIDTH, WIDTH))
    for n_chains in chains:
        net = copy.deepcopy(weights)  # its graph is compiled for this number of chains
        frozen = copy.deepcopy(net).requires_grad_(False)
        x = torch.randn(n_chains, 2)
        torch.testing.assert_close(unfused(frozen, x, 1, STEP, 0.0), x - 0.5 * STEP**2 * grad(frozen, x)[1])
        entries = ours(net, frozen, x, n_steps)
        for module, peer in PEERS.items():
            if find_spec(module):
                entries |= peer(net, x, n_steps)
        units = {name: n for name, (_, n) in entries.items()}
        seconds = in_turn({name: function for name, (function, _) in entries.items()}, repeats)
        per_step = {name: [t / units[name] for t in times] for name, times in seconds.items()}
        rows += [
            {
                "chains": n_chains,
                "name": name,
                "us_per_step": 1e6 * statistics.median(times),
                "ratio": ratio(times, per_step["plain loop"]),
                "by_products": ratio(times, per_step["two products alone"]),
                "cpu_share": cpu_share(entries[name][0]),
            }
            for name, times in per_step.items()
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=88)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--chains", type=int, nargs="+", default=CHAINS)
    parser.add_argument("--json", metavar="FILE", help="write the rows there, too")
    args = parser.parse_args()
    rows = table(args.repeats, args.steps, args.chains)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file, indent=1)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("us per step, ratio to the plain loop, ratio to the two products, share of a core")
    print(f"{'chains':32}" + "".join(f"{n:>26,}" for n in args.chains))
    for name in dict.fromkeys(row["name"] for row in rows):
        cells = [row for row in rows if row["name"] == name]
        print(
            f"{name:32}"
            + "".join(
                "{us_per_step:9.0f} {ratio:5.2f} {by_products:5.2f} {cpu_share:4.2f}".format(**row)
                for row in cells
            )
        )


if __name__ == "__main__":
    main()
