"""Diagnostics: steps against closed forms, R-hat and ESS against ArviZ and against theory."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from ebmlearn.diagnostics import (
    acceptance,
    autocorrelation,
    cross_correlation,
    displacement,
    energy_gap,
    ess,
    mean_energy,
    r_hat,
    squared_jump,
)
from ebmlearn.energy import Gaussian
from ebmlearn.sample import gibbs, mala, positions, run, ula
from ebmlearn.targets import eight_gaussians

N = 200_000


def standard(x):
    """Energy of N(0, 1) in every coordinate, any event shape."""
    return 0.5 * x.square().flatten(1).sum(1)


# -- of a step


@pytest.mark.statistical
def test_diagnostics_of_a_step():
    """On N(0, I) in 2-D the mean length of the gradient in equilibrium is √(π/2)."""
    x = torch.randn(N, 2)
    kernel = mala(standard, step_size=0.4)
    _, r = run(kernel, x, 5, keep=displacement)
    assert r.shape == (5,)
    assert abs(r[0].item() / 0.08 - math.sqrt(math.pi / 2)) < 5 * math.sqrt((2 - math.pi / 2) / N)
    _, energies = run(kernel, x, 5, keep=mean_energy)
    assert abs(energies[0].item() - 1) < 5 / math.sqrt(N)
    _, rate = run(kernel, x, 5, keep=acceptance)
    assert ((rate > 0.9) & (rate < 1)).all()


@pytest.mark.statistical
def test_acceptance_rate_is_the_share_of_moves():
    x = torch.randn(N, 2)
    y, rate = run(mala(standard, step_size=1.5), x, 1, keep=acceptance)
    moved = (x != y).any(1).double().mean().item()
    assert abs(moved - rate.item()) < 5 * 0.5 / math.sqrt(N)
    assert 0.3 < moved < 0.95


@pytest.mark.statistical
def test_squared_jump_of_langevin_dynamics_in_closed_form():
    """From N(0, I_d) a step of ULA jumps by -s²x/2 + sε, so E‖x' - x‖² = d (s⁴/4 + s²); an image counts d."""
    step, d = 0.8, 6
    mean = step**4 / 4 + step**2
    _, jump = run(ula(standard, step_size=step), torch.randn(N // 4, 1, 2, 3), 1, keep=squared_jump)
    assert jump.shape == (1,)
    assert abs(jump.item() / (d * mean) - 1) < 5 * math.sqrt(2 / (d * N // 4))


def test_squared_jump_counts_a_rejected_move_as_zero():
    """A mean over the proposals instead would be larger, and positive where every proposal is refused."""
    x = torch.randn(N, 2)
    y, jump = run(mala(standard, step_size=1.5), x, 1, keep=squared_jump)
    assert jump.item() == pytest.approx((y - x).square().sum(1).mean().item())
    _, rate = run(mala(standard, step_size=1.5, bounds=(50, 60)), x, 1, keep=squared_jump)
    assert rate.item() == 0


@pytest.mark.statistical
def test_squared_jump_of_gibbs_sampling_in_closed_form():
    """For unit variances and correlation ρ, x₁' = ρ x₂ + √(1-ρ²) ε and x₂' = ρ x₁' + √(1-ρ²) ε'.

    So E(x₁' - x₁)² = 2 - 2ρ² and E(x₂' - x₂)² = 2 - 2ρ².
    """
    target = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.6], [0.6, 1.0]]))
    _, jump = run(gibbs(target), target.sample(N), 1, keep=squared_jump)
    # the sum of two squares of variance 1.28; correlated at worst they have twice the standard error
    assert abs(jump.item() - 4 * (1 - 0.36)) < 5 * 2 * math.sqrt(2) * 1.28 / math.sqrt(N)


@pytest.mark.parametrize(
    ("keep", "match"),
    [
        (displacement, "without gradients has no displacement by them; use squared_jump"),
        (mean_energy, "does not compute the energy; keep positions and evaluate it there"),
        (acceptance, "an unadjusted kernel accepts every move"),
    ],
)
def test_a_kernel_that_lacks_the_quantity_is_refused(keep, match):
    kernel = gibbs(Gaussian(torch.zeros(2), torch.eye(2)))
    with pytest.raises(ValueError, match=match):
        run(kernel, torch.zeros(3, 2), 1, keep=keep)


def test_ula_has_no_acceptance_rate():
    with pytest.raises(ValueError, match="no acceptance rate; use mala"):
        run(ula(standard, step_size=0.4), torch.zeros(3, 2), 1, keep=acceptance)


