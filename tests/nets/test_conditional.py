"""Conditional nets: what they give for a condition is a plain energy, generator or posterior.

Mutants tried, each red: the condition in the reference term, or left out of the net; conditions of the first
row for all; the latents and the condition exchanged; weights copied by ``given``.
"""

import math

import pytest
import torch
from torch import nn

from ebmlearn import grad, seed
from ebmlearn.evaluate.exact import Grid
from ebmlearn.nets import ConditionalEnergy, ConditionalGenerator, beside
from ebmlearn.posteriors import ConditionalPosterior


def test_an_energy_given_a_condition_is_that_of_the_pair():
    energy = ConditionalEnergy((1, 2, 2), (3,), (8,), reference_std=2.0)
    x, c = torch.randn(5, 1, 2, 2), torch.randn(5, 3)
    rows = torch.cat([x.flatten(1), c], 1)
    wanted = energy.net(rows) + x.square().sum((1, 2, 3)) / 8
    torch.testing.assert_close(energy(x, c), wanted)
    torch.testing.assert_close(energy.given(c)(x), wanted)
    value, slope = grad(energy.given(c), x)
    torch.testing.assert_close(value, wanted.detach())
    (by_graph,) = torch.autograd.grad(energy(x.requires_grad_(), c).sum(), x)
    torch.testing.assert_close(slope, by_graph)  # in closed form, which a hook forbids
    energy.register_forward_hook(lambda module, args, out: 2 * out)
    torch.testing.assert_close(grad(energy.given(c), x)[1], 2 * by_graph)
    energy._forward_hooks.clear()
    by_c = torch.autograd.grad(energy(x, c.requires_grad_()).sum(), c)[0]
    assert by_c.abs().min() > 0


def test_without_a_net_the_energy_is_its_reference():
    """One partition function, whatever the condition: log √(2π) r."""
    energy = ConditionalEnergy((1,), (1,), (4,), reference_std=0.7)
    nn.init.zeros_(energy.net.net[-1].weight)
    for c in (-1.0, 3.0):
        log_z = Grid((-6, 6), n=300, dim=1).log_z(lambda x, c=c: energy(x, torch.full_like(x, c)))
        assert log_z.item() == pytest.approx(0.5 * math.log(2 * math.pi) + math.log(0.7), abs=1e-4)


def test_a_generator_given_a_condition_has_the_weights_of_the_whole():
    net = ConditionalGenerator(2, (3,), (1,), (8,), std=0.5)
    c = torch.randn(4, 1)
    given = net.given(c)
    z = torch.randn(4, 2)
    torch.testing.assert_close(given(z), net.net(torch.cat([z, c], 1)))
    x = torch.randn(4, 3)
    torch.testing.assert_close(given.reconstruction(x, z), (x - given(z)).square().sum(1) / 0.5)
    given.reconstruction(x, z).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert {id(p) for p in given.parameters()} == {id(p) for p in net.parameters()}
    assert given.latent_dim == 2 and given.std == 0.5 and given.event_shape == (3,)
    assert not torch.allclose(given(z), net.given(c + 1)(z))


def test_a_posterior_given_a_condition_sees_both():
    net = nn.Linear(5, 4)
    posterior = ConditionalPosterior(net, 2, (2,))
    v, c = torch.randn(6, 3), torch.randn(6, 2)
    given = posterior.given(c)
    mean, log_std = net(torch.cat([v, c], 1)).chunk(2, 1)
    seed(0)
    z = given.rsample(v)
    seed(0)
    torch.testing.assert_close(z, (mean + log_std.exp() * torch.randn(1, 6, 2)))
    torch.testing.assert_close(given.mean(v), mean)
    assert {id(p) for p in posterior.parameters()} == {id(p) for p in net.parameters()}


def test_whole_numbers_as_conditions_become_numbers_of_the_events_type():
    both = beside(torch.zeros(2, 1, dtype=torch.float64), torch.eye(2, dtype=torch.long), (2,))
    assert both.dtype == torch.float64 and both.tolist() == [[0, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConditionalEnergy((1,), (1,), reference_std=0.0), r"reference_std is 0\.0; expected"),
        (lambda: ConditionalGenerator(0, (1,), (1,)), "latent_dim is 0; expected a whole number >= 1"),
        (lambda: ConditionalGenerator(1, (1,), (1,), std=-1.0), r"std is -1\.0; expected"),
        (lambda: ConditionalPosterior(nn.Linear(2, 2), 0, (1,)), "latent_dim is 0; expected"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("c", [torch.zeros(3, 2), torch.zeros(4), torch.zeros(4, 3)])
def test_conditions_of_another_shape_are_refused(c):
    with pytest.raises(ValueError, match=r"expected \(4, 2\), one for each of 4 rows"):
        ConditionalEnergy((1,), (2,)).given(c)(torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"expected \(4, 2\)"):
        ConditionalGenerator(1, (1,), (2,)).given(c)(torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"expected \(4, 2\)"):
        ConditionalPosterior(nn.Linear(3, 2), 1, (2,)).given(c).mean(torch.zeros(4, 1))
