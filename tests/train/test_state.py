"""What a run depends on besides weights: saved, compared, or refused by name."""

import itertools
import random
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from methods import METHODS
from torch import nn

from ebmlearn import Chain, DataStart, MaximumLikelihood, fit, load, ula
from ebmlearn.nets import MLPEnergy
from ebmlearn.recipes import RECIPES
from ebmlearn.train import Method, checkpoint
from ebmlearn.train.data import functions
from ebmlearn.train.state import State

RUN = {"data": torch.ones(16, 2), "batch_size": 8}


class Own(Method):
    """A method of one's own, with attributes as given."""

    def __init__(self, **attributes):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(2))
        self.add_optimizer("mean", [self.mean], 0.1, torch.optim.SGD)
        for name, value in attributes.items():
            setattr(self, name, value)

    def step(self, batch):
        loss = (batch - self.mean).square().mean()
        self.update("mean", loss)
        return {"loss": loss.detach()}


@dataclass
class Settings:
    betas: list
    name: str = "a"


class Plain:
    """An object that is no module."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def __call__(self, x):
        return x.square().sum(1)


class Inner(nn.Module):
    def __init__(self, **attributes):
        super().__init__()
        vars(self).update(attributes)


UNSAVED = {
    "a tensor": ({"chains": torch.zeros(4, 2)}, r"chains of Own is a Tensor that no .*register_buffer\(\"ch"),
    "an array": ({"chains": np.zeros((4, 2))}, "chains of Own is a ndarray"),
    "a list of tensors": ({"chains": [1, torch.zeros(2)]}, r"chains\[1\] of Own is a Tensor.*\"chains\","),
    "a dict of arrays": ({"bank": {"a": np.zeros(2)}}, r"bank\['a'\] of Own is a ndarray"),
    "a deque of tensors": ({"bank": deque([torch.zeros(2)])}, r"bank\[0\] of Own is a Tensor"),
    "a set of tensors": ({"bank": {torch.zeros(2)}}, r"bank\[0\] of Own is a Tensor"),
    "a tensor of a part": ({"start": Inner(x=torch.zeros(2))}, r"start\.x of Inner is a Tensor"),
    "an optimiser": (
        {"opt": torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)},
        "opt of Own is a SGD that.*add_optimizer",
    ),
    "an iterator": (
        {"counter": itertools.count()},
        "counter of Own is a count, whose place no checkpoint can",
    ),
    "a generator function": ({"noise": (i for i in range(3))}, "noise of Own is a generator, whose place"),
}


@pytest.mark.parametrize("name", UNSAVED)
def test_what_no_checkpoint_would_hold_is_refused_at_the_start(name, tmp_path):
    attributes, match = UNSAVED[name]
    with pytest.raises(ValueError, match=match):
        fit(method := Own(**attributes), **RUN, steps=1, out=tmp_path)
    assert not method.updates["mean"] and not list(tmp_path.glob("*.pt"))
    fit(method, **RUN, steps=1)  # without a folder there is nothing to lose
    type("Noted", (Own,), {"scratch": tuple(attributes)})
    noted = type("Noted", (Own,), {"scratch": tuple(attributes)})(**attributes)
    if "part" not in name:
        fit(noted, **RUN, steps=1, out=tmp_path)


COMPARED = {
    "a list": ({"betas": [1.0, 0.5]}, {"betas": [1.0, 0.9]}, "betas: "),
    "a long list": ({"betas": [*range(999)]}, {"betas": [*range(998), 0]}, "betas: "),
    "a dict": ({"table": {"a": 1}}, {"table": {"a": 2}}, "table: "),
    "a set": ({"words": {"a", "b"}}, {"words": {"a", "c"}}, "words: "),
    "a dataclass": ({"of": Settings([1.0])}, {"of": Settings([2.0])}, "of: "),
    "an object": ({"of": Plain(scale=2.0)}, {"of": Plain(scale=3.0)}, r"of\.scale: checkpoint 2\.0 "),
    "a part": (
        {"of": Inner(scale=2.0)},
        {"of": Inner(scale=3.0)},
        r"of\.scale: checkpoint 2\.0 \| this run 3",
    ),
    "none": ({"of": None}, {"of": 1}, "of: checkpoint None"),
    "a private attribute": ({"_k": 1}, {"_k": 2}, "_k: "),
    "a lambda": ({"record": lambda x: x + 1}, {"record": lambda x: x - 1}, "record: checkpoint .*code"),
    "constants": ({"record": lambda x: x + 1}, {"record": lambda x: x + 2}, "record: checkpoint .*code"),
    "an object's list": ({"of": Plain(k=[{"a": [1]}])}, {"of": Plain(k=[{"a": [2]}])}, r"of\.k"),
    "an object's tensor": (
        {"of": Plain(w=torch.zeros(2))},
        {"of": Plain(w=torch.ones(2))},
        r"of\.w: checkpoint \(2,\) torch.float32, sha256",
    ),
}


@pytest.mark.parametrize("name", COMPARED)
def test_what_identifies_a_method_is_compared(name, tmp_path):
    before, after, match = COMPARED[name]
    fit(Own(**before), **RUN, steps=1, out=tmp_path)
    for attempt in (
        lambda: fit(Own(**after), **RUN, steps=2, out=tmp_path, resume=True),
        lambda: load(Own(**after), tmp_path),
    ):
        with pytest.raises(ValueError, match=rf"another configuration:\n  {match}"):
            attempt()
    fit(Own(**before), **RUN, steps=2, out=tmp_path, resume=True)


def test_closures_and_globals_of_functions_are_compared(tmp_path):
    def record(scale):
        return lambda x: scale * x

    def method(scale):
        return Own(record=record(scale))

    fit(method(1.0), **RUN, steps=1, out=tmp_path)
    with pytest.raises(ValueError, match=r"record\.scale: checkpoint 1\.0 \| this run 2\.0"):
        fit(method(2.0), **RUN, steps=2, out=tmp_path, resume=True)
    fit(method(1.0), **RUN, steps=2, out=tmp_path, resume=True)
    before = State(Own(record=_uses_a_global)).texts
    _TABLE.append(3)
    try:
        assert State(Own(record=_uses_a_global)).texts != before
    finally:
        _TABLE.pop()


_TABLE = [1, 2]


def _uses_a_global(x):
    return _TABLE[0] * x


def test_functions_of_another_python_are_compared_by_name_only(tmp_path):
    texts = [
        f"<lambda> (code {code} of Python {v})"
        for code, v in (("aa", "3.11"), ("bb", "3.12"), ("cc", "3.12"))
    ]
    old, new, other = ({"record": text} for text in texts)
    checkpoint.check_settings(old, new, tmp_path)
    with pytest.raises(ValueError, match="record"):
        checkpoint.check_settings(new, other, tmp_path)
    with pytest.raises(ValueError, match="record"):
        checkpoint.check_settings(old, {"record": new["record"].replace("lambda", "other")}, tmp_path)


class Counting(Own):
    def step(self, batch):
        self.count += 1
        return super().step(batch)


def test_what_changes_in_training_is_refused_after_the_first_step(tmp_path):
    method = Counting(count=0)
    with pytest.raises(
        ValueError, match=r"by step 1 of Counting.*\n  count: 0 → 1\n.*register_buffer\(\"count\""
    ):
        fit(method, **RUN, steps=9, out=tmp_path)
    assert method.count == 1 and not list(tmp_path.glob("*.pt"))


def test_what_changes_late_is_told_once_the_rest_is_saved(tmp_path):
    def late(step, method, metrics):
        if step == 4:
            method.phase = 2

    with pytest.raises(
        ValueError, match=r"by step 6 of Own.*\n  phase: 1 → 2\nThe rest is in .*00000006\.pt\."
    ):
        fit(Own(phase=1), **RUN, steps=9, every=3, out=tmp_path, hooks=[late])
    assert sorted(p.name for p in tmp_path.glob("*.pt")) == [
        "checkpoint-00000003.pt",
        "checkpoint-00000006.pt",
    ]


def test_notes_change_freely_and_the_same_object_goes_on(tmp_path):
    class Noted(Counting):
        scratch = ("count",)

    fit(method := Noted(count=0), **RUN, steps=2, out=tmp_path)
    fit(method, **RUN, steps=5, out=tmp_path, resume=True)
    assert method.count == 5


def test_a_buffer_that_is_not_saved_is_compared_and_watched(tmp_path):
    def make(value):
        method = Own()
        method.register_buffer("betas", torch.full((2,), value), persistent=False)
        return method

    fit(make(1.0), **RUN, steps=1, out=tmp_path)
    with pytest.raises(ValueError, match=r"betas: checkpoint \(2,\) torch"):
        fit(make(2.0), **RUN, steps=2, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match=r"betas: .* → "):
        fit(make(1.0), **RUN, steps=2, out=tmp_path / "b", hooks=[lambda s, m, v: m.betas.add_(1)])


GENERATORS = {
    "torch": lambda: torch.Generator().manual_seed(5),
    "numpy": lambda: np.random.default_rng(5),
    "Philox": lambda: np.random.Generator(np.random.Philox(5)),
    "MT19937": lambda: np.random.Generator(np.random.MT19937(5)),
    "RandomState": lambda: np.random.RandomState(5),
    "Python": lambda: random.Random(5),
}


def draw(generator):
    if isinstance(generator, torch.Generator):
        return torch.randn(2, generator=generator)
    if isinstance(generator, random.Random):
        return torch.tensor([generator.gauss(0, 1) for _ in range(2)])
    return torch.as_tensor(generator.normal(size=2), dtype=torch.float32)


class Drawing(Own):
    def step(self, batch):
        return super().step(batch + draw(self.held["one"]))


@pytest.mark.parametrize("kind", GENERATORS)
@pytest.mark.parametrize("where", ["method", "data"])
def test_generators_of_the_users_go_on_where_they_were(kind, where, tmp_path):
    def run(steps, **settings):
        generator = GENERATORS[kind]()
        method = Drawing(held={"one": generator}) if where == "method" else Own()
        data = (
            RUN["data"] if where == "method" else lambda n: torch.stack([draw(generator) for _ in range(n)])
        )
        # a criterion may draw from it, too
        criterion = (lambda method: float(draw(generator).sum())) if settings else None
        fit(method, data, batch_size=8, steps=steps, criterion=criterion, **settings)
        return method.mean.detach()

    torch.manual_seed(1)
    whole = run(7)
    torch.manual_seed(1)
    run(4, out=tmp_path, every=2)
    torch.manual_seed(99)
    assert torch.equal(run(7, out=tmp_path, every=2, resume=True), whole)


def test_a_chain_with_a_generator_resumes_exactly(tmp_path):
    def run(steps, **settings):
        chain = Chain(ula, n_steps=2, step_size=0.1, generator=torch.Generator().manual_seed(3))
        method = MaximumLikelihood(MLPEnergy(2, (4,)), DataStart(), chain=chain)
        fit(method, **RUN, steps=steps, **settings)
        return method.energy.net[0].weight.detach()

    torch.manual_seed(1)
    whole = run(6)
    torch.manual_seed(1)
    run(3, out=tmp_path)
    assert torch.equal(run(6, out=tmp_path, resume=True), whole)


class Random(torch.utils.data.Dataset):
    """Items with noise from a generator of its own."""

    def __init__(self):
        self.generator = np.random.default_rng(3)

    def __len__(self):
        return 16

    def __getitem__(self, i):
        return torch.as_tensor(self.generator.normal(size=2), dtype=torch.float32)


@pytest.mark.parametrize("wrap", ["dataset", "loader"])
def test_a_data_set_with_a_generator_resumes_exactly(wrap, tmp_path):
    def run(steps, **settings):
        part = torch.utils.data.Subset(Random(), range(16))
        data = part if wrap == "dataset" else torch.utils.data.DataLoader(part, 8, shuffle=True)
        fit(method := Own(), data, batch_size=8, steps=steps, **settings)
        return method.mean.detach()

    torch.manual_seed(1)
    whole = run(7)
    torch.manual_seed(1)
    run(3, out=tmp_path)
    torch.manual_seed(99)
    assert torch.equal(run(7, out=tmp_path, resume=True), whole)


def test_a_data_function_that_cannot_be_replayed_or_is_another_one_is_told(tmp_path):
    stream = iter([torch.ones(8, 2)] * 9)
    with pytest.raises(ValueError, match=r"data\.stream is a list_iterator, whose place.*Use a DataLoader"):
        fit(Own(), lambda n: next(stream), batch_size=8, steps=1, out=tmp_path)
    with open(__file__) as file:
        data = (torch.ones(8, 2), lambda n: torch.full((n, 2), float(file.fileno())))
        with pytest.raises(ValueError, match=r"data\[1\]\.file is a TextIOWrapper"):
            fit(Own(), data, batch_size=(8, 8), steps=1, out=tmp_path)
    calls = []
    with pytest.raises(ValueError, match=r"data\.calls: \[\] → \[8\]"):
        fit(Own(), lambda n: (calls.append(n), torch.ones(n, 2))[1], batch_size=8, steps=2, out=tmp_path)
    fit(Own(), lambda n: torch.ones(n, 2), batch_size=8, steps=1, out=tmp_path)
    with pytest.raises(ValueError, match=r"data: checkpoint .*code.* \| this run .*code"):
        fit(Own(), lambda n: torch.zeros(n, 2), batch_size=8, steps=2, out=tmp_path, resume=True)
    assert load(Own(), tmp_path) == 1  # whatever the data
    x = torch.ones(4, 2)
    fit(Own(), lambda n: x.repeat(n // 4, 1), batch_size=8, steps=1, out=tmp_path / "b")
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"data\.x: checkpoint \(4, 2\) torch.float32, sha256"):
        fit(Own(), lambda n: x.repeat(n // 4, 1), batch_size=8, steps=2, out=tmp_path / "b", resume=True)


def test_a_data_function_may_use_the_method_that_is_trained(tmp_path):
    method = Own()
    fit(method, lambda n: method.mean.detach().expand(n, 2) + 1, batch_size=8, steps=3, out=tmp_path)
    assert set(functions(({}.get, (len, torch.zeros(1))))) == {"data[0]", "data[1][0]"}


def test_a_net_beside_the_method_is_compared_and_may_not_learn(tmp_path):
    """A net in a tuple or a closure is no part of the method: its weights are in no checkpoint."""
    net = nn.Linear(2, 1)
    fit(Own(_net=(net,)), **RUN, steps=1, out=tmp_path)
    with pytest.raises(ValueError, match=r"_net\[0\]\.weight: checkpoint \(1, 2\)"):
        fit(Own(_net=(nn.Linear(2, 1),)), **RUN, steps=2, out=tmp_path, resume=True)

    def learn(step, method, metrics):
        net.weight.data.add_(1)

    with pytest.raises(ValueError, match=r"_net\[0\]\.weight: .* → "):
        fit(Own(_net=(net,)), **RUN, steps=1, every=5, out=tmp_path / "b", hooks=[learn])


@pytest.mark.parametrize("name", METHODS)
def test_nothing_of_the_package_s_own_methods_is_refused_or_changes(name):
    case = METHODS[name]
    torch.manual_seed(0)
    state = State(method := case.make())
    state.watch()
    for _ in range(case.steps):
        method.step(case.batch())
    assert state.changed() == {}
    torch.manual_seed(1)
    other = State(case.make()).settings()
    assert other.keys() == state.settings().keys()
    text = "\n".join(f"{k}: {v}" for k, v in other.items())
    assert " at 0x" not in text


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_the_same_each_time_it_is_made(name):
    texts = []
    for seed in range(2):
        torch.manual_seed(seed)
        recipe = RECIPES[name](smoke=True)
        state = State(recipe.method(recipe.shape()))
        texts.append(state.settings())
    assert texts[0] == texts[1] and "method" in texts[0]
