"""The Gaussian-Bernoulli RBM against enumeration written anew, quadrature and its own samples."""

import itertools
import math

import pytest
import torch
from scipy import stats

from ebmlearn.energy import GRBM, grad
from ebmlearn.evaluate import exact
from ebmlearn.methods import ExactLikelihood
from ebmlearn.sample import gibbs, run
from ebmlearn.schedules import linear
from ebmlearn.train import fit

CONVENTIONS = list(itertools.product(["x", "x/std", "x/std**2"], [(0, 1), (-1, 1)]))


def random_rbm(d=3, m=5, scale=1.0, **settings):
    g = torch.Generator().manual_seed(7)

    def draw(*shape):
        return scale * torch.randn(*shape, generator=g, dtype=torch.float64)

    std = 0.6 + 0.8 * torch.rand(d, generator=g, dtype=torch.float64)
    return GRBM.from_parameters(draw(d, m), draw(d), draw(m), std, **settings)


def states(m, values=(0.0, 1.0)):
    return torch.tensor(list(itertools.product(values, repeat=m)), dtype=torch.float64)


def every_joint(rbm, x):
    """E(x, h) by loops over the formula, for each x and each of the 2ᵐ states: (2ᵐ, B)."""
    b, c, w, std = rbm.visible_bias, rbm.hidden_bias, rbm.weight, rbm.std
    h = states(w.shape[1])
    quadratic = sum((x[:, i] - b[i]) ** 2 / (2 * std[i] ** 2) for i in range(len(b)))
    return torch.stack([quadratic - (k * c).sum() - torch.einsum("bi,ij,j->b", x, w, k) for k in h])


def test_free_energy_sums_the_joint_over_the_hidden_states():
    rbm, x = random_rbm(), torch.randn(6, 3, dtype=torch.float64)
    joint = every_joint(rbm, x)
    torch.testing.assert_close(rbm(x), -(-joint).logsumexp(0))
    for k, h in enumerate(states(5)):
        torch.testing.assert_close(rbm.joint(x, h.expand(6, -1)), joint[k])
    torch.testing.assert_close(rbm.hidden_prob(x), (-joint).softmax(0).T @ states(5))


@pytest.mark.parametrize("m", [1, 2, 5, 8])
def test_log_z_is_the_sum_over_all_gaussians(m):
    """Each state is a Gaussian integral; torch.distributions does it, by the mean and height of its peak."""
    rbm = random_rbm(4, m)
    mean = rbm.visible_mean(states(m))
    peak = -rbm.joint(mean, states(m))
    log_z = peak + rbm.std.log().sum() + 2 * math.log(2 * math.pi)
    torch.testing.assert_close(rbm.log_z, log_z.logsumexp(0))


def test_log_z_is_the_integral():
    rbm = random_rbm(2, 3)
    found = exact.log_z(rbm, exact.Grid((-14, 14), n=300, dtype=torch.float64))
    assert rbm.log_z.item() == pytest.approx(found.value, abs=1e-9)


def test_log_z_of_float32_sums_in_float64():
    wide = random_rbm(8, 12)
    assert wide.float().log_z.dtype == torch.float32
    assert wide.log_z.item() == pytest.approx(wide.double().log_z.item(), abs=1e-5)


def test_the_gradient_of_log_z_is_right():
    def log_z(weight, b, c, log_std):
        rbm = GRBM(3, 4).double()
        parts = {"weight": weight, "visible_bias": b, "hidden_bias": c, "log_std": log_std}
        return torch.func.functional_call(LogZ(rbm), {f"rbm.{k}": v for k, v in parts.items()}, ())

    rbm = random_rbm(3, 4)
    inputs = [p.detach().requires_grad_() for p in (rbm.weight, rbm.visible_bias, rbm.hidden_bias)]
    assert torch.autograd.gradcheck(log_z, [*inputs, rbm.log_std.detach().requires_grad_()])


class LogZ(torch.nn.Module):
    def __init__(self, rbm):
        super().__init__()
        self.rbm = rbm

    def forward(self):
        return self.rbm.log_z


def test_without_weights_the_closed_form_has_the_value_and_the_gradient_of_enumeration():
    def at(weight):
        rbm = GRBM.from_parameters(
            torch.full((2, 3), weight), torch.tensor([1.0, -2.0]), torch.arange(3.0), 0.7
        ).double()
        rbm.log_z.backward()
        return rbm.log_z.item(), *[p.grad for p in rbm.parameters()]

    for zero, almost in zip(at(0.0), at(1e-9), strict=True):
        torch.testing.assert_close(zero, almost, atol=1e-7, rtol=0)


def test_many_hidden_units_are_refused_unless_they_are_independent():
    rbm = GRBM(2, 60)
    with pytest.raises(ValueError, match=r"2\^60 hidden states .* at most 24 .*ais"):
        _ = rbm.log_z
    with pytest.raises(ValueError, match="gibbs"):
        rbm.sample(3)
    base = rbm.tempered(0)
    assert base.log_z.item() == pytest.approx(math.log(2 * math.pi) + 60 * math.log(2), abs=1e-4)
    assert base.sample(5).shape == (5, 2)


