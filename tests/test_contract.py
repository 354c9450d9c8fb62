"""What every method must keep: the contract."""

import os
import socket

import pytest
import torch
from methods import METHODS

from ebmlearn import checkpoint
from ebmlearn.train import fit


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


def test_metrics_are_finite_scalars_without_a_graph(case):
    metrics = case.make().step(case.data[:8])
    assert metrics
    for value in metrics.values():
        assert value.shape == () and value.isfinite() and not value.requires_grad


def test_every_parameter_of_every_optimiser_gets_a_gradient_and_moves(case):
    method = case.make()
    owned = [p for o in method.optimizers.values() for g in o.param_groups for p in g["params"]]
    before = [p.clone() for p in owned]
    method.step(case.data[:8])
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in owned)
    assert not any(torch.equal(p, b) for p, b in zip(owned, before, strict=True))


def test_every_trainable_parameter_has_an_optimiser(case):
    method = case.make()
    owned = {id(p) for o in method.optimizers.values() for g in o.param_groups for p in g["params"]}
    assert {id(p) for p in method.parameters() if p.requires_grad} == owned


def test_the_batch_is_not_changed(case):
    batch = case.data[:8].clone()
    case.make().step(batch)
    assert torch.equal(batch, case.data[:8])


def test_twenty_steps_are_ten_saved_and_ten_resumed(case, tmp_path):
    torch.manual_seed(1)
    whole = case.make()
    history = fit(whole, case.data, steps=20, batch_size=8)
    torch.manual_seed(1)
    fit(case.make(), case.data, steps=10, batch_size=8, out=tmp_path)
    torch.manual_seed(99)  # a new process has another state
    resumed = case.make()
    resumed_history = fit(resumed, case.data, steps=20, batch_size=8, out=tmp_path, resume=True)
    assert_equal(everything(whole), everything(resumed))
    assert_equal(history, resumed_history)
    assert len(next(iter(history.values()))) == 20


def test_a_checkpoint_of_another_method_is_refused(case, tmp_path):
    fit(case.make(), case.data, steps=1, batch_size=8, out=tmp_path)
    content = (tmp_path / "checkpoint.pt").read_bytes()
    other = next(c for c in METHODS.values() if c.data.shape != case.data.shape)
    with pytest.raises(ValueError, match=r"another configuration:\n(.*\n)*  data: checkpoint .* \| this run"):
        fit(other.make(), other.data, steps=2, batch_size=8, out=tmp_path, resume=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == content


def _rank(rank, name, port, folder):
    from accelerate import Accelerator

    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    torch.manual_seed(rank)  # different weights at first: fit must make them equal
    case = METHODS[name]
    method = case.make()
    fit(method, case.data, steps=5, batch_size=8, out=folder, accelerator=Accelerator(cpu=True))
    weights = {k: v for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    checkpoint.save(folder / f"rank{rank}.pt", {"weights": weights, "noise": torch.randn(3)})
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_ranks_end_with_equal_weights_and_chains_of_their_own(name, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.multiprocessing.spawn(_rank, (name, port, tmp_path), nprocs=2)
    a, b = (checkpoint.load(tmp_path / f"rank{r}.pt") for r in (0, 1))
    owned = [k for k in a["weights"] if k.startswith(("energy.", "average."))]
    assert owned and all(torch.equal(a["weights"][k], b["weights"][k]) for k in owned)
    assert not torch.equal(a["noise"], b["noise"])
    assert (tmp_path / "checkpoint.pt").exists() and (tmp_path / "checkpoint-rank1.pt").exists()
