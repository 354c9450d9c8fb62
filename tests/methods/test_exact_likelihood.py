"""The oracle: its gradient is exact, and what it reaches bounds what a net can."""

import warnings

import pytest
import torch

from ebmlearn.energy import GRBM
from ebmlearn.evaluate import exact
from ebmlearn.methods import ExactLikelihood
from ebmlearn.nets import MLPEnergy
from ebmlearn.schedules import inverse, linear
from ebmlearn.targets import four_weighted_gaussians
from ebmlearn.train import fit


def test_the_loss_is_the_negative_log_likelihood_and_its_gradient_the_two_phases():
    """∇L = E_data[∇E] - E_model[∇E], the second expectation by quadrature of its own."""
    net = MLPEnergy(2, (8,), reference_std=1.5).double()
    grid = exact.Grid((-9, 9), n=120, dtype=torch.float64)
    x = torch.randn(50, 2, dtype=torch.float64)
    p = torch.softmax(-net(grid.points), 0).detach()
    gap = net(x).mean() - (p * net(grid.points)).sum()
    wanted = torch.autograd.grad(gap, net.parameters())
    nll = (net(x).mean() + exact.log_z(net, grid).value).item()
    method = ExactLikelihood(net, grid.log_z, lr=1e-9)
    assert method.step(x)["nll"].item() == pytest.approx(nll, abs=1e-9)
    for parameter, slope in zip(net.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope)


def test_by_enumeration_it_learns_a_mixture_of_two_gaussians():
    """A GRBM with one hidden unit is a mixture of two Gaussians: log p of the truth is the best possible."""
    truth = GRBM.from_parameters(
        torch.tensor([[3.0]]), torch.tensor([-1.5]), torch.tensor([0.0]), torch.ones(1)
    )
    x, held_out = truth.sample(4000), truth.sample(4000)
    rbm = GRBM(1, 1, learn_std=False)
    method = ExactLikelihood(rbm, lambda rbm: rbm.log_z, lr=inverse(0.05, 100))
    fit(method, x, steps=500, batch_size=1000)
    lost = (truth.log_prob(held_out) - rbm.log_prob(held_out)).mean().item()
    assert abs(lost) < 2e-3


@pytest.mark.parametrize("x", [torch.full((4, 2), 3.0), torch.tensor([[0.0, 0.0], [0.0, -1.1]])])
def test_data_outside_the_box_are_refused(x):
    """Data at 3 and a box to 1: the loss went from 1.3 to -670."""
    method = ExactLikelihood(MLPEnergy(2, (8,)), exact.Grid((-1, 1), n=30).log_z)
    before = [p.clone() for p in method.energy.parameters()]
    n = int((x.abs() > 1).any(1).sum())
    with pytest.raises(
        ValueError, match=rf"{n} of {len(x)} data lie outside the box \(-1\.0, 1\.0\).*larger"
    ):
        method.step(x)
    assert all(torch.equal(p, b) for p, b in zip(method.energy.parameters(), before, strict=True))
    method.step(torch.tensor([[0.9, -1.0], [1.0, 0.0]]))


def test_mass_outside_the_box_is_told_once_training_has_begun():
    """A net without a reference has as much mass beyond the box as in it, and data at 0 hardly pull it in. Of
    N(0, 1), 17 % lies beyond a box to 1.7, and is told; 5 % beyond one to 2.2 is not, as it may yet move."""
    method = ExactLikelihood(MLPEnergy(2, (8,)), exact.Grid((-1, 1), n=12).log_z, lr=1e-6)
    x = torch.zeros(2, 2)
    for _ in range(99):
        method.step(x)
    with pytest.warns(exact.LeakWarning, match=r"outside the box \(-1\.0, 1\.0\); enlarge the box"):
        method.step(x)
    for box, told in ((1.7, True), (2.2, False)):
        normal = MLPEnergy(2, (8,), reference_std=1.0)
        torch.nn.init.zeros_(normal.net[-1].weight)
        method = ExactLikelihood(normal, exact.Grid((-box, box), n=60).log_z, lr=1e-6)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for _ in range(100):
                method.step(x)
        assert len(seen) == told


@pytest.mark.statistical
@pytest.mark.slow
def test_four_weighted_gaussians_are_within_the_reach_of_the_net():
    target = four_weighted_gaussians()
    net = MLPEnergy(2, (64, 64), reference_std=2.5)
    method = ExactLikelihood(net, exact.Grid(target.box, n=72).log_z, lr=linear(5e-3, 800))
    fit(method, target.sample, steps=800, batch_size=500)
    assert exact.kl(target, net, exact.Grid((-6, 6), n=300)).value <= 0.02
