"""What every method must keep: the contract."""

import inspect
import os

import pytest
import torch
from batches import BATCHES, Seen
from methods import METHODS
from processes import ranks

from ebmlearn import methods
from ebmlearn.testing import PROMISES, check_method
from ebmlearn.train import Method, checkpoint, fit
from ebmlearn.train.batch import parts, spell


def everything(method):
    """All that training changes, as one flat dict of tensors."""
    flat = {}

    def visit(prefix, value):
        if isinstance(value, torch.Tensor):
            flat[prefix] = value.clone()
        elif isinstance(value, dict):
            for k, v in value.items():
                visit(f"{prefix}.{k}", v)
        elif isinstance(value, (list, tuple)):
            for i, v in enumerate(value):
                visit(f"{prefix}.{i}", v)
        elif isinstance(value, (int, float)):
            flat[prefix] = torch.tensor(float(value))

    visit("", method.state_dict())
    return flat


def assert_equal(a, b):
    assert a.keys() == b.keys()
    differ = [k for k in a if not torch.equal(a[k], b[k])]
    assert not differ


@pytest.fixture(params=METHODS)
def case(request):
    return METHODS[request.param]


@pytest.mark.parametrize("promise", PROMISES)
def test_a_method_keeps_its_promises(case, promise):
    """Each is broken on purpose in tests/testing/test_check_method.py."""
    check_method(case.make, case.data, steps=case.steps, promises=[promise])


AVERAGED = [(k, name) for k, case in METHODS.items() for name in case.make().averages]


@pytest.mark.parametrize(("name", "net"), AVERAGED)
def test_the_average_follows_the_weights(name, net):
    """Under the name of the net; the first update copies, each further one is the recursion, here of 0.9."""
    method, batch = METHODS[name].make(), METHODS[name].batch()
    weights = []
    for _ in range(2):
        method.step(batch)
        weights.append([p.clone() for p in getattr(method, net).parameters()])
    for average, first, second in zip(method.averages[net].parameters(), *weights, strict=True):
        assert not torch.equal(first, second)
        torch.testing.assert_close(average, 0.9 * first + 0.1 * second)


def test_every_method_that_takes_a_decay_keeps_its_averages():
    known = {
        m for m in vars(methods).values() if isinstance(m, type) and "ema" in inspect.signature(m).parameters
    }
    assert known == {type(METHODS[name].make()) for name, _ in AVERAGED}


def test_the_table_has_every_method():
    known = {m for m in vars(methods).values() if isinstance(m, type) and issubclass(m, Method)}
    assert known == {type(case.make()) for case in METHODS.values()}


def test_a_checkpoint_of_another_method_is_refused(case, tmp_path):
    fit(case.make(), case.data, steps=1, batch_size=8, out=tmp_path)
    content = (tmp_path / "checkpoint-00000001.pt").read_bytes()
    other = next(c for c in METHODS.values() if spell(c.data) != spell(case.data))
    with pytest.raises(ValueError, match=r"another configuration:\n(.*\n)*  data: checkpoint .* \| this run"):
        fit(other.make(), other.data, steps=2, batch_size=8, out=tmp_path, resume=True)
    assert (tmp_path / "checkpoint-00000001.pt").read_bytes() == content


def train_all(folder):
    """On each rank every method and every kind of data: as a whole, and in two parts."""
    from accelerate import Accelerator

    rank = int(os.environ["RANK"])
    for name, case in METHODS.items():
        run = {"data": case.data, "batch_size": 8, "accelerator": Accelerator(cpu=True)}
        out = folder / name
        torch.manual_seed(rank)  # different weights at first: fit must make them equal
        fit(whole := case.make(), **run, steps=5)
        torch.manual_seed(rank)
        fit(case.make(), **run, steps=3, out=out)
        torch.manual_seed(99)
        fit(method := case.make(), **run, steps=5, out=out, resume=True)
        assert_equal(everything(whole), everything(method))
        weights = {k: v for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
        checkpoint.save(out / f"rank{rank}.pt", {"weights": weights, "noise": torch.randn(3)})
    for name, case in BATCHES.items():
        run = {"batch_size": case.batch_size, "accelerator": Accelerator(cpu=True)}
        torch.manual_seed(rank)
        fit(whole := Seen(), case.data(), **run, steps=5)
        torch.manual_seed(rank)
        fit(Seen(), case.data(), **run, steps=3, out=folder / name)
        torch.manual_seed(99)
        fit(method := Seen(), case.data(), **run, steps=5, out=folder / name, resume=True)
        assert_equal(everything(whole), everything(method))
        seen = [[x for _, x in parts(batch)] for batch in whole.seen]
        checkpoint.save(folder / name / f"rank{rank}.pt", {"seen": seen})
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory):
    """Folders of two processes that trained every method side by side, resumed, and ended as undisturbed."""
    folder = tmp_path_factory.mktemp("ranks")
    children = ranks(train_all, folder, log=folder)
    statuses = [child.wait() for child in children]
    assert statuses == [0, 0], "\n".join(child.printed for child in children)
    return folder


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("name", METHODS)
def test_two_ranks_end_with_equal_weights_and_chains_of_their_own(name, two_ranks):
    out = two_ranks / name
    a, b = (checkpoint.load(out / f"rank{r}.pt") for r in (0, 1))
    owned = [k for k, _ in METHODS[name].make().named_parameters()]
    assert owned and all(torch.equal(a["weights"][k], b["weights"][k]) for k in owned)
    assert not torch.equal(a["noise"], b["noise"])
    assert (out / "checkpoint-00000005.pt").exists() and (out / "checkpoint-00000005-rank1.pt").exists()


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("name", BATCHES)
def test_two_ranks_share_batches_of_every_kind(name, two_ranks):
    """Together they see each datum once in a pass, in batches of the size that one process has, and what
    belongs together stays so."""
    case = BATCHES[name]
    ranks = [checkpoint.load(two_ranks / name / f"rank{r}.pt")["seen"] for r in (0, 1)]
    for i, size in enumerate(case.sizes):
        streams = [[case.rows(batch, i) for batch in seen] for seen in ranks]
        assert all(len(rows) == size // 2 for stream in streams for rows in stream)
        first_pass = [rows for stream in streams for rows in stream[: case.lengths[i] // size]]
        together = torch.cat(first_pass).tolist()
        assert len(set(together)) == len(together)
