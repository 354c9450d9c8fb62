"""The training loop: order of data, hooks, interruption, and every way in which it must refuse to go on."""

import os
import signal
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import MLPEnergy
from ebmlearn.sample import Chain, DataStart, ula
from ebmlearn.speed import Speed
from ebmlearn.train import Stopped, fit
from ebmlearn.train.averages import weight_average
from ebmlearn.train.method import Method


class Mean(Method):
    """Learns the mean of the data; simple enough to know every number."""

    scratch = ("seen",)

    def __init__(self, lr=0.1, optimizer=torch.optim.SGD):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(()))
        self.seen = []
        self.add_optimizer("mean", [self.mean], lr, optimizer)

    def step(self, batch):
        self.seen += batch.flatten().tolist()
        loss = 0.5 * (batch - self.mean).square().mean()
        self.update("mean", loss)
        return {"loss": loss}


def numbers(n=12):
    return torch.arange(n, dtype=torch.float32)


def test_each_pass_sees_every_datum_once_in_a_new_order():
    method = Mean()
    fit(method, numbers(), steps=6, batch_size=4)
    first, second = method.seen[:12], method.seen[12:]
    assert sorted(first) == sorted(second) == list(range(12)) and first != second


def test_a_function_gives_the_batches():
    method = Mean()
    fit(method, lambda n: torch.full((n,), 2.0), steps=3, batch_size=5)
    assert method.seen == [2.0] * 15


def test_speed_prepares_the_method_once_and_is_active_in_each_step_only():
    calls = []

    class Recorder:
        def prepare(self, method):
            calls.append("prepare")

        def batch(self, x):
            calls.append("batch")
            return x + 1

        @contextmanager
        def active(self, device):
            calls.append(f"on {device}")
            yield
            calls.append("off")

    method = Mean()
    fit(
        method,
        torch.ones(4),
        steps=2,
        batch_size=4,
        speed=Recorder(),
        hooks=[lambda *_: calls.append("hook")],
    )
    assert method.seen == [2.0] * 8
    assert calls == ["prepare", *["on cpu", "batch", "off", "hook"] * 2]


def test_history_and_hooks_see_every_step():
    seen = []
    method = Mean()
    history = fit(
        method, numbers(), steps=5, batch_size=12, hooks=[lambda i, m, v: seen.append((i, v["loss"], m))]
    )
    assert [i for i, _, _ in seen] == [1, 2, 3, 4, 5] and seen[0][2] is method
    assert torch.equal(history["loss"], torch.stack([v for _, v, _ in seen]))
    assert not history["loss"].requires_grad


def test_updates_follow_the_learning_rate_schedule():
    method = Mean(lr=lambda t: [0.5, 0.25][t])
    fit(method, torch.ones(4), steps=2, batch_size=4)
    assert method.mean.item() == pytest.approx(0.5 + 0.25 * 0.5)
    assert method.updates == {"mean": 2}


def test_weight_average_is_the_recursion():
    net = nn.Linear(1, 1, bias=False)
    average = weight_average(net, 0.9)
    values = []
    for w in (1.0, 2.0, 4.0):
        nn.init.constant_(net.weight, w)
        average.update_parameters(net)
        values.append(average.module.weight.item())
    # the first update copies, the others move by a tenth
    assert values == pytest.approx([1.0, 1.1, 1.39])
    assert not any(p.requires_grad for p in average.parameters())
    with pytest.raises(ValueError, match=r"decay is 1\.0"):
        weight_average(net, 1.0)


def test_the_average_belongs_to_the_method():
    method = MaximumLikelihood(
        MLPEnergy(2, (8,)), DataStart(), chain=Chain(ula, n_steps=1, step_size=0.1), ema=0.5
    )
    fit(method, torch.randn(32, 2), steps=3, batch_size=8)
    average = method.averages["energy"]
    assert average.n_averaged == 3
    a, b = average.module.net[0].weight, method.energy.net[0].weight
    assert not torch.equal(a, b) and (a - b).abs().max() < 0.02
    assert average(torch.zeros(4, 2)).shape == (4,)
    with pytest.raises(KeyError, match="no average of 'flow' is kept; there are those of energy"):
        method.averages["flow"]
    with pytest.raises(KeyError, match=r"no average of 'energy' is kept; there are none. Pass ema=0\.99"):
        Mean().averages["energy"]


def test_a_method_says_which_weights_it_averages():
    """A run is resumed with the same averages only."""
    plain, slow, fast = Mean(), Mean(), Mean()
    slow.add_average("mean", nn.Linear(1, 1), 0.99)
    fast.add_average("mean", nn.Linear(1, 1), 0.5)
    assert slow.settings()["average of mean"] == "decay 0.99"
    assert slow.settings() != fast.settings() and "average of mean" not in plain.settings()


