"""Faster arithmetic: compiled, in bfloat16 or in another memory order a chain must be the plain one.

Mutants tried: noise drawn once for a block, or used again in each piece; a decision inverted in the graph;
records of one piece only; settings of the first block kept; another slope of the activation; the ½ missing
in it; its schedule standing at the first step; bounds dropped; records shifted by one; the last layer of an
energy in bfloat16.
"""

import copy
import os
import shutil
from functools import partial
from weakref import WeakKeyDictionary

import pytest
import torch
from methods import METHODS
from models import Unsteady
from torch import nn

from ebmlearn.diagnostics import displacement, mean_energy, squared_jump
from ebmlearn.energy import GRBM, energy_at, grad
from ebmlearn.nets import ConditionalEnergy, ConvEnergy, MLPEnergy, MLPGenerator
from ebmlearn.sample import _compiled, _lowering, gibbs, hmc, langevin, mala, positions, run, ula
from ebmlearn.speed import Speed, current
from ebmlearn.train import fit
from ebmlearn.train.averages import weight_average

CPU = torch.device("cpu")
BF16 = Speed(precision="bf16")


@pytest.fixture(autouse=True)
def no_graphs(monkeypatch):
    """Every test makes its own."""
    monkeypatch.setattr(_compiled, "_graphs", WeakKeyDictionary())


@pytest.fixture
def traced(monkeypatch):
    """Graphs are made as ever, but run without the code generator: a second in place of ten."""
    monkeypatch.setattr(_lowering, "backend", lambda graph, inputs: graph.forward)


