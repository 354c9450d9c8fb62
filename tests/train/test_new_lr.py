"""Other learning rates in a run that goes on: allowed if said, recorded, and nothing else with them."""

import pytest
import torch
from torch import nn

from ebmlearn import fit, load
from ebmlearn.train import Method, checkpoint


class Two(Method):
    """Two means, an optimiser each."""

    def __init__(self, lr=0.1, lr_b=0.1, momentum=0.0):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.zeros(())) for _ in range(2))
        self.momentum = momentum
        self.add_optimizer("a", [self.a], lr, torch.optim.SGD)
        self.add_optimizer("b", [self.b], lr_b, torch.optim.SGD)

    def step(self, batch):
        self.update("a", 0.5 * (batch - self.a).square().mean())
        self.update("b", 0.5 * (batch - self.b).square().mean())
        return {"a": self.a.detach().clone()}


RUN = {"data": torch.ones(8), "batch_size": 8, "every": 1}


def changes(out, step):
    return checkpoint.load(out / f"checkpoint-{step:08d}.pt")["lr_changes"]


def test_a_run_goes_on_with_another_rate_says_so_and_keeps_it(tmp_path, capsys):
    fit(Two(), **RUN, steps=2, out=tmp_path)
    assert changes(tmp_path, 2) == [] and capsys.readouterr().err == ""
    fit(method := Two(0.5), **RUN, steps=3, out=tmp_path, resume=True, new_lr=True)
    assert method.a.item() == pytest.approx(0.19 + 0.5 * 0.81) and method.b.item() == pytest.approx(0.271)
    said = capsys.readouterr().err
    assert (
        "note: after step 2 the learning rate of 'a' is 0.5 at every step; it was 0.1 at every step" in said
    )
    assert "'b'" not in said
    (first,) = changes(tmp_path, 3)
    assert first["step"] == 2 and first["name"] == "a"
    assert first["old"] == "0.1 at every step" and first["new"] == "0.5 at every step"
    # from then on the new rate is the run's; an earlier change is not forgotten
    fit(Two(0.5), **RUN, steps=4, out=tmp_path, resume=True)
    fit(Two(0.5, 0.2), **RUN, steps=5, out=tmp_path, resume=True, new_lr=True)
    assert [(c["step"], c["name"]) for c in changes(tmp_path, 5)] == [(2, "a"), (4, "b")]
    with pytest.raises(ValueError, match=r"lr of a: checkpoint 0\.5 at every step"):
        fit(Two(0.1, 0.2), **RUN, steps=6, out=tmp_path, resume=True)


def test_another_rate_that_is_not_said_is_refused_and_nothing_else_may_change_with_it(tmp_path):
    fit(Two(), **RUN, steps=2, out=tmp_path)
    content = (tmp_path / "checkpoint-00000002.pt").read_bytes()
    with pytest.raises(ValueError, match=r"  lr of a: .*\n.*if you say so: new_lr=True\.$"):
        fit(Two(0.5), **RUN, steps=3, out=tmp_path, resume=True)
    with pytest.raises(ValueError, match="momentum") as error:
        fit(Two(0.5, momentum=0.9), **RUN, steps=3, out=tmp_path, resume=True, new_lr=True)
    assert "  momentum: checkpoint 0.0 | this run 0.9" in str(error.value)
    assert "lr of" not in str(error.value) and "new_lr" not in str(error.value)
    with pytest.raises(ValueError, match=r"new_lr=True is for a run that goes on .*; pass resume=True too"):
        fit(Two(0.5), **RUN, steps=3, out=tmp_path, new_lr=True)
    assert (tmp_path / "checkpoint-00000002.pt").read_bytes() == content
    with pytest.raises(ValueError, match="momentum: checkpoint") as error:
        fit(Two(momentum=0.9), **RUN, steps=3, out=tmp_path, resume=True)
    assert "new_lr" not in str(error.value)


def test_weights_are_loaded_whatever_the_rate(tmp_path):
    fit(trained := Two(), **RUN, steps=2, out=tmp_path)
    assert load(method := Two(0.7), tmp_path) == 2 and torch.equal(method.a, trained.a)
    with pytest.raises(ValueError, match="momentum: checkpoint"):
        load(Two(momentum=0.9), tmp_path)