def test_energy_gap_is_in_units_of_the_temperature():
    data, chains = torch.full((3, 1), 2.0), torch.full((5, 1), 1.0)
    assert energy_gap(standard, data, chains).item() == pytest.approx(1.5)
    assert energy_gap(standard, data, chains, temperature=0.5).item() == pytest.approx(3.0)
    with pytest.raises(ValueError, match="temperature is 0"):
        energy_gap(standard, data, chains, temperature=0.0)


# -- R-hat and effective sample size


def autoregression(rho, noise):
    """Stationary x_t = ρ x_{t-1} + √(1-ρ²) ε_t along the first axis."""
    x = noise.clone()
    for t in range(1, len(x)):
        x[t] = rho * x[t - 1] + math.sqrt(1 - rho**2) * noise[t]
    return x


def fixed_chains() -> dict[str, Tensor]:
    """Chains by formula, without a generator, so that the reference values below stay theirs."""

    def noise(n, b):
        # normal quantiles of a Weyl sequence, its order scrambled by squaring: uniform enough
        k = torch.arange(1, n * b + 1, dtype=torch.float64).view(n, b)
        return torch.special.ndtri((k * k * (math.sqrt(5) - 1) / 2).frac())

    ar = lambda rho, n, b: autoregression(rho, noise(n, b))  # noqa: E731
    return {
        "independent": noise(300, 4),
        "rho=0.5": ar(0.5, 300, 4),
        "rho=0.95": ar(0.95, 300, 4),
        "rho=-0.3": ar(-0.3, 300, 4),
        "rho=-0.7": ar(-0.7, 300, 4),
        "odd length": ar(0.7, 301, 3),
        "means differ": ar(0.5, 200, 4) + torch.arange(4, dtype=torch.float64),
        "scales differ": ar(0.5, 200, 4) * torch.tensor([1.0, 1.0, 1.0, 3.0], dtype=torch.float64),
        "drift": ar(0.5, 200, 4) + torch.linspace(0, 2, 200, dtype=torch.float64)[:, None],
        "Cauchy": torch.tan(math.pi * (torch.special.ndtr(ar(0.5, 250, 4)) - 0.5)),
        "ties": (2 * ar(0.8, 201, 4)).round(),
        "binary": (ar(0.8, 200, 4) > 0).double(),
        "mostly one": (ar(0.8, 200, 4) > -1.2).double(),
        "short": ar(0.5, 12, 2),
    }


# of ArviZ 0.23.4 on the chains above: rhat(method="rank"), ess(method="bulk"), ess(method="tail")
ARVIZ = {
    "independent": (0.9998367184, 1257.115499, 1064.263088),
    "rho=0.5": (1.006296225, 476.3276602, 788.7364326),
    "rho=0.95": (1.201640426, 14.89353274, 48.5565252),
    "rho=-0.3": (0.9987020553, 2695.319043, 1217.046414),
    "rho=-0.7": (1.003651736, 3695.017495, 998.8999799),
    "odd length": (1.007642012, 215.2214741, 364.4528132),
    "means differ": (1.628236245, 6.868439482, 45.89373346),
    "scales differ": (1.140794998, 289.0036601, 40.32029985),
    "drift": (1.144056439, 19.41834979, 300.0639991),
    "Cauchy": (1.011601888, 379.2814083, 633.0162785),
    "ties": (1.026799163, 115.1818694, 176.5822798),
    "binary": (1.010672281, 173.9446042, 173.9446042),
    "mostly one": (1.012591255, 235.580215, 235.580215),
    "short": (1.062939749, 19.75806486, 29.14285714),
}


@pytest.mark.parametrize("name", ARVIZ)
def test_r_hat_and_ess_agree_with_arviz(name):
    chains = fixed_chains()[name]
    values = [r_hat(chains).item(), ess(chains).item(), ess(chains, "tail").item()]
    assert values == pytest.approx(ARVIZ[name], rel=1e-8)


@pytest.mark.parametrize("kind", ["bulk", "tail"])
def test_coordinates_are_judged_each_by_itself(kind):
    chains = fixed_chains()
    first, second = chains["rho=0.5"], chains["rho=0.95"]
    image = torch.stack([first, second, second.exp(), 5 - first, first, second], 2).view(300, 4, 1, 2, 3)
    assert r_hat(image).shape == ess(image, kind).shape == (1, 2, 3)
    for function in (r_hat, partial(ess, kind=kind)):
        a, b = function(first).item(), function(second).item()
        values = function(image).flatten().tolist()
        assert values[:2] + values[4:] == pytest.approx([a, b, a, b], rel=1e-10)
        assert min(abs(a - b), abs(values[3] - values[2])) > 0.01


