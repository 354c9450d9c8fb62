"""Checkpoints: exact, whole or refused, and kill -9 at any moment."""

import itertools
import os
import random
import signal
import sys
from pathlib import Path

import pytest
import torch
from processes import Child

import ebmlearn
from ebmlearn import Chain, MaximumLikelihood, NoiseStart, ReplayBuffer, fit, seed, ula
from ebmlearn.nets import MLPEnergy
from ebmlearn.train import checkpoint


def test_a_state_comes_back_as_it_was(tmp_path):
    state = {
        "x": torch.randn(3),
        "nested": {"step": 7, "rate": 0.1, "name": "a", "none": None},
        "pair": (1, [2.5]),
    }
    checkpoint.save(tmp_path / "c.pt", state)
    back = checkpoint.load(tmp_path / "c.pt")
    assert torch.equal(back.pop("x"), state.pop("x")) and back == state
    assert [p.name for p in tmp_path.iterdir()] == ["c.pt"]


@pytest.mark.parametrize("damage", ["half", "empty", "bit"])
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"x": torch.zeros(1000)})
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    else:
        content = content[: len(content) // 2 if damage == "half" else 0]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"c\.pt is damaged .* was not loaded\. Restore it from a copy$"):
        checkpoint.load(path)
    assert path.read_bytes() == content


def test_code_in_a_file_is_not_run(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("gotcha",))

    checkpoint.save(tmp_path / "c.pt", {"evil": Evil()})
    with pytest.raises(ValueError, match=r"c\.pt holds other things than tensors.* might run code") as error:
        checkpoint.load(tmp_path / "c.pt")
    assert (
        error.value.__cause__ is None and error.value.__suppress_context__
    )  # torch's own text advises to load it all the same
    assert "gotcha" not in capsys.readouterr().out


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    checkpoint.save(path, {"step": 1})
    content = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"step": 2})
    assert path.read_bytes() == content and [p.name for p in tmp_path.iterdir()] == ["c.pt"]


def test_an_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        checkpoint.save(tmp_path / "file" / "c.pt", {"step": 1})


def test_differences_of_settings_are_all_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"a: checkpoint 1 \| this run 2\n  b: checkpoint \(absent\) \| this run 3"
    ):
        checkpoint.check_settings(
            {"a": "1", "same": "x"}, {"a": "2", "b": "3", "same": "x"}, tmp_path / "c.pt"
        )


PACKAGE = Path(ebmlearn.__file__).parent
# where a file is written; all of what keeps a run and what it goes on from
LINES_OF = {"files": ("files.py",), "a run": ("files.py", "random.py", "train")}


def train(out, where="a run", last=None):
    """A run that begins or goes on in a folder, and prints how it ends. With ``last`` it gets kill -9 before
    the so-many-th line that is run in the modules of `LINES_OF`; the last word is how many these were."""
    lines, places = itertools.count(1), tuple(str(PACKAGE / name) for name in LINES_OF[where])

    def trace(frame, event, argument):
        if event == "call":
            return trace if frame.f_code.co_filename.startswith(places) else None
        if event == "line" and next(lines) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    seed(0)
    data = torch.randn(200, 2)
    buffer = ReplayBuffer(torch.randn(100, 2), restart=0.05, noise=NoiseStart())
    chain = Chain(ula, n_steps=5, step_size=0.1)
    method = MaximumLikelihood(MLPEnergy(2, (16,)), buffer, chain=chain, ema=0.99)
    sys.settrace(trace)
    fit(method, data, steps=30, batch_size=50, out=out, every=2, resume=out is not None)
    sys.settrace(None)
    flat = torch.cat([p.flatten() for p in method.parameters()] + [method.start.x.flatten()])
    sums = flat.double().sum().item().hex(), flat.double().square().sum().item().hex()
    print("FINISHED", *sums, next(lines) - 1)


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("where", LINES_OF)
def test_killed_at_random_lines_every_run_resumes_to_the_same_weights(where, tmp_path):
    """20 times kill -9; without a checkpoint yet a run starts again, as it would for a user."""
    n_started = itertools.count()

    def start(*arguments):
        return Child(train, *arguments, log=tmp_path / f"{next(n_started)}.log")

    undisturbed, whole = start(None), start(tmp_path / "whole", where)
    assert undisturbed.wait() == whole.wait() == 0, undisturbed.printed + whole.printed
    *wanted, _ = undisturbed.printed.split()
    n_lines = int(whole.printed.split()[-1])
    assert n_lines > 100
    chance = random.Random(0)
    kills = runs = 0
    while kills < 20:
        runs += 1
        while True:
            process = start(tmp_path / f"run{runs}", where, chance.randint(1, n_lines))
            status = process.wait()
            if status == 0:
                break
            assert status == -signal.SIGKILL, process.printed
            kills += 1
        assert process.printed.split()[:-1] == wanted
