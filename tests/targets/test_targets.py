"""Targets: mass 1 inside the box, samples that follow the density, scores, dtypes and errors."""

import math

import pytest
import torch
from scipy import stats

from ebmlearn import targets
from ebmlearn.energy import grad

ELSEWHERE = {"phrase_book", "mixed_table", "topic_corpus"}  # no densities in the plane: tests of their own
NAMES = [name for name in targets.__all__ if name not in ELSEWHERE]
# cells along an axis that the midpoint rule needs; the neck of the funnel is narrow and its box wide
CELLS = dict.fromkeys(NAMES, 300) | {"funnel": 1200}


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def midpoints(low, high, n):
    axis = low + (torch.arange(n) + 0.5) * (high - low) / n
    return torch.cartesian_prod(axis, axis), ((high - low) / n) ** 2


def mass(target, low, high, n):
    x, volume = midpoints(low, high, n)
    return volume * sum(target.log_prob(part).exp().sum() for part in x.split(4096))


@pytest.mark.parametrize("name", NAMES)
def test_mass_is_one_and_the_box_holds_it(name, float64):
    # a weight, a constant or a Jacobian that is off changes the mass, and so does a box that is too small
    target = getattr(targets, name)()
    assert abs(mass(target, *target.box, CELLS[name]) - 1).item() < 1e-9


@pytest.mark.parametrize("name", [n for n in NAMES if n != "checkerboard"])
def test_the_box_is_not_larger_than_needed(name, float64):
    target = getattr(targets, name)()
    low, high = target.box
    assert low == -high
    assert 1 - mass(target, 0.8 * low, 0.8 * high, CELLS[name]).item() > 5e-10


@pytest.mark.statistical
@pytest.mark.parametrize("name", NAMES)
def test_samples_follow_log_prob(name, generator):
    # Chi-square of a 30 x 30 histogram against the masses of its cells, each by 10 x 10 midpoints.
    target = getattr(targets, name)()
    low, high = target.box
    n = 100_000
    x = target.sample(n, generator)
    assert (x.abs() < high).all()
    fine, volume = midpoints(low, high, 300)
    density = torch.cat([target.log_prob(part).exp() for part in fine.split(4096)]).double()
    expected = n * volume * density.view(30, 10, 30, 10).sum((1, 3)).flatten()
    cell = ((x - low) / (high - low) * 30).long()
    observed = torch.bincount(30 * cell[:, 0] + cell[:, 1], minlength=900)
    rare = expected < 10
    assert observed[rare].sum() < expected[rare].sum() + 5 * expected[rare].sum().sqrt() + 5
    statistic = ((observed - expected).square() / expected)[~rare].sum()
    assert stats.chi2.sf(statistic.item(), int((~rare).sum()) - 1) > 1e-6