def test_ranks_do_not_see_a_monotone_transformation():
    chains = fixed_chains()["rho=0.5"]
    for same in (chains.exp(), chains.pow(3) - 7):
        assert ess(same).item() == pytest.approx(ess(chains).item(), rel=1e-9)
        assert ess(same, "tail").item() == pytest.approx(ess(chains, "tail").item(), rel=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9, -0.5])
def test_ess_of_an_autoregression_is_that_of_theory(rho, generator):
    """(1 - ρ)/(1 + ρ) of the values, by the sum of the geometric series.

    Scores of ranks of a Gaussian are the values themselves. Over 100 coordinates, each an experiment of its
    own, the mean of the estimate is within 3 %: missing Geyer's cut, it is off by far more.
    """
    chains = autoregression(rho, torch.randn(2000, 4, 100, generator=generator, dtype=torch.float64))
    expected = 8000 * (1 - rho) / (1 + rho)
    assert ess(chains).mean().item() == pytest.approx(expected, rel=0.03)
    assert ess(chains).std().item() < 0.15 * expected


@pytest.mark.statistical
def test_autocorrelation_of_an_autoregression_is_a_power(generator):
    chains = autoregression(0.8, torch.randn(5000, 20, 3, generator=generator, dtype=torch.float64))
    rho = autocorrelation(chains, 10)
    assert rho.shape == (10, 3) and rho.dtype == torch.float64
    assert (rho[0] == 1).all()
    # standard error about √(2 τ / N) with τ = 9
    error = math.sqrt(18 / 100_000)
    assert ((rho - 0.8 ** torch.arange(10)[:, None]).abs() < 5 * error).all()


def test_autocorrelation_by_hand():
    """Alternating 0, 1, 0, 1, 0, 1 twice: c₁ = -5/24, W = 3/10, V = W 5/6 = 1/4."""
    chains = (torch.arange(6.0) % 2)[:, None].expand(6, 2)
    expected = [1, 1 - (3 / 10 + 5 / 24) / (1 / 4), 1 - (3 / 10 - 4 / 24) / (1 / 4)]
    assert autocorrelation(chains, 3).tolist() == pytest.approx(expected)
    # one chain has no variance between chains
    assert autocorrelation(chains[:, :1], 3).tolist() == pytest.approx(expected)


def test_r_hat_sees_chains_in_different_modes_and_is_fooled_by_one():
    """MALA does not leave a mode of these eight Gaussians: neighbours are 15 standard deviations apart."""
    target = eight_gaussians(std=0.1)
    kernel = mala(target, step_size=0.1)
    spread = target.means.repeat(2, 1)
    _, chains = run(kernel, spread, 2000, keep=positions)
    assert (r_hat(chains) > 2).all()
    assert (ess(chains) < 40).all()
    _, chains = run(kernel, spread[:1].expand(16, 2), 2000, keep=positions)
    assert (r_hat(chains) < 1.01).all()
    assert (ess(chains) > 400).all()


def test_equal_distances_from_the_median_say_nothing():
    """Signs in turn have median 0 and distances 1: folded, R-hat is 0/0, and the other half of it counts."""
    signs = (2 * (torch.arange(20.0) % 2) - 1)[:, None].expand(20, 4)
    assert r_hat(signs).item() == pytest.approx(math.sqrt(0.9))


def test_one_chain_is_compared_with_itself(generator):
    chain = torch.randn(1000, 1, generator=generator)
    assert r_hat(chain).item() < 1.01
    assert r_hat(chain + torch.linspace(0, 3, 1000)[:, None]).item() > 1.1


CHAINS = torch.randn(10, 3, 2, generator=torch.Generator().manual_seed(0))
STUCK = torch.stack([CHAINS[..., 0], torch.arange(3.0).expand(10, 3)], 2)


