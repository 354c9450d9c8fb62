"""The hooks of a run's folder, in a plain call of `fit`."""

import json
import random

import numpy as np
import pytest
import torch
from PIL import Image

from ebmlearn import Chain, NoiseStart, fit, runs, ula
from ebmlearn import random as rng
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import ConvEnergy
from ebmlearn.train import checkpoint


def small():
    torch.manual_seed(0)
    return MaximumLikelihood(ConvEnergy(1, 8, [4]), NoiseStart(), chain=Chain(ula, n_steps=2, step_size=0.1))


DATA = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def metrics(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


def test_a_trace_is_on_disk_after_each_step_with_all_digits(tmp_path):
    trace, value = runs.Trace(tmp_path / "t.csv", 10), torch.tensor(0.1)
    trace(1, None, {"loss": value, "gap": value / 3})
    text = (tmp_path / "t.csv").read_text()  # nothing was closed
    assert text.splitlines()[0] == "step,loss,gap"
    row = [torch.tensor(float(cell)) for cell in text.splitlines()[1].split(",")]
    assert row == [1, value, value / 3]


def test_a_new_run_starts_a_new_trace(tmp_path):
    (tmp_path / "t.csv").write_text("left by something else\n")
    runs.Trace(tmp_path / "t.csv", 10)(1, None, metrics(loss=0.5))
    assert (tmp_path / "t.csv").read_text() == "step,loss\n1,0.5\n"


def test_a_resumed_trace_has_each_step_once(tmp_path):
    (tmp_path / "t.csv").write_text("step,loss\n1,0.5\n2,0.5\n3,7\n4,8\n1")  # "1" was to be 11
    runs.Trace(tmp_path / "t.csv", 10)(3, None, metrics(loss=0.25))
    assert (tmp_path / "t.csv").read_text() == "step,loss\n1,0.5\n2,0.5\n3,0.25\n"


def test_a_trace_refuses_other_metrics(tmp_path):
    trace = runs.Trace(tmp_path / "t.csv", 10)
    trace(1, None, metrics(loss=0.5))
    with pytest.raises(ValueError, match=r"step 2 reports \['gap'\]; the steps before reported \['loss'\]"):
        trace(2, None, metrics(gap=0.5))
    with pytest.raises(ValueError, match=r"t.csv has the columns step,loss, this run has step,gap"):
        runs.Trace(tmp_path / "t.csv", 10)(2, None, metrics(gap=0.5))


def test_grids_come_in_time_with_the_same_noise_and_leave_training_alone(tmp_path):
    seen = []

    def noise(method):
        x = torch.rand(4, 3, 2, 2) * 2 - 1
        seen.append((x, (np.random.rand(), random.random())))
        return x

    grids = runs.Grids(tmp_path / "g", noise, every=2, last=5, seed=3)
    a, b = (fit(small(), DATA, steps=5, batch_size=4, hooks=hooks) for hooks in ([], [grids]))
    assert torch.equal(a["energy_gap"], b["energy_gap"])
    assert sorted(p.name for p in (tmp_path / "g").iterdir()) == [f"{s:08d}.png" for s in (2, 4, 5)]
    assert len(seen) == 3
    assert all(torch.equal(x, seen[0][0]) and rest == seen[0][1] for x, rest in seen)
    with Image.open(tmp_path / "g/00000005.png") as picture:
        page = np.asarray(picture)
    levels = torch.from_numpy(page[1:3, 1:3].copy()).permute(2, 0, 1)
    assert (levels - 127.5 * (seen[0][0][0] + 1)).abs().max() <= 0.5


def test_the_criterion_tells_near_from_far_and_leaves_random_numbers_alone():
    x = torch.randn(400, 1, 16, 16)
    state = rng.state()
    near, far, again = (
        runs.CoarseDistance(lambda method, a=a: a * torch.randn(100, 1, 16, 16), x)(None)
        for a in (1.0, 1.5, 1.0)
    )
    assert near == again < far / 2
    assert torch.equal(rng.state()["torch"], state["torch"])
    # 8 x 8 means of 2 x 2 pixels have variance 1/4: the closed form is 64 (1.5 - 1)² / 4, the rest is bias
    many = runs.CoarseDistance(
        lambda method: 1.5 * torch.randn(5000, 1, 16, 16), torch.randn(5000, 1, 16, 16)
    )
    assert many(None) == pytest.approx(4.0, rel=0.1)


def test_the_best_checkpoint_is_the_one_of_the_lowest_criterion(tmp_path):
    """Samples at steps 1, 2, 3 are off by 3, 0, 2: the second is the best."""
    off = iter((3.0, 0.0, 2.0))
    criterion = runs.CoarseDistance(
        lambda method: torch.randn(100, 1, 8, 8) + next(off), torch.randn(100, 1, 8, 8)
    )
    fit(small(), DATA, steps=3, batch_size=4, out=tmp_path, every=1, criterion=criterion)
    assert checkpoint.load(tmp_path / "best.pt")["step"] == 2


def test_the_log_says_how_fast_and_how_long(capsys, monkeypatch):
    clock = iter((100.0, 102.0, 105.0))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    log = runs.Log(100, 8, every=5)
    for step in (1, 2, 5):
        log(step, None, metrics(loss=0.125))
    # four steps of 8 images in 2 s, 95 steps to go
    assert capsys.readouterr().out == "step 5 of 100: loss 0.125; 16 images/s, 00:47 left\n"
    log(100, None, metrics(loss=0.125))
    assert capsys.readouterr().out.endswith("00:00 left\n")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    runs.write(path, {"a": 1})

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        runs.write(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and [p.name for p in tmp_path.iterdir()] == ["run.json"]
