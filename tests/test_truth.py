"""The contest of `tests/benchmarks/truth.py`: what its clock counts, when a bound is reached, the file."""

import copy
import itertools
import json
import math
import os
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from ebmlearn.energy import Gaussian
from ebmlearn.recipes import plane

ROOT = Path(__file__).parents[1]
STORED = ROOT / "book" / "truth.json"
NO_TIME = 1e-9  # is over after the first update that counts


@pytest.fixture
def truth(script):
    return script("truth")


def made_up(key):
    """A row of a run that reached 0.1 nats and not 0.05."""
    fields = ("target", "package", "settings", "learner", "seed")
    reached = {"seconds_010": 1.5, "updates_010": 30, "seconds_005": None, "updates_005": None}
    rest = {"best": 0.06, "updates": 90, "seconds": 4.5, "first": 0.2, "end": "schedule"}
    return dict(zip(fields, key, strict=True)) | reached | rest


@pytest.fixture
def record(script, truth):
    """The least that is whole: each learner of one package once."""
    machine = script("run_all").machine()
    rows = [made_up(key) for key in truth.plan(1, {"ebmlearn"})]
    versions = {"python": "3"}
    return {
        "date": "2026-11-21",
        "machine": machine,
        "versions": versions,
        "cap": 20.0,
        "clock": "wall",
        "rows": rows,
    }


@pytest.mark.skipif(not STORED.exists(), reason="book/truth.json is not there yet: make truth")
def test_the_stored_record_is_whole(truth):
    record = json.loads(STORED.read_text(encoding="utf-8"))
    assert truth.faults(record) == []
    assert {row["package"] for row in record["rows"]} == set(truth.MODULES)


def test_faults_of_a_record_are_found(truth, record):
    assert truth.faults(record) == []

    def broken(change):
        other = copy.deepcopy(record)
        change(other)
        return " ".join(truth.faults(other))

    assert "date is missing" in broken(lambda r: r.pop("date"))
    assert "host is not known" in broken(lambda r: r.update(host="x"))
    assert "machine: fields" in broken(lambda r: r["machine"].pop("cpu"))
    assert "expected ['best'" in broken(lambda r: r["rows"][1].pop("best"))
    assert "best is nan" in broken(lambda r: r["rows"][1].update(best=math.nan))
    assert "seconds is None" in broken(lambda r: r["rows"][1].update(seconds=None))
    assert "there 2 times" in broken(lambda r: r["rows"].append(r["rows"][0]))
    assert "0) is missing" in broken(lambda r: r["rows"].pop(2))
    assert "1) is missing" in broken(lambda r: r["rows"].append(r["rows"][0] | {"seed": 1}))


def test_the_docstring_names_every_field(truth):
    assert all(f"``{name}``" in truth.__doc__ for name in (*truth.FIELDS, *truth.HEAD))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.3, 0.09, 0.08, 0.07], 1),
        ([0.09, 0.3, 0.08, 0.07, 0.06], 2),  # a dip is no result
        ([0.09, 0.08, 0.3, 0.09, 0.08], None),  # two are not three
        ([0.3, math.inf, 0.09, 0.1, 0.05, 0.04, 0.03], 4),  # at the bound is not below it
        ([], None),
    ],
)
def test_a_bound_is_reached_where_the_next_two_are_below_it(script, values, expected):
    assert script("clock").reached(values, 0.1) == expected


def test_evaluations_come_in_steps_of_five_percent(script):
    due = script("clock").evaluations()
    found = [next(due) for _ in range(150)]
    steps = [b / a for a, b in itertools.pairwise(found)]
    assert found[0] == 10 and found[-1] > 5000
    assert min(steps) > 1.03 and max(steps[10:]) < 1.07


