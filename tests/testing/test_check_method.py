"""Each way of breaking a promise is found and said. tests/methods/test_contract.py holds the package to them.

Mutants tried: each promise made to find nothing.
"""

import pytest
import torch
from torch import nn

from ebmlearn.methods import ScoreMatching
from ebmlearn.nets import MLPEnergy
from ebmlearn.objectives import score_matching
from ebmlearn.sample import Chain, ula
from ebmlearn.testing import PROMISES, check_method

X = torch.randn(64, 2, generator=torch.Generator().manual_seed(7))


class Plain(ScoreMatching):
    """A method that keeps its promises; those below break one each."""

    def __init__(self, **settings):
        super().__init__(MLPEnergy(2, (8,)), **settings)

    def learn(self, x):
        loss = score_matching(self.energy, x)
        self.update("energy", loss)
        return {"loss": loss.detach()}


class ReturnsNone(Plain):
    def step(self, batch):
        self.learn(batch)


class ReturnsNothing(Plain):
    def step(self, batch):
        self.learn(batch)
        return {}


class ReturnsVector(Plain):
    def step(self, batch):
        return {**self.learn(batch), "energies": self.energy(batch).detach()}


class ReturnsNumber(Plain):
    def step(self, batch):
        return {"loss": self.learn(batch)["loss"].item()}


class ReturnsGraph(Plain):
    def step(self, batch):
        self.learn(batch)
        return {"loss": score_matching(self.energy, batch)}


class ReturnsNaN(Plain):
    def step(self, batch):
        return {"loss": self.learn(batch)["loss"] * torch.nan}


class NoOptimizer(Plain):
    def __init__(self):
        super().__init__()
        self.optimizers = {}


class Orphan(Plain):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def step(self, batch):
        return self.learn(batch)


class InAList(Plain):
    def __init__(self):
        super().__init__()
        self.others = [nn.Linear(2, 1)]
        self.add_optimizer("other", self.others[0].parameters(), 1e-3, torch.optim.Adam)

    def step(self, batch):
        return self.learn(batch)


class Detached(Plain):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.add_optimizer("scale", [self.scale], 1e-3, torch.optim.Adam)

    def step(self, batch):
        loss = self.learn(batch)["loss"]
        self.update("scale", (self.scale - self.scale.detach()) * 0)
        return {"loss": loss}


class Idle(Plain):
    def step(self, batch):
        return {"loss": score_matching(self.energy, batch).detach()}


class EverySecond(Plain):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def step(self, batch):
        self.count += 1
        return {"loss": self.learn(batch)["loss"] if self.count % 2 == 0 else torch.zeros(())}


class InPlace(Plain):
    def step(self, batch):
        batch += 0.1 * torch.randn_like(batch)
        return self.learn(batch)


class BatchGradient(Plain):
    def step(self, batch):
        batch.requires_grad_()
        return self.learn(batch)


class OwnBackward(Plain):
    def step(self, batch):
        self.energy(batch).sum().backward()
        return self.learn(batch)


class TrainingChain(Plain):
    def __init__(self):
        super().__init__()
        self.energy = nn.Sequential(nn.Dropout(0.1), self.energy)
        self.chain = Chain(ula, n_steps=2, step_size=0.1)

    def restless(self, x):
        return self.energy.train()(x)

    def step(self, batch):
        self.chain(self.restless, batch)
        return self.learn(batch)


class SilentChain(Plain):
    def __init__(self):
        super().__init__()
        self.chain = Chain(ula, n_steps=2, step_size=0.1)


class StaysInEvaluation(Plain):
    def step(self, batch):
        self.energy.eval()
        return self.learn(batch)


class PlainTensor(Plain):
    def __init__(self):
        super().__init__()
        self.chains = torch.randn(8, 2)

    def step(self, batch):
        self.chains = self.chains + 0.1
        return self.learn(batch + self.chains)


class InANet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.shift = MLPEnergy(2, (8,)), torch.zeros(2)

    def forward(self, x):
        return self.net(x + self.shift)


class TensorOfANet(Plain):
    def __init__(self):
        ScoreMatching.__init__(self, InANet())

    def step(self, batch):
        self.energy.shift = self.energy.shift + 0.1
        return self.learn(batch)


class Counter(Plain):
    def __init__(self):
        super().__init__()
        self._n = 0

    def step(self, batch):
        self._n += 1
        return self.learn(batch * (1 + 0.1 * self._n))


class AnybodysCheckpoint(Plain):
    def settings(self):
        return {"lr": "0.001"}