@pytest.mark.parametrize("name", [n for n in NAMES if n != "checkerboard"])
def test_score_is_the_slope_of_log_prob(name, float64, generator):
    target = getattr(targets, name)()
    x = target.sample(100, generator) + 0.1
    h = 1e-5
    step = h * torch.eye(2)
    slope = torch.stack([(target.log_prob(x + s) - target.log_prob(x - s)) / (2 * h) for s in step], 1)
    torch.testing.assert_close(target.score(x), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_sampler_is_reproducible_and_leaves_the_global_generator(name):
    target = getattr(targets, name)()
    before = torch.get_rng_state()
    x, y = (target.sample(50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(x, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(x, target.sample(50))


@pytest.mark.parametrize("name", NAMES)
def test_dtype_follows_the_buffers(name):
    target = getattr(targets, name)()
    for dtype in (torch.float32, torch.float64):
        target.to(dtype)
        x = target.sample(7)
        assert x.dtype == target.log_prob(x).dtype == target.score(x).dtype == dtype
        assert x.shape == target.score(x).shape == (7, 2)
        assert target.log_prob(x).shape == (7,)


@pytest.mark.parametrize("name", ["two_moons", "swiss_roll"])
def test_a_blurred_curve_has_enough_nodes(name, float64):
    make = getattr(targets, name)
    target = make()
    components = len(target.means)
    twice = make(nodes=components if name == "two_moons" else 2 * components)
    assert len(twice.means) == 2 * components
    x, _ = midpoints(*target.box, 60)
    difference = (target.log_prob(x) - twice.log_prob(x)).abs().max().item()
    assert difference < 1e-6


@pytest.mark.parametrize(
    ("name", "curve", "length"),
    [
        ("two_moons", lambda t: torch.stack([2 * t.cos() - 1, 2 * t.sin() - 0.5], 1), (0, math.pi)),
        ("swiss_roll", lambda t: t[:, None] * torch.stack([t.cos(), t.sin()], 1) / 5, (4.7124, 14.1372)),
    ],
)
def test_a_blurred_curve_is_uniform_in_its_parameter(name, curve, length, float64):
    target = getattr(targets, name)()
    start, stop = length
    t = start + (torch.arange(20_000) + 0.5) * (stop - start) / 20_000
    mean = curve(t)
    x = torch.tensor([[1.0, 0.3], [0.0, -2.5], [-0.5, 1.0], [2.0, 1.5]])
    dense = torch.cat([mean, -mean]) if name == "two_moons" else mean
    square = (x[:, None] - dense).square().sum(2)
    density = (-0.5 * square / 0.2**2).exp().mean(1) / (2 * math.pi * 0.2**2)
    torch.testing.assert_close(target.log_prob(x).exp(), density, rtol=1e-3, atol=1e-12)


def test_modes_are_where_they_are_said_to_be():
    eight = targets.eight_gaussians(radius=3.0, std=0.1).means
    torch.testing.assert_close(eight.norm(dim=1), torch.full((8,), 3.0))
    torch.testing.assert_close(eight[0], torch.tensor([3.0, 0.0]))
    torch.testing.assert_close(eight[:-1].roll(-1, 0)[0], torch.tensor([1.0, 1.0]) * 3 / math.sqrt(2))
    lattice = targets.twenty_five_gaussians().means
    assert {tuple(m) for m in lattice.tolist()} == {
        (2.0 * i, 2.0 * j) for i in range(-2, 3) for j in range(-2, 3)
    }
    four = targets.four_weighted_gaussians()
    assert four.means.tolist() == [[1.5, 1.5], [-1.5, 1.5], [-1.5, -1.5], [1.5, -1.5]]
    torch.testing.assert_close(four.weights, torch.tensor([0.4, 0.3, 0.2, 0.1]))


def test_rings_at_a_point_by_hand(float64):
    # one ring, so wide that the radii below 0 count
    x = torch.tensor([[0.3, 0.4]])
    radial = stats.norm.pdf(0.5, 1, 0.8) + stats.norm.pdf(-0.5, 1, 0.8)
    expected = torch.tensor([radial / (2 * math.pi * 0.5)])
    torch.testing.assert_close(targets.rings([1.0], std=0.8).log_prob(x).exp(), expected)


def test_pinwheel_without_twist_is_its_straight_mixture(float64):
    x = torch.tensor([[1.7, 0.2]])
    straight = targets.pinwheel(arms=1, twist=0.0).log_prob(x).exp().item()
    assert straight == pytest.approx(stats.norm.pdf(1.7, 2, 0.6) * stats.norm.pdf(0.2, 0, 0.1))
    # twisted, the same density stands where the point is turned to
    angle = torch.tensor(0.5 * math.hypot(1.7, 0.2) + math.atan2(0.2, 1.7))
    turned = math.hypot(1.7, 0.2) * torch.stack([angle.cos(), angle.sin()])[None]
    assert targets.pinwheel(arms=1).log_prob(turned).exp().item() == pytest.approx(straight)


def test_checkerboard_energy_and_score():
    board = targets.checkerboard()
    x = torch.tensor([[-3.0, -3.0], [-3.0, -1.0], [1.0, -3.0], [-1.0, -1.0], [5.0, 5.0], [-5.0, -3.0]])
    inf = math.inf
    assert board(x).tolist() == [0.0, inf, 0.0, 0.0, inf, inf]
    assert board.log_prob(x)[0].item() == pytest.approx(-math.log(32))
    assert grad(board, x)[1].abs().max() == 0
    assert board(torch.tensor([[math.nan, 0.0]])).isnan()


@pytest.mark.statistical
@pytest.mark.parametrize(("dim", "std"), [(2, 1.0), (10, 3.0)])
def test_funnel_is_normal_given_its_first_coordinate(dim, std, float64, generator):
    target = targets.funnel(dim, std)
    x = target.sample(50_000, generator)
    v, scaled = x[:, 0], x[:, 1:] * (-0.5 * x[:, :1]).exp()
    assert stats.kstest(v.numpy() / std, "norm").pvalue > 1e-6
    assert stats.kstest(scaled.flatten().numpy(), "norm").pvalue > 1e-6
    # a scale of the neck that is off: ‖x‖² e^-v would depend on v
    assert abs(torch.corrcoef(torch.stack([v, scaled.square().sum(1)]))[0, 1]).item() < 5 / math.sqrt(50_000)
    log_prob = stats.norm.logpdf(v, 0, std) + stats.norm.logpdf(x[:, 1:], 0, (0.5 * x[:, :1]).exp()).sum(1)
    torch.testing.assert_close(target.log_prob(x), torch.from_numpy(log_prob))


@pytest.mark.statistical
@pytest.mark.parametrize(("std", "bend"), [((1.0, 0.2), 0.24), ((2.0, 0.5), -0.3)])
def test_banana_is_a_gaussian_once_it_is_straightened(std, bend, float64, generator):
    """What turns it red: a bend of the other sign, or about another mean than ``x₁²`` has."""
    target, (a, b) = targets.banana(std, bend), std
    x = target.sample(50_000, generator)
    straight = x[:, 1] - bend * (x[:, 0].square() - a**2)
    assert stats.kstest(x[:, 0].numpy() / a, "norm").pvalue > 1e-6
    assert stats.kstest(straight.numpy() / b, "norm").pvalue > 1e-6
    assert abs(torch.corrcoef(torch.stack([x[:, 0].square(), straight]))[0, 1]).item() < 5 / math.sqrt(50_000)
    variance = b**2 + 2 * bend**2 * a**4
    assert abs(x[:, 1].mean().item()) < 5 * math.sqrt(variance / 50_000)
    log_prob = stats.norm.logpdf(x[:, 0], 0, a) + stats.norm.logpdf(straight, 0, b)
    torch.testing.assert_close(target.log_prob(x), torch.from_numpy(log_prob))


@pytest.mark.parametrize(("std", "bend"), [((1.0, 0.2), -0.24), ((0.5, 1.0), 0.1), ((0.1, 0.8), 0.0)])
def test_the_box_of_another_banana_holds_its_mass(std, bend, float64):
    """With arms that point down, with a bend so small that noise alone reaches the edge, and with none."""
    target = targets.banana(std, bend)
    low, high = target.box
    assert low == -high
    assert abs(mass(target, low, high, 300) - 1).item() < 1e-9
    assert 1 - mass(target, 0.8 * low, 0.8 * high, 300).item() > 5e-10


def test_what_the_banana_is_said_to_be():
    target = targets.banana()
    assert target.box[1] == pytest.approx(9.9, abs=0.05)
    assert math.sqrt(0.2**2 + 2 * 0.24**2) == pytest.approx(0.39, abs=0.005)


def test_weights_of_the_lattice_stay_with_their_means(generator):
    """By the first coordinate, then by the second; a sum of 1 is not asked for."""
    target = targets.twenty_five_gaussians(weights=torch.arange(1.0, 26))
    torch.testing.assert_close(target.weights, torch.arange(1.0, 26) / 325)
    assert target.means[1].tolist() == [-4.0, -2.0]
    share = (target.sample(20_000, generator) - torch.tensor([4.0, 4.0])).norm(dim=1).lt(1).float().mean()
    assert share.item() == pytest.approx(25 / 325, abs=5 * math.sqrt(0.077 * 0.923 / 20_000))


@pytest.mark.parametrize("correlation", [0.95, -0.5, 0.0])
def test_correlated_gaussian_has_its_correlations(correlation, float64):
    target = targets.correlated_gaussian(4, correlation)
    expected = [[1.0 if i == j else correlation ** abs(i - j) for i in range(4)] for j in range(4)]
    x = torch.randn(5, 4)
    log_prob = torch.from_numpy(stats.multivariate_normal(cov=expected).logpdf(x))
    torch.testing.assert_close(target.log_prob(x), log_prob)
    # neighbours only: this is what makes its precision cheap, and what equal correlations do not have
    assert target.precision[0, 2:].abs().max() < 1e-12


def test_widths_of_the_correlated_gaussian_are_as_said(float64):
    width = torch.linalg.eigvalsh(targets.correlated_gaussian().precision).sqrt()
    assert (width[-1] / width[0]).item() == pytest.approx(math.sqrt(1.95 / 0.05))
    width = torch.linalg.eigvalsh(targets.correlated_gaussian(200).precision).sqrt()
    assert 0.95 < (width[-1] / width[0]).item() / (1.95 / 0.05) < 1


@pytest.mark.parametrize("name", ["rings", "pinwheel"])
def test_radial_targets_have_finite_gradients_at_the_origin(name):
    assert getattr(targets, name)().score(torch.zeros(1, 2)).isfinite().all()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: targets.rings([]), "positive numbers, at least one"),
        (lambda: targets.rings([1.0, -2.0]), "radius is -2.0; expected a number > 0"),
        (lambda: targets.rings(std=0.0), "std is 0.0; expected a number > 0"),
        (lambda: targets.pinwheel(arms=0), "arms is 0; expected a whole number >= 1"),
        (lambda: targets.pinwheel(tangential_std=-0.1), "tangential_std is -0.1; expected a number > 0"),
        (lambda: targets.two_moons(nodes=0), "nodes is 0; expected a whole number >= 1"),
        (lambda: targets.swiss_roll(std=0.0), "std is 0.0; expected a number > 0"),
        (lambda: targets.eight_gaussians(std=-1.0), "std is -1.0; expected a number > 0"),
        (
            lambda: targets.twenty_five_gaussians(weights=torch.ones(24)),
            r"weights is a float32 tensor of shape \(24,\); expected 25 positive, finite numbers",
        ),
        (
            lambda: targets.twenty_five_gaussians(weights=-torch.ones(25)),
            "expected 25 positive, finite numbers",
        ),
        (lambda: targets.banana(std=0.5), "std is 0.5; expected two standard deviations, such as"),
        (lambda: targets.banana(std=(1.0, 0.0)), r"std\[1\] is 0.0; expected a number > 0"),
        (lambda: targets.banana(bend=math.nan), "bend is nan; expected a finite number"),
        (lambda: targets.funnel(dim=1), "dim is 1; expected a whole number >= 2"),
        (lambda: targets.funnel(std=0.0), "std is 0.0; expected a number > 0"),
        (lambda: targets.funnel(std=math.inf), "std is inf; expected a finite number > 0"),
        (lambda: targets.funnel(std=21.0), "std is 21.0; the scale of a funnel varies"),
        (lambda: targets.correlated_gaussian(dim=1), "dim is 1; expected a whole number >= 2"),
        (
            lambda: targets.correlated_gaussian(correlation=-1.0),
            r"correlation is -1.0; expected a number in \(-1, 1\)",
        ),
    ],
)
def test_bad_arguments_are_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()


def test_a_target_says_what_it_is():
    assert repr(targets.eight_gaussians()) == "GaussianMixture(event_shape=(2,), box=(-3.625, 3.625))"
    assert repr(targets.checkerboard()) == "Checkerboard(event_shape=(2,), box=(-5.0, 5.0))"


@pytest.mark.parametrize("name", NAMES)
def test_points_of_another_shape_do_not_broadcast(name):
    """Of shape (5, 1) they did, and the density of a point that nobody had given came back."""
    target = getattr(targets, name)()
    for x in (torch.zeros(5, 1), torch.zeros(5, 3), torch.zeros(2)):
        with pytest.raises(ValueError, match=r"x has shape \(.*\); expected \(B, 2\), as this"):
            target.log_prob(x)