@pytest.mark.parametrize("value", [0, 1.5, True, "9", float("nan")])
@pytest.mark.parametrize("setting", ["steps", "every", "n_checkpoints"])
def test_counts_must_be_whole_and_positive(setting, value):
    with pytest.raises(ValueError, match=rf"{setting} is {value!r}; expected a whole number >= 1"):
        fit(Mean(), numbers(), **{"steps": 1, setting: value})


def test_nan_data_is_refused_before_the_first_step():
    data = torch.randn(10, 2)
    data[3, 1] = float("nan")
    data[7, 0] = float("inf")
    method = Mean()
    with pytest.raises(ValueError, match="2 of 10 rows of data are not finite, the first at index 3"):
        fit(method, data, steps=1, batch_size=4)
    assert not method.seen


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size is 20, but there are 12 data"):
        fit(Mean(), numbers(), steps=1, batch_size=20)


def test_a_non_finite_loss_stops_training_and_keeps_weights_and_checkpoint(tmp_path):
    class Breaks(Mean):
        def step(self, batch):
            return super().step(batch * 1e30 if self.updates["mean"] == 2 else batch)

    method = Breaks()
    with pytest.raises(FloatingPointError) as error:
        fit(method, torch.ones(4), steps=9, batch_size=4, out=tmp_path, every=1)
    text = str(error.value)
    assert "training stopped at step 3" in text and "loss = " in text and "Lower the learning rate" in text
    assert str(tmp_path / "checkpoint-00000002.pt") in text
    assert method.mean.item() == pytest.approx(0.19), "the bad update must not be made"
    resumed = Breaks()
    fit(resumed, torch.ones(4), steps=2, batch_size=4, out=tmp_path, resume=True)
    assert resumed.mean.item() == pytest.approx(0.19)


def test_a_metric_that_is_not_finite_stops_training():
    class Bad(Mean):
        def step(self, batch):
            return super().step(batch) | {"ratio": torch.tensor(float("inf"))}

    with pytest.raises(
        FloatingPointError, match=r"step 1: ratio not finite\nMetrics at this step: loss = .*ratio = inf"
    ):
        fit(Bad(), numbers(), steps=2, batch_size=4)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    class Breaks(Mean):
        def step(self, batch):
            metrics = super().step(batch)
            if self.updates["mean"] == 3:
                self.mean.data.fill_(float("nan"))
            return metrics

    with pytest.raises(
        FloatingPointError, match="mean is not finite after step 3; no checkpoint was written"
    ):
        fit(Breaks(), numbers(), steps=9, batch_size=4, out=tmp_path, every=1)
    kept = Breaks()
    fit(kept, numbers(), steps=2, batch_size=4, out=tmp_path, resume=True)
    assert kept.mean.isfinite()


def test_a_schedule_that_turns_negative_is_refused():
    method = Mean(lr=lambda t: 0.1 * (1 - t / 2))
    with pytest.raises(ValueError, match=r"rate of 'mean' is -0.05 at its update 3; expected .* >= 0"):
        fit(method, numbers(), steps=5, batch_size=4)
    assert method.updates == {"mean": 3}  # a rate of 0 is none of its business


def test_ranks_average_what_has_a_gradient(monkeypatch):
    monkeypatch.setattr("ebmlearn.train.ranks._waiting", None)  # of other ranks, and put back

    class Ranks:
        num_processes, process_index, device = 2, 0, torch.device("cpu")

        def reduce(self, value, reduction):
            return value / 2

    method = Mean()
    method.unused = nn.Parameter(torch.ones(()))
    method.accelerator = Ranks()
    method.add_optimizer("both", [method.mean, method.unused], 1.0, torch.optim.SGD)
    method.update("both", 3.0 * method.mean)
    assert method.mean == -1.5 and method.unused == 1


def test_an_exploding_chain_is_told_with_the_step():
    method = MaximumLikelihood(
        MLPEnergy(2, (8,), reference_std=0.1), DataStart(), chain=Chain(ula, n_steps=200, step_size=1.0)
    )
    with pytest.raises(
        FloatingPointError, match=r"step 1: a chain is not finite after 200 steps(.|\n)*Metrics.*none yet"
    ):
        fit(method, torch.randn(64, 2), steps=5, batch_size=16)


def test_an_existing_run_is_never_overwritten(tmp_path):
    fit(Mean(), numbers(), steps=2, batch_size=4, out=tmp_path)
    content = (tmp_path / "checkpoint-00000002.pt").read_bytes()
    with pytest.raises(FileExistsError, match="resume=True to continue it, or another out"):
        fit(Mean(), numbers(), steps=2, batch_size=4, out=tmp_path)
    assert (tmp_path / "checkpoint-00000002.pt").read_bytes() == content


