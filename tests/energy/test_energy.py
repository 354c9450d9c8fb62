"""Energies: shapes, gradients, and closed forms against quadrature, formulas and their own samplers."""

import math

import pytest
import torch
from scipy import stats

from ebmlearn.energy import DoubleWell, Gaussian, GaussianMixture, Ring, energy_at, grad

EXACT = {
    "gaussian": lambda: Gaussian(torch.tensor([0.5, -1.0]), torch.tensor([[1.0, 0.6], [0.6, 0.8]])),
    "mixture": lambda: GaussianMixture(
        torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.tensor([0.5, 0.8]), torch.tensor([1.0, 3.0])
    ),
    "ring": lambda: Ring(1.5, 0.3),
    "wide ring": lambda: Ring(0.5, 0.6),
    "double well": lambda: DoubleWell(2.0, 1.5),
}


@pytest.fixture(params=EXACT)
def exact(request):
    return EXACT[request.param]()


def test_grad_of_a_quadratic_is_its_formula():
    x = torch.randn(5, 3, 2, 2, dtype=torch.float64)
    with torch.no_grad():
        value, slope = grad(lambda x: 1.5 * x.square().flatten(1).sum(1), x)
    torch.testing.assert_close(value, 1.5 * x.square().flatten(1).sum(1))
    torch.testing.assert_close(slope, 3 * x)
    assert not value.requires_grad and not slope.requires_grad and not x.requires_grad


def test_grad_leaves_parameters_alone():
    net = torch.nn.Linear(2, 1)
    grad(lambda x: net(x).squeeze(1), torch.randn(4, 2))
    assert all(p.grad is None for p in net.parameters())


def test_grad_with_create_graph_gives_second_derivatives():
    x = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    _, slope = grad(lambda x: x.pow(3).sum(1), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    torch.testing.assert_close(second, 6 * x)


@pytest.mark.parametrize("shape", [(4, 1), (), (1,)])
def test_an_energy_of_the_wrong_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected one number for each element of the batch, shape \(4,\)"):
        grad(lambda x: x.sum() * torch.ones(shape), torch.randn(4, 2))
    with pytest.raises(ValueError, match="squeeze"):
        energy_at(lambda x: torch.zeros(shape), torch.randn(4, 2))


def test_an_energy_that_ignores_x_is_refused():
    with pytest.raises(ValueError, match="does not depend on x"):
        grad(lambda x: torch.zeros(len(x)), torch.randn(4, 2))
    with pytest.raises(ValueError, match="does not depend on x"):
        grad(lambda x: x.detach().square().sum(1), torch.randn(4, 2))


def test_log_z_is_the_integral(exact):
    # an own sum, not ebmlearn's quadrature, so that each checks the other
    axis = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    z = torch.exp(-exact.double()(points)).sum() * (axis[1] - axis[0]) ** 2
    assert z.log().item() == pytest.approx(exact.log_z.item(), abs=1e-6)


@pytest.mark.statistical
def test_samples_follow_the_density(exact, generator):
    """Chi-square of counts in cells against the density integrated over each cell."""
    n = 100_000
    x = exact.sample(n, generator)
    edges = torch.linspace(-6, 6, 25)
    fine = 20
    axis = (torch.arange(24 * fine) + 0.5) * 12 / (24 * fine) - 6
    mass = (
        exact.double().log_prob(torch.cartesian_prod(axis, axis).double()).exp().reshape(24, fine, 24, fine)
    )
    expected = n * mass.sum((1, 3)) * (12 / (24 * fine)) ** 2
    counts, _ = torch.histogramdd(x, [edges, edges])
    big = expected > 10
    observed = torch.cat([counts[big], counts[~big].sum()[None]]).double()
    wanted = torch.cat([expected[big], (n - expected[big].sum())[None]])
    statistic = ((observed - wanted).square() / wanted.clamp_min(1)).sum().item()
    assert stats.chi2.sf(statistic, len(wanted) - 1) > 1e-6


def test_score_is_minus_the_slope(exact):
    x = exact.double().sample(20, torch.Generator().manual_seed(1))
    step = 1e-5 * torch.eye(2, dtype=torch.float64)
    slope = torch.stack([(exact.log_prob(x + e) - exact.log_prob(x - e)) / 2e-5 for e in step], 1)
    torch.testing.assert_close(exact.score(x), slope, atol=1e-6, rtol=1e-6)


def test_a_generator_makes_samples_reproducible(exact):
    a, b = (exact.sample(7, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(a, b) and a.shape == (7, *exact.event_shape)


def test_double_follows_into_samples(exact):
    assert exact.double().sample(3).dtype == torch.float64


def test_gaussian_of_image_shape_matches_torch():
    g = torch.Generator().manual_seed(2)
    a = torch.randn(12, 12, generator=g, dtype=torch.float64)
    cov, mean = a @ a.T + torch.eye(12), torch.randn(3, 2, 2, generator=g, dtype=torch.float64)
    x = torch.randn(5, 3, 2, 2, generator=g, dtype=torch.float64)
    wanted = torch.distributions.MultivariateNormal(mean.flatten(), cov).log_prob(x.flatten(1))
    torch.testing.assert_close(Gaussian(mean, cov).log_prob(x), wanted)


@pytest.mark.statistical
def test_gaussian_sampler_has_the_covariance(generator):
    cov = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    n = 200_000
    x = Gaussian(torch.zeros(2, dtype=torch.float64), cov).sample(n, generator)
    found = x.T @ x / n
    standard_error = ((cov.diag()[:, None] * cov.diag() + cov**2) / n).sqrt()
    assert ((found - cov).abs() < 5 * standard_error).all()


@pytest.mark.statistical
def test_ring_counts_the_circumference():
    """Mean radius is above the ring's: the outer half of the band is longer."""
    c = 0.5 / 0.6
    below = 0.5 * math.erfc(-c / math.sqrt(2))
    tail = math.exp(-0.5 * c**2) / math.sqrt(2 * math.pi)
    z1 = 0.36 * tail / 0.6 + 0.5 * below
    z2 = (0.25 + 0.36) * below + 0.5 * 0.6 * tail
    r = Ring(0.5, 0.6).sample(200_000).norm(dim=1)
    assert abs(r.mean().item() - z2 / z1) < 5 * r.std().item() / math.sqrt(200_000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(torch.zeros(2), torch.eye(3)), r"expected \(2, 2\)"),
        (lambda: Gaussian(torch.zeros(2), -torch.eye(2)), "positive definite"),
        (lambda: Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]])), "symmetric"),
        (lambda: GaussianMixture(torch.zeros(3), 1.0), r"expected finite numbers, \(K, d\)"),
        (lambda: GaussianMixture(torch.zeros(3, 2), -1.0), "std is -1.0; expected a number > 0"),
        (
            lambda: GaussianMixture(torch.zeros(3, 2), 1.0, torch.tensor([1.0, 0.0, 1.0])),
            "expected 3 positive",
        ),
        (lambda: Ring(-1.0, 0.1), "radius is -1.0; expected a number > 0"),
        (lambda: DoubleWell(barrier=0.0), "barrier"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
