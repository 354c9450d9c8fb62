"""Quadrature against closed forms; errors that bound; warnings; bad input."""

import math
import warnings

import pytest
import torch
from scipy import stats

from ebmlearn import targets
from ebmlearn.energy import DoubleWell, Gaussian, Ring, grad
from ebmlearn.evaluate.exact import (
    Grid,
    LeakWarning,
    best_temperature,
    expectation,
    fisher_divergence,
    kl,
    log_z,
    mode_weights,
    total_variation,
)


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gaussian_pair():
    p = Gaussian(torch.tensor([0.5, -0.2]), torch.tensor([[1.0, 0.5], [0.5, 0.7]]))
    q = Gaussian(torch.tensor([-0.3, 0.4]), torch.tensor([[0.6, -0.2], [-0.2, 1.1]]))
    return p, q, Grid((-9, 9))


def covariance(p):
    return p.factor @ p.factor.T


def gaussian_kl(p, q):
    s, t, d = covariance(p), covariance(q), p.mean - q.mean
    return 0.5 * (q.precision @ s).trace() - 1 + 0.5 * d @ q.precision @ d + 0.5 * (t.det() / s.det()).log()


def gaussian_fisher(p, q):
    a, d = q.precision - p.precision, p.mean - q.mean
    return 0.5 * ((a @ covariance(p) @ a).trace() + (q.precision @ d).square().sum())


def gaussian_1d(mean, std):
    return Gaussian(torch.tensor([mean]), torch.tensor([[std**2]]))


LOG_Z = {
    "gaussian": (lambda: gaussian_pair()[0], (-9, 9), 2),
    "gaussian 1-D": (lambda: gaussian_1d(0.3, 0.5), (-5, 5), 1),
    "double well": (lambda: DoubleWell(3.0, 1.2), (-8, 8), 2),
    "double well 1-D": (lambda: DoubleWell(3.0, 1.2, dim=1), (-4, 4), 1),
    "ring": (lambda: Ring(2.0, 0.3), (-5, 5), 2),
}


@pytest.mark.parametrize("case", LOG_Z)
def test_log_z_of_closed_forms(case):
    make, box, dim = LOG_Z[case]
    energy = make()
    value, error = log_z(energy, Grid(box, dim=dim))
    # the tip of the ring's cone at the origin is not smooth, hence its looser bound
    assert abs(value - energy.log_z.item()) < (1e-9 if case != "ring" else 1e-8)
    assert 0 <= error < 1e-6


@pytest.mark.parametrize("case", LOG_Z)
def test_the_error_of_log_z_bounds_the_true_one(case):
    make, box, dim = LOG_Z[case]
    energy = make()
    for n in range(12, 240, 6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LeakWarning)
            value, error = log_z(energy, Grid(box, n, dim=dim))
        assert abs(value - energy.log_z.item()) <= error + 1e-12, n


def test_kl_of_gaussians_both_ways_and_shifts_of_the_energy():
    p, q, grid = gaussian_pair()
    assert kl(p, q, grid).value == pytest.approx(gaussian_kl(p, q).item(), abs=1e-10)
    assert kl(q, p, grid).value == pytest.approx(gaussian_kl(q, p).item(), abs=1e-10)
    assert gaussian_kl(p, q) != gaussian_kl(q, p)
    shifted = kl(lambda x: p(x) + 700, lambda x: q(x) - 900, grid)
    assert shifted.value == pytest.approx(gaussian_kl(p, q).item(), abs=1e-9)
    assert abs(kl(p, p, grid).value) < 1e-14


def test_fisher_divergence_of_gaussians_has_the_half():
    p, q, grid = gaussian_pair()
    assert fisher_divergence(p, q, grid).value == pytest.approx(gaussian_fisher(p, q).item(), abs=1e-10)
    assert fisher_divergence(q, p, grid).value == pytest.approx(gaussian_fisher(q, p).item(), abs=1e-10)


def test_total_variation_of_two_gaussians():
    grid = Grid((-9, 9), 3000, dim=1)
    value, error = total_variation(gaussian_1d(-0.4, 0.8), gaussian_1d(0.7, 0.8), grid)
    assert value == pytest.approx(math.erf(1.1 / (2 * math.sqrt(2) * 0.8)), abs=2 * error)
    assert error < 1e-5


