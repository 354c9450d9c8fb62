"""Checkpoints: exact, whole or refused, and kill -9 at any moment."""

import random
import signal
import subprocess
import sys
import time

import pytest
import torch

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


def test_code_in_a_file_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("gotcha",))

    checkpoint.save(tmp_path / "c.pt", {"evil": Evil()})
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoint.load(tmp_path / "c.pt")


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


TRAIN = """
import sys, torch
from ebmlearn import Chain, MaximumLikelihood, NoiseStart, ReplayBuffer, fit, seed, ula
from ebmlearn.nets import MLPEnergy
torch.set_num_threads(1)
seed(0)
data = torch.randn(200, 2)
buffer = ReplayBuffer(torch.randn(100, 2), restart=0.05, noise=NoiseStart())
chain = Chain(ula, n_steps=5, step_size=0.1)
method = MaximumLikelihood(MLPEnergy(2, (16,)), buffer, chain=chain, ema=0.99)
out = sys.argv[1] if len(sys.argv) > 1 else None
fit(method, data, steps=600, batch_size=50, out=out, every=7, resume=True)
flat = torch.cat([p.flatten() for p in method.parameters()] + [method.start.x.flatten()])
print("FINISHED", flat.double().sum().item().hex(), flat.double().square().sum().item().hex())
"""


@pytest.mark.slow
def test_killed_at_random_moments_every_run_resumes_to_the_same_weights(tmp_path):
    """20 times kill -9; without a checkpoint yet a run starts again, as it would for a user."""
    script = tmp_path / "train.py"
    script.write_text(TRAIN)

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    undisturbed = start()
    began = time.monotonic()
    wanted, errors = undisturbed.communicate()
    assert undisturbed.returncode == 0, errors
    duration = time.monotonic() - began
    chance = random.Random(0)
    kills = runs = 0
    while kills < 20:
        out = tmp_path / f"run{runs}"
        runs += 1
        while True:
            process = start(out)
            try:
                found, errors = process.communicate(timeout=chance.uniform(0.3, 1.0) * duration)
            except subprocess.TimeoutExpired:
                process.kill()
                found, errors = process.communicate()
                if process.returncode == -signal.SIGKILL:  # else it finished just before
                    kills += 1
                    continue
            assert process.returncode == 0, errors
            assert found == wanted
            break
