"""The stored benchmarks have the documented structure, and the scripts leave nothing out."""

import copy
import json
import os
import re
from functools import partial
from pathlib import Path

import pytest
import torch

from ebmlearn import methods
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import MLPEnergy
from ebmlearn.recipes import RECIPES
from ebmlearn.sample import Chain, NoiseStart, langevin, ula
from ebmlearn.train import Method

ROOT = Path(__file__).parents[1]
STORED = ROOT / "book" / "benchmarks.json"


@pytest.fixture
def record(script):
    """The least that is whole."""
    values = {str: "x", int: 1, float: 0.5}
    fields = script("run_all").FIELDS
    rows = {name: {field: values[kind] for field, kind in row.items()} for name, row in fields.items()}
    tables = {name: [row, dict(row)] for name, row in rows.items() if name != "machine"}
    return {"date": "2026-11-21", "machine": rows["machine"], "versions": {}, "minutes": 1.0, **tables}


@pytest.mark.skipif(not STORED.exists(), reason="book/benchmarks.json is not there yet: make benchmark")
def test_the_stored_record_is_whole(script):
    record = json.loads(STORED.read_text(encoding="utf-8"))
    assert script("run_all").faults(record) == []
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", record["date"])
    assert {"python", "torch", "ebmlearn"} <= record["versions"].keys()


def test_faults_of_a_record_are_found(script, record):
    faults = script("run_all").faults
    assert faults(record) == []

    def broken(change):
        other = copy.deepcopy(record)
        change(other)
        return faults(other)

    assert broken(lambda r: r.pop("date")) == ["date"]
    assert broken(lambda r: r.update(host="x")) == ["host"]
    assert broken(lambda r: r.update(conv=[])) == ["conv is empty"]
    assert broken(lambda r: r["conv"][1].pop("error"))[0].startswith("conv: fields")
    assert broken(lambda r: r["conv"][0].update(error=float("nan"))) == ["conv: error is nan, expected float"]
    assert broken(lambda r: r["memory"][0].update(mib="1")) == ["memory: mib is '1', expected float"]
    assert broken(lambda r: r["machine"].pop("cpu"))[0].startswith("machine: fields")


def test_the_docstring_names_every_field(script):
    module = script("run_all")
    for fields in (*module.FIELDS.values(), module.FIELDS):
        assert all(f"``{name}``" in module.__doc__ for name in fields)


def test_the_machine_is_described(script):
    module = script("run_all")
    found = module.machine()
    assert {name: type(value) for name, value in found.items()} == module.FIELDS["machine"]
    assert found["threads"] == torch.get_num_threads() and 0 < found["ram_gb"] < 1e5
    assert module.versions()["torch"] == torch.__version__


def test_chains_that_are_timed_are_compiled_to_the_end(script):
    with pytest.raises(ValueError, match="n_steps is 50; expected a multiple of 44"):
        script("langevin").table(1, n_steps=50)


def test_the_unit_of_langevin_is_two_products_of_the_hidden_layers(script):
    """Counted in floating-point operations: one product forwards and one backwards a step, nothing else."""
    from torch.utils.flop_counter import FlopCounterMode

    langevin = script("langevin")
    with FlopCounterMode(display=False) as counter:
        langevin.products(MLPEnergy(2, (16, 16)), torch.zeros(5, 2), 3)
    assert counter.get_total_flops() == 3 * 2 * (2 * 5 * 16 * 16)


def test_every_method_has_a_training_step_that_is_timed(script):
    module = script("training")
    known = {m for m in vars(methods).values() if isinstance(m, type) and issubclass(m, Method)}
    assert {type(case.method) for case in module.cases().values()} == known


def test_peak_memory_counts_what_is_held_at_once(script):
    def two_then_one():
        a, b = torch.zeros(2**18), torch.zeros(2**18)  # 1 MiB each
        del a, b
        return torch.zeros(2**18)

    assert script("memory").peak(two_then_one) == 2 * 2**20


def test_a_longer_chain_or_a_longer_training_step_holds_no_more(script):
    """A graph that goes on from step to step would."""
    peak, x = script("memory").peak, torch.zeros(50, 2)
    energy = MLPEnergy(2, (64, 64))

    def trained(n_steps):
        chain = Chain(ula, n_steps=n_steps, step_size=0.1)
        return peak(partial(MaximumLikelihood(energy, NoiseStart(), chain=chain).step, x))

    def sampled(n_steps):
        return peak(partial(langevin, energy, x, n_steps=n_steps, step_size=0.1))

    layer = 50 * 64 * 4  # bytes
    assert layer < sampled(5) == sampled(20)
    assert trained(20) == trained(5) + 15 * 4  # the displacement: one number a step


