"""Annealed importance sampling against enumeration, quadrature and closed forms."""

import math
from functools import partial

import pytest
import torch

from ebmlearn.energy import GRBM, Gaussian, GaussianMixture
from ebmlearn.evaluate import ais, exact
from ebmlearn.sample import gibbs, hmc, mala, ula


def random_rbm(scale, d=20, m=15):
    g = torch.Generator().manual_seed(4)
    weight, b, c = (torch.randn(*s, generator=g) for s in [(d, m), (d,), (m,)])
    return GRBM.from_parameters(scale * weight, b, c, 1.0)


def double_well(x):
    """E = (x² - 1)² + x/2 in each coordinate: no closed form for log Z, but quadrature in one dimension."""
    return ((x.square() - 1).square() + 0.5 * x).sum(1)


def wide_gaussian(d):
    return Gaussian(torch.zeros(d, dtype=torch.float64), 2.25 * torch.eye(d, dtype=torch.float64))


@pytest.mark.statistical
def test_both_directions_meet_enumeration(generator):
    """A GRBM of 20 and 15 units; a weight of the wrong sign would be off by hundreds of nats."""
    rbm = random_rbm(0.5)
    kernel = partial(gibbs, generator=generator)
    below = ais.forward(rbm.tempered, kernel, n_chains=500, betas=400, generator=generator)
    above = ais.reverse(rbm.tempered, kernel, rbm.sample(500, generator), betas=400)
    for found in (below, above):
        assert abs(found.log_z - rbm.log_z.item()) < 0.05
        assert abs(found.log_z - rbm.log_z.item()) < 5 * found.error
        assert 100 < found.ess < 500
        assert found.x.shape == (500, 20)


@pytest.mark.statistical
def test_forward_errs_down_and_reverse_up(generator):
    """Z and 1/Z of single chains are unbiased; over 600 runs of 5 chains the mean log Z is low, or high."""
    rbm, n = random_rbm(1.0, 4, 4), 3000
    kernel = partial(gibbs, generator=generator)
    below = ais.forward(rbm.tempered, kernel, n_chains=n, betas=5, generator=generator)
    above = ais.reverse(rbm.tempered, kernel, rbm.sample(n, generator), betas=5)
    low, high = (found.log_weights - rbm.log_z.item() for found in (below, above))

    def z(values, wanted):
        return ((values.mean() - wanted) / (values.std() / math.sqrt(len(values)))).item()

    assert abs(z(low.exp(), 1)) < 5
    assert abs(z((-high).exp(), 1)) < 5
    assert z(low.reshape(600, 5).logsumexp(1) - math.log(5), 0) < -5
    assert z(math.log(5) - (-high).reshape(600, 5).logsumexp(1), 0) > 5
    assert below.log_z == pytest.approx((below.log_weights.logsumexp(0) - math.log(n)).item())
    assert above.log_z == pytest.approx((math.log(n) - (-above.log_weights).logsumexp(0)).item())


def test_a_hard_model_shows_in_the_ess(generator):
    """Weights of N(0, 1.5²) and few temperatures: off by over a nat, and the result says so."""
    rbm = random_rbm(1.5)
    kernel = partial(gibbs, generator=generator)
    with pytest.warns(ais.LowESSWarning, match=r"only [\d.]+ of 200 chains"):
        below = ais.forward(rbm.tempered, kernel, n_chains=200, betas=30, generator=generator)
    with pytest.warns(ais.LowESSWarning):
        above = ais.reverse(rbm.tempered, kernel, rbm.sample(200, generator), betas=30)
    assert below.log_z < rbm.log_z.item() - 1 and below.ess < 10
    assert above.log_z > rbm.log_z.item() + 1 and above.ess < 10