def test_score_is_minus_the_slope():
    rbm, x = random_rbm(), torch.randn(9, 3, dtype=torch.float64)
    torch.testing.assert_close(rbm.score(x), -grad(rbm, x)[1])


def cells(x, edges):
    return torch.histogramdd(x, [edges, edges])[0].flatten()


def chi_square(rbm, x):
    """p-value of counts in cells, against the density integrated over each cell."""
    edges, fine = torch.linspace(-9, 9, 31, dtype=torch.float64), 10
    axis = (torch.arange(30 * fine, dtype=torch.float64) + 0.5) * 18 / (30 * fine) - 9
    with torch.no_grad():
        mass = rbm.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(30, fine, 30, fine)
    wanted = len(x) * mass.sum((1, 3)).flatten() * (18 / (30 * fine)) ** 2
    observed, big = cells(x, edges), wanted > 10
    observed = torch.cat([observed[big], (len(x) - observed[big].sum())[None]])
    wanted = torch.cat([wanted[big], (len(x) - wanted[big].sum())[None]])
    statistic = ((observed - wanted).square() / wanted.clamp_min(1)).sum().item()
    return stats.chi2.sf(statistic, len(wanted) - 1)


@pytest.mark.statistical
def test_samples_follow_the_density(generator):
    rbm = random_rbm(2, 3)
    assert chi_square(rbm, rbm.sample(100_000, generator)) > 1e-6


@pytest.mark.statistical
def test_gibbs_keeps_the_exact_law(generator):
    """Not the case if x given h had the wrong variance or mean, or h given x the wrong sign."""
    rbm = random_rbm(2, 3)
    x = run(gibbs(rbm, generator=generator), rbm.sample(100_000, generator), 5)
    assert chi_square(rbm, x) > 1e-6


@pytest.mark.statistical
def test_gibbs_reaches_the_exact_law_from_elsewhere(generator):
    rbm = random_rbm(2, 3, scale=0.6)
    x = run(gibbs(rbm, generator=generator), torch.full((50_000, 2), 5.0, dtype=torch.float64), 50)
    assert chi_square(rbm, x) > 1e-6


@pytest.mark.statistical
def test_the_conditionals_have_their_moments(generator):
    rbm, n = random_rbm(2, 3), 100_000
    x, h = torch.tensor([[0.4, -0.8]], dtype=torch.float64), torch.tensor([[1.0, 0, 1]], dtype=torch.float64)
    p = rbm.hidden_prob(x)
    z = (rbm.sample_hidden(x.expand(n, -1), generator).mean(0) - p) / (p * (1 - p) / n).sqrt()
    assert z.abs().max() < 5
    v = rbm.sample_visible(h.expand(n, -1), generator)
    mean = rbm.visible_bias + rbm.std**2 * (rbm.weight[:, 0] + rbm.weight[:, 2])
    assert ((v.mean(0) - mean) / (rbm.std / math.sqrt(n))).abs().max() < 5
    assert ((v.var(0) / rbm.std**2 - 1) * math.sqrt(n / 2)).abs().max() < 5


@pytest.mark.parametrize(("coupling", "hidden"), CONVENTIONS)
def test_a_convention_is_the_same_density_as_its_own_joint_energy(coupling, hidden):
    """The energy written out in that convention and summed over its own hidden states, up to a constant."""
    g = torch.Generator().manual_seed(2)
    w, b, c = (torch.randn(*s, generator=g, dtype=torch.float64) for s in [(3, 4), (3,), (4,)])
    std = torch.tensor([0.5, 1.0, 1.7], dtype=torch.float64)
    x = torch.randn(20, 3, generator=g, dtype=torch.float64)
    a = {"x": x, "x/std": x / std, "x/std**2": x / std**2}[coupling]
    h = states(4, hidden)
    joint = ((x - b) ** 2 / (2 * std**2)).sum(1)[:, None] - h @ c - a @ w @ h.T
    wanted = -(-joint).logsumexp(1)
    rbm = GRBM.from_parameters(w, b, c, std, coupling=coupling, hidden=hidden)
    difference = rbm(x) - wanted
    torch.testing.assert_close(difference, difference[0].expand(20))


@pytest.mark.parametrize(("coupling", "hidden"), CONVENTIONS)
def test_conventions_round_trip(coupling, hidden):
    rbm = random_rbm(learn_std=False)
    parts = rbm.parameters_in(coupling, hidden)
    again = GRBM.from_parameters(**parts, coupling=coupling, hidden=hidden, learn_std=False)
    for name, value in rbm.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)
    parts["visible_bias"].zero_()
    assert rbm.visible_bias.abs().sum() > 0  # what it gave away are copies


