"""The table behind chapter 19: whole, made by this script, and run again from where it is missing."""

import importlib
import json

import pytest


@pytest.fixture
def script():
    return importlib.import_module("bilevel")


def test_the_stored_table_is_whole_and_says_how_it_was_made(script):
    table = script.stored()
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    names = [*script.TERMS, *script.LEARNERS]
    found = sorted((r["name"], r["seed"]) for r in table["runs"])
    assert found == sorted((name, seed) for name in names for seed in script.SEEDS)
    for run in table["runs"]:
        assert {"date", "machine", "torch"} < run.keys()
        budgets = [row["updates"] for row in run["rows"]]
        if run["name"] in script.LEARNERS:
            assert budgets == [script.UPDATES]
        else:
            stopped = any("stopped" in row for row in run["rows"])
            assert stopped or budgets[:4] == list(script.BUDGETS)
    for updates in script.LONG:
        assert len(script.found("all terms", updates)) == len(script.SEEDS)


def test_what_is_there_is_not_run_again(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "FILE", tmp_path / "table.json")
    monkeypatch.setattr(script, "TERMS", {"all terms": {}, "no data": {"data_weight": 0.0}})
    made = []

    def terms(name, seed):
        made.append((name, seed))
        if len(made) == 3:
            raise KeyboardInterrupt
        return [{"updates": 250, "energy": 1.0 + seed}]

    monkeypatch.setattr(script, "terms", terms)
    with pytest.raises(KeyboardInterrupt):
        script.main(["terms"])
    script.main(["terms"])
    assert made[:3] == [("all terms", 0), ("no data", 0), ("all terms", 1)]
    assert sorted(made[3:]) == [("all terms", 1), ("all terms", 2), ("no data", 1), ("no data", 2)]
    assert script.found("no data", 250) == [1.0, 2.0, 3.0]


def test_a_run_is_judged_along_its_way(script, monkeypatch):
    """Divergences of an untrained net are finite; the budgets are those of the head; leaving the data out is
    what the row says."""
    monkeypatch.setattr(script, "BUDGETS", (2, 3))
    rows = script.terms("no data", 0)
    assert [row["updates"] for row in rows] == [2, 3]
    assert all(row["energy"] > 0 and row["generator"] > 0 and 0 <= row["modes"] <= 8 for row in rows)
    assert script.learner(**script.TERMS["no data"]).data_weight == 0
    assert script.learner().data_weight == script.BASE["data_weight"]