@pytest.mark.parametrize(
    ("kind", "promise", "said"),
    [
        (ReturnsNone, "metrics", "step returned a NoneType; return a dict of numbers"),
        (ReturnsNothing, "metrics", "step returned an empty dict; return a dict"),
        (
            ReturnsVector,
            "metrics",
            r"the metric 'energies' is of shape \(8,\); make it a tensor of shape \(\)",
        ),
        (ReturnsNumber, "metrics", "the metric 'loss' is -?[0-9.e-]+; make it a tensor"),
        (ReturnsGraph, "metrics", r"the metric 'loss' holds its graph.*return \.detach\(\)"),
        (ReturnsNaN, "metrics", "the metric 'loss' is nan"),
        (NoOptimizer, "optimizers", "it has no optimiser; call add_optimizer"),
        (Orphan, "optimizers", "no optimiser moves scale; give it to add_optimizer"),
        (InAList, "optimizers", "an optimiser has a parameter that is no part of the method"),
        (Detached, "learning", "the loss has no gradient by scale; look for .detach"),
        (Idle, "learning", r"'energy' made no update in 1 step\(s\); call self.update"),
        (EverySecond, "learning", "'energy' made no update in 1"),
        (InPlace, "untouched", r"step changed batch in place.*write x = x \+ noise"),
        (
            BatchGradient,
            "untouched",
            "step left batch with a gradient to be tracked; take slopes by ebmlearn.grad",
        ),
        (
            OwnBackward,
            "clean",
            r"step left a gradient in energy.net.0.weight.*leave backward\(\) to self.update",
        ),
        (TrainingChain, "clean", "a chain ran with a net in training mode"),
        (SilentChain, "clean", r"no chain ran in 1 step\(s\)"),
        (StaysInEvaluation, "clean", "step left energy.* in evaluation mode"),
        (PlainTensor, "resume", "chains.*register_buffer"),
        (TensorOfANet, "resume", "shift.*register_buffer"),
        (Counter, "resume", r"fit does not save or resume it: (.|\n)*_n: 0 → 1\n.*register_buffer"),
        (
            AnybodysCheckpoint,
            "refusal",
            r"fit went on from a checkpoint of another method; settings\(\) must",
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_broken_promise_is_named_with_its_remedy(kind, promise, said):
    with pytest.raises(AssertionError, match=rf"^{kind.__name__} breaks a promise \({promise}\): ") as error:
        check_method(kind, X.clone())
    assert error.match(said)


def test_a_method_that_keeps_its_promises_passes_and_the_random_numbers_stay():
    before = torch.get_rng_state()
    check_method(Plain, X)
    check_method(EverySecond, X, steps=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_method_itself_is_tried_by_copies():
    method = Plain(ema=0.9)
    before = [p.clone() for p in method.parameters()]
    check_method(method, X)
    assert all(map(torch.equal, method.parameters(), before))
    with pytest.raises(AssertionError, match=r"PlainTensor breaks a promise .resume.: .*chains"):
        check_method(PlainTensor(), X)


def test_a_function_that_hands_out_one_net_is_told_so():
    net = MLPEnergy(2, (8,))
    with pytest.raises(ValueError, match=r"two methods that were made share energy.net.0.weight"):
        check_method(lambda: ScoreMatching(net), X)


def test_data_that_cannot_be_replayed_are_told_so():
    own = torch.Generator().manual_seed(0)
    with pytest.raises(AssertionError, match=r"fresh.: .*from the same seed loss.*function that gives data"):
        check_method(Plain, lambda n: torch.randn(n, 2, generator=own))
    check_method(Plain, lambda n: torch.randn(n, 2))


def test_some_promises_may_be_asked_for():
    assert PROMISES[0] == "optimizers" and PROMISES[-1] == "refusal"
    check_method(Counter, X, promises=["metrics", "learning"])
    with pytest.raises(ValueError, match="there is no promise 'resumes'; there are optimizers, "):
        check_method(Plain, X, promises=["resumes"])
    with pytest.raises(ValueError, match="steps is 0"):
        check_method(Plain, X, steps=0)


def test_what_makes_no_method_is_refused():
    with pytest.raises(TypeError, match=r"returned a MLPEnergy; expected an ebmlearn.Method"):
        check_method(lambda: MLPEnergy(2), X)
    method = Plain()
    method.file = open(__file__)  # noqa: SIM115
    with (
        method.file,
        pytest.raises(TypeError, match=r"Plain cannot be copied .*pass a function that makes it"),
    ):
        check_method(method, X)
