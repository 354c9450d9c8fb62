"""Where batches come from: what belongs together stays so, passes, exact resume, and what is refused."""

import re

import numpy as np
import pytest
import torch
from batches import BATCHES, Endless, Noisy, Seen, loader, numbered, pair
from torch.utils.data import DataLoader, Dataset, DistributedSampler, TensorDataset

from ebmlearn import Classification, fit
from ebmlearn.data import Images
from ebmlearn.methods import ScoreMatching
from ebmlearn.nets import Classifier, MLPEnergy
from ebmlearn.random import ShuffledIndex
from ebmlearn.train import checkpoint, checksum
from ebmlearn.train.batch import parts


def seen(method):
    return [[x for _, x in parts(batch)] for batch in method.seen]


def assert_same(a, b):
    assert len(a) == len(b) > 0
    for left, right in zip(a, b, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


@pytest.mark.parametrize("name", BATCHES)
def test_each_pass_of_each_stream_sees_each_datum_at_most_once(name):
    case, method = BATCHES[name], Seen()
    fit(method, case.data(), steps=8, batch_size=case.batch_size)
    orders = []
    for i, (size, length) in enumerate(zip(case.sizes, case.lengths, strict=True)):
        rows = [case.rows(batch, i) for batch in seen(method)]
        assert all(len(r) == size for r in rows)
        n = length // size
        first, second = torch.cat(rows[:n]).tolist(), torch.cat(rows[n : 2 * n]).tolist()
        assert len(set(first)) == len(first) and len(set(second)) == len(second)
        assert first != second or "Iterable" in name
        orders.append(first)
    assert len(orders) == 1 or orders[0] != orders[1][: len(orders[0])]


@pytest.mark.parametrize("stop", [1, 3, 5])
@pytest.mark.parametrize("name", BATCHES)
def test_a_resumed_run_sees_what_the_whole_one_saw(name, stop, tmp_path):
    """Passes end after 2, 3 and 5 steps, so a run stops inside of one and at its end."""
    case = BATCHES[name]
    torch.manual_seed(1)
    fit(whole := Seen(), case.data(), steps=8, batch_size=case.batch_size)
    torch.manual_seed(1)
    fit(Seen(), case.data(), steps=stop, batch_size=case.batch_size, out=tmp_path)
    torch.manual_seed(99)  # a new process has another state
    fit(resumed := Seen(), case.data(), steps=8, batch_size=case.batch_size, out=tmp_path, resume=True)
    assert_same(seen(whole)[stop:], seen(resumed))
    assert torch.equal(whole.mean, resumed.mean)


@pytest.mark.slow
def test_a_loader_with_workers_resumes_too(tmp_path):
    def data():
        return loader(num_workers=2)

    fit(whole := Seen(), data(), steps=4)
    torch.manual_seed(0)
    fit(Seen(), data(), steps=3, out=tmp_path)
    torch.manual_seed(99)
    fit(resumed := Seen(), data(), steps=4, out=tmp_path, resume=True)
    assert_same(seen(whole)[3:], seen(resumed))


def test_the_order_of_a_tensor_and_the_numbers_that_follow_are_those_of_one_permutation():
    """The stored outputs of the book depend on what is drawn and when."""
    fit(method := Seen(), numbered(), steps=1, batch_size=8)
    after = torch.rand(())
    torch.manual_seed(0)
    rows = ShuffledIndex(20).draw(8)
    torch.randn(())  # of the step
    assert torch.equal(seen(method)[0][0], numbered()[rows]) and torch.equal(after, torch.rand(()))


def test_a_loader_draws_from_numbers_of_its_own():
    """Training draws the same numbers however many its items take."""

    class Greedy(Noisy):
        def __getitem__(self, i):
            torch.randn(i + 1)
            return super().__getitem__(i)

    after = []
    for data in (Noisy(), Greedy()):
        torch.manual_seed(0)
        fit(Seen(), DataLoader(data, 10, shuffle=True), steps=5)
        after.append(torch.rand(()))
    assert torch.equal(*after)


def test_the_same_kind_of_data_with_other_values_is_refused_at_resume(tmp_path):
    for name, change in (
        ("a tuple", lambda: (numbered(), torch.arange(20) + 1)),
        ("numpy", lambda: tuple(x.numpy() for x in (numbered(seed=8), torch.arange(20)))),
        ("two streams", lambda: (pair(), numbered(30, 9))),
        ("a Dataset", lambda: TensorDataset(*pair())),
        ("a DataLoader", lambda: DataLoader(Noisy(), 8, drop_last=True)),
    ):
        run = {"batch_size": BATCHES[name].batch_size, "out": tmp_path / name}
        fit(Seen(), BATCHES[name].data(), steps=1, **run)
        with pytest.raises(ValueError, match=r"another configuration:\n  data: checkpoint .* \| this run"):
            fit(Seen(), change(), steps=2, resume=True, **run)


def test_a_tuple_its_arrays_and_its_dataset_are_the_same_data(tmp_path):
    runs = []
    for data in (pair(), tuple(x.numpy() for x in pair()), TensorDataset(*pair()), Images(*pair())):
        torch.manual_seed(0)
        fit(method := Seen(), data, steps=3, batch_size=8)
        assert all(type(batch) is tuple for batch in method.seen)
        runs.append(seen(method))
    for run in runs[1:]:
        assert_same(runs[0], run)


def test_arrays_that_torch_cannot_view_are_copied():
    backwards, locked = np.arange(8.0, dtype=np.float32)[::-1], np.ones(8, dtype=">f4")
    locked.flags.writeable = False
    fit(method := Seen(), (backwards, locked), steps=1, batch_size=8)
    assert seen(method)[0][0].sort().values.tolist() == list(range(8))
    assert seen(method)[0][1].tolist() == [1.0] * 8


def test_a_function_may_give_tuples():
    fit(method := Seen(), lambda n: (torch.ones(n, 2), torch.zeros(n)), steps=2, batch_size=5)
    assert [x.shape for x in seen(method)[1]] == [(5, 2), (5,)]


def test_the_checksum_is_of_the_values():
    import hashlib

    x = torch.randn(3, 4)
    assert checksum(x) == hashlib.sha256(x.numpy().tobytes()).hexdigest()
    assert checksum(x.T) == hashlib.sha256(x.T.contiguous().numpy().tobytes()).hexdigest()
    assert checksum(x.bfloat16()) != checksum(x.bfloat16() + 1)


def test_classification_learns_from_images_and_labels():
    """Images that differ by their sign alone, so that labels that leave them would teach nothing."""
    y = torch.arange(64) % 2
    x = (2.0 * y - 1)[:, None, None, None] + 0.1 * torch.randn(64, 1, 4, 4)
    net = Classifier((1, 4, 4), 2, n_features=4, width=4)
    history = fit(Classification(net, lr=0.02), Images(x, y), steps=60, batch_size=32)
    assert history["loss"][-1] < 0.1 < history["loss"][0]
    net = Classifier((1, 4, 4), 2, n_features=4, width=4)
    history = fit(Classification(net, lr=0.02), (x, torch.stack([y, 1 - y], 1)), steps=60, batch_size=32)
    assert history["loss"][-1] < 0.1 < history["loss"][0]


# bad input


class Dicts(Noisy):
    def __getitem__(self, i):
        return {"x": torch.zeros(2)}


class Doubles(Noisy):
    def __getitem__(self, i):
        return torch.zeros(2), 0.5  # which collates to float64


class Gaps(Noisy):
    def __getitem__(self, i):
        return torch.full((2,), float("nan") if i == 13 else 0.0)


class Once(Endless):
    """An iterable that can be read once."""

    def __init__(self):
        self.items = iter(range(16))

    def __iter__(self):
        return (torch.zeros(2) for _ in self.items)


def with_nan(x):
    x[3, 0] = float("nan")
    return x


GOOD = torch.zeros(20, 2)
BAD = {
    "a list": ([[0.0, 1.0]] * 20, None, TypeError, r"data is a list; expected a tensor.*torch\.as_tensor"),
    "a list in a tuple": ((GOOD, [1] * 20), 8, TypeError, r"data\[1\] is a list; .*torch\.as_tensor"),
    "None": (None, 8, TypeError, "data is a NoneType; expected a tensor, a numpy array"),
    "an iterator": (iter([GOOD]), 8, TypeError, r"data is a list_iterator; expected .* or a torch\.utils"),
    "text": (np.array(["a"] * 20), 8, TypeError, "data is an array of dtype <U1; expected numbers"),
    "an empty tuple": ((), 8, ValueError, "data is an empty tuple"),
    "no rows": (torch.zeros(0, 2), 8, ValueError, r"data has shape \(0, 2\); expected \(N, \*event\)"),
    "a number": (torch.tensor(1.0), 8, ValueError, r"data has shape \(\); expected \(N, \*event\)"),
    "a batch of 0": (GOOD, 0, ValueError, "batch_size is 0; expected a whole number >= 1"),
    "a batch of 1.5": (GOOD, 1.5, ValueError, "batch_size is 1.5; expected a whole number >= 1"),
    "too large a batch": (GOOD, 21, ValueError, "batch_size is 21, but there are 20 data"),
    "other lengths": (
        (GOOD, torch.zeros(19)),
        8,
        ValueError,
        r"data differ in length: data\[0\] has 20, data\[1\] has 19.*batch_size=\(10, 90\)",
    ),
    "a stream too many": ((GOOD, GOOD), (8, 4, 4), ValueError, r"\(8, 4, 4\).* but data is a tuple of 2"),
    "no streams": (GOOD, (8, 4), ValueError, r"batch_size is \(8, 4\).* but data is a Tensor"),
    "a stream too short": ((GOOD, GOOD[:3]), (8, 4), ValueError, "batch_size is 4, but there are 3 data"),
    "float64": (GOOD.double(), 8, ValueError, r"data is float64, but .* float32; use data\.float\(\)"),
    "a float64 array": (np.zeros((20, 2)), 8, ValueError, r"data is float64, .* use data\.float\(\)"),
    "raw images": (
        (torch.zeros(20, 1, 4, 4, dtype=torch.uint8), torch.arange(20)),
        8,
        ValueError,
        r"data\[0\] is uint8 of shape \(20, 1, 4, 4\), as raw images are.*data\[0\]\.float\(\) / 127\.5 - 1",
    ),
    "a gradient": (
        (torch.arange(20), GOOD.clone().requires_grad_()),
        8,
        ValueError,
        r"data\[1\] requires a gradient.*data\[1\]\.detach\(\)",
    ),
    "not finite": (
        (torch.arange(20), with_nan(torch.zeros(20, 2))),
        8,
        ValueError,
        r"1 of 20 rows of data\[1\] are not finite, the first at index 3",
    ),
    "a stream not finite": (
        ((torch.arange(20), with_nan(torch.zeros(20, 2))), GOOD),
        (8, 8),
        ValueError,
        r"1 of 20 rows of data\[0\]\[1\] are not finite",
    ),
    "7 for 8": (lambda n: GOOD[:7], 8, ValueError, r"data\(8\) has shape \(7, 2\); expected 8 rows"),
    "7 labels for 8": (
        lambda n: (GOOD[:8], GOOD[:7]),
        8,
        ValueError,
        r"data\(8\)\[1\] has shape \(7, 2\); expected 8 rows",
    ),
    "a function of lists": (lambda n: [0.0] * n, 8, TypeError, r"data\(8\) is a list; expected a tensor"),
    "a function of NaN": (
        lambda n: torch.full((n,), float("nan")),
        8,
        ValueError,
        r"8 of 8 rows of data\(8\) are not finite",
    ),
    "dicts": (Dicts(), 8, TypeError, "a batch of data is a dict; expected a tensor or a tuple of tensors"),
    "numbers": (Doubles(), 8, ValueError, r"data\[1\] is float64, but the weights of the method are float32"),
    "an item not finite": (Gaps(), 20, ValueError, "1 of 20 rows of data are not finite, .* at index 13"),
    "an IterableDataset": (Endless(), 8, TypeError, "data is a Endless, which has no length.*DataLoader"),
    "a Dataset without length": (Dataset(), 8, TypeError, "data is a Dataset, which has no length"),
    "another batch": (loader(), 4, ValueError, "batch_size is 4, but data is .* with batches of 8; leave"),
    "a short last batch": (
        DataLoader(Noisy(), 8),
        None,
        ValueError,
        r"would have 4 elements of 8; .*DataLoader\(\.\.\., drop_last=True\)",
    ),
    "an unknown last batch": (DataLoader(Endless(), 5), None, ValueError, "not known.*drop_last=True"),
    "batches of one's own": (
        DataLoader(Noisy(), batch_sampler=[[1, 2]]),
        None,
        ValueError,
        "data is a DataLoader with a batch_sampler; say how large",
    ),
    "other batches of one's own": (
        DataLoader(Noisy(), batch_sampler=[[1, 2, 3]]),
        2,
        ValueError,
        r"data\[0\] has shape \(3, 2\); expected 2 rows",
    ),
    "a shared loader": (
        DataLoader(Noisy(), 8, sampler=DistributedSampler(Noisy(), 2, 0), drop_last=True),
        None,
        ValueError,
        "shares its data over processes, which fit does itself",
    ),
    "lasting workers": (
        DataLoader(Noisy(), 10, num_workers=1, persistent_workers=True),
        None,
        ValueError,
        "data has persistent_workers.*persistent_workers=False",
    ),
    "a loader of dicts": (DataLoader(Dicts(), 10), None, TypeError, "a batch of data is a dict"),
    "an exhausted loader": (
        DataLoader(Once(), 8, drop_last=True),
        None,
        ValueError,
        "data gave no batch in pass 2",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_data_are_refused_with_what_came_and_what_was_expected(name, tmp_path):
    data, batch_size, kind, match = BAD[name]
    method = Seen()
    with pytest.raises(kind, match=match):
        fit(method, data, steps=3, batch_size=batch_size, out=tmp_path / "out")
    assert not list(tmp_path.rglob("*.pt"))
    assert not method.seen or name == "an exhausted loader"


class Labelled(Seen):
    def step(self, batch: tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]):
        return super().step(batch)


class Either(Seen):
    def step(self, batch: torch.Tensor | tuple[torch.Tensor, torch.Tensor]):
        return super().step(batch)


@pytest.mark.parametrize(
    ("method", "data", "batch_size", "match"),
    [
        (
            lambda: ScoreMatching(MLPEnergy(2, (4,))),
            pair(),
            8,
            "a step of ScoreMatching takes a tensor, but the data give (float32 (20, 2), int64 (20,))",
        ),
        (
            lambda: ScoreMatching(MLPEnergy(2, (4,))),
            lambda n: (torch.zeros(n, 2),),
            8,
            "takes a tensor, but the data give (float32 (8, 2),)",
        ),
        (
            lambda: Classification(Classifier((1, 4, 4), 2)),
            torch.zeros(20, 1, 4, 4),
            8,
            "a step of Classification takes (a tensor, a tensor), but the data give float32 (20, 1, 4, 4)",
        ),
        (
            Labelled,
            (pair(), pair()),
            (8, 8),
            "takes ((a tensor, a tensor), a tensor), but the data give ((fl",
        ),
        (Labelled, pair(), 8, "takes ((a tensor, a tensor), a tensor), but the data give (float32"),
        (
            Either,
            (torch.zeros(20, 2), torch.zeros(20), torch.zeros(20)),
            8,
            "takes a tensor or (a tensor, a tensor), but the data give (float32 (20, 2), float32 (20,), ",
        ),
    ],
)
def test_data_of_another_structure_than_a_method_takes_are_refused(method, data, batch_size, match):
    with pytest.raises(TypeError, match=re.escape(match)):
        fit(method(), data, steps=1, batch_size=batch_size)


def test_a_method_that_takes_streams_gets_them():
    fit(method := Labelled(), (pair(), numbered(30)), steps=2, batch_size=(4, 8))
    assert [x.shape for x in seen(method)[0]] == [(4, 2), (4,), (8, 2)]


def test_integers_on_which_a_step_fails_are_told():
    method = ScoreMatching(MLPEnergy(2, (4,)), lambda energy, x: energy(x).mean())
    with pytest.raises(RuntimeError) as error:
        fit(method, torch.zeros(20, 2).long(), steps=1, batch_size=8)
    assert error.value.__notes__ == [
        "The batch was int64 (8, 2). Where an energy is to see values, pass x.float()"
    ]


def test_a_loader_that_has_become_shorter_is_refused(tmp_path):
    """Its length is not in the fingerprint: that of an iterable is not known."""

    class Short(Endless):
        def __iter__(self):
            return iter([torch.zeros(2)] * 8)

    Short.__name__ = "Endless"
    fit(Seen(), DataLoader(Endless(), 8, drop_last=True), steps=2, out=tmp_path)
    with pytest.raises(ValueError, match="data ends before batch 2 of a pass"):
        fit(Seen(), DataLoader(Short(), 8, drop_last=True), steps=3, out=tmp_path, resume=True)


def test_the_state_of_streams_is_that_of_each(tmp_path):
    case = BATCHES["two streams"]
    fit(Seen(), case.data(), steps=2, batch_size=case.batch_size, out=tmp_path)
    state = checkpoint.load(tmp_path / "checkpoint-00000002.pt")["index"]
    assert [len(state[i]["order"]) for i in "01"] == [20, 30]
    assert [int(state[i]["position"]) for i in "01"] == [8, 20]