@pytest.mark.statistical
@pytest.mark.parametrize(
    "kernel",
    [partial(hmc, step_size=0.2, n_leapfrog=5), partial(mala, step_size=0.5)],
    ids=["hmc", "mala"],
)
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_the_geometric_path_meets_quadrature(kernel, direction, generator):
    """Four independent double wells, whose log Z is four times that of one; more values of β near 0."""
    d, betas = 4, torch.linspace(0, 1, 121, dtype=torch.float64) ** 2
    one = exact.log_z(double_well, exact.Grid((-4, 4), n=600, dim=1, dtype=torch.float64)).value
    path = ais.geometric(wide_gaussian(d), double_well)
    kernel = partial(kernel, generator=generator)
    if direction == "forward":
        found = ais.forward(path, kernel, n_chains=1000, betas=betas, generator=generator)
    else:
        axis = torch.linspace(-4, 4, 8001, dtype=torch.float64)
        mass = (-double_well(axis[:, None])).exp()
        x = axis[torch.multinomial(mass, 1000 * d, replacement=True, generator=generator)].reshape(1000, d)
        found = ais.reverse(path, kernel, x, betas=betas)
    assert found.error < 0.05
    assert abs(found.log_z - d * one) < 5 * found.error


@pytest.mark.statistical
def test_images_work_as_vectors_do(generator):
    base = Gaussian(torch.zeros(1, 2, 2), torch.eye(4))
    path = ais.geometric(base, lambda x: 2 * x.square().flatten(1).sum(1))
    kernel = partial(hmc, step_size=0.3, n_leapfrog=3, generator=generator)
    found = ais.forward(path, kernel, n_chains=500, betas=20, generator=generator)
    assert found.x.shape == (500, 1, 2, 2)
    assert abs(found.log_z - 2 * math.log(math.pi / 2)) < 5 * found.error


@pytest.mark.statistical
def test_one_step_without_moves_is_importance_sampling(generator):
    base, model = wide_gaussian(1), Gaussian(torch.ones(1).double(), 0.5 * torch.eye(1).double())
    found = ais.forward(
        ais.geometric(base, model), gibbs, n_chains=4000, betas=1, n_steps=0, generator=generator
    )
    x = base.sample(4000, torch.Generator().manual_seed(torch.initial_seed()))
    log_w = -model(x) - base.log_prob(x)
    torch.testing.assert_close(found.log_weights, log_w)
    assert torch.equal(found.x, x)
    assert found.log_z == pytest.approx((log_w.exp().mean().log()).item())
    weight = log_w.exp()
    assert found.error == pytest.approx((weight.std() / weight.mean() / math.sqrt(4000)).item())
    assert found.ess == pytest.approx((weight.sum() ** 2 / weight.square().sum()).item())
    assert abs(found.log_z - model.log_z.item()) < 5 * found.error


@pytest.mark.statistical
def test_the_error_is_the_spread_of_independent_runs(generator):
    rbm = random_rbm(0.4, 4, 4)
    kernel = partial(gibbs, generator=generator)
    many = [ais.forward(rbm.tempered, kernel, n_chains=100, betas=8, generator=generator) for _ in range(200)]
    spread = torch.tensor([m.log_z for m in many]).std().item()
    error = sum(m.error for m in many) / 200
    assert abs(spread / error - 1) < 5 / math.sqrt(2 * 200)


def test_a_single_chain_has_an_estimate_without_an_error(generator):
    rbm = random_rbm(0.3, 3, 3)
    with pytest.warns(ais.LowESSWarning):
        found = ais.forward(rbm.tempered, gibbs, n_chains=1, betas=50, generator=generator)
    assert found.error == math.inf and found.ess == 1
    assert found.log_z == found.log_weights.item()


def test_a_mode_that_no_chain_finds_does_not_lower_the_ess(generator):
    """The limit of the method: half of the mass is missing, and error and ess look perfect."""
    model = GaussianMixture(torch.tensor([[0.0], [40.0]], dtype=torch.float64), 1.0)
    base = Gaussian(torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64))
    kernel = partial(hmc, step_size=0.5, n_leapfrog=3, generator=generator)
    found = ais.forward(ais.geometric(base, model), kernel, n_chains=200, betas=20, generator=generator)
    assert found.ess > 199 and found.error < 0.01
    assert found.log_z == pytest.approx(math.log(0.5), abs=0.01)


def test_the_ends_of_the_path_are_what_was_given():
    base = wide_gaussian(2)
    path = ais.geometric(base, double_well)
    x = torch.randn(4, 2, dtype=torch.float64)
    assert path(0) is base and path(1) is double_well
    torch.testing.assert_close(path(0.3)(x), 0.7 * base(x) + 0.3 * double_well(x))