@pytest.mark.parametrize("measure", [kl, fisher_divergence, total_variation])
def test_the_error_of_a_divergence_bounds_the_true_one(measure):
    # Boxes from too small to ample, cells from coarse to fine. Total variation has a kink, so its error falls
    # slowly and irregularly: there twice the estimate is allowed.
    p, q, _ = gaussian_pair()
    if measure is total_variation:
        true, factor = measure(p, q, Grid((-9, 9), 2400)).value, 2
    else:
        true, factor = (gaussian_kl if measure is kl else gaussian_fisher)(p, q).item(), 1
    for half in (3.0, 4.0, 5.0, 9.0):
        for n in range(30, 180, 12):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LeakWarning)
                value, error = measure(p, q, Grid((-half, half), n))
            assert abs(value - true) <= factor * error + 1e-12, (half, n)


def test_best_temperature_of_gaussians_is_their_mean_energy():
    """KL(p ‖ q^(1/T)) = E_p[E_q] / T + (d/2) log T + const is least at T = (2/d) E_p[E_q]."""
    p, q, grid = gaussian_pair()
    d = p.mean - q.mean
    closed = 0.5 * ((q.precision @ covariance(p)).trace() + d @ q.precision @ d).item()
    value, error = best_temperature(p, q, grid)
    assert abs(value - closed) <= error < 1e-4
    best, *others = (kl(p, lambda x, t=t: q(x) / t, grid).value for t in (value, 0.99 * value, 1.01 * value))
    assert best < min(others)


def test_best_temperature_undoes_a_scale_whatever_the_constant():
    t4 = targets.four_weighted_gaussians()
    for scale in (0.1, 1.0, 300.0):
        # a flat energy asks for a box that holds it at temperature 1 too
        grid = Grid((-12, 12)) if scale < 1 else Grid(t4.box)
        found = best_temperature(t4, lambda x, scale=scale: scale * t4(x) + 700, grid)
        assert found.value == pytest.approx(scale, rel=1e-6)


def test_best_temperature_leaks_and_knows_its_error():
    """On a box that cuts p and the tempered q off, the error covers what is lost, and a warning says so."""
    p, q, grid = gaussian_pair()
    true = best_temperature(p, q, grid).value
    for half in (3.0, 4.0):
        with pytest.warns(LeakWarning, match="enlarge the box"):
            value, error = best_temperature(p, q, Grid((-half, half)))
        assert 1e-3 < abs(value - true) < error < 10 * abs(value - true)


@pytest.mark.parametrize("q", [lambda x: -x.square().sum(1), lambda x: 0 * x.sum(1)])
def test_an_energy_that_no_temperature_explains_is_refused(q):
    p = gaussian_pair()[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeakWarning)
        with pytest.raises(ValueError, match=r"q is not low where p has mass. Is its sign right\?"):
            best_temperature(p, q, Grid((-9, 9)))


def test_mode_weights_of_t4():
    t4 = targets.four_weighted_gaussians()
    value, error = mode_weights(t4, t4.means, Grid(t4.box))
    # a Voronoi cell loses the tail of its mode over each axis, and gets its neighbours'
    over = stats.norm.sf(1.5 / 0.4)
    stay = torch.tensor([(1 - over) ** 2, over * (1 - over), over**2, over * (1 - over)])
    expected = sum(w * stay.roll(i) for i, w in enumerate([0.4, 0.3, 0.2, 0.1]))
    assert ((value - expected).abs() <= error).all()
    assert (error < 1e-5).all()
    assert value.sum().item() == pytest.approx(1)


def test_mode_weights_share_ties():
    # an odd number of cells has a row of midpoints on the border of the two Voronoi cells
    normal = gaussian_1d(0.0, 1.0)
    value, _ = mode_weights(normal, torch.tensor([[-1.0], [1.0]]), Grid((-9, 9), 99, dim=1))
    torch.testing.assert_close(value, torch.tensor([0.5, 0.5]))