def n_graphs():
    """How many were made so far in this process."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def both(energy, x, n_steps, speed, *, keep=None, every=1, **settings):
    """A plain run and a fast one from the same state of a generator, which they leave in the same state."""
    results, states = [], []
    for s in (None, speed):
        generator = torch.Generator().manual_seed(3)
        kernel = ula(energy, **settings, generator=generator)
        results.append(run(kernel, x, n_steps, keep=keep, every=every, speed=s))
        states.append(generator.get_state())
    assert torch.equal(*states)
    return results


@pytest.mark.parametrize(
    "settings",
    [
        {"step_size": 0.3},
        {"step_size": 0.3, "noise_scale": 0.05},
        {"step_size": lambda t: 0.4 * 0.8**t, "noise_scale": lambda t: 0.0 if t % 4 == 1 else 0.1 + 0.1 * t},
        {"step_size": 0.3, "noise_scale": 1.0, "bounds": (-0.5, 1.0)},
        {"step_size": 0.3, "noise_scale": 1.0, "clamp": (-0.5, 1.0)},
    ],
    ids=["plain", "cold", "schedules", "bounds", "clamp"],
)
def test_a_compiled_chain_is_the_plain_one(settings, traced):
    """Two blocks of three steps, one step left over. Noise drawn once for a block, a lost ½, a schedule that
    stands still and a forgotten wall all show."""
    x = torch.randn(5, 2)
    before = n_graphs()
    plain, fast = both(MLPEnergy(2, (8,), reference_std=1.0), x, 7, Speed(compile=3), **settings)
    torch.testing.assert_close(fast, plain)
    assert n_graphs() == before + 1 and not fast.requires_grad
    assert (plain - x).abs().min() > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        partial(mala, step_size=0.7),
        partial(mala, step_size=lambda t: 0.9 * 0.9**t, noise_scale=lambda t: 0.5 + 0.1 * t),
        partial(mala, step_size=0.7, bounds=(-0.5, 1.0)),
        partial(hmc, step_size=0.8, n_leapfrog=3),
        partial(hmc, step_size=lambda t: 1.0 - 0.1 * t, n_leapfrog=1, temperature=lambda t: 2.0 - 0.2 * t),
        partial(hmc, step_size=0.9, n_leapfrog=2, persistence=0.7),
        partial(hmc, step_size=0.7, n_leapfrog=1, bounds=(-0.5, 1.0)),
    ],
    ids=["mala", "mala, schedules", "mala, bounds", "hmc", "hmc, hot", "hmc, persistent", "hmc, bounds"],
)
def test_a_compiled_chain_decides_as_the_plain_one(make, traced):
    """The same proposals are accepted, in blocks of three and in the step that is left; some are rejected."""
    torch.manual_seed(0)
    net = MLPEnergy(2, (8,), reference_std=0.5)
    with torch.no_grad():
        net.net[-1].weight.mul_(5)
    x, found, states = 0.3 * torch.randn(30, 2), [], []

    def keep(state, info):
        moved = (state.x != info.x).any(1).to(state.x)
        return torch.stack([info.acceptance, moved, info.energy, state.energy, state.grad.sum(1)])

    for speed in (None, Speed(compile=3)):
        generator = torch.Generator().manual_seed(3)
        end, kept = run(make(net, generator=generator), x, 7, keep=keep, speed=speed)
        found.append((end, kept))
        states.append(generator.get_state())
    torch.testing.assert_close(*found)
    assert torch.equal(*states)
    assert 0.05 < found[0][1][:, 1].mean() < 0.95


def same(make, x, n_steps, speed):
    """A plain run and a fast one of a kernel with the same numbers, which leave the generator alike."""
    ends, states = [], []
    for s in (None, speed):
        generator = torch.Generator().manual_seed(3)
        ends.append(run(make(generator=generator), x, n_steps, speed=s))
        states.append(generator.get_state())
    torch.testing.assert_close(*ends)
    assert torch.equal(*states) and not torch.equal(ends[0], x)
    return ends


KERNELS = {
    "ula": partial(ula, step_size=0.3, bounds=(-1.5, 1.5)),
    "ula, schedule": partial(ula, step_size=lambda t: 0.3 / (1 + t)),
    "ula, at times silent": partial(ula, step_size=0.3, noise_scale=lambda t: 0.0 if t % 4 == 1 else 0.2),
    "mala": partial(mala, step_size=0.7),
    "hmc": partial(hmc, step_size=0.8, n_leapfrog=2, persistence=0.5),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(("n", "size"), [(16, 8), (24, 8), (15, 5), (17, 0)])
def test_chains_in_pieces_are_the_whole_batch(name, n, size, traced, monkeypatch):
    """Noise that is drawn again for each piece, or is cut at another place, shows; 17 chains are not cut."""
    monkeypatch.setattr(_compiled, "PIECE", 8)
    net, x = MLPEnergy(2, (8,), reference_std=0.8), torch.randn(n, 2)
    assert _compiled._piece(net, x) == size
    same(partial(KERNELS[name], net), x, 7, Speed(compile=3))


def test_only_energies_without_rows_of_their_own_are_cut(monkeypatch):
    monkeypatch.setattr(_compiled, "PIECE", 8)
    net, x = MLPEnergy(2, (8,)), torch.zeros(16, 2)
    whole = ConditionalEnergy((2,), (1,), (8,))
    for energy in (lambda x: net(x), whole.given(torch.zeros(16, 1)), partial(net), Unsteady()):
        assert _compiled._piece(energy, x) == 0
    assert _compiled._piece(net, x) == 8 and _compiled._piece(net, x[:8]) == 0


def test_an_undefined_decision_is_counted_over_all_pieces(traced, monkeypatch):
    """In the words of the plain chain: the net is not finite for chains of both pieces."""
    monkeypatch.setattr(_compiled, "PIECE", 8)
    x = torch.zeros(16, 2)
    x[[1, 3, 12]] = torch.nan
    for speed in (None, Speed(compile=2)):
        with pytest.raises(FloatingPointError, match=r"a proposal of mala has an undefined.*\(3 of 16 ch"):
            run(mala(MLPEnergy(2, (8,)), step_size=0.1), x, 2, speed=speed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_the_compiler_is_told_means_what_it_replaces(dtype):
    """A product that is narrow inside or outside, a bias, an activation and its derivative."""
    a, c = torch.randn(7, 3, dtype=dtype), torch.randn(6, dtype=dtype)
    b, narrow = torch.randn(6, 3, dtype=dtype).t(), torch.randn(2, 9, dtype=dtype).t()
    wide, long = torch.randn(7, 9, dtype=dtype), torch.randn(9, 6, dtype=dtype)
    close = torch.testing.assert_close
    close(_lowering._mm(a, b), a @ b)
    close(_lowering._mm(wide, narrow), wide @ narrow)
    assert _lowering._mm(wide, long) is NotImplemented
    close(_lowering._addmm(c, a, b), c + a @ b)
    close(_lowering._addmm(c, wide, long), c + wide @ long)
    assert _lowering._addmm(c, a, b, beta=2) is NotImplemented
    x = torch.linspace(-20, 20, 99, dtype=dtype)
    close(_lowering._silu(x), nn.functional.silu(x))
    rule = _lowering._unless_half(_lowering._silu, lambda x: "other")
    assert rule(x.bfloat16()) == "other" and torch.equal(rule(x), _lowering._silu(x))


def test_a_compiled_chain_rejects_where_the_density_is_zero(traced):
    """The energy is +inf beyond 1, and its slope there NaN."""

    def edge(x):
        return torch.where(x[:, 0] > 1, torch.inf, 0.5 * x.square().sum(1))

    ends = []
    for speed in (None, Speed(compile=4)):
        torch.manual_seed(0)
        ends.append(run(mala(edge, step_size=1.0), torch.zeros(50, 1), 8, speed=speed))
    torch.testing.assert_close(*ends)
    assert ends[0].max() <= 1 < run(ula(edge, step_size=1.0), torch.zeros(50, 1), 1).max()


def test_a_chain_shorter_than_a_block_is_compiled_whole(traced):
    before = n_graphs()
    plain, fast = both(MLPEnergy(2, (8,)), torch.randn(5, 2), 2, Speed(compile=5), step_size=0.3)
    torch.testing.assert_close(fast, plain)
    assert n_graphs() == before + 1
    x = torch.randn(5, 2)
    assert torch.equal(langevin(MLPEnergy(2), x, n_steps=0, step_size=0.3, speed=Speed(compile=5)), x)


def everything(state, info):
    numbers = [record(state, info) for record in (displacement, mean_energy, squared_jump)]
    return torch.cat([torch.stack(numbers), positions(state, info).flatten()])


@pytest.mark.parametrize("every", [1, 3, 8])
def test_a_compiled_chain_keeps_the_records_of_the_plain_one(every, traced):
    net = MLPEnergy(2, (8,), reference_std=1.0)
    settings = {"step_size": lambda t: 0.3 + 0.05 * t, "keep": everything, "every": every}
    (_, plain), (_, fast) = both(net, torch.randn(5, 2), 8, Speed(compile=3), **settings)
    assert len(plain) == 8 // every
    torch.testing.assert_close(fast, plain)


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_only_blocks_that_hold_a_record_evaluate_it(traced):
    calls = []

    def keep(state, info):
        calls.append(1)
        return info.step_size * state.t

    kernel = ula(MLPEnergy(2, (3,)), step_size=0.5)
    _, kept = run(kernel, torch.randn(5, 2), 8, keep=keep, every=4, speed=Speed(compile=2))
    assert kept.tolist() == [2, 4] and len(calls) == 4


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_training_compiles_nothing_anew(traced):
    """Weights move in place; kernels and closures are made for each chain, and their tensors change."""
    prior, generator = MLPEnergy(3, (8,), reference_std=1.0), MLPGenerator(3, (2,), (8,))
    average = weight_average(prior, 0.9)
    start, settings = torch.ones(4, 3), {"n_steps": 4, "step_size": 0.1, "bounds": (-3, 3)}
    counts = []
    for i in range(3):
        x, c = torch.randn(4, 2), torch.tensor(1.0 + i)
        for energy in (lambda z, x=x, c=c: prior(z) + generator.reconstruction(x, c * z), prior, average):
            ends = []
            for speed in (None, Speed(compile=2)):
                torch.manual_seed(i)
                ends.append(langevin(energy, start, **settings, speed=speed))
            torch.testing.assert_close(*ends)
        with torch.no_grad():
            for p in (*prior.parameters(), *generator.parameters()):
                p.add_(0.1)
        average.update_parameters(prior)
        counts.append(n_graphs())
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_each_energy_has_graphs_of_its_own(traced):
    """Dynamo gives up after so many graphs of one piece of code: those of other nets must not count."""
    with torch._dynamo.config.patch(recompile_limit=2):
        for width in (1, 2, 3):
            net = MLPEnergy(2, (width,))
            langevin(net, torch.zeros(2, 2), n_steps=1, step_size=0.1, speed=Speed(compile=1))


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_a_number_that_is_another_in_each_call_is_refused_in_the_end(traced):
    net = MLPEnergy(2, (3,))

    def end(beta):
        energy = lambda x: beta * net(x)  # noqa: E731
        return langevin(energy, torch.zeros(2, 2), n_steps=1, step_size=0.1, speed=Speed(compile=1))

    with torch._dynamo.config.patch(recompile_limit=2):
        for beta in (1.0, 0.5, 1.0):
            end(beta)
        with pytest.raises(RuntimeError, match=r"another Python number.*in each call\. Make a number a"):
            end(0.25)


def test_nets_are_frozen_in_a_compiled_chain(traced):
    """The second chain finds its graph there, and must freeze the nets as the first one did."""
    net = Unsteady()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    frozen = copy.deepcopy(net).eval()
    settings = {"n_steps": 4, "step_size": 0.3}
    for seed in range(2):
        torch.manual_seed(seed)
        fast = langevin(lambda x: net(x), torch.zeros(3, 4), **settings, speed=Speed(compile=2))
        torch.manual_seed(seed)
        torch.testing.assert_close(fast, langevin(frozen, torch.zeros(3, 4), **settings))
        assert all(module.training for module in net.modules())
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def test_a_compiled_chain_says_what_is_wrong(traced):
    x, settings = torch.zeros(3, 2), {"n_steps": 2, "step_size": 0.1, "speed": Speed(compile=2)}
    with pytest.raises(ValueError, match=r"returned shape \(3, 1\).*squeeze"):
        langevin(nn.Linear(2, 1), x, **settings)
    with pytest.raises(ValueError, match="does not depend on x, or was detached"):
        langevin(lambda x: x.detach().sum(1), x, **settings)
    with pytest.raises(ValueError, match="with create_graph=True is differentiated"):
        langevin(lambda x: x.square().sum(1), x, **settings, create_graph=True)
    with pytest.raises(ValueError, match=r"has compile=2, but this kernel cannot be compiled"):
        run(gibbs(GRBM(2, 3)), x, 2, speed=Speed(compile=2))
    start = torch.tensor([[1.0], [50.0], [50.0]])
    kernel = mala(lambda x: torch.where(x[:, 0] > 20, x[:, 0].sub(100).log(), x[:, 0]), step_size=0.1)
    with pytest.raises(FloatingPointError, match=r"a proposal of mala has an undefined.*\(2 of 3 chains"):
        run(kernel, start, 2, speed=Speed(compile=2))
    with pytest.raises(RuntimeError, match="cannot be compiled into one graph; it must not branch on values"):
        langevin(lambda x: x.square().sum(1) if x.sum() > 0 else x.sum(1), x, **settings)
    with pytest.raises(FloatingPointError, match="not finite after 2 steps"):
        langevin(lambda x: x.sum(1).log(), x, **settings)
    assert current() == Speed()


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_a_method_that_differentiates_a_chain_goes_on_compiling_the_others(traced):
    z = torch.ones(3, 2, requires_grad=True)
    with Speed(compile=2).active(CPU):
        before = n_graphs()
        langevin(MLPEnergy(2, (3,)), z, n_steps=2, step_size=0.1, create_graph=True).sum().backward()
        assert z.grad is not None and n_graphs() == before
        langevin(MLPEnergy(2, (3,)), z, n_steps=2, step_size=0.1)
        assert n_graphs() == before + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"compile": -1}, "compile is -1; expected the number of steps in a block, such as 10"),
        ({"compile": True}, "compile is True"),
        ({"compile": 2.0}, "compile is 2.0"),
        ({"precision": "fp16"}, "precision is 'fp16'; expected one of 'float32', 'bf16'"),
        ({"cuda_graphs": True}, "it needs compile > 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Speed(**settings)


def test_cuda_graphs_are_refused_without_cuda():
    speed = Speed(compile=1, cuda_graphs=True)
    with pytest.raises(RuntimeError, match="cuda_graphs needs a CUDA device, but x is on cpu"):
        langevin(MLPEnergy(2), torch.zeros(1, 2), n_steps=1, step_size=0.1, speed=speed)


def test_what_is_active_ends_with_its_block():
    def fail():
        assert current().channels_last
        raise RuntimeError("enough")

    outer, inner = Speed(compile=2), Speed(channels_last=True)
    with outer.active(CPU):
        with pytest.raises(RuntimeError, match="enough"), inner.active(CPU):
            fail()
        assert current() is outer
    assert current() == Speed()


def test_differences_of_energies_keep_float32_in_bf16():
    """Energies of 200: in bfloat16 they would come in steps of 1. What the features lose is lost in both."""
    net, x = MLPEnergy(2, (64,)), torch.rand(100, 2)
    with torch.no_grad():
        net.net[-1].weight.copy_(torch.rand(1, 64) * 200)
    with BF16.active(CPU):
        energy = energy_at(net, x)
        _, slope = grad(net, x)
    with torch.autocast("cpu", torch.bfloat16):
        features = net.net[:-1](x)
        naive = nn.functional.linear(features, net.net[-1].weight).squeeze(1)
    assert features.dtype == naive.dtype == torch.bfloat16
    assert energy.dtype == slope.dtype == torch.float32 and energy.abs().mean() > 150
    exact = (features.double() @ net.net[-1].weight[0].double()).diff()
    assert (energy.diff() - exact).abs().max() < 1e-3
    assert (naive.float().diff() - exact).abs().max() > 0.5


def test_an_energy_that_ends_in_bf16_is_refused():
    net, x = nn.Linear(2, 1), torch.zeros(3, 2)
    energy_at(lambda x: net(x).squeeze(1), x)
    with BF16.active(CPU), pytest.raises(ValueError, match="the energy came out in bfloat16"):
        energy_at(lambda x: net(x).squeeze(1), x)


def test_a_chain_in_bf16_has_the_same_law():
    """With the same noise, 300 steps end within 0.02, in the root of the mean square, of where they end in
    float32; means, covariances and the mean energy agree to 0.005."""
    net = MLPEnergy(2, (32, 32), reference_std=1.0)
    with torch.no_grad():
        net.net[-1].weight.mul_(10)
    plain, fast = both(net, torch.randn(500, 2), 300, BF16, step_size=0.2)
    assert fast.dtype == torch.float32 and not torch.equal(fast, plain)
    assert (fast - plain).square().mean().sqrt() < 0.02
    torch.testing.assert_close(fast.mean(0), plain.mean(0), rtol=0, atol=0.005)
    torch.testing.assert_close(fast.T.cov(), plain.T.cov(), rtol=0, atol=0.005)
    torch.testing.assert_close(net(fast).mean(), net(plain).mean(), rtol=0, atol=0.005)


def test_the_state_of_a_chain_in_bf16_is_not():
    """Moves of 0.0002 at 1 would be lost in 8 bits."""
    start = torch.ones(5, 2)
    _, fast = both(lambda x: x.sum(1), start, 10, BF16, step_size=0.02, noise_scale=0.0)
    torch.testing.assert_close(fast, start - 10 * 0.0002)


def test_channels_last_changes_the_order_in_memory_only():
    """Noise follows the order of the elements: drawn in the order of the memory it would be other noise."""
    net, x, speed = ConvEnergy(3, 8, (4, 8)), torch.randn(5, 3, 8, 8), Speed(channels_last=True)
    settings = {"step_size": 1.0, "noise_scale": 0.1}
    plain, _ = both(net, x, 3, None, **settings)
    weights = [p.clone() for p in net.parameters()]
    optimizer = torch.optim.Adam(net.parameters())
    speed.prepare(net)
    assert all(torch.equal(p, w) for p, w in zip(net.parameters(), weights, strict=True))
    orders = []

    def energy(x):
        images = [x, *(p for p in net.parameters() if p.ndim == 4)]
        orders.append([t.is_contiguous(memory_format=torch.channels_last) for t in images])
        return net(x)

    contiguous, fast = both(energy, x, 3, speed, **settings)
    torch.testing.assert_close(contiguous, plain)
    torch.testing.assert_close(fast, plain)
    assert orders == [[False, True, True]] * 3 + [[True, True, True]] * 3
    assert speed.batch(torch.zeros(2, 3)).is_contiguous() and Speed().batch(x) is x
    net(fast).sum().backward()
    optimizer.step()  # which holds the weights that were brought into another order
    assert not any(torch.equal(p, w) for p, w in zip(net.parameters(), weights, strict=True))


def fitted(name, speed, graphs=None):
    """Metrics and weights of a short training; ``graphs`` gets the number of graphs made by each step."""
    torch.manual_seed(0)
    method, before = METHODS[name].make(), n_graphs()
    hooks = [] if graphs is None else [lambda *_: graphs.append(n_graphs() - before)]
    metrics = fit(method, METHODS[name].data, steps=4, batch_size=8, speed=speed, hooks=hooks)
    return metrics, dict(method.named_parameters())


CHAINS = {
    "contrastive divergence",
    "persistent chains, averaged",
    "short-run",
    "cooperative learning",
    "cooperative learning, inferred latents",
    "variational teaching",
    "variational teaching, conditional",
    "dual-MCMC teaching",
    "dual-MCMC teaching, two chains of x",
    "neural transport",
    "neural transport, fresh",
    "latent prior",
    "alternating back-propagation",
    "short-run inference",
    "short-run inference, tuned",
    "short-run inference, layers of latents",
    "symbol-vector coupling",
    "symbol-vector coupling, clusters",
}
"""Methods of the table that run chains of `ula`."""


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_the_same_faster(name, traced):
    graphs = []
    fast = fitted(name, Speed(compile=2, channels_last=True), graphs)
    torch.testing.assert_close(fast, fitted(name, None), rtol=1e-3, atol=1e-4)
    first = 2 if name == "neural transport, fresh" else 0  # its warm-up runs no chain
    assert (graphs[first] > 0) == (name in CHAINS)
    assert graphs[first + 1] == graphs[-1]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_learns_in_bf16(name):
    """The first step agrees to a per cent; later ones of an unstable method need not."""
    (plain, _), (fast, weights) = fitted(name, None), fitted(name, BF16)
    assert all(value.dtype == torch.float32 for value in (*fast.values(), *weights.values()))
    for metric, values in plain.items():
        torch.testing.assert_close(fast[metric][0], values[0], rtol=0.01, atol=2e-3)


compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
needs_compiler = pytest.mark.skipif(not compiler, reason="torch.compile needs a C++ compiler; there is none")


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
@needs_compiler
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_generated_code_runs_the_plain_chain(precision):
    """What other tests leave out, for its time: the code generator, whose warnings must not come through."""
    net, x = MLPEnergy(2, (8,), reference_std=1.0), torch.randn(20, 2)
    settings = {"step_size": lambda t: 0.3 / (1 + t), "noise_scale": 0.8, "bounds": (-1.0, 1.5)}
    speed = Speed(compile=3, precision=precision)
    plain, fast = both(net, x, 7, speed, keep=everything, **settings)
    tolerance = {} if precision == "float32" else {"rtol": 0, "atol": 0.01}
    torch.testing.assert_close(fast, plain, **tolerance)


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
@needs_compiler
@pytest.mark.parametrize("activation", [nn.SiLU, nn.Softplus])
@pytest.mark.parametrize("name", KERNELS)
def test_generated_code_decides_as_the_plain_chain(name, activation, monkeypatch):
    monkeypatch.setattr(_compiled, "PIECE", 8)
    net = MLPEnergy(2, (16, 16), reference_std=0.8, activation=activation)
    same(partial(KERNELS[name], net), torch.randn(16, 2), 4, Speed(compile=2))


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
@needs_compiler
@pytest.mark.parametrize("name", ["short-run", "latent prior"])
def test_methods_learn_the_same_with_generated_code(name):
    graphs = []
    fast = fitted(name, Speed(compile=2), graphs)
    torch.testing.assert_close(fast, fitted(name, None), rtol=1e-3, atol=1e-4)
    assert 0 < graphs[0] == graphs[-1]


@pytest.mark.slow
@pytest.mark.xdist_group("compiler")
def test_without_a_compiler_the_error_says_what_to_install(tmp_path):
    from torch._inductor import config

    nowhere = {"cpp.cxx": (None, str(tmp_path / "none")), "fx_graph_cache": False}
    message = r"needs a C\+\+ compiler on a CPU.*apt install g\+\+"
    with config.patch(nowhere), pytest.raises(RuntimeError, match=message):
        langevin(MLPEnergy(2, (3,)), torch.zeros(2, 2), n_steps=1, step_size=0.1, speed=Speed(compile=1))
