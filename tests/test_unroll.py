"""Unrolled optimisers against torch's own, finite differences and a matrix power.

Mutants tried, each red: moments of the optimiser not continued, or its step count; no bias correction; eps
left out of the root; the graph of a slope dropped; the first parameters not detached; the learning rate
doubled.
"""

import pytest
import torch
from torch import nn

from ebmlearn.unroll import adam, at, continued, sgd, unroll

TORCH = {"SGD": torch.optim.SGD, "Adam": torch.optim.Adam}


def net():
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()


def loss_on(x):
    return lambda module: (module(x) - x.sum(1, keepdim=True)).square().mean()


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("before", [0, 4])
def test_unrolled_steps_are_those_of_torch(name, before):
    """Also from the middle of a run, where Adam has moments and a step count."""
    module, x = net(), torch.randn(20, 2, dtype=torch.float64)
    optimizer, loss = TORCH[name](module.parameters(), lr=0.05), loss_on(x)

    def step():
        optimizer.zero_grad()
        loss(module).backward()
        optimizer.step()

    for _ in range(before):
        step()
    for n in range(1, 4):
        found = unroll(module, loss, n, continued(optimizer, module))
        wanted = net()
        wanted.load_state_dict(module.state_dict())
        copy = TORCH[name](wanted.parameters(), lr=0.05)
        copy.load_state_dict(optimizer.state_dict())
        for _ in range(n):
            copy.zero_grad()
            loss(wanted).backward()
            copy.step()
        for k, p in wanted.named_parameters():
            torch.testing.assert_close(found[k], p, atol=1e-9, rtol=1e-7)


def test_adam_of_torch_with_other_betas_is_continued_with_them():
    module, x = net(), torch.randn(20, 2, dtype=torch.float64)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05, betas=(0.5, 0.8), eps=1e-3)
    loss_on(x)(module).backward()
    found = unroll(module, loss_on(x), 1, continued(optimizer, module))
    for k, p in module.named_parameters():
        wanted = p - 0.05 * p.grad / (p.grad.square() + 1e-6).sqrt()  # the first step, whatever the betas
        torch.testing.assert_close(found[k], wanted)


def test_gradient_descent_on_a_quadratic_is_a_matrix_power():
    """φ_N - θ = (I - α H)^N (φ₀ - θ), so dφ_N/dθ = I - (I - α H)^N."""
    target = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)
    hessian = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    module = nn.Linear(2, 1, bias=False).double()

    def loss(m):
        difference = m.weight[0] - target
        return 0.5 * difference @ hessian @ difference

    for n in (0, 1, 7):
        end = unroll(module, loss, n, sgd(0.3))["weight"][0]
        power = torch.linalg.matrix_power(torch.eye(2).double() - 0.3 * hessian, n)
        torch.testing.assert_close(end, target + power @ (module.weight[0] - target))
        if n:
            rows = [torch.autograd.grad(e, target, retain_graph=True)[0] for e in end]
            torch.testing.assert_close(torch.stack(rows), torch.eye(2).double() - power)


@pytest.mark.parametrize("make", [lambda: sgd(0.1), lambda: adam(0.1)])
def test_the_derivative_is_that_of_finite_differences(make):
    module, x = net(), torch.randn(20, 2, dtype=torch.float64)

    def end(scale):
        def loss(m):
            return (m(x) - scale * x.sum(1, keepdim=True)).square().mean()

        return tuple(unroll(module, loss, 4, make()).values())

    scale = torch.tensor([1.3, 0.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: end(s[0] * s[1]), scale)


def test_a_gradient_of_zero_has_a_finite_derivative_under_adam():
    module = nn.Linear(1, 1)
    scale = torch.tensor(0.0, requires_grad=True)
    found = unroll(module, lambda m: scale * m.weight.square().sum(), 2, adam(0.1))
    assert torch.equal(found["weight"], module.weight)
    assert torch.autograd.grad(found["weight"].sum(), scale)[0].isfinite()


def test_the_module_is_left_as_it_was():
    module, x = net(), torch.randn(5, 2, dtype=torch.float64)
    module[0].bias.requires_grad_(False)
    before = [p.clone() for p in module.parameters()]
    found = unroll(module, loss_on(x), 3, sgd(0.1))
    assert "0.bias" not in found  # what is frozen stays
    assert at(module, found, loss_on(x)) < loss_on(x)(module)
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(p, b) for p, b in zip(module.parameters(), before, strict=True))
    wanted = torch.autograd.grad(at(module, found, loss_on(x)), [module[0].weight], allow_unused=True)
    assert wanted == (None,)  # the start is a constant


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: torch.optim.Adam(p, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, amsgrad=True),
        lambda p: torch.optim.AdamW(p),
        lambda p: torch.optim.RMSprop(p),
    ],
)
def test_what_cannot_be_continued_is_refused(make):
    module = net()
    with pytest.raises(ValueError, match=r"(?s)cannot unroll .*expected torch.optim.Adam or torch.optim.SGD"):
        continued(make(module.parameters()), module)
