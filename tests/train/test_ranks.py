"""Several processes: the same learning as in one, and no rank waits for another for ever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from methods import METHODS
from processes import ranks
from worker import INTEGERS, PERSISTENT_RUN, Means, begin, first_steps, persistent

from ebmlearn import fit
from ebmlearn.train import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]


def both(scenario, folder):
    """Run a scenario on two ranks, to a good end; what they printed."""
    children = ranks(begin, scenario, folder, log=folder)
    statuses, printed = [child.wait() for child in children], [child.printed for child in children]
    assert statuses == [0, 0], "\n".join(printed)
    return printed


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """The folder of a run of two ranks, and what each of them found."""
    folder = tmp_path_factory.mktemp("ranks")
    fit(persistent(), **PERSISTENT_RUN | {"steps": 8}, out=folder / "one-to-two")
    both("calm", folder)
    return folder, [checkpoint.load(folder / f"calm{rank}.pt") for rank in (0, 1)]


def test_a_gradient_linear_in_the_batch_is_that_of_one_process(calm):
    """With all data in each batch weights are equal to the last bit, though each rank sees its own half."""
    method = Means(3)
    history = fit(method, INTEGERS, steps=5, batch_size=8)
    for rank, found in enumerate(calm[1]):
        assert torch.equal(found["exact"], method.mean)
        torch.testing.assert_close(found["exact loss"], history["loss"])
        for batch in found["seen"]:
            assert torch.equal(batch.sort(0).values, INTEGERS[rank::2])


@pytest.mark.statistical
def test_the_noise_of_the_gradient_is_that_of_the_global_batch(calm):
    """Averages of normal batches of 8 have an exact law. Batches of 8 on each rank would halve the variance,
    the same random numbers on both would double it."""
    share = sum(0.5**2 * 0.5 ** (2 * k) for k in range(10)) / 8
    a, b = (found["law"] for found in calm[1])
    assert torch.equal(a, b)
    assert abs((a.square().mean() / share - 1) / (2 / len(a)) ** 0.5) < 5
    metrics = calm[1][0]["law metrics"]
    assert (metrics["size"] == 4).all()
    variances = torch.tensor([sum(0.5**2 * 0.5 ** (2 * j) for j in range(k)) / 8 for k in range(10)])
    # the loss of a step is a mean of 8 x 4000 squares; those of a column share the error of its mean
    error = ((2 / (8 * 4000)) ** 0.5 + variances * (2 / 4000) ** 0.5) * (1 + variances)
    assert ((metrics["loss"] - (1 + variances)).abs() / error < 5).all()


@pytest.mark.parametrize("name", METHODS)
def test_the_metrics_are_those_of_one_process_within_statistical_error(calm, name):
    wanted, found = first_steps(name), calm[1][0]["curves"][name]
    assert wanted.keys() == found.keys()
    for metric, values in wanted.items():
        difference = found[metric] - values  # of runs from the same weights
        error = difference.std(0) / len(difference) ** 0.5
        assert (difference.mean(0).abs() <= 8 * error + 1e-6).all(), metric  # p < 1e-6 for 15 degrees


def test_each_rank_keeps_its_own_chains_and_random_numbers(calm):
    folder, _ = calm
    a, b = (
        checkpoint.load(folder / "undisturbed" / f"checkpoint-00000012{name}.pt") for name in ("", "-rank1")
    )
    assert a["ranks"] == b["ranks"] == 2 and a["step"] == b["step"] == 12
    assert not torch.equal(a["method"]["start.x"], b["method"]["start.x"])
    assert not torch.equal(a["rng"]["torch"], b["rng"]["torch"])
    assert not torch.equal(a["rng"]["numpy"][1], b["rng"]["numpy"][1])
    assert a["rng"]["python"] != b["rng"]["python"]
    assert a["index"]["order"].sort().values.equal(torch.arange(32)) and not torch.equal(
        a["index"]["order"], b["index"]["order"]
    )
    # The buffers began as equal; in their first pass, of 10 steps, ranks visit other chains.
    earlier = folder / "undisturbed" / "checkpoint-00000008.pt"
    orders = [
        checkpoint.load(path)["method"]["start.index.order"]
        for path in (earlier, earlier.with_stem(earlier.stem + "-rank1"))
    ]
    assert not torch.equal(*orders)
    names = sorted(path.name for path in (folder / "undisturbed").iterdir() if path.suffix == ".pt")
    assert names == [f"checkpoint-000000{step}{rank}.pt" for step in ("08", "12") for rank in ("-rank1", "")]


def test_one_rank_continues_what_two_began(calm, tmp_path):
    folder, _ = calm
    out = tmp_path / "two-to-one"
    out.mkdir()
    for path in (folder / "undisturbed").glob("checkpoint-00000008*"):
        (out / path.name).write_bytes(path.read_bytes())
    before = checkpoint.load(out / "checkpoint-00000008.pt")
    seen = []

    def keep(step, method, metrics):
        seen.append(step)

    with pytest.warns(
        UserWarning, match=r"written by 2 rank\(s\) and 1 rank\(s\) continue.*order of the data"
    ):
        history = fit(persistent(), **PERSISTENT_RUN, out=out, resume=True, hooks=[keep])
    assert seen == [9, 10, 11, 12]
    assert all(torch.equal(history[k][:8], v) for k, v in before["history"].items())
    after = checkpoint.load(out / "checkpoint-00000012.pt")
    assert after["ranks"] == 1 and len(after["index"]["order"]) == 64
    assert after["method"]["_extra_state"]["updates"] == {"energy": 12}
    assert not (out / "checkpoint-00000012-rank1.pt").exists()


def test_two_ranks_continue_what_one_began(calm):
    folder, found = calm
    assert len(found[0]["warnings"]) == 1 and found[1]["warnings"] == []
    assert "written by 1 rank(s) and 2 rank(s) continue" in found[0]["warnings"][0]
    a, b = (
        checkpoint.load(folder / "one-to-two" / f"checkpoint-00000012{name}.pt") for name in ("", "-rank1")
    )
    assert torch.equal(a["method"]["energy.net.0.weight"], b["method"]["energy.net.0.weight"])
    assert not torch.equal(a["rng"]["torch"], b["rng"]["torch"])
    assert all(len(values) == 12 for values in a["history"].values())


def test_what_one_rank_refuses_all_refuse_and_none_waits_for_a_failed_one(tmp_path):
    assert "rank 1 failed: FloatingPointError: a chain is not finite" in both("refusals", tmp_path)[1]
    assert (tmp_path / "refusals0").exists() and (tmp_path / "refusals1").exists()


def test_a_killed_rank_ends_the_run_which_then_goes_on_to_the_same_weights(calm, tmp_path):
    """Under torchrun, as with users."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [sys.executable, *launcher, Path(__file__).with_name("worker.py"), "killed", tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode != 0
    where = tmp_path / "killed" / "checkpoint-00000004.pt"
    assert (
        f"rank 1 has ended or cannot be reached. The last checkpoint is {where}; resume=True" in done.stderr
    )
    both("resumed", tmp_path)
    for rank, found in enumerate(calm[1]):
        after = checkpoint.load(tmp_path / f"resumed{rank}.pt")
        assert after.keys() == found["undisturbed"].keys()
        assert all(torch.equal(after[k], v) for k, v in found["undisturbed"].items())


