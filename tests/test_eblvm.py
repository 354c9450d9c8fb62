"""The deep energy with continuous hidden variables.

Mutants tried, each red: the quadratics, or the net, left out; stacking in the other order.
"""

import pytest
import torch

from ebmlearn.evaluate import exact
from ebmlearn.nets import EBLVM, MLPEnergy, MLPGenerator


def net(shape=(2,), m=3):
    return EBLVM(MLPEnergy(torch.Size(shape).numel(), (8,)), MLPGenerator(m, shape, (8,), std=0.5))


def test_it_is_integrable_however_steep_the_net():
    """One dimension each, by quadrature: the box holds all of the mass, and far out the quadratics win."""
    model = net((1,), 1)
    with torch.no_grad():
        for p in model.energy.parameters():
            p.mul_(5)
    assert exact.log_z(model, exact.Grid((-30, 30), n=402)).error < 1e-3
    far = torch.tensor([[1000.0, 0.0], [0.0, 1000.0]])
    assert model(far)[0].item() == pytest.approx(2 * 1000**2, rel=0.1)
    assert model(far)[1].item() > 0.4 * 1000**2


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)])
def test_with_a_flat_energy_it_is_the_generator(shape):
    model = net(shape)
    v, h = torch.randn(5, *shape), torch.randn(5, 3)
    g = model.generator(h)
    wanted = 2 * (v - g).flatten(1).square().sum(1) + 0.5 * h.square().sum(1)
    torch.testing.assert_close(model.joint(v, h) - model.energy(v), wanted)
    torch.nn.init.zeros_(model.energy.net[-1].weight)
    torch.testing.assert_close(model.joint(v, h), wanted)


@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)])
def test_stacked_variables_for_samplers(shape):
    model = net(shape)
    v, h = torch.randn(5, *shape), torch.randn(5, 3)
    x = model.stack(v, h)
    assert all(torch.equal(a, b) for a, b in zip(model.split(x), (v, h), strict=True))
    torch.testing.assert_close(model(x), model.joint(v, h))


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"z has shape \(5, 2\); expected \(B, 3\)"):
        net().joint(torch.zeros(5, 2), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="x has 3 elements an event; this net was built for dim=2"):
        net().joint(torch.zeros(5, 3), torch.zeros(5, 3))
