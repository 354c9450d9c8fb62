"""What a step returns and what it updates: each common mistake gets a sentence that says what to do."""

import re

import numpy as np
import pytest
import torch
from torch import nn

from ebmlearn import Chain, DataStart, MaximumLikelihood, NoiseStart, fit, ula
from ebmlearn.nets import MLPEnergy
from ebmlearn.train import Method
from ebmlearn.train.history import History

RUN = {"data": torch.ones(16), "batch_size": 8}


class Own(Method):
    """A step as given: ``act(method, batch)`` returns the metrics."""

    def __init__(self, act):
        super().__init__()
        self.mean, self.frozen = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()), False)
        self.add_optimizer("energy", [self.mean], 0.1, torch.optim.SGD)
        self.add_optimizer("frozen", [self.frozen], 0.1, torch.optim.SGD)
        self.act = act

    def step(self, batch):
        return self.act(self, batch)


def updating(loss, name="energy"):
    return lambda method, batch: (method.update(name, loss(method, batch)), {"loss": torch.zeros(())})[1]


def square(method, batch):
    return (batch - method.mean).square()


MISTAKES = {
    "None": (
        lambda m, x: None,
        TypeError,
        'step of Own returned None; expected a dict.*{"loss": loss.detach',
    ),
    "a tensor": (
        lambda m, x: x,
        TypeError,
        "step of Own returned a Tensor; expected a dict of scalar metrics",
    ),
    "other keys": (
        lambda m, x: {1: x[0]},
        TypeError,
        r"returned a dict with keys \[1\]; expected .* by name",
    ),
    "a vector": (lambda m, x: {"a": x}, ValueError, r"metric 'a' of Own has shape \(8,\); .*\.mean\(\)"),
    "one in a vector": (lambda m, x: {"a": x[:1]}, ValueError, r"metric 'a' of Own has shape \(1,\)"),
    "text": (lambda m, x: {"a": "good"}, TypeError, "metric 'a' of Own is a str; expected a number"),
    "a complex number": (lambda m, x: {"a": 1j}, TypeError, "metric 'a' of Own is complex"),
    "a misspelt optimiser": (
        updating(lambda m, x: square(m, x).mean(), "enrgy"),
        ValueError,
        "there is no optimiser 'enrgy'; did you mean 'energy'",
    ),
    "another optimiser": (
        updating(lambda m, x: square(m, x).mean(), "flow"),
        ValueError,
        "there is no optimiser 'flow'; there are 'energy', 'frozen'; add_optimizer makes one",
    ),
    "no scalar": (
        updating(square),
        ValueError,
        r"loss of 'energy' has shape \(8,\); expected a scalar.*\.mean",
    ),
    "a number": (updating(lambda m, x: 1.0), TypeError, "loss of 'energy' is a float; expected a tensor"),
    "no graph": (
        updating(lambda m, x: square(m, x).mean().detach()),
        ValueError,
        "loss of 'energy' has no graph back to the parameters: .*no_grad.*detach",
    ),
    "a frozen net": (
        updating(lambda m, x: square(m, x).mean(), "frozen"),
        ValueError,
        r"no parameter of the optimiser 'frozen' requires a gradient.*requires_grad_\(True\)",
    ),
    "another net's loss": (
        updating(lambda m, x: (m.other * x).sum()),
        ValueError,
        "loss of 'energy' depends on none of the parameters of this optimiser",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_step_is_told_in_a_sentence(name):
    act, kind, match = MISTAKES[name]
    method = Own(act)
    method.other = nn.Parameter(torch.ones(()))
    with pytest.raises(kind, match=match):
        fit(method, **RUN, steps=1)
    assert method.mean == 0 and not any(method.updates.values())


def test_numbers_of_other_kinds_are_metrics():
    def act(method, batch):
        values = {"float": 0.5, "int": 3, "bool": True, "numpy": np.float64(0.25), "tensor": torch.tensor(2)}
        return {**values, "graph": method.mean * 2}

    history = fit(Own(act), **RUN, steps=20)
    assert {k: v[19].item() for k, v in history.items()} == {
        "float": 0.5,
        "int": 3,
        "bool": True,
        "numpy": 0.25,
        "tensor": 2,
        "graph": 0.0,
    }
    assert history["tensor"].dtype == torch.int64 and not history["graph"].requires_grad


def sometimes(method, batch):
    method.n.add_(1)
    return {"loss": batch.sum()} | ({"fid": method.n * 1.0} if method.n % 3 == 0 else {})


class Sometimes(Own):
    occasional = ("fid",)

    def __init__(self, act=sometimes):
        super().__init__(act)
        self.register_buffer("n", torch.tensor(0))


def test_an_occasional_metric_is_nan_where_it_was_left_out(tmp_path):
    seen = []
    run = {**RUN, "out": tmp_path, "hooks": [lambda step, method, metrics: seen.append([*metrics])]}
    history = fit(Sometimes(), **run, steps=7)
    assert history["fid"].isnan().tolist() == [True, True, False, True, True, False, True]
    assert history["fid"][[2, 5]].tolist() == [3.0, 6.0] and seen == [["loss", "fid"]] * 7
    again = fit(Sometimes(), **run, steps=9, resume=True)
    assert len(again["loss"]) == len(again["fid"]) == 9 and again["fid"][8] == 9.0

    def infinite(method, batch):
        return {"loss": batch.sum(), "fid": torch.tensor(float("nan"))}

    with pytest.raises(FloatingPointError, match="fid not finite"):
        fit(Sometimes(infinite), **RUN, steps=1)


def test_a_metric_that_comes_and_goes_undeclared_is_refused(tmp_path):
    class Undeclared(Sometimes):
        occasional = ()

    text = (
        "step of Undeclared returned the metrics loss, fid; the steps before returned loss. .*occasional = "
    )
    with pytest.raises(ValueError, match=text + r"\('fid',\)"):
        fit(Undeclared(), **RUN, steps=5)
    missing = lambda m, x: {"a": x[0], **({"b": x[0]} if m.n.add_(1) == 1 else {})}  # noqa: E731
    with pytest.raises(ValueError, match=r"returned the metrics a; the steps before returned a, b.*\('b',\)"):
        fit(Undeclared(missing), **RUN, steps=5)


@pytest.mark.parametrize(
    ("make", "kind", "match"),
    [
        (
            lambda: MLPEnergy(2, (4,)),
            TypeError,
            "fit got MLPEnergy, which is no method; expected one, such as",
        ),
        (lambda: Own, TypeError, "fit got Own, which is no method"),
        (lambda: lambda x: x, TypeError, "fit got <lambda>, which is no method"),
    ],
)
def test_what_is_no_method_is_refused(make, kind, match):
    with pytest.raises(kind, match=match):
        fit(make(), **RUN, steps=1)


def test_a_method_is_told_what_its_init_lacks():
    class Early(Method):
        def __init__(self):
            self.energy = MLPEnergy(2, (4,))

        def step(self, batch):
            return {}

    class Empty(Early):
        def __init__(self):
            super(Early, self).__init__()
            self.nets = [MLPEnergy(2, (4,))]

    with pytest.raises(AttributeError, match=r"Early sets energy before .*must be super\(\)\.__init__\(\)"):
        Early()
    with pytest.raises(ValueError, match=r"Empty has no parameters to learn.*nn\.ModuleList"):
        fit(Empty(), **RUN, steps=1)


@pytest.mark.parametrize("lr", [-1.0, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_refused(lr):
    with pytest.raises(ValueError, match=re.escape(f"learning rate of 'a' is {lr}; expected a number >= 0")):
        Own(None).add_optimizer("a", [nn.Parameter(torch.zeros(()))], lr, torch.optim.SGD)


def test_an_optimiser_needs_a_name_and_parameters_of_its_own():
    method = Own(None)
    with pytest.raises(ValueError, match="there is an optimiser 'energy' already"):
        method.add_optimizer("energy", method.parameters(), 0.1, torch.optim.SGD)
    with pytest.raises(ValueError, match=r"optimiser 'a' got no parameters; expected .*net\.parameters\(\)"):
        method.add_optimizer("a", iter([]), 0.1, torch.optim.SGD)


def test_arguments_that_do_not_go_together_are_told():
    method = Own(updating(lambda m, x: square(m, x).mean()))
    with pytest.raises(ValueError, match=r"resume=True continues the run in a folder, but there is no out"):
        fit(method, **RUN, steps=1, resume=True)
    with pytest.raises(TypeError, match=r"hooks .*expected a list of them, hooks=\[hook\]"):
        fit(method, **RUN, steps=1, hooks=print)


@pytest.mark.parametrize("noise", [float("nan"), float("inf"), -1.0])
def test_noise_on_the_data_is_finite(noise):
    chain = Chain(ula, n_steps=1, step_size=0.1)
    with pytest.raises(ValueError, match=r"data_noise is .*; expected a standard deviation >= 0"):
        MaximumLikelihood(MLPEnergy(2, (4,)), DataStart(), chain=chain, data_noise=noise)


def test_a_frozen_energy_is_told():
    chain = Chain(ula, n_steps=1, step_size=0.1)
    method = MaximumLikelihood(MLPEnergy(2, (4,)).requires_grad_(False), NoiseStart(), chain=chain)
    with pytest.raises(ValueError, match="no parameter of the optimiser 'energy' requires a gradient"):
        fit(method, torch.randn(16, 2), batch_size=8, steps=1)


def test_a_history_takes_the_memory_of_its_numbers():
    """A list of scalars took over a kilobyte for two metrics."""
    history = History()
    for i in range(5000):
        history.add({"a": torch.tensor(float(i)), "b": torch.tensor(0.5)})
    held = sum(values.untyped_storage().nbytes() for values in history.values.values())
    assert held <= 2 * 5000 * 8
    rows = history.tensors()
    assert torch.equal(rows["a"], torch.arange(5000.0)) and history.last()["a"] == 4999
    assert all(values.untyped_storage().nbytes() == 5000 * 4 for values in rows.values())
    history.add({"a": torch.tensor(1), "b": torch.tensor(0.1, dtype=torch.float64)})
    assert len(rows["a"]) == 5000 and history.tensors()["b"][5000].item() == 0.1