def test_tempering_ends_at_the_gaussian_and_at_the_model():
    rbm, x = random_rbm(), torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(rbm.tempered(1)(x), rbm(x))
    normal = torch.distributions.Normal(rbm.visible_bias, rbm.std)
    torch.testing.assert_close(rbm.tempered(0).log_prob(x), normal.log_prob(x).sum(1))
    half = GRBM.from_parameters(rbm.weight / 2, rbm.visible_bias, rbm.hidden_bias / 2, rbm.std)
    torch.testing.assert_close(rbm.tempered(0.5)(x), half(x))


def test_matching_moments_puts_the_model_where_the_data_are():
    x = torch.tensor([100.0, -3.0]) + torch.tensor([4.0, 0.01]) * torch.randn(5000, 2)
    rbm = GRBM(2, 6)
    z = (x - x.mean(0)) / x.std(0, correction=0)
    standard = GRBM.from_parameters(rbm.weight, torch.zeros(2), torch.zeros(6), 1.0)  # for standardised data
    assert rbm.match_moments(x) is rbm
    torch.testing.assert_close(rbm.std, x.std(0, correction=0))
    wanted = standard.log_prob(z) - rbm.std.log().sum()
    torch.testing.assert_close(rbm.log_prob(x), wanted, atol=0.01, rtol=0)
    torch.testing.assert_close(rbm.match_moments(x, std_scale=0.5).std, 0.5 * x.std(0, correction=0))
    torch.testing.assert_close(rbm.hidden_prob(x.mean(0, keepdim=True)), torch.full((1, 6), 0.5))


def test_exact_likelihood_recovers_a_model(generator):
    """Two Gaussians on a line, at -1.08 and 1.08, of weights 2 and 3: every parameter is learned."""
    c = math.log(1.5)
    true = GRBM.from_parameters(torch.tensor([[6.0]]), torch.tensor([-1.08]), torch.tensor([c]), 0.6)
    x = true.sample(20_000, generator)
    rbm = GRBM.from_parameters(torch.tensor([[3.0]]), torch.tensor([-0.5]), torch.zeros(1), 0.8)
    fit(
        ExactLikelihood(rbm, lambda net: net.log_z, lr=linear(0.15, 400)),
        lambda n: x[torch.randint(len(x), (n,))],
        steps=400,
        batch_size=1000,
        progress=False,
    )
    with torch.no_grad():
        assert abs((true.log_prob(x) - rbm.log_prob(x)).mean().item()) < 0.003
        ends = rbm.visible_mean(torch.tensor([[0.0], [1.0]])).flatten().sort().values
        torch.testing.assert_close(ends, torch.tensor([-1.08, 1.08]), atol=0.05, rtol=0)
    assert rbm.std.item() == pytest.approx(0.6, abs=0.02)


def test_a_fixed_std_is_no_parameter():
    rbm = GRBM(2, 3, std=0.5, learn_std=False)
    assert "log_std" not in dict(rbm.named_parameters()) and "log_std" in rbm.state_dict()
    assert "log_std" in dict(GRBM(2, 3).named_parameters())
    torch.testing.assert_close(rbm.std, torch.tensor([0.5, 0.5]))
    assert repr(rbm) == "GRBM(2, 3, learn_std=False)"


def test_a_generator_makes_draws_reproducible():
    rbm, x = random_rbm(), torch.zeros(4, 3, dtype=torch.float64)
    for draw in (lambda g: rbm.sample(7, g), lambda g: rbm.gibbs_sweep(x, g)):
        a, b = (draw(torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(a, b) and a.dtype == torch.float64 and not a.requires_grad


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRBM(0, 3), "n_visible is 0; expected a whole number >= 1"),
        (lambda: GRBM(2, 3, std=0.0), "std is 0.0; expected a number > 0, or a tensor of 2"),
        (lambda: GRBM(2, 3, std=torch.ones(3)), r"shape \(2,\)"),
        (lambda: GRBM(2, 3)(torch.zeros(4, 3)), r"x has shape \(4, 3\); expected \(B, 2\)"),
        (lambda: GRBM(4, 3)(torch.zeros(5, 2, 2)), "flatten"),
        (lambda: GRBM(2, 3).score(torch.zeros(2)), r"expected \(B, 2\)"),
        (
            lambda: GRBM(2, 3).match_moments(torch.ones(9, 2)),
            r"coordinates \[0, 1\] of the data are constant",
        ),
        (lambda: GRBM(2, 3).match_moments(torch.randn(9, 2), std_scale=0.0), "std_scale is 0.0"),
        (lambda: GRBM(2, 3).parameters_in("v"), "coupling is 'v'"),
        (lambda: GRBM(2, 3).parameters_in("x", (0, 2)), r"hidden \(0, 2\); expected"),
        (
            lambda: GRBM.from_parameters(torch.zeros(2, 3), torch.zeros(3), torch.zeros(3), 1.0),
            r"\(2, 3\), \(3,\), \(3,\); expected \(d, m\)",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
