"""The script behind the tables of chapters 9 and 10: what a run finds, and what is stored."""

import importlib
import itertools
import json

import pytest


@pytest.fixture
def script():
    return importlib.import_module("companions")


def test_the_stored_table_is_whole_and_says_how_it_was_made(script):
    table = script.stored()
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    found = [(r["updates"], r["learner"], r["seed"]) for r in table["runs"]]
    assert sorted(found) == sorted(itertools.product(script.BUDGETS, script.LEARNERS, script.SEEDS))
    for row in table["runs"]:
        assert {"date", "machine", "torch"} < row.keys() and row["energy"] > 0
        assert row.get("generator", 1.0) > 0


def test_the_printed_table_has_mean_and_range_of_the_seeds(script, monkeypatch):
    runs = [
        {"learner": "known z", "updates": n, "seed": seed, "energy": energy}
        for n, energies in zip(script.BUDGETS, ([1, 2, 6], [1, 1, 1], [2, 4, 3]), strict=True)
        for seed, energy in enumerate(energies)
    ]
    monkeypatch.setattr(script, "stored", lambda: {"runs": runs})
    head, line = script.table(["known z"]).splitlines()
    assert head.split() == ["updates", "500", "2000", "8000"]
    assert " ".join(line.split()) == "known z 3.00 (1.00-6.00) 1.00 (1.00-1.00) 3.00 (2.00-4.00)"


@pytest.mark.slow
@pytest.mark.parametrize("learner", ["exact gradient", "encoder", "dual, 50"])
def test_a_run_is_judged_as_the_stored_ones_are(script, learner):
    """With three updates: another seed is another run, and an untrained net is nats away."""
    first, second = script.run(learner, 3, 0), script.run(learner, 3, 1)
    (stored, *_) = [r for r in script.stored()["runs"] if r["learner"] == learner]
    assert first.keys() == stored.keys()
    assert 0.5 < first["energy"] < 100 and first["energy"] != second["energy"]
