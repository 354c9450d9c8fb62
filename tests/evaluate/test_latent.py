"""Quadrature over latents against closed forms: the linear-Gaussian model and normal cell masses.

Mutants tried, each red: no constant of p(x|z); the prior's constant not removed; no Gaussian term in place of
a prior; the reconstruction at half its weight; axes of the cells exchanged; samples outside the box dropped;
the floor without (1 - p), or with ⌊np⌋ for k; the bound without its divergence, or without the constant of
p(x|z), or with deviations for variances; weights of the nodes that do not sum to 1.
"""

import math

import pytest
import torch
from scipy.stats import norm
from torch import nn

from ebmlearn import seed
from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact, latent
from ebmlearn.evaluate.exact import Grid, LeakWarning
from ebmlearn.nets import Generator, MLPGenerator
from ebmlearn.posteriors import GaussianPosterior

TAU = 0.5
GRID = Grid((-8, 8), n=240, dtype=torch.float64)


def affine(latent_dim=2, shape=(5,)):
    return MLPGenerator(latent_dim, shape, (), std=TAU).double().requires_grad_(False)


def conditioned(net, x, mean, var):
    """Closed forms for z ~ N(mean, var I), x = W z + b + τ ε: log p(x), posterior mean and covariance."""
    w, b = net.net[0].weight, net.net[0].bias
    z0 = torch.full((w.shape[1],), mean, dtype=torch.float64)
    cov = var * w @ w.T + TAU**2 * torch.eye(len(w)).double()
    marginal = torch.distributions.MultivariateNormal(w @ z0 + b, cov)
    posterior = torch.linalg.inv(w.T @ w / TAU**2 + torch.eye(w.shape[1]).double() / var)
    pull = (x.flatten(1) - b) @ w / TAU**2 + z0 / var
    return marginal.log_prob(x.flatten(1)), pull @ posterior, posterior


class Pairwise(Generator):
    """The same model through the general interface, with its constant."""

    def __init__(self, net):
        super().__init__(net.latent_dim)
        self.net = net

    def draw(self, z, generator=None):
        return self.net.draw(z, generator)

    def reconstruction(self, x, z):
        normal = torch.distributions.Normal(self.net(z), TAU)
        return -normal.log_prob(x).flatten(1).sum(1)


@pytest.mark.parametrize("wrap", [lambda net: net, Pairwise])
@pytest.mark.parametrize(("prior", "mean", "var"), [(None, 0.0, 1.0), ("shifted", 0.4, 0.7)])
@pytest.mark.parametrize(("latent_dim", "shape"), [(2, (5,)), (1, (1, 2, 2))])
def test_likelihood_and_posterior_of_the_linear_model(wrap, prior, mean, var, latent_dim, shape):
    net = affine(latent_dim, shape)
    x = net.draw(net.latent(6))
    grid = Grid((-8, 8), n=240, dim=latent_dim, dtype=torch.float64)
    if prior is not None:

        def prior(z):
            return 0.5 * (z - mean).square().sum(1) / var + 3.0  # an energy has no particular constant

    log_p, post_mean, post_cov = conditioned(net, x, mean, var)
    value, error = latent.log_prob(x, wrap(net), grid, prior)
    masses = latent.posterior(x, wrap(net), grid, prior)
    got_mean, got_cov = latent.moments(masses, grid)
    torch.testing.assert_close(value, log_p, atol=1e-8, rtol=0)
    assert ((value - log_p).abs() <= error + 1e-10).all() and (error < 1e-2).all()
    torch.testing.assert_close(masses.sum(1), torch.ones(6, dtype=torch.float64))
    torch.testing.assert_close(got_mean, post_mean, atol=1e-8, rtol=0)
    torch.testing.assert_close(got_cov, post_cov.expand(6, -1, -1), atol=1e-8, rtol=0)


def test_blocks_of_examples_are_joined_in_order(monkeypatch):
    net, whole = affine(), Grid((-8, 8), n=60, dtype=torch.float64)
    x = net.draw(net.latent(7))
    together = latent.log_prob(x, net, whole), latent.posterior(x, net, whole)
    monkeypatch.setattr(latent, "_ENTRIES", 2 * 3600)
    apart = latent.log_prob(x, net, whole), latent.posterior(x, net, whole)
    torch.testing.assert_close(together, apart)


def test_the_mixture_of_exact_marginal_is_the_same_density():
    net = MLPGenerator(2, (2,), std=0.4).double()
    x = torch.randn(10, 2, dtype=torch.float64)
    grid = Grid((-6, 6), n=90, dtype=torch.float64)
    mixture = exact.marginal(net, grid).log_prob(x)
    torch.testing.assert_close(latent.log_prob(x, net, grid).value, mixture, atol=1e-6, rtol=0)


