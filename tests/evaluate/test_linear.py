"""The linear-Gaussian model: against scikit-learn, Bayes' rule, torch's divergences, and chains that run.

Mutants tried, each red: N - 1 in `ppca`; its τ² the sum of eigenvalues; W without the square root; τ for τ²
in the posterior; a prior of precision 0; no noise, or s for s²/2, in `short_run`; the schedule read at 0
only; the start at the posterior's mean; KL with a sign of a log det off, or without the means.
"""

from itertools import pairwise

import pytest
import torch
from sklearn.decomposition import PCA

from ebmlearn.evaluate import linear
from ebmlearn.nets import MLPGenerator
from ebmlearn.sample import langevin


def model(n_data=6, n_latent=3, std=0.5):
    return linear.LinearGaussian(torch.randn(n_data, n_latent).double(), torch.randn(n_data).double(), std)


def data(n=200):
    """Correlated columns of different variance, with a mean."""
    return torch.randn(n, 7).double() @ torch.randn(7, 7).double() + 3


def log_likelihood(x, weight, bias, std):
    cov = weight @ weight.T + std**2 * torch.eye(len(bias)).double()
    return torch.distributions.MultivariateNormal(bias, cov).log_prob(x).mean()


def test_ppca_is_that_of_scikit_learn():
    """Which divides by N - 1, and maximum likelihood by N: a factor for the whole covariance."""
    x = data()
    found, theirs = linear.ppca(x, 3), PCA(3).fit(x.numpy())
    cov = linear.marginal(found).precision.inverse() * len(x) / (len(x) - 1)
    torch.testing.assert_close(cov, torch.from_numpy(theirs.get_covariance()))
    torch.testing.assert_close(found.bias, torch.from_numpy(theirs.mean_))


@pytest.mark.parametrize("std", [None, 1.2])
def test_ppca_is_a_maximum(std):
    x = data()
    best = linear.ppca(x, 3, std)
    parameters = [
        t.clone().requires_grad_() for t in (best.weight, best.bias, torch.tensor(best.std).double())
    ]
    value = log_likelihood(x, *parameters)
    slopes = torch.autograd.grad(value, parameters)
    for slope in slopes[: 3 if std is None else 2]:
        assert slope.abs().max() < 1e-6
    for _ in range(20):
        near = [p + 0.05 * torch.randn_like(p) for p in parameters[:2]]
        assert log_likelihood(x, *near, parameters[2]) < value


def test_directions_below_the_noise_get_no_weight():
    x = data()
    values = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))
    found = linear.ppca(x, 5, (0.5 * (values[-3] + values[-2])).sqrt().item())
    assert (found.weight.norm(dim=0) > 0).sum() == 2


def test_an_affine_generator_is_read_off():
    net = MLPGenerator(2, (1, 3, 2), (), std=0.7).requires_grad_(False)
    found = linear.from_generator(net)
    torch.testing.assert_close(found.weight.float(), net.net[0].weight)
    torch.testing.assert_close(found.bias.float(), net.net[0].bias)
    assert found.std == 0.7


def test_bayes_rule_holds():
    """log p(x|z) + log p(z) - log p(x) = log p(z|x), for any z."""
    m = model()
    x, z = torch.randn(5, 6).double(), torch.randn(5, 3).double()
    law = linear.posterior(m, x)
    normal = torch.distributions.MultivariateNormal
    given = normal(m.bias + z @ m.weight.T, 0.25 * torch.eye(6).double()).log_prob(x)
    prior = normal(torch.zeros(3).double(), torch.eye(3).double()).log_prob(z)
    marginal = linear.marginal(m).log_prob(x)
    torch.testing.assert_close(given + prior - marginal, normal(law.mean, law.cov).log_prob(z))
    torch.testing.assert_close(marginal, torch.stack([log_likelihood(one, *m) for one in x]))


