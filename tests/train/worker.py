"""What each process of `test_ranks.py` runs: ``begin(SCENARIO, FOLDER)``; under torchrun
``worker.py SCENARIO FOLDER``."""

import os
import signal
import sys
import warnings
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from methods import METHODS
from torch import nn

from ebmlearn import fit
from ebmlearn.train import Method, checkpoint, waiting
from ebmlearn.train.ranks import RankLost
from ebmlearn.train.signals import Stopped


class Means(Method):
    """Learns the mean of each column of the data, by gradients that are linear in the batch."""

    scratch = ("seen",)

    def __init__(self, n):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(n))
        self.seen = []
        self.add_optimizer("mean", [self.mean], 0.5, torch.optim.SGD)

    def step(self, batch):
        self.seen.append(batch)
        squares = (batch - self.mean).square().mean(0)
        self.update("mean", 0.5 * squares.sum())
        return {"loss": squares.mean(), "size": torch.tensor(len(batch))}


INTEGERS = torch.arange(24.0).reshape(8, 3)
PERSISTENT = METHODS["persistent chains, averaged"]
PERSISTENT_RUN = {"data": PERSISTENT.data, "steps": 12, "batch_size": 8, "every": 4}


def persistent():
    torch.manual_seed(0)
    return PERSISTENT.make()


def first_steps(name, accelerator=None, n=16):
    """Metrics of the first two steps, from ``n`` initial weights: each of shape ``(n, 2)``."""
    runs = []
    for seed in range(n):
        torch.manual_seed(seed)
        method = METHODS[name].make()
        runs.append(fit(method, METHODS[name].data, steps=2, batch_size=8, accelerator=accelerator))
    return {metric: torch.stack([run[metric] for run in runs]) for metric in runs[0]}