def test_a_grid_too_coarse_for_the_posterior_says_so():
    net = affine()
    net.std = 0.01
    _, error = latent.log_prob(
        torch.zeros(3, 5, dtype=torch.float64), net, Grid((-8, 8), n=30, dtype=torch.float64)
    )
    assert (error > 1).all()


# cells


def test_cell_masses_of_an_oblong_normal():
    """The first axis of the table is the first coordinate."""
    mean, std = torch.tensor([0.5, -1.0]), torch.tensor([1.5, 0.5])
    normal = Gaussian(mean.double(), torch.diag(std**2).double())
    got = latent.cell_masses(normal, GRID, n_cells=8)
    edges = torch.linspace(-8, 8, 9)
    one, two = (
        torch.from_numpy(norm.cdf(edges, m, s)).diff()
        for m, s in zip(mean.tolist(), std.tolist(), strict=True)
    )
    torch.testing.assert_close(got, (one[:, None] * two).double(), atol=2e-4, rtol=0)
    line = latent.cell_masses(
        Gaussian(mean[:1].double(), torch.eye(1).double()), Grid((-8, 8), dim=1, dtype=torch.float64), 6
    )
    wanted = torch.from_numpy(norm.cdf(torch.linspace(-8, 8, 7), 0.5)).diff().double()
    torch.testing.assert_close(line, wanted, atol=1e-4, rtol=0)


@pytest.mark.statistical
def test_exact_samples_are_at_the_floor():
    """Mean over 200 sets: a z-test; each set by the bound of the docstring."""
    normal = Gaussian(torch.tensor([0.5, -1.0]), torch.diag(torch.tensor([2.25, 0.25])))
    grid = Grid((-8, 8), n=60)
    for n in (30, 2000):
        sets = [latent.sample_tv(normal.sample(n), normal, grid) for _ in range(200)]
        values = torch.tensor([s.value for s in sets])
        floor = sets[0].floor
        assert abs(values.mean() - floor) < 5 * values.std() / math.sqrt(200)
        assert values.max() < floor + math.sqrt(math.log(1e8) / (2 * n))


def test_distances_of_samples_that_are_not_exact():
    normal = Gaussian(torch.zeros(2).double(), torch.eye(2).double())
    masses = latent.cell_masses(normal, GRID, 10)
    at_origin = torch.full((50, 2), 0.1)
    far = torch.full((50, 2), 30.0)
    assert latent.sample_tv(far, normal, GRID, 10).value == pytest.approx(1.0)
    alone = latent.sample_tv(at_origin, normal, GRID, 10).value
    assert alone == pytest.approx(1 - masses[5, 5].item())
    both = latent.sample_tv(torch.cat([at_origin, far]), normal, GRID, 10).value
    assert both == pytest.approx(1 - min(0.5, masses[5, 5].item()))
    # a shift by δ along one axis: 2 Φ(δ/2) - 1, less what the cells do not see
    shifted = latent.sample_tv(normal.sample(100_000) + torch.tensor([1.0, 0.0]), normal, GRID, 80)
    assert 2 * norm.cdf(0.5) - 1 - 0.01 < shifted.value < 2 * norm.cdf(0.5) - 1 + shifted.floor


# what a user may get wrong


def test_a_misfit_is_refused():
    net, x = affine(), torch.zeros(3, 5, dtype=torch.float64)
    for call in (latent.log_prob, latent.posterior):
        with pytest.raises(ValueError, match="grid has dim=1, the generator 2 latents"):
            call(x, net, Grid((-6, 6), n=30, dim=1))
        with pytest.raises(ValueError, match=r"x has shape \(3, 4\); this model generates \(B, 5\)"):
            call(x[:, :4], net, GRID)
        with pytest.raises(ValueError, match="energy is nan at x"):
            call(x, net, GRID, lambda z: z[:, 0] * torch.nan)
        with pytest.raises(ValueError, match="posterior is NaN or -inf"):
            call(x * torch.nan, net, GRID)
    with pytest.raises(ValueError, match=r"shape \(3, 7\); this grid has 57600 points"):
        latent.moments(torch.ones(3, 7), GRID)
    normal = Gaussian(torch.zeros(2), torch.eye(2))
    with pytest.raises(ValueError, match="n_cells is 7; expected a divisor of the grid's n = 240"):
        latent.cell_masses(normal, GRID, 7)
    for bad in (torch.zeros(3), torch.zeros(3, 1), torch.zeros(0, 2), torch.full((3, 2), torch.nan)):
        with pytest.raises(ValueError, match=r"expected finite samples of shape \(n, 2\), at least one"):
            latent.sample_tv(bad, normal, GRID)


