"""`make gpu`, rehearsed on the CPU: what is done stays, what fails is recorded, a wrong result is seen.

Mutants tried: a part done again; a failed part that stops the rest; the record of another card kept; in-place
draws not given back; the draws of `rand` left on the device; a distance that is always 0; rows of a part that
breaks forgotten; a number that a kernel reads.
"""

import json
import sys
import time
from pathlib import Path

import pytest
import torch

from ebmlearn.sample import State

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    return __import__("gpu")


@pytest.fixture
def rows(script):
    return __import__("gpu_rows")


@pytest.fixture
def same(script):
    return __import__("gpu_same")


@pytest.fixture
def training(script):
    return __import__("gpu_train")


def test_draws_are_those_of_the_cpu(rows, monkeypatch):
    """On the meta device nothing is drawn, so all numbers must have come from the CPU."""
    copy = rows.to_cpu  # from there nothing can be copied
    monkeypatch.setattr(
        rows, "to_cpu", lambda x: torch.full_like(x, 0.5, device="cpu") if x.is_meta else copy(x)
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

    with rows.SameNoise():
        found, plain = draws("cpu"), draws("cpu")
    assert all(torch.equal(a, b) for a, b in zip(found, plain, strict=True))
    state = torch.get_rng_state()
    outside = draws("cpu")
    assert all(torch.equal(a, b) for a, b in zip(found, outside, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    with rows.SameNoise():
        assert all(x.device.type == "meta" for x in draws("meta"))
    assert torch.equal(torch.get_rng_state(), state)  # as many were drawn there


def test_ends_that_differ_are_apart_and_too_far_is_an_error(rows):
    start, end = torch.zeros(4), torch.ones(4)
    assert rows.distance(end, end, start) == 0
    assert rows.distance(end, 1.1 * end, start) == pytest.approx(0.1)
    limits = {"float64": 1e-6, "float32": 0.05}
    assert rows.held({"float64": 1e-7, "float32": 0.01}, limits) == {"float64": 1e-7, "float32": 0.01}
    found = rows.held({"float64": 1e-7, "float32": float("nan")}, limits)
    assert found["error"] == "float32 is nan, expected at most 0.05"


def test_a_row_that_fails_is_a_row_and_the_rest_goes_on(rows):
    def row(name):
        return {"value": 1 / int(name)}

    found = list(rows.each(["1", "0", "2"], row))
    assert found[0] == {"name": "1", "value": 1.0} and found[2] == {"name": "2", "value": 0.5}
    assert found[1] == {"name": "0", "error": "ZeroDivisionError: division by zero"}


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
    assert {"date", "card", "driver", "versions", "code"} <= first.keys()
    assert [part["status"] for part in first["parts"].values()] == ["failed", "done"]
    assert json.loads(out.read_text(encoding="utf-8")) == first
    second = script.everything(out, [*names, "resume"], "cpu", True, 28)
    assert calls == ["kernels", "methods", "resume", "kernels"]  # what has failed comes last
    assert {part["status"] for part in second["parts"].values()} == {"done"}
    # too little time: nothing begins; another card: all begins anew
    assert script.everything(tmp_path / "other.json", names, "cpu", True, 0.5)["parts"] == {}
    monkeypatch.setattr(script, "about", lambda device: {**first, "card": "another"})
    assert set(script.everything(out, ["methods"], "cpu", True, 28)["parts"]) == {"methods"}


def test_a_killed_command_goes_on_with_the_part_that_it_was_in(script, monkeypatch, tmp_path):
    out, calls = tmp_path / "gpu.json", []

    def one(name, *_):
        calls.append(name)
        if calls.count("methods") == 1 and name == "methods":
            raise KeyboardInterrupt  # nothing of it is caught
        return {"status": "done", "seconds": 1.0, "rows": []}

    monkeypatch.setattr(script, "one", one)
    names = ["kernels", "methods", "resume"]
    with pytest.raises(KeyboardInterrupt):
        script.everything(out, names, "cpu", True, 28)
    found = script.everything(out, names, "cpu", True, 28)
    assert calls == ["kernels", "methods", "methods", "resume"] and list(found["parts"]) == names


def test_rows_are_stored_as_they_come(script, monkeypatch, tmp_path):
    def breaks(device, tiny):
        yield {"name": "a", "value": 1 / 3}
        raise RuntimeError("the second")

    monkeypatch.setitem(script.PARTS, "kernels", (breaks, 1))
    with pytest.raises(RuntimeError, match="the second"):
        script.only("kernels", "cpu", True, tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text()) == [{"name": "a", "value": 0.3333}]


@pytest.mark.parametrize(
    ("text", "minutes", "found"),
    [
        ("rows = [{'name': 'a'}]", 1, {"status": "done", "rows": [{"name": "a"}]}),
        (
            "rows = [{'name': 'a'}, {'name': 'b', 'error': 'E'}]",
            1,
            {"status": "failed", "error": "1 of 2 rows, the first is b: E"},
        ),
        ("raise LookupError('no data')", 1, {"status": "skipped", "error": "LookupError: no data"}),
        ("import time; time.sleep(60)", 0.02, {"status": "failed", "error": "not done after 0.02 minutes"}),
    ],
)
def test_how_a_part_ended(script, monkeypatch, tmp_path, text, minutes, found):
    part = tmp_path / "part.py"
    write = "import json, pathlib; pathlib.Path(sys.argv[4]).write_text(json.dumps(rows))"
    part.write_text(f"import sys\n{text}\n{write}\n")
    monkeypatch.setattr(script, "__file__", str(part))
    assert script.one("kernels", "cpu", True, minutes).items() >= found.items()


def test_a_wrong_result_of_the_device_is_seen(same, monkeypatch):
    """The second of two runs is on the device: its slopes are off by a hundredth."""
    real, calls = same.run, []

    def wrong(kernel, x, n):
        calls.append(x.dtype)
        end = real(kernel, x, n)
        return end + 0.01 * (end - x) if len(calls) % 2 == 0 else end

    assert not any("error" in row for row in same.kernels("cpu", True))
    monkeypatch.setattr(same, "run", wrong)
    found = list(same.kernels("cpu", True))
    assert found and all("float64 is 0.01, expected at most 1e-06" in row["error"] for row in found)
    assert all("float32 is" not in row["error"] for row in found)  # that much may be rounding


def test_a_kernel_that_waits_is_seen(same, monkeypatch):
    samplers, cases = same.tables()
    make = samplers["ula"].make

    def waiting(net):
        kernel = make(net)

        def step(state: State):
            float(state.x.sum())
            return kernel.step(state)

        return kernel.__class__(kernel.init, step, kernel.temperature)

    table = {"ula": samplers["ula"], "waits": samplers["ula"]._replace(make=waiting)}
    monkeypatch.setattr(same, "tables", lambda: (table, cases))
    good, bad = same.synchronisation("cpu", True)
    assert good == {"name": "ula", "waits": 0}
    assert bad == {"name": "waits", "waits": 3, "error": "waits is 3, expected at most 0"}


FIELDS = {
    "kernels": {"name", "float64", "float32"},
    "methods": {"name", "float64", "float32"},
    "synchronisation": {"name", "waits"},
    "resume": {"name", "weights", "differ"},
    "graphs": {"name", "chains", "us, eager", "us, compiled", "apart, eager", "apart, compiled"},
    "images": {
        "name",
        "batch",
        "flop per image",
        "bf16 product, flop/s",
        "plain loop",
        "float32",
        "bf16",
        "bf16, channels last",
    },
    "tests": {"name", "tests", "failures", "errors", "skipped"},
}


@pytest.mark.slow
@pytest.mark.xdist_group("gpu")
@pytest.mark.parametrize("name", FIELDS)
def test_a_part_is_rehearsed(script, name):
    found = script.one(name, "cpu", True, 10)
    wrong = {row["name"]: row.pop("error") for row in found["rows"] if "error" in row}
    assert found["status"] == "done" and not wrong, found
    assert found["rows"] and all(row.keys() == FIELDS[name] for row in found["rows"])
    if name in ("kernels", "methods"):  # both are the CPU here
        assert all(row["float64"] == row["float32"] == 0 for row in found["rows"])


@pytest.mark.slow
def test_a_recipe_trains_is_judged_and_shown(training, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "RUNS", tmp_path)
    (row,) = training.train("coopnets-cifar10", "cpu", True)
    assert row["updates"] == row["of"] == 20 and row["images/s"] > 0
    assert row["model"]["frechet"] > row["training images"]["frechet"] > 0


def test_what_a_command_has_started_ends_with_it(training, tmp_path):
    """A grandchild that went on would disturb the next part on the same card."""
    child = "import time; time.sleep(1000)"
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); "
    code += f"open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); p.wait()"
    status, said = training.ended([sys.executable, "-c", code], 2)
    assert status == -9 and said == "no message"
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    end = time.monotonic() + 20  # a busy machine takes a while to end what was killed
    while state.exists() and state.read_text().split()[2] not in "ZX":
        assert time.monotonic() < end
        time.sleep(0.05)


def test_every_part_and_all_of_them_fit_into_their_time(script):
    limits = [minutes for _, minutes in script.PARTS.values()]
    assert max(limits) <= 9 and sum(limits) <= 28
    assert all(f"``{name}``" in script.__doc__ for name in script.PARTS if not name.startswith("train"))


def test_the_book_says_what_is_stored_or_that_nothing_is(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT / "book"))
    tables, file = __import__("tables"), tmp_path / "gpu.json"
    assert tables.gpu(file) == "no GPU run is stored yet; `make gpu` makes one"
    rows = [{"name": "ula", "float64": 1e-16}, {"name": "hmc", "error": "float64 is 1"}]
    recipe = {"name": "a", "updates": 5, "of": 10, "seconds": 60.0, "images/s": 7.0, "n": 20}
    recipe |= {"model": {"frechet": 2.0, "features": "pixels"}, "training images": {"frechet": 1.0}}
    parts = {
        "kernels": {"status": "failed", "error": "1 of 2 rows", "rows": rows},
        "images": {"status": "done", "rows": [{"name": "b", "bf16": {"images/s": 12345.6}}]},
        "train a": {"status": "done", "rows": [recipe]},
    }
    record = {"date": "2026-12-01", "card": "H200", "driver": "1.2", "parts": parts}
    file.write_text(json.dumps(record), encoding="utf-8")
    assert tables.gpu(file).splitlines() == [
        "H200, driver 1.2, 2026-12-01",
        "kernels: 1 of 2 rows",
        "    ula: float64 1e-16",
        "    hmc: error float64 is 1",
        "images: done",
        "    b: bf16 (images/s 1.235e+04)",
        "train a: done",
        "    5 of 10 updates in 1.0 minutes, 7 images/s",
        "    Fréchet distance 2 with n = 20; training images 1; features: pixels",
        "    on H200, 2026-12-01",
    ]


def test_without_cuda_it_says_so(script, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device here; --device cpu --tiny rehearses"):
        script.main()
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--tiny"])
    with pytest.raises(SystemExit, match="a rehearsal is no GPU run: give it another file"):
        script.main()
    out = ["--out", str(tmp_path / "gpu.json")]
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", *out, "nothing"])
    with pytest.raises(SystemExit, match="there is no part 'nothing'; there are tests, kernels"):
        script.main()
