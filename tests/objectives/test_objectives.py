"""Objectives: sign, gradient in float64, closed-form minimiser; and the battery over their table."""

import pytest
import torch
from objectives import OBJECTIVES, Precision, V

from ebmlearn.objectives import ml_gap
from ebmlearn.schedules import inverse
from ebmlearn.train import fit


def precision_energy(a):
    return lambda x: 0.5 * a * x.square().flatten(1).sum(1)


def test_sign_a_flat_energy_becomes_confining():
    """At a = 0 the model is spread wider than N(0, 1) data: descent must raise a."""
    a = torch.zeros((), requires_grad=True)
    ml_gap(precision_energy(a), torch.randn(1000, 2), 3 * torch.randn(1000, 2)).backward()
    assert a.grad < 0


@pytest.mark.parametrize("shape", [(2,), (10,), (1, 3, 3)])
def test_gradient_is_the_formula(shape):
    data, model = torch.randn(50, *shape).double(), 2 * torch.randn(40, *shape).double()
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    ml_gap(precision_energy(a), data, model).backward()
    wanted = 0.5 * (data.square().flatten(1).sum(1).mean() - model.square().flatten(1).sum(1).mean())
    torch.testing.assert_close(a.grad, wanted)


@pytest.mark.parametrize("dim", [2, 10])
def test_descent_with_exact_samples_finds_the_data_variance(dim):
    """With exact samples of the model the fixed point is the maximum-likelihood precision 1/4, exactly."""
    data = torch.randn(2000, dim).double()
    data = 2 * data / data.square().mean().sqrt()
    noise = torch.randn(2000, dim).double()
    noise = noise / noise.square().mean().sqrt()
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    for _ in range(300):
        (slope,) = torch.autograd.grad(ml_gap(precision_energy(a), data, noise / a.detach().sqrt()), a)
        a = (a - 0.1 / dim * slope).detach().requires_grad_()
    assert 1 / a.item() == pytest.approx(4, rel=1e-6)


def test_no_gradient_flows_into_the_samples():
    x = torch.randn(4, 2, requires_grad=True)
    a = torch.tensor(1.0, requires_grad=True)
    ml_gap(precision_energy(a), torch.randn(4, 2), x).backward()
    assert x.grad is None


def test_event_shapes_must_agree():
    with pytest.raises(ValueError, match=r"data have event shape \(2,\), samples \(3,\)"):
        ml_gap(precision_energy(torch.tensor(1.0)), torch.zeros(4, 2), torch.zeros(4, 3))


@pytest.mark.parametrize("dim", [2, 10])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_fit_ends_at_the_objectives_own_optimum(name, dim):
    """The battery: within 1 %, so that a factor, a sign or a lost half anywhere in the objective shows."""
    case = OBJECTIVES[name]
    method = case.make(Precision(0.5, dim), lr=inverse(0.02, 25))
    trace = []
    fit(
        method,
        lambda n: V**0.5 * torch.randn(n, dim),
        steps=400,
        batch_size=4000 // dim,
        hooks=[lambda i, m, v: trace.append(m.energy.a.item())],
    )
    variance = 1 / torch.tensor(trace[200:]).mean().item()
    assert variance == pytest.approx(case.variance, rel=0.01)


def test_the_battery_tells_the_optima_apart():
    biased = [case.variance for case in OBJECTIVES.values() if case.variance != V]
    assert len(biased) >= 4 and all(abs(v / V - 1) > 0.1 for v in biased)


def test_a_gap_of_an_empty_batch_is_refused():
    """It was NaN."""
    for batches in ((torch.zeros(0, 2), torch.zeros(3, 2)), (torch.zeros(3, 2), torch.zeros(0, 2))):
        with pytest.raises(ValueError, match=r"x_\w+ has shape \(0, 2\); expected \(B, \*event\) with B >="):
            ml_gap(lambda x: x.sum(1), *batches)
