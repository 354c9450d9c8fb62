"""What `fit` and `update` do cheaply is what they would do plainly, to the last bit."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ebmlearn.train import Method, fit
from ebmlearn.train.averages import follow, weight_average
from ebmlearn.train.checks import finite
from ebmlearn.train.history import ROWS, History


class Regression(Method):
    """The least that updates; its one metric is a tensor into which it goes on to write."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("loss", torch.zeros(()))
        self.add_optimizer("net", net.parameters(), 1e-2, torch.optim.Adam)
        self.add_average("net", net, 0.9)

    def step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        loss = (self.net(x) - y).square().mean()
        self.update("net", loss)
        self.loss.copy_(loss.detach())
        return {"loss": self.loss}


def net(norm: bool = False) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8) if norm else nn.Tanh(), nn.Linear(8, 1))


@pytest.mark.parametrize("norm", [False, True], ids=["weights", "with a buffer of integers"])
def test_a_run_is_the_plain_loop_bit_for_bit(norm):
    x, y = torch.randn(100, 2), torch.randn(100, 1)
    method, plain = Regression(net(norm)), net(norm)
    optimizer = torch.optim.Adam(plain.parameters(), lr=1e-2)
    average = AveragedModel(plain, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    torch.manual_seed(0)
    history = fit(method, (x, y), steps=2 * ROWS + 3, batch_size=20)
    torch.manual_seed(0)
    losses, order, place = [], torch.randperm(100), 0
    for _ in range(2 * ROWS + 3):
        if place == 100:
            order, place = torch.randperm(100), 0
        rows, place = order[place : place + 20], place + 20
        loss = (plain(x[rows]) - y[rows]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(plain)
        losses.append(loss.detach())
    assert torch.equal(history["loss"], torch.stack(losses))
    ours, theirs = method.averages["net"].state_dict(), average.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert all(torch.equal(a, b) for a, b in zip(method.net.parameters(), plain.parameters(), strict=True))


@pytest.mark.parametrize("n", [1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_a_history_is_the_stack_of_its_rows(n):
    """Also where it is read in between, and where a run goes on from it."""
    rows = [{"a": torch.rand(()), "b": torch.tensor(i)} for i in range(n)]
    history, read = History(), History()
    for row in rows:
        history.add(row)
        read.add(row)
        assert read.last() == row
    whole = {name: torch.stack([row[name] for row in rows]) for name in "ab"}
    gone_on = History({name: values[: n // 2] for name, values in whole.items()})
    for row in rows[n // 2 :]:
        gone_on.add(row)
    for found in (history.tensors(), read.tensors(), gone_on.tensors()):
        assert all(torch.equal(found[name], whole[name]) for name in "ab")
        assert found["b"].dtype == torch.int64 and found["a"].dtype == torch.float32


def test_a_metric_may_change_its_dtype_within_the_rows_that_are_numbers():
    history = History()
    for value in (torch.tensor(2), torch.tensor(0.25), torch.tensor(0.1, dtype=torch.float64)):
        history.add({"a": value})
    expected = torch.tensor([2.0, 0.25, 0.1], dtype=torch.float64)
    assert torch.equal(history.tensors()["a"], expected) and history.tensors()["a"].dtype == torch.float64


def test_finite_values_whose_sum_overflows_are_finite():
    largest = torch.finfo(torch.float32).max
    assert finite(torch.full((4, 2), largest)) and finite(torch.tensor([2**62, 2**62]))
    assert finite(torch.full((300,), 6e4, dtype=torch.float16)) and finite(torch.ones(3) * 1j)
    for bad in ([torch.nan], [torch.inf], [-torch.inf], [torch.inf, -torch.inf], [1j * torch.inf]):
        assert not finite(torch.tensor([1.0, *bad]))


def test_an_average_that_follows_counts_its_updates():
    """Of which a checkpoint holds the number, and the first of which copies."""
    followed = net()
    average = weight_average(followed, 0.9)
    with torch.no_grad():
        followed[0].weight.fill_(1.0)
        follow(average, followed, 0.9)
        followed[0].weight.fill_(2.0)
    follow(average, followed, 0.9)
    assert average.n_averaged == 2
    assert torch.allclose(average.module[0].weight, torch.tensor(1.1))
