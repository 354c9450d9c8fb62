"""Energy discrepancy: where it ends by quadrature, what it is in both limits, and what the noise decides.

Mutants tried: the variance in the place of the standard deviation; a noise of its own for each point, without
the step that they share; the datum left out of the mean, or counted ``M`` times; ``w`` in the place of its
logarithm; a mean of exponents in the place of their log-mean; gaps with the other sign; points of other data;
one noise for all points; ``log M`` left out.
"""

import math

import pytest
import torch
from methods import recorder
from numpy.polynomial.hermite_e import hermegauss
from objectives import Precision
from scipy.optimize import minimize_scalar

from ebmlearn.methods import EnergyDiscrepancy
from ebmlearn.objectives import conditional_nce, score_matching
from ebmlearn.schedules import inverse
from ebmlearn.train import fit


def loss_of(energy, x, **settings):
    """The loss of a step, with its graph; nothing is updated."""
    method = recorder(EnergyDiscrepancy)(energy, **settings)
    method.step(x)
    return method.recorded["energy"]


def two_points(a, v, sigma, w, n=24):
    """The loss with M = 2 in one dimension, data of variance ``v`` and E = a x²/2: an integral over four
    standard normal numbers, by Gauss and Hermite."""
    nodes, weights = (torch.from_numpy(u) for u in hermegauss(n))
    x, shared, first, second = torch.meshgrid(*[nodes] * 4, indexing="ij")
    mass = (weights / weights.sum()).log()
    mass = sum(torch.meshgrid(*[mass] * 4, indexing="ij")).exp()
    x = math.sqrt(v) * x
    around = [x + sigma * (shared + own) for own in (first, second)]
    gap = torch.stack([0.5 * a * (x.square() - y.square()) for y in around])
    return (mass * (w + gap.exp().sum(0)).log()).sum().item() - math.log(2)


def optimum(v, sigma, w):
    """The variance 1/a at which that loss is least."""
    found = minimize_scalar(
        lambda log_a: two_points(math.exp(log_a), v, sigma, w), bounds=(-2.5, 2.5), method="bounded"
    )
    return math.exp(-found.x)


def test_the_loss_is_its_integral():
    torch.manual_seed(0)
    energy, x = Precision(0.7, 1).double(), 2 * torch.randn(400_000, 1).double()
    found = loss_of(energy, x, sigma=1.5, n_noise=2, datum_weight=0.3)
    assert found.item() == pytest.approx(two_points(0.7, 4.0, 1.5, 0.3), abs=0.01)


@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.0])
def test_with_the_datum_once_among_the_points_the_optimum_is_the_truth(sigma):
    """As the docstring says: for few points and any noise, by quadrature alone."""
    assert optimum(2.0, sigma, 1.0) == pytest.approx(2.0, rel=2e-3)


@pytest.mark.parametrize("w", [0.25, 0.5, 4.0])
def test_with_another_weight_the_optimum_is_the_documented_one_for_small_noise(w):
    assert optimum(2.0, 0.02, w) == pytest.approx(2 * (2 * w + 1) / (w + 2), rel=2e-3)


@pytest.mark.parametrize("w", [0.5, 1.0, 4.0])
def test_the_fit_ends_where_the_integral_is_least(w):
    """1.63, 2 and 2.91 in the place of the variance 2."""
    torch.manual_seed(0)
    method = EnergyDiscrepancy(Precision(1.0, 1), sigma=1.0, n_noise=2, datum_weight=w, lr=inverse(0.02, 25))
    trace = []
    fit(
        method,
        lambda n: math.sqrt(2) * torch.randn(n, 1),
        steps=500,
        batch_size=4000,
        hooks=[lambda i, m, v: trace.append(m.energy.a.item())],
    )
    variance = 1 / torch.tensor(trace[250:]).mean().item()
    assert variance == pytest.approx(optimum(2.0, 1.0, w), rel=0.02)


def gaussian_kl(v, w):
    """KL(N(0, v) ‖ N(0, w)) in one dimension."""
    return 0.5 * (v / w - 1 + math.log(w / v))


def test_with_many_points_it_is_what_noise_takes_from_the_divergence():
    """Above its least value: KL(p ‖ q) less that of their noisy forms."""
    v, w, sigma, losses = 1.0, 3.0, 1.2, []
    x = torch.randn(4000, 1, generator=torch.Generator().manual_seed(0))
    for a in (1 / w, 1 / v):
        torch.manual_seed(1)
        losses.append(loss_of(Precision(a, 1), x, sigma=sigma, n_noise=2000).item())
    wanted = gaussian_kl(v, w) - gaussian_kl(v + sigma**2, w + sigma**2)
    assert 0.2 * gaussian_kl(v, w) < wanted < 0.8 * gaussian_kl(v, w)
    assert losses[0] - losses[1] == pytest.approx(wanted, abs=0.02)