def test_resume_without_a_checkpoint_starts_from_the_beginning(tmp_path):
    method = Mean()
    fit(method, numbers(), steps=2, batch_size=4, out=tmp_path / "new", resume=True)
    assert len(method.seen) == 8 and (tmp_path / "new" / "checkpoint-00000002.pt").exists()


def test_a_finished_run_resumes_to_nothing_more(tmp_path):
    history = fit(Mean(), numbers(), steps=4, batch_size=4, out=tmp_path)
    method = Mean()
    again = fit(method, numbers(), steps=4, batch_size=4, out=tmp_path, resume=True)
    assert not method.seen and torch.equal(history["loss"], again["loss"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"method": lambda: Mean(lr=0.2)},
            r"lr of mean: checkpoint 0\.1 at every step \| this run 0\.2 at every step",
        ),
        (
            {"method": lambda: Mean(optimizer=torch.optim.Adam)},
            r"optimizer of mean: checkpoint SGD.*this run Adam",
        ),
        ({"batch_size": 6}, r"batch_size: checkpoint 4 \| this run 6"),
        ({"data": numbers() + 1}, r"data: checkpoint .*sha256"),
        ({"speed": Speed(precision="bf16")}, r"speed: checkpoint None \| this run Speed\(.*bf16"),
    ],
)
def test_another_configuration_is_refused_by_name(tmp_path, change, message):
    fit(Mean(), numbers(), steps=2, batch_size=4, out=tmp_path)
    content = (tmp_path / "checkpoint-00000002.pt").read_bytes()
    method = change.get("method", Mean)()
    with pytest.raises(ValueError, match=message):
        fit(
            method,
            change.get("data", numbers()),
            steps=4,
            batch_size=change.get("batch_size", 4),
            out=tmp_path,
            resume=True,
            speed=change.get("speed"),
        )
    assert not method.seen and method.mean == 0
    assert (tmp_path / "checkpoint-00000002.pt").read_bytes() == content


def test_a_damaged_checkpoint_is_refused_and_left_alone(tmp_path):
    fit(Mean(), numbers(), steps=2, batch_size=4, out=tmp_path)
    path = tmp_path / "checkpoint-00000002.pt"
    half = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(half)
    method = Mean()
    with pytest.raises(ValueError, match=r"checkpoint-00000002\.pt is damaged"):
        fit(method, numbers(), steps=4, batch_size=4, out=tmp_path, resume=True)
    assert not method.seen and path.read_bytes() == half


def test_an_interrupt_ends_the_step_saves_and_resumes_exactly(tmp_path):
    whole = Mean()
    torch.manual_seed(3)
    fit(whole, numbers(), steps=8, batch_size=4)

    def interrupt(step, method, metrics):
        if step == 5:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    torch.manual_seed(3)
    with pytest.raises(KeyboardInterrupt, match=r"after step 5 of 8; saved in .*resume=True"):
        fit(Mean(), numbers(), steps=8, batch_size=4, out=tmp_path, hooks=[interrupt])
    assert signal.getsignal(signal.SIGINT) is before
    resumed = Mean()
    fit(resumed, numbers(), steps=8, batch_size=4, out=tmp_path, resume=True)
    assert torch.equal(whole.mean, resumed.mean) and whole.seen[20:] == resumed.seen


def test_an_interrupt_without_a_folder_says_so():
    method, seen = Mean(), []

    def interrupt(step, method, metrics):
        seen.append(metrics["loss"])
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Stopped, match=r"nothing was saved\. The method keeps its weights.*`history`") as stop:
        fit(method, numbers(), steps=8, batch_size=4, hooks=[interrupt])
    assert torch.equal(stop.value.history["loss"], torch.stack(seen)) and method.updates == {"mean": 3}


def test_the_progress_bar_shows_metrics_only_where_somebody_watches(capsys, monkeypatch):
    fit(Mean(), numbers(), steps=40, batch_size=4)
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("EBMLEARN_PROGRESS")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    fit(Mean(), numbers(), steps=40, batch_size=4)
    text = capsys.readouterr().err  # 40 batches of 4
    assert "160/160" in text and " samples/s" in text and "loss=" in text
    fit(Mean(), numbers(), steps=40, batch_size=4, progress=False)
    assert capsys.readouterr().err == ""


def test_progress_is_for_terminals_and_notebooks(monkeypatch):
    from ebmlearn.progress import progress_enabled

    monkeypatch.setenv("EBMLEARN_PROGRESS", "0")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert not progress_enabled()
    monkeypatch.delenv("EBMLEARN_PROGRESS")
    assert progress_enabled()