def calm(folder, accelerator):
    """Everything that ends well."""
    rank = accelerator.process_index
    torch.manual_seed(0)
    exact = Means(3)
    exact_history = fit(exact, INTEGERS, steps=5, batch_size=8, accelerator=accelerator)
    law = Means(4000)
    law_history = fit(law, lambda n: torch.randn(n, 4000), steps=10, batch_size=8, accelerator=accelerator)
    found = {
        "exact": exact.mean.detach(),
        "exact loss": exact_history["loss"],
        "seen": torch.stack(exact.seen),
        "law": law.mean.detach(),
        "law metrics": law_history,
        "curves": {name: first_steps(name, accelerator) for name in METHODS},
    }
    run = {**PERSISTENT_RUN, "accelerator": accelerator}
    fit(method := persistent(), **run, out=folder / "undisturbed")
    found["undisturbed"] = {k: v for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(persistent(), **run, out=folder / "one-to-two", resume=True)
    found["warnings"] = [str(w.message) for w in caught if "continue" in str(w.message)]
    checkpoint.save(folder / f"calm{rank}.pt", found)


def refusals(folder, accelerator):
    """What is wrong on one rank, or known to one rank only, is refused by all."""
    rank = accelerator.process_index
    run = {"steps": 2, "batch_size": 8, "accelerator": accelerator}

    def refused(kind, match, **change):
        with pytest.raises(kind, match=match):
            fit(Means(3), INTEGERS, **{**run, **change})

    refused(ValueError, "batch_size is 3, which 2 ranks cannot share; take a multiple of 2", batch_size=3)
    out = folder / "refused"
    fit(Means(3), INTEGERS, **run, out=out)
    refused(FileExistsError, "resume=True", out=out)
    content = (out / "checkpoint-00000002-rank1.pt").read_bytes()
    accelerator.wait_for_everyone()
    if rank == 0:
        (out / "checkpoint-00000002-rank1.pt").write_bytes(content[:100])
    accelerator.wait_for_everyone()
    refused(ValueError, "00000002-rank1.pt is damaged", out=out, resume=True)
    accelerator.wait_for_everyone()
    if rank == 0:
        (out / "checkpoint-00000002-rank1.pt").unlink()
    accelerator.wait_for_everyone()
    refused(ValueError, "00000002-rank1.pt", out=out, resume=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    out = folder / "full"
    with pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            patch.setattr("os.fsync", full)
        refused(OSError, r"could not write .*-rank1\.pt: No space left.*There is no checkpoint", out=out)
    assert [p.name for p in out.iterdir()] == [".lock"]  # half a set does not count

    class Breaks(Means):
        def step(self, batch):
            return super().step(batch * float("nan") if rank == 1 and len(self.seen) == 1 else batch)

    with pytest.raises(FloatingPointError, match=r"step 2: the loss of 'mean' is nan(.|\n)*loss = "):
        fit(method := Breaks(3), INTEGERS, **run)
    assert method.mean.isfinite().all()

    class Fails(Means):
        def step(self, batch):
            if rank == 1 and len(self.seen) == 3:
                raise FloatingPointError("a chain is not finite")
            return super().step(batch)

    kind, match = [
        (RankLost, r"stopped at step 4: another rank has failed.*checkpoint-00000002\.pt; resume=True"),
        (FloatingPointError, r"stopped at step 4: a chain is not finite(.|\n)*checkpoint-00000002\.pt"),
    ][rank]
    # Rank 0 waits for rank 1 in the middle of a step, and rank 1 lives on, so its exit does not help.
    with pytest.raises(kind, match=match):
        fit(Fails(3), INTEGERS, **run | {"steps": 9, "every": 2}, out=folder / "fails")
    accelerator.wait_for_everyone()
    (folder / f"refusals{rank}").touch()


def killed(folder, accelerator):
    """Rank 1 dies in step 7."""

    def die(step, method, metrics):
        if step == 7 and accelerator.process_index == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    run = {**PERSISTENT_RUN, "accelerator": accelerator, "out": folder / "killed"}
    fit(persistent(), **run, hooks=[die])


def resumed(folder, accelerator):
    """Goes on after `killed`; then one rank gets SIGTERM, twice, and all stop and go on once more."""
    rank = accelerator.process_index
    run = {**PERSISTENT_RUN, "accelerator": accelerator, "out": folder / "killed", "resume": True}

    def terminate(step, method, metrics):
        if step == 9 and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    torch.manual_seed(123)  # a new process has another state
    with pytest.raises(Stopped, match=r"after step 10 of 12; saved in .*-00000010\.pt") as stop:
        fit(persistent(), **run, hooks=[terminate])
    assert stop.value.signal == signal.SIGTERM
    fit(method := persistent(), **run)
    state = {k: v for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    checkpoint.save(folder / f"resumed{rank}.pt", state)


def stopped(folder, accelerator):
    """Rank 1 is stopped in step 3, and goes on once rank 0 has said that it waits."""
    waiting.SAY_AFTER = 0.5

    def stop(step, method, metrics):
        if step == 3 and accelerator.process_index == 1:
            (folder / "pid").write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)

    fit(Means(3), INTEGERS, steps=6, batch_size=8, accelerator=accelerator, hooks=[stop])


def lost(folder, accelerator, number=signal.SIGSTOP):
    """Rank 1 of three is stopped in step 3, for good; the others end."""

    def stop(step, method, metrics):
        if step == 3 and accelerator.process_index == 1:
            os.kill(os.getpid(), number)

    with pytest.raises(RankLost) as error:
        fit(
            Means(3),
            INTEGERS,
            steps=6,
            batch_size=6,
            accelerator=accelerator,
            hooks=[stop],
            out=folder / "lost",
            every=2,
        )
    (folder / f"said{accelerator.process_index}").write_text(str(error.value))
    os._exit(0)  # no farewell to a rank that is not there


def died(folder, accelerator):
    """The same with a rank that is killed."""
    lost(folder, accelerator, signal.SIGKILL)


def generators(folder, accelerator):
    """Ranks draw other numbers from the same generator of the user's, and go on with each its own."""

    class Noisy(Means):
        def __init__(self):
            super().__init__(3)
            self.generator = torch.Generator().manual_seed(1)

        def step(self, batch):
            return super().step(batch + torch.randn(3, generator=self.generator))

    run = {"data": INTEGERS, "batch_size": 8, "accelerator": accelerator}
    torch.manual_seed(0)
    fit(whole := Noisy(), **run, steps=5)
    torch.manual_seed(0)
    fit(Noisy(), **run, steps=3, out=folder / "noisy")
    fit(method := Noisy(), **run, steps=5, out=folder / "noisy", resume=True)
    assert torch.equal(method.mean, whole.mean)
    checkpoint.save(folder / f"noise{accelerator.process_index}.pt", {"state": method.generator.get_state()})


SCENARIOS = {run.__name__: run for run in (calm, refusals, killed, resumed, stopped, lost, died, generators)}


def begin(scenario, folder):
    torch.set_num_threads(1)
    limit = InitProcessGroupKwargs(timeout=timedelta(seconds=8 if scenario == "lost" else 300))
    SCENARIOS[scenario](Path(folder), Accelerator(cpu=True, kwargs_handlers=[limit]))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    begin(*sys.argv[1:])
