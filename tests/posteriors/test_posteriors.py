"""Posterior families against enumeration, quadrature and finite differences.

Mutants tried, each red: log q without its normaliser, or with half of it; the standard deviation for its log;
the KL without its log, or with the variance for the deviation; the entropy without
its constant; ``sample`` relaxed, or with the sign turned;
the relaxation without its temperature; ``rsample`` detached; the bias left out of the exact logits.
"""

import math

import pytest
import torch
from scipy import stats
from torch import nn

from ebmlearn.energy import GRBM
from ebmlearn.evaluate.exact import Grid
from ebmlearn.posteriors import BernoulliPosterior, ExactPosterior, GaussianPosterior, joint_energies

B, D, M = 5, 3, 4


def rbm(m=M):
    weight, b, c = torch.randn(D, m), torch.randn(D), torch.randn(m)
    return GRBM.from_parameters(weight.double(), b.double(), c.double(), 0.7)


def gaussian(m=1):
    return GaussianPosterior(nn.Sequential(nn.Linear(D, 4), nn.Tanh(), nn.Linear(4, 2 * m)), m).double()


def bernoulli(m=M, temperature=0.1):
    return BernoulliPosterior(nn.Linear(D, m), m, temperature).double()


FAMILIES = {"Gaussian": lambda: gaussian(M), "Bernoulli": bernoulli, "exact": lambda: ExactPosterior(rbm())}


@pytest.fixture
def v():
    return torch.randn(B, D, dtype=torch.float64)


@pytest.fixture(params=FAMILIES)
def posterior(request):
    return FAMILIES[request.param]()


# normalisation


def test_a_gaussian_posterior_integrates_to_one(v):
    grid = Grid((-30, 30), n=3000, dim=1, dtype=torch.float64)
    h = grid.points[:, None].expand(-1, B, -1)
    total = gaussian(1).log_prob(h, v).exp().sum(0) * grid.volume
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("family", ["Bernoulli", "exact"])
def test_a_binary_posterior_sums_to_one_over_its_states(family, v):
    q = FAMILIES[family]()
    h = q.states(v)
    assert len(h) == 2**M and len({tuple(row.tolist()) for row in h[:, 0]}) == 2**M
    torch.testing.assert_close(q.weights(v).sum(0), torch.ones(B, dtype=torch.float64))


def test_the_exact_posterior_is_that_of_the_joint_energy(v):
    """Enumerated: p(h|v) is a softmax of -E(v, h), and its sum is the free energy."""
    model = rbm()
    q = ExactPosterior(model)
    table = -joint_energies(model.joint, v, q.states(v))
    torch.testing.assert_close(q.weights(v), table.softmax(0))
    torch.testing.assert_close(table.logsumexp(0), -model(v))


def test_the_exact_posterior_owns_nothing_and_follows_the_model(v):
    model = rbm()
    q = ExactPosterior(model)
    assert not list(q.parameters()) and not q.state_dict()
    before = q.weights(v)
    slopes = torch.autograd.grad(before[0].sum(), [model.weight, model.hidden_bias])
    assert all(s.abs().sum() > 0 for s in slopes)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.hidden_bias)
    torch.testing.assert_close(q.weights(v), torch.full_like(before, 2.0**-M))


def test_a_linear_bernoulli_posterior_contains_the_exact_one(v):
    model, q = rbm(), bernoulli()
    with torch.no_grad():
        q.net.weight.copy_(model.weight.T)
        q.net.bias.copy_(model.hidden_bias)
    torch.testing.assert_close(q.weights(v), ExactPosterior(model).weights(v))


def test_log_prob_of_fractional_draws_is_linear_between_the_states(v):
    q = bernoulli()
    low, high = torch.zeros(1, B, M).double(), torch.ones(1, B, M).double()
    middle = 0.3 * q.log_prob(high, v) + 0.7 * q.log_prob(low, v)
    torch.testing.assert_close(q.log_prob(0.3 * high, v), middle)


# draws


@pytest.mark.statistical
def test_gaussian_draws_follow_the_density(v, generator):
    q = gaussian(1)
    mean, log_std = q.net(v[:1])[0]
    for h in (q.rsample(v, 20_000, generator), q.sample(v, 20_000, generator)):
        z = (h[:, 0, 0].detach() - mean.item()) / math.exp(log_std.item())
        assert stats.kstest(z.numpy(), "norm").pvalue > 1e-6


@pytest.mark.statistical
@pytest.mark.parametrize("family", ["Bernoulli", "exact"])
def test_binary_draws_follow_the_weights(family, v, generator):
    q, n = FAMILIES[family](), 20_000
    h = q.sample(v, n, generator)[:, 0]
    states = q.states(v)[:, 0]
    counts = (h[:, None] == states).all(2).sum(0)
    assert counts.sum() == n  # zeros and ones, nothing else
    wanted = n * q.weights(v)[:, 0].detach()
    big = wanted > 5
    observed = torch.cat([counts[big], counts[~big].sum()[None]])
    wanted = torch.cat([wanted[big], wanted[~big].sum()[None]]).clamp_min(1e-9)
    statistic = ((observed - wanted).square() / wanted.clamp_min(1)).sum().item()
    assert stats.chi2.sf(statistic, len(wanted) - 1) > 1e-6


@pytest.mark.statistical
def test_relaxed_draws_follow_the_concrete_law(v, generator):
    """P(h < t) = P(logit u < temperature logit t - a), and logit u is logistic."""
    q = bernoulli(1, temperature=0.7)
    h = q.rsample(v, 20_000, generator)[:, 0, 0].detach()
    noise = 0.7 * h.logit() - q.logits(v)[0, 0].item()
    assert stats.kstest(noise.detach().numpy(), "logistic").pvalue > 1e-6