class Time:
    """A clock that says what it was told."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def takes(self, seconds, value=None):
        self.now += seconds
        return value


def test_the_clock_counts_training_but_the_first_update_and_no_evaluation(script):
    time = Time()
    watch = script("clock").Watch(lambda _: time.takes(50.0, 1.0), 1e9, time)
    for n in range(30):
        time.takes(7.0 if n == 0 else 0.5)
        watch(None)
    watch.finish()
    row = watch.row()
    assert len(watch.curve) > 10
    assert (row["updates"], row["seconds"], row["first"]) == (30, 0.5 * 29, 7.0)
    assert [s for n, s, _ in watch.curve] == [0.5 * (n - 1) for n, _, _ in watch.curve]
    assert row["seconds_010"] is None and row["best"] == 1.0


def test_a_run_ends_at_its_cap_or_when_the_lower_bound_is_reached(script):
    clock = script("clock")

    def train(divergence, cap=1e9):
        time = Time()
        watch = clock.Watch(lambda _: divergence(watch.updates), cap, time)

        def forever():
            while True:
                time.takes(1.0)
                watch(None)

        with pytest.raises(clock.Enough) as ended:
            forever()
        return str(ended.value), watch.row()

    end, row = train(lambda n: 2.0 / n)  # 0.1 at 20, 0.05 at 40
    assert end == "reached"
    assert 20 < row["updates_010"] <= 22 and row["seconds_010"] == row["updates_010"] - 1
    assert 40 < row["updates_005"] <= 43 < row["updates"]
    end, row = train(lambda n: 2.0 / n, cap=30.0)
    assert end == "cap" and row["seconds"] == 30.0
    assert row["updates_010"] is not None and row["updates_005"] is None
    end, row = train(lambda n: math.inf, cap=30.0)
    assert row["best"] is None


def test_after_the_end_of_a_schedule_nothing_moves(script):
    watch = script("clock").Watch(lambda _: 0.09 if watch.updates == 13 else 0.2, 1e9, Time())
    for _ in range(13):
        watch(None)
    assert watch.when(0.1) is None
    watch.finish()
    assert watch.when(0.1) == (13, 0.0)
    assert [n for n, _, _ in watch.curve] == [10, 11, 12, 13]  # the last is not judged twice


def toward(target, watch, n=100):
    """Learns the mean of a normal law: after update k it lacks 5/k, so that the divergence is 12.5/k²."""
    for k in range(1, n + 1):
        watch(Gaussian(torch.tensor([5.0 / k, 0.0]), torch.eye(2)))


def test_a_run_finds_the_updates_of_an_exact_answer(script, truth, monkeypatch):
    key = ("normal", "ebmlearn", "own", "toward", 3)
    monkeypatch.setitem(script("learners").LEARNERS, key[1:4], toward)
    monkeypatch.setitem(plane.TARGETS, "normal", lambda: Gaussian(torch.zeros(2), torch.eye(2)))
    row = truth.run(key, 1e9)
    assert truth.key_of(row) == key and row["end"] == "reached"
    assert (row["updates_010"], row["updates_005"]) == (12, 16)  # √125 = 11.2, √250 = 15.8
    assert row["best"] == pytest.approx(12.5 / row["updates"] ** 2, rel=1e-3)
    assert set(row) == set(truth.FIELDS)
    monkeypatch.setitem(script("learners").LEARNERS, key[1:4], partial(toward, n=14))
    row = truth.run(key, 1e9)
    assert row["end"] == "schedule" and row["updates_010"] == 12 and row["updates_005"] is None


def test_an_energy_without_values_is_infinitely_far(script, truth, monkeypatch):
    def broken(target, watch):
        for _ in range(30):
            watch(lambda x: x.sum(1) * math.nan)

    key = ("T4", "ebmlearn", "own", "broken", 0)
    monkeypatch.setitem(script("learners").LEARNERS, key[1:4], broken)
    row = truth.run(key, 1e9)
    assert row["best"] is None and row["updates"] == 30


def test_a_second_call_makes_the_runs_that_are_missing_and_no_other(truth, monkeypatch, tmp_path, capsys):
    path, made = tmp_path / "truth.json", []

    def call(*arguments, fails=()):
        def in_process(key, cap, clock, core):
            made.append(key)
            if key[3] in fails:
                raise RuntimeError("killed")
            return made_up(key)

        made.clear()
        monkeypatch.setattr(truth, "in_process", in_process)
        monkeypatch.setattr(truth, "find_spec", lambda module: module == "ebmlearn")
        monkeypatch.setattr(sys, "argv", ["truth.py", "--out", str(path), "--seeds", "2", *arguments])
        truth.main()

    wanted = truth.plan(2, {"ebmlearn"})
    call("--only", "T4", "own", "1")
    assert made and all((key[0], key[2], key[4]) == ("T4", "own", 1) for key in made)
    assert "rows are missing" in capsys.readouterr().out
    first = set(made)
    with pytest.raises(SystemExit, match="2 runs failed; a second call"):
        call("--jobs", "2", "--only", "8 Gaussians", "own", fails=["energy discrepancy"])
    first |= {key for key in made if key[3] != "energy discrepancy"}
    call()
    assert set(made) == set(wanted) - first and len(made) == len(set(made))
    rows = json.loads(path.read_text())["rows"]
    assert sorted(map(truth.key_of, rows)) == sorted(wanted)
    assert "is whole" in capsys.readouterr().out
    call()
    assert made == []
    with pytest.raises(SystemExit, match=r"cap 15\.0, and this is 5\.0.*Give another --out"):
        call("--cap", "5")


def test_each_core_has_one_run_at_a_time(truth, monkeypatch, tmp_path, record):
    busy, seen = set(), set()

    def in_process(key, cap, clock, core):
        assert core not in busy
        busy.add(core)
        seen.add(core)
        busy.discard(core)
        return made_up(key)

    monkeypatch.setattr(truth, "in_process", in_process)
    todo = truth.plan(3, {"ebmlearn"})
    assert truth.measure(todo, record | {"rows": []}, tmp_path / "truth.json", 2) == []
    assert seen <= {0, 1}


@pytest.mark.slow
def test_a_run_in_a_process_is_the_run(truth):
    """The way there and back: arguments, core, the last line of the output."""
    key = ("T4", "ebmlearn", "own", "noise-contrastive estimation", 0)
    row = truth.in_process(key, NO_TIME, "wall", 0)
    assert truth.key_of(row) == key and row["end"] == "cap" and row["updates"] >= 2
    with pytest.raises(RuntimeError, match="KeyError"):
        truth.in_process(("T4", "ebmlearn", "own", "no such learner", 0), NO_TIME, "wall", 0)


def test_other_packages_in_our_settings_have_our_settings(script):
    """They are written once more for them, and would go their own way."""
    module, target = script("learners"), plane.TARGETS["T4"]()
    shared = {module.CHAINS: module.AS_CHAINS, module.SCORE: module.AS_SCORE, module.NCE: module.AS_NCE}
    for name, settings in shared.items():
        recipe = plane.PLANE[name]
        method = recipe.make(target, recipe.steps)
        assert recipe.steps == module.STEPS and recipe.batch_size == settings["size"]
        assert method.lr_schedules["energy"](0) == settings["lr"]
        assert ("energy" in method.averages) == (settings["ema"] is not None)
    buffer = plane.PLANE[module.CHAINS].make(target, 10).start
    assert len(buffer.x) == 2000 and buffer.restart == 0


@pytest.mark.parametrize("package", ["ebmlearn", "ebmkit", "torchebm"])
def test_every_learner_is_judged_after_its_second_update(script, truth, package):
    if find_spec(truth.MODULES[package]) is None:
        pytest.skip(f"{package} is not installed")
    for name in script("learners").LEARNERS:
        if name[0] == package and name[1] != "compiled":
            row = truth.run(("T4", *name, 0), NO_TIME)
            assert row["end"] == "cap" and row["updates"] == 2 and 0.1 < row["best"] < 20


@pytest.fixture
def book(monkeypatch):
    """Import a module beside the chapters."""
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    return lambda name: __import__(name)


def test_the_chapter_takes_medians_in_which_a_run_that_did_not_arrive_is_last(book, record):
    def rows(group, learner, seconds):
        key = ("T4", *group, learner)
        return [made_up((*key, i)) | {"seconds_010": s} for i, s in enumerate(seconds)]

    module, (own, theirs) = book("contest"), (("ebmlearn", "own"), ("ebmkit", "ours"))
    two_of_five = [3.0, None, 1.0, None, None]
    contest = module.Contest(
        {
            "rows": rows(own, "a", [4.0, None, 2.0, 3.0, 9.0])
            + rows(own, "b", two_of_five)
            + rows(theirs, "a", [8.0] * 5)
            + rows(theirs, "b", [1.0] * 5)
        }
    )
    assert contest.seeds == 5
    assert contest.median("T4", own, "a", "0.1") == 4.0
    assert contest.median("T4", own, "b", "0.1") == math.inf == contest.median("T4", own, "a", "0.05")
    assert contest.fastest("T4", own, "0.1") == (4.0, "a")
    assert module.ratio(contest, "T4", "ebmkit", "a").strip() == "2.00"
    assert module.ratio(contest, "T4", "ebmkit", "b").strip() == "-"
    assert (module.told(4.0), module.told(math.inf)) == ("4 s", "not reached")


def test_columns_align_words_left_and_numbers_right(book):
    rows = [{"name": "one", "left": 1, "ms": 1.23456}, {"name": "three", "left": 2, "ms": 1234.5}]
    text = book("tables").columns("ranks", rows, ("name", "ms"))
    assert text == "ranks\nname     ms\none    1.23\nthree  1234"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot bind a process")
def test_a_pinned_process_has_one_core(script):
    before = os.sched_getaffinity(0)
    try:
        for index in (0, 1, len(before)):
            os.sched_setaffinity(0, before)
            assert script("timing").pin(index) == 1
            assert os.sched_getaffinity(0) == {sorted(before)[index % len(before)]}
    finally:
        os.sched_setaffinity(0, before)