def test_expectations():
    p, _, grid = gaussian_pair()
    torch.testing.assert_close(expectation(lambda x: x, p, grid).value, p.mean)
    second = expectation(lambda x: (x - p.mean)[:, :, None] * (x - p.mean)[:, None], p, grid)
    assert second.error.shape == (2, 2)
    torch.testing.assert_close(second.value, covariance(p))
    # entropy, and E|∇E|² = E[∇²E]
    entropy = expectation(lambda x: -p.log_prob(x), p, grid).value.item()
    assert entropy == pytest.approx(1 + math.log(2 * math.pi) + 0.5 * covariance(p).det().log().item())
    slope = expectation(lambda x: grad(p, x)[1].square().sum(1), p, grid)
    assert slope.value.item() == pytest.approx(p.precision.trace().item(), abs=1e-9)


def test_energies_that_are_infinite_off_the_support():
    board = targets.checkerboard()
    wide = Gaussian(torch.zeros(2), 2 * torch.eye(2))
    grid = Grid((-10, 10))
    # each coordinate is uniform on [-4, 4], so E|x|² = 32/3; the midpoint rule is off by h² / 24 a coordinate
    closed = -math.log(32) + math.log(4 * math.pi) + 32 / 3 / 4
    value, error = kl(board, wide, grid)
    assert abs(value - closed) <= error < 2e-3
    assert kl(wide, board, grid) == (math.inf, 0.0)
    assert fisher_divergence(wide, board, grid).value == math.inf
    assert log_z(board, grid).value == pytest.approx(math.log(32), abs=1e-12)
    # values of f off the support do not count
    assert expectation(lambda x: board(x), board, grid).value.item() == 0
    assert expectation(lambda x: torch.where(board(x) > 0, torch.nan, 1.0), board, grid).value.item() == 1
    with pytest.raises(ValueError, match="NaN"):
        expectation(lambda x: torch.where(board(x) > 0, 1.0, torch.nan), board, grid)


def test_a_small_box_warns_and_a_large_one_does_not():
    normal = Gaussian(torch.zeros(2), torch.eye(2))
    kept = math.erf(2.5 / math.sqrt(2)) ** 2
    with pytest.warns(LeakWarning, match=r"about [23]\.\d+% of the mass lies outside the box \(-2.5, 2.5\)"):
        value, error = log_z(normal, Grid((-2.5, 2.5)))
    assert value == pytest.approx(normal.log_z.item() + math.log(kept), abs=1e-4)
    assert -math.log(kept) < error < -1.5 * math.log(kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log_z(normal, Grid((-4, 4)))
        kl(normal, lambda x: 0.4 * x.square().sum(1), Grid((-5, 5)))


@pytest.mark.parametrize("measure", [kl, total_variation])
def test_either_argument_can_leak(measure):
    normal, wide = (Gaussian(torch.zeros(2), v * torch.eye(2)) for v in (1.0, 9.0))
    for p, q in ((normal, wide), (wide, normal)):
        true = measure(p, q, Grid((-25, 25))).value
        with pytest.warns(LeakWarning, match="enlarge the box"):
            value, error = measure(p, q, Grid((-5, 5)))
        assert 0.01 < abs(value - true) <= error


def test_a_density_that_does_not_decay_has_an_infinite_error():
    with pytest.warns(LeakWarning, match="unknown mass"):
        value, error = log_z(lambda x: 0 * x.sum(1), Grid((-1, 1), 30))
    assert value == pytest.approx(math.log(4))
    assert error == math.inf


def test_a_float32_network_gets_float32_points_and_no_gradient():
    net = torch.nn.Sequential(
        torch.nn.Linear(2, 8), torch.nn.SiLU(), torch.nn.Linear(8, 1), torch.nn.Flatten(0)
    )
    net.to(torch.float32)
    grid = Grid((-9, 9), 150, dtype=torch.float32)
    p = Gaussian(torch.zeros(2), torch.eye(2))

    def energy(x):
        assert x.dtype == torch.float32
        return net(x) + 0.5 * x.square().sum(1)

    assert math.isfinite(kl(p.float(), energy, grid).value)
    assert math.isfinite(fisher_divergence(p.float(), energy, grid).value)
    assert all(w.grad is None for w in net.parameters())

    def without_graph(x):
        value = energy(x)
        assert not value.requires_grad
        return value

    log_z(without_graph, grid)


def test_grid_points_and_volume():
    grid = Grid((-1, 2), 6)
    assert grid.points.shape == (36, 2)
    assert grid.points[1].tolist() == [-0.75, -0.25]
    assert grid.volume == 0.25
    coarse = grid.coarse(grid.points)
    assert coarse.tolist() == [[-0.25, -0.25], [-0.25, 1.25], [1.25, -0.25], [1.25, 1.25]]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"box": 3.0}, "two numbers"),
        ({"box": ((-1, 1), (-1, 1))}, "two numbers"),
        ({"box": (1, -1)}, "low < high"),
        ({"box": (0, math.inf)}, "finite ends"),
        ({"box": (0, math.nan)}, "finite ends"),
        ({"box": (0, 1), "n": 100}, "multiple of 3"),
        ({"box": (0, 1), "n": 3}, "at least 6"),
        ({"box": (0, 1), "dim": 3}, "1 or 2 dimensions"),
    ],
)
def test_a_bad_grid_is_refused(arguments, match):
    with pytest.raises(ValueError, match=match):
        Grid(**arguments)