def test_mass_outside_the_box_is_said():
    net = affine()
    x = net.draw(torch.tensor([[30.0, 30.0]]).double())
    small = Grid((-2, 2), n=60, dtype=torch.float64)
    with pytest.warns(LeakWarning, match=r"of the mass lies outside the box \(-2.0, 2.0\)"):
        latent.cell_masses(lambda z: 0.5 * z.square().sum(1), small)
    with pytest.warns(LeakWarning, match="posterior's mass|does not fall") as seen:
        latent.log_prob(x, net, GRID)
    assert seen[0].filename == __file__


# the evidence lower bound


@pytest.mark.parametrize("wrap", [lambda net: net, Pairwise])
@pytest.mark.parametrize("std", [1e-4, 0.3, 2.0])
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_the_bound_is_below_the_likelihood_by_the_encoders_error(wrap, std, latent_dim):
    """``log p(x) - elbo`` is KL(q(z|x) ‖ p(z|x)), of Gaussians a closed form, however narrow or wide q is."""
    net = affine(latent_dim)
    x = net.draw(net.latent(6))
    log_p, mean, cov = conditioned(net, x, 0.0, 1.0)
    means = 0.5 * x[:, :latent_dim]
    log_std = math.log(std) + 0.1 * torch.arange(latent_dim)
    q = GaussianPosterior(lambda x: torch.cat([means, log_std.expand(len(x), -1)], 1), latent_dim)
    off, spread = means - mean, torch.diag((2 * log_std).exp()).double()
    quotient = torch.linalg.solve(cov, spread)
    gap = 0.5 * (torch.einsum("bi,ij,bj->b", off, torch.linalg.inv(cov), off) + quotient.trace())
    gap = gap - 0.5 * (latent_dim + quotient.logdet())
    found = latent.elbo(x, wrap(net), q, n=8)
    torch.testing.assert_close(found.value, log_p - gap, rtol=1e-6, atol=1e-6)
    assert found.error.max() < 1e-6 * gap.max()  # a quadratic, which three nodes integrate exactly


def test_the_bound_of_a_bent_decoder_is_that_of_a_fine_grid():
    """An expectation that the nodes do not hold exactly: their error says how far off they are."""
    seed(0)
    net = MLPGenerator(2, (3,), (16,), std=0.7).double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2.5)
    q = GaussianPosterior(nn.Linear(3, 4), 2).double()
    with torch.no_grad():
        q.net.weight.mul_(0.1)
        q.net.bias[2:] = -0.7
    x = net.draw(net.latent(4)).detach()
    with torch.no_grad():
        mass = q.log_prob(GRID.points[:, None].expand(-1, 4, -1), x).softmax(0)
        lost = torch.stack([net.reconstruction(one.expand(len(mass), 3), GRID.points) for one in x], 1)
    norm = 1.5 * math.log(2 * math.pi * 0.7**2)
    wanted = -(mass * lost).sum(0) - q.kl(x) - norm
    coarse, fine = latent.elbo(x, net, q, n=5), latent.elbo(x, net, q, n=24)
    torch.testing.assert_close(fine.value, wanted.detach(), rtol=0, atol=1e-6)
    assert fine.error.max() < 1e-5 and ((coarse.value - wanted).abs() < 3 * coarse.error).all()
    assert (coarse.value - wanted).abs().max() > 1e-4


def test_a_bound_that_cannot_be_made_is_refused():
    q = GaussianPosterior(nn.Linear(5, 4), 2)
    net = MLPGenerator(2, (5,))
    with pytest.raises(ValueError, match="the encoder has 2 latents, the generator 3; expected equal"):
        latent.elbo(torch.zeros(2, 5), MLPGenerator(3, (5,)), q)
    three = GaussianPosterior(nn.Linear(5, 6), 3)
    with pytest.raises(ValueError, match=r"the encoder has 3 latents, .*; expected equal numbers, 1 or"):
        latent.elbo(torch.zeros(2, 5), MLPGenerator(3, (5,)), three)
    with pytest.raises(ValueError, match="n is 3; expected"):
        latent.elbo(torch.zeros(2, 5), net, q, n=3)
    with pytest.raises(ValueError, match=r"x has shape \(2, 4\); expected \(B, 5\)"):
        latent.elbo(torch.zeros(2, 4), net, q)
