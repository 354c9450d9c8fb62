"""The deep energies with continuous hidden variables.

Mutants tried, each red: the quadratics, or the net, left out; stacking in the other order; in the coupling
the hidden variables themselves, or their shift, left out; a sum in bfloat16.
"""

import pytest
import torch
from torch import nn
from torch.nn.functional import elu

from ebmlearn.evaluate import exact
from ebmlearn.nets import EBLVM, CouplingEBLVM, MLPEnergy, MLPGenerator


def net(shape=(2,), m=3):
    return EBLVM(MLPEnergy(torch.Size(shape).numel(), (8,)), MLPGenerator(m, shape, (8,), std=0.5))


def coupling(shape=(2,), m=3, width=8, **settings):
    features = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), 5), nn.ELU())
    return CouplingEBLVM(features, 5, shape, m, width, **settings)


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


@pytest.mark.parametrize("make", [net, coupling])
@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)])
def test_stacked_variables_for_samplers(shape, make):
    model = make(shape)
    v, h = torch.randn(5, *shape), torch.randn(5, 3)
    x = model.stack(v, h)
    assert all(torch.equal(a, b) for a, b in zip(model.split(x), (v, h), strict=True))
    torch.testing.assert_close(model(x), model.joint(v, h))


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match=r"z has shape \(5, 2\); expected \(B, 3\)"):
        net().joint(torch.zeros(5, 2), torch.zeros(5, 2))
    with pytest.raises(ValueError, match="x has 3 elements an event; this net was built for dim=2"):
        net().joint(torch.zeros(5, 3), torch.zeros(5, 3))


# features of v that meet h in a coupling layer


def test_a_coupling_is_its_formula():
    model = coupling((1, 2, 2), reference_std=2.0)
    v, h = torch.randn(50, 1, 2, 2), torch.randn(50, 3)
    shift = model.features(v) @ model.linear.weight.T + model.linear.bias
    a = torch.cat([shift + h, h], 1) @ model.coupling.weight.T + model.coupling.bias
    squares = torch.where(a > 0, a, a.exp() - 1).square().sum(1)
    wanted = squares + (v.flatten(1).square().sum(1) + h.square().sum(1)) / 8
    torch.testing.assert_close(model.joint(v, h), wanted)


def test_a_coupling_is_integrable_where_its_squares_are_bounded():
    """With all arguments of elu far below 0 only the quadratic is left: log Z = log 2πρ² less a constant."""
    model = coupling((1,), 1, reference_std=2.0)
    with torch.no_grad():
        model.coupling.weight.zero_()
        model.coupling.bias.fill_(-30.0)
    log_z = exact.log_z(model, exact.Grid((-20, 20), n=201))
    assert log_z.value == pytest.approx(torch.tensor(8 * torch.pi).log().item() - 8, abs=1e-3)


def test_the_slopes_of_a_coupling_are_those_of_finite_differences():
    model = coupling((3,)).double()
    v, h = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(model.joint, (v, h))


def test_a_coupling_sums_in_float32_under_autocast():
    model = coupling((3,), width=3000)
    v, h = torch.randn(4, 3), torch.randn(4, 3)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        a = model.coupling(torch.cat([model.linear(model.features(v)) + h, h], 1))
        found = model.joint(v, h)
    assert a.dtype == torch.bfloat16 and found.dtype == torch.float32
    wanted = elu(a).double().square().sum(1) + 0.005 * (v.square() + h.square()).sum(1)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: coupling(m=0), "latent_dim is 0"),
        (lambda: coupling(reference_std=0.0), "reference_std is 0.0; expected a number > 0"),
        (
            lambda: coupling().joint(torch.zeros(5, 2), torch.zeros(5, 2)),
            r"h has shape \(5, 2\); expected \(5, 3\)",
        ),
        (
            lambda: coupling().joint(torch.zeros(5, 2), torch.zeros(1, 3)),
            r"h has shape \(1, 3\); expected \(5, 3\)",
        ),
    ],
)
def test_bad_arguments_of_a_coupling_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