@pytest.mark.parametrize(
    "function", [r_hat, ess, partial(ess, kind="tail"), partial(autocorrelation, n_lags=2)]
)
@pytest.mark.parametrize(
    ("chains", "match"),
    [
        (CHAINS[:3], r"shape \(3, 3, 2\); expected \(n_steps, B, \*event\) with n_steps >= 4"),
        (CHAINS[:, 0, 0], r"shape \(10,\); expected"),
        (CHAINS[:, :0], r"shape \(10, 0, 2\); expected"),
        (CHAINS / 0, "not finite; a chain has diverged"),
        (CHAINS.log(), "not finite"),
        (STUCK, "no chain moves in 1 of 2 coordinates"),
        (0 * CHAINS, "no chain moves in 2 of 2 coordinates.*lower step_size"),
    ],
)
def test_chains_that_cannot_be_judged_are_refused(function, chains, match):
    with pytest.raises(ValueError, match=match):
        function(chains)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="kind is 'mean'; expected 'bulk' or 'tail'"):
        ess(CHAINS, "mean")
    for n_lags in (0, 11):
        with pytest.raises(ValueError, match=f"n_lags is {n_lags}; expected 1 to 10"):
            autocorrelation(CHAINS, n_lags)
    rare = torch.zeros(100, 4)
    rare[7, 2] = -1
    with pytest.raises(ValueError, match="tails have no effective sample size; use kind='bulk'"):
        ess(rare, "tail")


# -- of two series


def test_cross_correlation_by_hand():
    """Centred, x is (1, -1, 2, -2) and y (0, 3, -3, 0): lag k pairs x_t with y_{t + k}."""
    x, y = torch.tensor([2.0, 0.0, 3.0, -1.0]), torch.tensor([5.0, 8.0, 2.0, 5.0])
    sums = {-2: 2 * 0 - 2 * 3, -1: -1 * 0 + 2 * 3 + 2 * 3, 0: -3 - 6, 1: 3 + 3, 2: -3}
    expected = torch.tensor(list(sums.values()), dtype=torch.float64) / math.sqrt(10 * 18)
    torch.testing.assert_close(cross_correlation(x, y, 3), expected)
    torch.testing.assert_close(cross_correlation(y, x, 3), expected.flip(0))


@pytest.mark.statistical
def test_at_positive_lags_the_first_series_leads(generator):
    """y repeats x three steps later: a peak of 1 at lag 3, and nothing elsewhere."""
    noise = torch.randn(20_003, generator=generator)
    x, y = noise[3:], noise[:-3]
    found = cross_correlation(x, y, 6)
    lags = torch.arange(-5, 6)
    assert found[lags == 3].item() == pytest.approx(1, abs=1e-3)
    assert (found[lags != 3].abs() < 5 / math.sqrt(len(x))).all()


def test_cross_correlation_of_a_learner_with_one_parameter(generator):
    """u ← φ u - η n and d = c u + n with φ = 1 - ηc: the sign turns between lags 0 and 1.

    This is the law of the energy gap d and of the excess steepness u of an energy with one parameter and
    converged chains; the gap's own autocorrelation is -(1-φ)/2 φ^(k-1).
    """
    n, eta, c = 40_000, 0.3, 1.0
    phi, noise = 1 - eta * c, torch.randn(n, generator=generator, dtype=torch.float64)
    u = torch.zeros(n, dtype=torch.float64)
    for t in range(1, n):
        u[t] = phi * u[t - 1] - eta * noise[t - 1]
    d = c * u + noise
    lags = torch.arange(-5, 6)
    size = math.sqrt((1 - phi) / 2)
    expected = torch.where(lags > 0, -size * phi ** (lags - 1.0), size * phi ** (-lags * 1.0))
    error = 5 * math.sqrt((1 + phi) / (1 - phi) / n)
    torch.testing.assert_close(cross_correlation(d, u, 6), expected.double(), atol=error, rtol=0)
    expected = torch.cat([torch.ones(1), -(1 - phi) / 2 * phi ** torch.arange(5.0)]).double()
    torch.testing.assert_close(autocorrelation(d[:, None], 6), expected, atol=error, rtol=0)
    torch.testing.assert_close(cross_correlation(d, d, 6)[5:], expected, atol=error, rtol=0)


@pytest.mark.parametrize(
    ("x", "y", "n_lags", "match"),
    [
        (CHAINS[:, 0, 0], CHAINS[:9, 0, 0], 2, r"shapes \(10,\) and \(9,\); expected \(n,\) for both"),
        (CHAINS[:, 0], CHAINS[:, 0], 2, r"shapes \(10, 2\)"),
        (CHAINS[:, 0, 0], CHAINS[:, 0, 0], 11, "n_lags is 11; expected 1 to 10"),
        (CHAINS[:, 0, 0], CHAINS[:, 0, 0], 0, "n_lags is 0"),
        (CHAINS[:, 0, 0], torch.full((10,), 0.1), 2, "constant or not finite"),
        (CHAINS[:, 0, 0] / 0, CHAINS[:, 0, 0], 2, "constant or not finite"),
    ],
)
def test_series_that_cannot_be_correlated_are_refused(x, y, n_lags, match):
    with pytest.raises(ValueError, match=match):
        cross_correlation(x, y, n_lags)