@pytest.mark.statistical
@pytest.mark.parametrize(
    "settings",
    [
        {"step_size": 0.2},
        {"step_size": 0.2, "noise_scale": 0.0},
        {"step_size": lambda t: 0.3 / (1 + t), "noise_scale": lambda t: 0.1 * t},
    ],
)
def test_the_law_of_a_short_run_is_that_of_chains(settings):
    m, n = model(), 100_000
    x = torch.randn(1, 6).double()
    law = linear.short_run(m, x, n_steps=4, **settings)

    def energy(z):
        return (x - m.bias - z @ m.weight.T).square().sum(1) / (2 * m.std**2) + 0.5 * z.square().sum(1)

    z = langevin(energy, torch.randn(n, 3).double(), n_steps=4, **settings)
    white = (z - law.mean) @ torch.linalg.inv(torch.linalg.cholesky(law.cov)).T
    assert white.mean(0).norm() < 5 * (3 / n) ** 0.5
    assert (torch.cov(white.T) - torch.eye(3)).abs().max() < 5 * (2 / n) ** 0.5
    start = torch.randn(1, 3).double().requires_grad_()
    free = {**settings, "noise_scale": 0.0, "create_graph": True}
    end = langevin(energy, start, n_steps=4, **free)
    rows = [torch.autograd.grad(end[0, i], start, retain_graph=True)[0][0] for i in range(3)]
    torch.testing.assert_close(law.jacobian, torch.stack(rows))


def test_a_long_run_has_the_bias_of_ula():
    """The stationary covariance of step s on a precision P is (P - s² P²/4)⁻¹, its mean the posterior's."""
    m, x = model(), torch.randn(2, 6).double()
    p = m.precision()
    s = 1 / torch.linalg.eigvalsh(p).max().sqrt().item()
    law = linear.short_run(m, x, n_steps=2000, step_size=s)
    torch.testing.assert_close(law.cov, torch.linalg.inv(p - s**2 / 4 * p @ p))
    torch.testing.assert_close(law.mean, linear.posterior(m, x).mean)


def test_regression_on_the_exact_posterior_is_em():
    """The likelihood never falls, and rests at the maximum, from which no step leads away."""
    x = data()
    best = linear.ppca(x, 3)
    found = best._replace(weight=torch.randn(7, 3).double())
    values = []
    for _ in range(200):
        values.append(linear.marginal(found).log_prob(x).mean().item())
        found = linear.regress(found, x, linear.posterior(found, x))
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(values)) and values[0] < values[-1] - 1
    assert values[-1] == pytest.approx(linear.marginal(best).log_prob(x).mean().item(), abs=1e-6)


def test_regression_is_least_squares_on_draws_of_the_law():
    m, x = model(), torch.randn(2, 6).double()
    law = linear.short_run(m, x, n_steps=2, step_size=0.2)
    n = 50_000
    factor = torch.linalg.cholesky(law.cov)
    z = law.mean.repeat(n, 1) + torch.randn(2 * n, 3).double() @ factor.T
    drawn = torch.linalg.lstsq(z, (x - m.bias).repeat(n, 1)).solution.T
    found = linear.regress(m, x, law)
    assert (found.weight - drawn).abs().max() < 0.05 and found.weight.abs().max() > 0.3
    assert found.std == m.std and torch.equal(found.bias, m.bias)


def test_the_divergence_is_that_of_torch():
    normal, m = torch.distributions.MultivariateNormal, model()
    x = torch.randn(4, 6).double()
    p, q = linear.short_run(m, x, n_steps=3, step_size=0.2), linear.posterior(m, x)
    wanted = torch.distributions.kl_divergence(normal(p.mean, p.cov), normal(q.mean, q.cov))
    torch.testing.assert_close(linear.kl(p, q), wanted)
    assert linear.kl(q, q).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear.ppca(torch.randn(20, 4), 4), r"latent_dim is 4; expected 1 ... 3"),
        (lambda: linear.ppca(torch.randn(20, 2) @ torch.ones(2, 4), 2), "the likelihood has no maximum"),
        (lambda: linear.from_generator(MLPGenerator(2, (3,), (8,))), "is not affine"),
        (
            lambda: linear.short_run(model(), torch.zeros(1, 6), n_steps=1, step_size=0.0),
            "step_size is 0.0",
        ),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