def test_a_round_runs_everybody_once_and_the_first_does_not_count(script):
    timing, seen = script("timing"), []
    found = timing.in_turn({name: lambda name=name: seen.append(name) for name in "abc"}, 4)
    assert {name: len(times) for name, times in found.items()} == {"a": 4, "b": 4, "c": 4}
    rounds = [seen[i : i + 3] for i in range(0, 15, 3)]
    assert len(seen) == 15 and all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert {r[0] for r in rounds} == {"a", "b", "c"}
    # of ratios, not of medians: a drift by a factor of 10 between rounds cancels
    assert timing.ratio([2.0, 20.0, 200.0], [1.0, 10.0, 100.0]) == 2.0
    assert timing.ratio([2.0, 30.0, 2.0], [1.0, 10.0, 2.0]) == 2.0


def test_the_parts_of_an_update_are_told_apart(script):
    """By a clock that moves where it is told to; a slow hook is time of `fit`."""
    updates, time = script("updates"), [0.0]

    class Slow(Method):
        def __init__(self):
            super().__init__()
            self.energy = MLPEnergy(2, (4,))
            self.add_optimizer("energy", self.energy.parameters(), 0.0, torch.optim.SGD)
            self.chain = Chain(ula, n_steps=1, step_size=lambda t: spend(1.0, 0.1))

        def step(self, batch: torch.Tensor):
            spend(2.0)
            x = self.chain(self.energy, batch)
            loss = self.energy(x).mean()
            loss.register_hook(lambda grad: spend(4.0, grad))
            self.update("energy", loss)
            return {"loss": loss.detach()}

    def spend(seconds, result=None):
        time[0] += seconds
        return result

    def measured(hooks=(), cost=8.0):
        case = updates.Case("", "", Slow(), lambda n: spend(cost, torch.zeros(n, 2)), 4, 6)
        return updates.measure(case, updates.Clock(lambda: time[0]), hooks)

    split = measured()
    once = split["chain"]  # a kernel may ask for its step size more than once
    assert once >= 1 and once == int(once)
    assert split == {"chain": once, "loss": 2.0, "update": 4.0, "data": 8.0, "fit": 0.0}
    late = measured([lambda step, method, metrics: spend(16.0)])
    assert late == {**split, "fit": 16.0}
    row = updates.row(updates.cases()[0], 2, [split, late], [late, late])
    assert row.keys() == script("run_all").FIELDS["updates"].keys()
    assert sum(row[part] for part in updates.PARTS) == pytest.approx(1)
    whole = 14 + once
    assert row["fit"] == pytest.approx(16 / (2 * whole + 16)) and row["us"] == pytest.approx(
        1e6 * (whole + 8)
    )
    assert row["ratio"] == pytest.approx((whole / (whole + 16) + 1) / 2)
    # what was put in the place of chain, update and step is gone
    assert Chain.__call__.__module__ == "ebmlearn.sample.chain" and not hasattr(Method.update, "__wrapped__")


def test_threads_leave_the_process_as_it_was(script):
    """Also where what is measured fails: the next benchmark would have other threads and cores."""
    timing = script("timing")

    def state():
        return torch.get_num_threads(), os.sched_getaffinity(0) if timing.CORES else None

    def fail():
        assert torch.get_num_threads() == 2
        raise ValueError("as it should")

    before = state()
    with pytest.raises(ValueError, match="as it should"), timing.threads(2):
        fail()
    assert state() == before


def test_a_set_that_is_not_there_is_left_out_and_said(script, monkeypatch, tmp_path, capsys, record):
    loading, run_all = script("loading"), script("run_all")
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path))
    monkeypatch.setattr(loading, "child", lambda name, cache: pytest.fail("it was loaded"))
    for root in ("", str(tmp_path)):
        monkeypatch.setenv("EBMLEARN_DATA", root)
        assert loading.table() == []
        assert "no mnist in EBMLEARN_DATA" in capsys.readouterr().out
    assert run_all.faults({**record, "loading": []}) == []
    assert run_all.faults({**record, "updates": []}) == ["updates is empty"]


def test_a_chain_exists_for_each_quantity_that_is_scaled(script):
    scaling = script("scaling")
    for quantity, values in scaling.RANGES.items():
        assert list(values) == sorted(set(values))
        x = scaling.chain(quantity, values[0])()
        assert x.isfinite().all()
    assert scaling.chain("latents", 16)().shape == (64, 16)
    assert scaling.chain("width", 64).args[0].net[0].out_features == 64


def test_a_ring_sends_what_is_its_share_twice(script):
    estimate = script("ranks").estimate
    assert estimate(1, 10**9) == 0
    assert estimate(2, 10**9, 1e9) == 1.0  # half of it, there and back
    assert estimate(64, 10**9, 1e9) == pytest.approx(2 * 63 / 64)


@pytest.mark.slow
def test_ranks_are_timed_and_their_bytes_counted(script):
    row, fields = script("ranks").together(2, 1, smoke=True), script("run_all").FIELDS["ranks"]
    assert {name: type(row[name]) for name in row} == fields
    recipe = RECIPES["short-run-cifar10"](smoke=True)
    n = sum(p.numel() for p in recipe.method(recipe.shape()).parameters())
    assert row["ranks"] == 2 and row["bytes"] == 4 * (n + 1) and row["reduction_us"] > 0
    assert row["images_per_s"] == pytest.approx(8 * row["updates_per_s"])