@pytest.mark.parametrize(
    ("energy", "match"),
    [
        (lambda x: torch.where(x[:, 0] > 0.9, torch.nan, 0.0), r"energy is nan at x = .* of 900 points"),
        (lambda x: -1 / (0 * x[:, 0]).abs(), "energy is -inf at x"),
        (lambda x: torch.full_like(x[:, 0], math.inf), "at every point"),
        (lambda x: x.sum(1, keepdim=True), "expected one number for each"),
        (gaussian_1d(0.0, 1.0), "event shape"),
    ],
)
def test_a_bad_energy_is_refused(energy, match):
    grid = Grid((-1, 1), 30)
    normal = Gaussian(torch.zeros(2), 0.01 * torch.eye(2))
    for call in (
        lambda: log_z(energy, grid),
        lambda: kl(normal, energy, grid),
        lambda: kl(energy, normal, grid),
        lambda: total_variation(normal, energy, grid),
        lambda: fisher_divergence(energy, normal, grid),
        lambda: mode_weights(energy, torch.zeros(1, 2), grid),
    ):
        with pytest.raises(ValueError, match=match):
            call()


def test_bad_functions_and_centers_are_refused():
    normal = Gaussian(torch.zeros(2), 0.01 * torch.eye(2))
    grid = Grid((-1, 1), 30)
    with pytest.raises(ValueError, match=r"shape \(\); expected \(B, \.\.\.\)"):
        expectation(lambda x: x.sum(), normal, grid)
    with pytest.raises(ValueError, match=r"shape \(2, 900\)"):
        expectation(lambda x: x.T, normal, grid)
    for centers in (torch.zeros(2), torch.zeros(4, 3)):
        with pytest.raises(ValueError, match=r"expected \(K, 2\)"):
            mode_weights(normal, centers, grid)


@pytest.mark.parametrize(("floor", "leaks"), [(45.0, False), (25.0, True)])
def test_a_rising_border_matters_only_above_rounding(floor, leaks):
    """A normal density and, far out, a plateau that rises outwards: of 1e-20 of the mass, and of 1e-11."""

    def energy(x):
        square = x.square().sum(1)
        return torch.minimum(0.5 * square, floor + 1 - 0.01 * square.sqrt())

    grid = Grid((-12, 12), n=150)
    if leaks:
        with pytest.warns(LeakWarning, match="an unknown mass"):
            log_z(energy, grid)
    else:
        estimate = log_z(energy, grid)
        assert estimate.value == pytest.approx(math.log(2 * math.pi), abs=1e-6) and estimate.error < 1e-3


def test_a_grid_says_what_it_is():
    assert repr(Grid((-4, 4), n=30)) == "Grid((-4.0, 4.0), n=30, dim=2)"


def test_a_grid_of_too_many_points_is_refused():
    with pytest.raises(ValueError, match=r"n = 30000 makes 900,000,000 points; expected at most 100,000,000"):
        Grid((-4, 4), n=30_000)