def test_relaxed_draws_come_near_to_binary_ones_as_the_temperature_falls(v):
    exact = bernoulli(temperature=0.5)
    cold = BernoulliPosterior(exact.net, M, temperature=1e-6)
    pairs = [q(v, 200, torch.Generator().manual_seed(3)) for q in (exact.sample, cold.rsample)]
    torch.testing.assert_close(*pairs)


def test_draws_without_a_graph_leave_none(posterior, v):
    assert not posterior.sample(v.requires_grad_(), 2).requires_grad
    assert posterior.sample(v, 2).shape == (2, B, M)
    assert posterior.rsample(v, 2).shape == (2, B, M) and posterior.rsample(v).requires_grad


def test_draws_of_one_datum_and_of_several_differ(posterior, v):
    h = posterior.rsample(v[:1].expand(B, -1), 3).flatten(0, 1)
    assert len(h.unique(dim=0)) == 3 * B


# gradients


@pytest.mark.parametrize("family", ["Gaussian", "Bernoulli"])
def test_gradients_by_parameters_v_and_h_are_those_of_finite_differences(family, v):
    """Of draws and of their log-probability, at fixed noise."""
    q = gaussian(2) if family == "Gaussian" else bernoulli(2, temperature=0.8)
    names = [k for k, _ in q.named_parameters()]

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.q = q

        def forward(self, v, h):
            draws = q.rsample(v, 2, torch.Generator().manual_seed(1))
            return draws, q.log_prob(h, v)

    def function(v, h, *parameters):
        values = {f"q.{k}": p for k, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(Both(), values, (v, h))

    h = torch.rand(2, B, 2, dtype=torch.float64, requires_grad=True)
    inputs = [p.detach().clone().requires_grad_() for p in q.parameters()]
    assert torch.autograd.gradcheck(function, (v.requires_grad_(), h, *inputs))


def test_a_uniform_of_zero_gives_no_nan(v, monkeypatch):
    q = bernoulli()
    monkeypatch.setattr(torch, "rand", lambda *shape, generator, **kinds: torch.zeros(*shape, **kinds))
    slope = torch.autograd.grad(q.rsample(v).sum(), q.net.weight)[0]
    assert slope.isfinite().all()


# the divergence


def test_the_entropy_and_the_deviation_are_those_of_quadrature(v):
    q, grid = gaussian(1), Grid((-30, 30), n=3000, dim=1, dtype=torch.float64)
    h = grid.points[:, None].expand(-1, B, -1)
    log_q = q.log_prob(h, v)
    mass = log_q.exp() * grid.volume
    torch.testing.assert_close(q.entropy(v), -(mass * log_q).sum(0))
    second = (mass * (h[:, :, 0] - q.mean(v)[:, 0]).square()).sum(0)
    torch.testing.assert_close(q.std(v)[:, 0], second.sqrt())
    assert gaussian(M).std(v).shape == (B, M) and gaussian(M).entropy(v).shape == (B,)


def test_the_kl_to_the_prior_is_that_of_quadrature(v):
    q, grid = gaussian(1), Grid((-30, 30), n=3000, dim=1, dtype=torch.float64)
    h = grid.points[:, None].expand(-1, B, -1)
    log_q = q.log_prob(h, v)
    log_p = -0.5 * h[..., 0].square() - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(q.kl(v), ((log_q - log_p) * log_q.exp()).sum(0) * grid.volume)
    sums = gaussian(3)
    one = [0.5 * (m**2 + (2 * s).exp() - 1) - s for m, s in zip(*sums.net(v).chunk(2, 1), strict=True)]
    torch.testing.assert_close(sums.kl(v), torch.stack(one).sum(1))
    torch.testing.assert_close(sums.mean(v), sums.net(v)[:, :3])


# joint energies and errors


def test_joint_energies_pair_every_draw_with_its_v(v):
    model, h = rbm(), torch.rand(2, B, M).double()
    table = joint_energies(model.joint, v, h)
    for n in range(2):
        torch.testing.assert_close(table[n], model.joint(v, h[n]))


def test_wrong_shapes_and_settings_are_refused(v):
    q, h = bernoulli(), torch.zeros(B, M).double()
    with pytest.raises(ValueError, match=r"\(5, 4\); expected \(n, 5, m\).*h\[None\]"):
        q.log_prob(h, v)
    with pytest.raises(ValueError, match=r"expected \(n, 5, m\)"):
        gaussian(M).log_prob(h, v)
    with pytest.raises(ValueError, match=r"expected \(n, 5, m\)"):
        joint_energies(rbm().joint, v, h)
    with pytest.raises(ValueError, match=r"the joint energy has shape \(5, 3\); expected \(5,\)"):
        joint_energies(lambda v, h: v, v, h[None])
    with pytest.raises(ValueError, match=r"the net returned shape \(5, 4\); expected \(5, 8\)"):
        GaussianPosterior(q.net, M).rsample(v)
    with pytest.raises(ValueError, match=r"the net returned shape \(5, 4\); expected \(5, 6\)"):
        BernoulliPosterior(q.net, 6).rsample(v)
    with pytest.raises(ValueError, match="latent_dim is 0"):
        GaussianPosterior(q.net, 0)
    with pytest.raises(ValueError, match=r"temperature is 0.0; expected a number > 0"):
        bernoulli(temperature=0.0)