def test_a_rank_that_waits_long_for_another_says_so(tmp_path):
    """The other one is stopped (SIGSTOP), and alive."""
    children = ranks(begin, "stopped", tmp_path, log=tmp_path)
    said, end = "rank 0 has waited 1 s for rank 1, which is slow, stopped", time.monotonic() + 120
    while said not in children[0].printed and time.monotonic() < end:
        time.sleep(0.1)
    assert said in children[0].printed and all(child.alive for child in children)
    children[1].kill(signal.SIGCONT)
    assert [child.wait() for child in children] == [0, 0]


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("lost", "rank 1 has not answered for 8 s, so it is stopped, slow or out of reach; if it was only"),
        ("died", "rank 1 has ended or cannot be reached"),
    ],
)
def test_a_lost_rank_is_named_and_the_others_end(tmp_path, scenario, said):
    """Of three, so that who waits as well must be told from who is waited for."""
    children = ranks(begin, scenario, tmp_path, log=tmp_path, n=3)
    try:
        assert [children[rank].wait(120) for rank in (0, 2)] == [0, 0]
    finally:
        if children[1].alive:
            children[1].kill(signal.SIGKILL)
    for rank in (0, 2):
        text = (tmp_path / f"said{rank}").read_text()
        assert text.startswith(f"training stopped at step 4: {said}"), text
        assert "The last checkpoint is" in text and "00000002.pt; resume=True" in text


def test_each_rank_has_its_own_numbers_of_a_generator_of_the_user_s(tmp_path):
    both("generators", tmp_path)
    a, b = (checkpoint.load(tmp_path / f"noise{rank}.pt")["state"] for rank in (0, 1))
    assert not torch.equal(a, b)