def test_with_wide_noise_and_more_points_it_nears_the_divergence():
    v, w, losses = 1.0, 3.0, []
    x = torch.randn(1000, 1, generator=torch.Generator().manual_seed(0))
    for a in (1 / w, 1 / v):
        torch.manual_seed(1)
        losses.append(loss_of(Precision(a, 1), x, sigma=20.0, n_noise=8000).item())
    assert losses[0] - losses[1] == pytest.approx(gaussian_kl(v, w), abs=0.03)


@pytest.mark.parametrize(("n_noise", "w"), [(1, 1.0), (3, 1.0), (3, 0.0), (3, 4.0)])
def test_with_small_noise_it_is_score_matching(n_noise, w):
    """A constant, and σ² M/(w + M) times the loss of score matching, whose square of the slope has the factor
    (2w + M - 1)/(w + M), which is 1 at w = 1. Antithetic data are out of reach: so many that |z| < 5 means
    something."""
    torch.manual_seed(0)
    sigma, n, a = 0.05, 500_000, 0.7
    energy, x = Precision(a, 1).double(), torch.randn(n, 1).double()
    found = loss_of(energy, x, sigma=sigma, n_noise=n_noise, datum_weight=w).item()
    slopes = 0.5 * a**2 * x.square().mean().item()
    plain = score_matching(energy, x).item()
    assert plain == pytest.approx(slopes - a)
    c = (2 * w + n_noise - 1) / (w + n_noise)
    wanted = n_noise / (w + n_noise) * (plain + (c - 1) * slopes)
    scaled = (found - math.log((w + n_noise) / n_noise)) / sigma**2
    assert abs(scaled - wanted) < 5 * a * math.sqrt(2) / sigma / math.sqrt(n)


def test_with_one_point_it_is_half_of_conditional_nce_with_the_noise_of_two_steps():
    torch.manual_seed(0)
    energy, x = Precision(0.4, 3).double(), torch.randn(300_000, 3).double()
    found = loss_of(energy, x, sigma=0.8, n_noise=1).item()
    wanted = 0.5 * conditional_nce(energy, x, 0.8 * math.sqrt(2)).item()
    assert found == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("a", [1.0, 50.0])
def test_without_the_datum_one_point_pulls_the_energy_up_for_ever(a):
    """The loss is a mean of differences of energies, linear in E: its slope by ``a`` is -σ² d, wherever ``a``
    is."""
    torch.manual_seed(0)
    energy, x = Precision(a, 2).double(), torch.randn(200_000, 2).double()
    loss = loss_of(energy, x, sigma=0.5, n_noise=1, datum_weight=0.0)
    (slope,) = torch.autograd.grad(loss, energy.a)
    assert slope.item() == pytest.approx(-0.5, abs=0.02)


def test_sign_a_flat_energy_becomes_confining():
    energy = Precision(0.0)
    EnergyDiscrepancy(energy, sigma=0.5, lr=1e-6).step(torch.randn(500, 2))
    assert energy.a.grad < 0


@pytest.mark.parametrize("n_noise", [1, 3])
def test_a_slope_tells_no_datum_from_its_points_but_by_chance(n_noise):
    """Under a linear energy datum and points are exchangeable, each is lowest in one case of M + 1. The
    data are in two places far apart, where points of other data would show at once."""
    torch.manual_seed(0)
    x = 1e3 * (torch.arange(4000) % 2).float().unsqueeze(1)
    energy = Precision(0.0, 1)
    energy.forward = lambda x: 0 * energy.a + 1e-3 * x[:, 0]
    metrics = EnergyDiscrepancy(energy, sigma=1.0, n_noise=n_noise).step(x)
    assert metrics["accuracy"].item() == pytest.approx(1 / (n_noise + 1), abs=0.04)
    assert metrics["loss"].item() == pytest.approx(math.log((n_noise + 1) / n_noise), abs=1e-3)


@pytest.mark.parametrize(("a", "accuracy"), [(1.0, 1.0), (-1.0, 0.0)])
def test_a_datum_is_told_if_its_energy_is_lowest(a, accuracy):
    metrics = EnergyDiscrepancy(Precision(a), sigma=1.0).step(torch.zeros(50, 2))
    assert metrics["accuracy"].item() == accuracy


def test_bad_arguments_are_refused():
    for sigma in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"sigma is {sigma}; expected a (finite )?number > 0"):
            EnergyDiscrepancy(Precision(), sigma=sigma)
    with pytest.raises(ValueError, match="n_noise is 0; expected a whole number >= 1"):
        EnergyDiscrepancy(Precision(), sigma=1.0, n_noise=0)
    for w in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"datum_weight is {w}; expected a (finite )?number >= 0"):
            EnergyDiscrepancy(Precision(), sigma=1.0, datum_weight=w)