def test_temperatures_are_walked_in_order():
    seen = []

    def path(beta):
        seen.append(beta)
        return wide_gaussian(1)

    betas = torch.tensor([0.0, 0.1, 1.0])
    kernel = partial(hmc, step_size=0.5, n_leapfrog=1)
    found = ais.forward(path, kernel, n_chains=20, betas=betas)
    assert seen[-3:] == pytest.approx([0, 0.1, 1])
    ais.reverse(path, kernel, found.x, betas=betas)
    assert seen[-3:] == pytest.approx([1, 0.1, 0])
    ais.forward(path, kernel, n_chains=20, betas=4)
    assert seen[-5:] == [0, 0.25, 0.5, 0.75, 1]
    assert found.log_z == pytest.approx(wide_gaussian(1).log_z.item()) and found.ess == pytest.approx(20)


def test_no_graph_is_kept():
    rbm = GRBM(2, 3)
    x = rbm.sample(20).requires_grad_()
    found = ais.reverse(rbm.tempered, partial(mala, step_size=0.1), x, betas=3)
    assert not found.log_weights.requires_grad and not found.x.requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_chains": 0, "betas": 3}, "n_chains is 0"),
        ({"n_chains": 20, "betas": 0}, "betas is 0"),
        ({"n_chains": 20, "betas": torch.tensor([0.0, 0.5])}, "the first 0, the last 1"),
        ({"n_chains": 20, "betas": torch.tensor([0.1, 1.0])}, "the first 0, the last 1"),
        ({"n_chains": 20, "betas": torch.tensor([0.0, 0.7, 0.7, 1.0])}, "increasing"),
        ({"n_chains": 20, "betas": torch.tensor([1.0])}, "increasing"),
        ({"n_chains": 20, "betas": torch.tensor([[0.0, 1.0]])}, "increasing"),
        ({"n_chains": 20, "betas": 3, "n_steps": -1}, "n_steps"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ais.forward(GRBM(2, 2).tempered, gibbs, **settings)


def test_reverse_needs_samples():
    with pytest.raises(ValueError, match=r"x has shape \(0, 2\)"):
        ais.reverse(GRBM(2, 2).tempered, gibbs, torch.zeros(0, 2), betas=3)


def test_a_base_without_log_z_is_refused():
    with pytest.raises(TypeError, match=r"path\(0\) is a function; expected an ExactEnergy"):
        ais.forward(lambda beta: double_well, gibbs, n_chains=2, betas=3)


def test_weights_that_are_not_finite_are_refused(generator):
    def half_line(x):
        return torch.where(x[:, 0] > 0, 0.5 * x.square().sum(1), torch.inf)

    kernel, path = partial(ula, step_size=0.1), ais.geometric(wide_gaussian(1), half_line)
    with pytest.raises(FloatingPointError, match=r"\d+ of 50 weights are not finite.*base"):
        ais.forward(path, kernel, n_chains=50, betas=1, n_steps=0, generator=generator)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (partial(ula, step_size=0.9), r"Kernel\(ula, .*\) is not exact.*Use mala, hmc or gibbs"),
        (partial(mala, step_size=0.5, noise_scale=0.6), r"samples exp\(-E/T\); expected temperature 1"),
        (partial(hmc, step_size=0.5, n_leapfrog=2, temperature=2.0), "expected temperature 1"),
    ],
)
def test_a_kernel_of_another_law_is_refused(kernel, message):
    """With ula at .9, log Z of 2|x|² was -.911 ± .007 in place of .452, its effective sample large."""
    base = Gaussian(torch.zeros(2), torch.eye(2))
    path = ais.geometric(base, lambda x: 2 * x.square().sum(1))
    with pytest.raises(ValueError, match=message):
        ais.forward(path, kernel, n_chains=10, betas=5)
    with pytest.raises(ValueError, match=message):
        ais.reverse(path, kernel, base.sample(10), betas=5)
    found = ais.forward(path, kernel, n_chains=10_000, betas=200, n_steps=0)  # no kernel is used
    assert abs(found.log_z - math.log(math.pi / 2)) < 5 * found.error
