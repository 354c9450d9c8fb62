"""`make gpu`, rehearsed on the CPU: what is done stays, what fails is recorded, and both devices see the
same random numbers.

Mutants tried: a part done again; a failed part that stops the rest; the record of another card kept; in-place
draws not given back; the draws of `rand` left on the device.
"""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    return __import__("gpu")


def test_draws_are_those_of_the_cpu(script, monkeypatch):
    """On the meta device nothing is drawn, so all numbers must have come from the CPU."""
    copy = script.to_cpu  # from there nothing can be copied
    monkeypatch.setattr(
        script, "to_cpu", lambda x: torch.full_like(x, 0.5, device="cpu") if x.is_meta else copy(x)
    )

    def draws(device):
        torch.manual_seed(0)
        x = torch.empty(3, device=device).normal_()
        return [
            x,
            torch.rand(2, device=device),
            torch.randn_like(x),
            torch.empty(2, device=device).uniform_(),
            torch.bernoulli(torch.full((4,), 0.5, device=device)),
            torch.randint(9, (4,), device=device),
            torch.randperm(5, device=device),
        ]

    with script.SameNoise():
        found, plain = draws("cpu"), draws("cpu")
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
    state = torch.get_rng_state()
    outside = draws("cpu")
    assert all(torch.equal(a, b) for a, b in zip(found, outside, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    with script.SameNoise():
        assert all(x.device.type == "meta" for x in draws("meta"))
    assert torch.equal(torch.get_rng_state(), state)  # as many were drawn there


def test_ends_that_differ_are_apart(script):
    start, end = torch.zeros(4), torch.ones(4)
    assert script.apart({"a": end, "b": end}, start) == 0
    assert script.apart({"a": end, "b": 1.1 * end}, start) == pytest.approx(0.1)


def test_a_row_that_fails_is_a_row_and_the_rest_goes_on(script):
    def row(name):
        return {"value": 1 / int(name)}

    rows = script.each(["1", "0", "2"], row)
    assert rows[0] == {"name": "1", "value": 1.0} and rows[2] == {"name": "2", "value": 0.5}
    assert rows[1] == {"name": "0", "error": "ZeroDivisionError: division by zero"}


def test_what_is_done_stays_and_what_failed_is_done_again(script, monkeypatch, tmp_path):
    out, calls = tmp_path / "gpu.json", []

    def one(name, device, tiny, minutes):
        calls.append(name)
        failed = name == "kernels" and len(calls) < 3
        return (
            {"status": "failed", "seconds": 1.0, "error": "x"} if failed else {"status": "done", "rows": []}
        )

    monkeypatch.setattr(script, "one", one)
    names = ["kernels", "methods"]
    first = script.everything(out, names, "cpu", True, 28)
    assert [part["status"] for part in first["parts"].values()] == ["failed", "done"]
    assert json.loads(out.read_text(encoding="utf-8")) == first
    second = script.everything(out, names, "cpu", True, 28)
    assert calls == ["kernels", "methods", "kernels"]
    assert [part["status"] for part in second["parts"].values()] == ["done", "done"]
    # too little time: nothing begins; another card: all begins anew
    assert script.everything(tmp_path / "other.json", names, "cpu", True, 0.5)["parts"] == {}
    monkeypatch.setattr(script, "about", lambda device: {**first, "card": "another"})
    assert set(script.everything(out, ["methods"], "cpu", True, 28)["parts"]) == {"methods"}


@pytest.mark.slow
@pytest.mark.xdist_group("gpu")
@pytest.mark.parametrize("name", ["kernels", "methods", "synchronisation", "resume", "graphs", "images"])
def test_a_part_is_rehearsed(script, name):
    found = script.one(name, "cpu", True, 5)
    assert found["status"] == "done", found
    assert found["rows"] and not any(isinstance(row.get("error"), str) for row in found["rows"])
    for row in found["rows"]:
        assert row.get("error", 0.0) == 0.0 and row.get("differ", 0) == 0


@pytest.mark.slow
def test_a_recipe_trains_is_judged_and_shown(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "RUNS", tmp_path)
    (row,) = script.train("coopnets-cifar10", "cpu", True)
    assert row["updates"] == row["of"] == 20 and row["images/s"] > 0
    assert row["model"]["frechet"] > row["training images"]["frechet"] > 0


def test_a_part_that_takes_too_long_or_breaks_is_recorded(script):
    assert script.one("kernels", "cpu", True, 1e-4)["error"] == "not done after 0.0001 minutes"
    found = script.one("no such part", "cpu", True, 1)
    assert found["status"] == "failed" and "KeyError" in found["error"]


def test_every_part_and_all_of_them_fit_into_their_time(script):
    limits = [minutes for _, minutes in script.PARTS.values()]
    assert max(limits) <= 9
    assert all(f"``{name}``" in script.__doc__ for name in script.PARTS if not name.startswith("train"))


def test_without_cuda_it_says_so(script, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device here; --device cpu --tiny rehearses"):
        script.main()
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "nothing"])
    with pytest.raises(SystemExit, match="there is no part 'nothing'; there are tests, kernels"):
        script.main()
