"""Bi-level score matching against a model whose posterior, score and gradient are known by enumeration.

Mutants tried, each red: v not detached where h is drawn; log q left out of the energy, or detached; h drawn
without a graph; the unrolled posterior replaced by the present one; the upper loss backpropagated into the
posterior; the lower objective at the data in place of the noisy data; φ_N kept; its sign turned.
"""

import math
from functools import partial

import pytest
import torch
from methods import recorder
from torch import nn

from ebmlearn import seed
from ebmlearn.energy import GRBM, grad
from ebmlearn.methods import BiSM
from ebmlearn.objectives import (
    denoising_score_matching,
    multiscale_denoising,
    posterior_fisher,
    sliced_score_matching,
    vages,
    variational_energy,
    variational_free_energy,
    visited,
)
from ebmlearn.posteriors import BernoulliPosterior, ExactPosterior, GaussianPosterior, Posterior
from ebmlearn.unroll import adam, at, sgd, unroll

M, SIGMA = 3, 0.4


class Smooth(nn.Module):
    """A joint energy without structure: ``h`` is continuous and its posterior no known family."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1, bias=False))

    def joint(self, v, h):
        x = torch.cat([v, h], 1)
        return self.net(x)[:, 0] + 0.5 * x.square().sum(1)


def rbm():
    g = torch.Generator().manual_seed(5)
    draw = partial(torch.randn, generator=g, dtype=torch.float64)
    return GRBM.from_parameters(draw(2, M), draw(2), draw(M), torch.tensor([0.7, 1.1]).double())


def posterior_of(model, off=0.0):
    """The family that contains the true posterior, at it or at a distance."""
    q = BernoulliPosterior(nn.Linear(2, M), M).double()
    g = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for p, value in zip(q.net.parameters(), (model.weight.T, model.hidden_bias), strict=True):
            p.copy_(value + off * torch.randn(value.shape, generator=g, dtype=torch.float64))
    return q


class Always(Posterior):
    """A posterior of binary units that always draws the k-th of their states."""

    def __init__(self, q, k):
        super().__init__(q.latent_dim)
        self.q, self.k = q, k

    def rsample(self, v, n=1, generator=None):
        return self.q.states(v)[self.k : self.k + 1]

    def log_prob(self, h, v):
        return self.q.log_prob(h, v)


class EnergyOnly(BiSM):
    """Of a step the upper level alone: the posterior stays where it is."""

    def update(self, name, loss):
        if name == "energy":
            super().update(name, loss)


class Watched(BiSM):
    """Notes the posterior's gradients before each update, and what the lower level leaves in the energy's."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.seen, self.spilt = [], []

    def update(self, name, loss):
        grads = [p.grad for p in self.posterior.parameters()]
        self.seen.append([None if g is None else g.clone() for g in grads])
        super().update(name, loss)
        if name == "posterior":
            self.spilt += [p.grad for p in self.energy.parameters()]


def dsm(energy, x):
    """Denoising of one datum, with the same noise each time."""
    generator = torch.Generator().manual_seed(round(3 * x[0, 0].item()))
    return denoising_score_matching(energy, x, SIGMA, generator=generator)


@pytest.fixture
def x():
    """Data whose first number tells the seed of their noise."""
    out = torch.randn(6, 2, dtype=torch.float64)
    out[:, 0] = torch.arange(6) / 3
    return out


def upper(joint, q, x):
    """The upper objective with its expectation over ``h`` as a sum, one datum at a time."""
    total = 0.0
    for datum in x.split(1):
        weights = q.weights(visited(dsm, datum))[:, 0]
        for k, weight in enumerate(weights):
            total = total + weight * dsm(variational_energy(joint, Always(q, k)), datum)
    return total / len(x)


def lower(joint, q, x):
    v = torch.cat([visited(dsm, datum) for datum in x.split(1)])
    return variational_free_energy(joint, q, v, n_samples=None)


def exact_gradient(model, x):
    return gradient(sum(dsm(model, datum) for datum in x.split(1)) / len(x), model)


def gradient(loss, model):
    return flat(torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True))


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors])


def by_phi(g):
    """Of the derivatives by all parameters those by W and c, which φ* copies, in the order of φ."""
    w, _, c, _ = g.split([2 * M, 2, M, 2])
    return torch.cat([w.view(2, M).T.flatten(), c])


def relative(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


# the energy of the upper level


def test_at_the_true_posterior_the_energy_is_the_free_energy_for_every_h(x):
    model = rbm()
    q = ExactPosterior(model)
    for k in range(2**M):
        energy, slope = grad(variational_energy(model.joint, Always(q, k)), x)
        torch.testing.assert_close(energy, model(x).detach())
        torch.testing.assert_close(slope, -model.score(x).detach())


def test_h_is_held_fixed_where_the_energy_is_differentiated(x):
    """Drawn at v without v's graph: else how h moves with v would pass for a part of the slope."""
    model, q = Smooth().double(), GaussianPosterior(nn.Linear(2, 2), 1).double()
    seed(1)
    h = q.sample(x)[0]
    _, wanted = grad(lambda v: model.joint(v, h) + q.log_prob(h[None], v)[0], x)
    seed(1)
    _, found = grad(variational_energy(model.joint, q), x)
    torch.testing.assert_close(found, wanted)
    seed(1)
    leaky = grad(lambda v: model.joint(v, h := q.rsample(v)[0]) + q.log_prob(h[None], v)[0], x)[1]
    assert (leaky - wanted).norm() > 0.1 * wanted.norm()


def test_relaxed_h_is_held_fixed_too(x):
    """Off the true posterior; at it a leak would do no harm, since no h matters there."""
    model = rbm()
    q = posterior_of(model, off=0.5)
    seed(1)
    h = q.rsample(x).detach()[0]
    _, wanted = grad(lambda v: model.joint(v, h) + q.log_prob(h[None], v)[0], x)
    seed(1)
    torch.testing.assert_close(grad(variational_energy(model.joint, q), x)[1], wanted)


def test_the_energy_has_gradients_by_the_posterior_through_log_q_and_through_h(x):
    model, q = Smooth().double(), GaussianPosterior(nn.Linear(2, 2), 1).double()
    seed(1)
    noise = torch.empty(1, len(x), 1, dtype=torch.float64).normal_()[0]

    def written_out(v):
        mean, log_std = q.net(v.detach()).chunk(2, 1)
        h = mean + log_std.exp() * noise
        return model.joint(v, h) + q.log_prob(h[None], v)[0]

    seed(1)
    energy = variational_energy(model.joint, q)(x)
    found, wanted = (torch.autograd.grad(e.sum(), q.net.weight)[0] for e in (energy, written_out(x)))
    torch.testing.assert_close(found, wanted)


# the hypergradient


def test_with_the_exact_inner_solution_the_hypergradient_is_the_exact_gradient(x):
    """φ*(θ) = (W, c) as a function of θ: by enumeration over h, and by relaxed draws, which do not matter."""
    model = rbm()
    q = ExactPosterior(model)
    wanted = exact_gradient(model, x)
    assert relative(gradient(upper(model.joint, q, x), model), wanted) < 1e-10
    drawn = sum(dsm(variational_energy(model.joint, q), datum) for datum in x.split(1)) / len(x)
    assert relative(gradient(drawn, model), wanted) < 1e-10


def test_without_unrolling_it_is_vages_without_its_covariance(x):
    """At the exact posterior, to rounding; and the covariance, which is missing, is not small."""
    model = rbm()
    q = posterior_of(model)
    found = gradient(upper(model.joint, q, x), model)
    energy = vages(model.joint, q, None, covariance=False)
    wanted = gradient(sum(dsm(energy, datum) for datum in x.split(1)) / len(x), model)
    assert relative(found, wanted) < 1e-10
    exact = exact_gradient(model, x)
    assert relative(found, exact) < 0.05 and relative(by_phi(found), by_phi(exact)) > 0.3
    assert not by_phi(found)[-M:].any() and by_phi(exact)[-M:].all()  # c is not in the slope of the joint


def test_the_error_of_n_steps_is_a_matrix_power(x):
    """At φ* the error by (W, c) is -(I - α H)^N ∂J/∂φ, with H the Hessian of the lower objective: hence the
    rate 1 - α λ_min."""
    model, alpha = rbm(), 0.5
    q = posterior_of(model)
    names = dict(q.named_parameters())

    def at_flat(function, phi):
        parts = phi.split([p.numel() for p in names.values()])
        return at(q, {k: s.view_as(p) for (k, p), s in zip(names.items(), parts, strict=True)}, function)

    phi = flat(names.values()).detach()
    hessian = torch.autograd.functional.hessian(lambda p: at_flat(lambda q: lower(model.joint, q, x), p), phi)
    slope = flat(torch.autograd.grad(upper(model.joint, q, x), list(q.parameters())))
    assert torch.linalg.eigvalsh(hessian).min() > 0
    wanted = exact_gradient(model, x)

    for n in (0, 1, 5, 40):
        end = unroll(q, lambda q: lower(model.joint, q, x), n, sgd(alpha))
        found = gradient(at(q, end, lambda q: upper(model.joint, q, x)), model)
        power = torch.linalg.matrix_power(torch.eye(len(phi)).double() - alpha * hessian, n)
        torch.testing.assert_close(by_phi(found - wanted), -power @ slope, atol=1e-10, rtol=1e-8)
    # everything else is exact for every N
    b = slice(2 * M, 2 * M + 2)
    torch.testing.assert_close(found[b], wanted[b])


@pytest.mark.parametrize("make", [lambda: sgd(0.5), lambda: adam(0.05)])
def test_the_unrolled_hypergradient_is_that_of_finite_differences(make, x):
    model = rbm()
    q, x = posterior_of(model, off=0.5), x[:2]

    def value():
        end = unroll(q, lambda q: lower(model.joint, q, x), 3, make())
        return at(q, end, lambda q: upper(model.joint, q, x))

    found = gradient(value(), model)
    partial_derivative = gradient(upper(model.joint, q, x), model)
    assert relative(partial_derivative, found) > 1e-3
    for i in (0, 3, 7, 9, 12):
        assert found[i].item() == pytest.approx(slope_at(value, model, i), rel=1e-6, abs=1e-8)


def slope_at(value, model, i, step=1e-5):
    """Central difference by the i-th of all parameters."""
    p = list(model.parameters())
    sizes = [q.numel() for q in p]
    k = next(k for k in range(len(p)) if i < sum(sizes[: k + 1]))
    entry = p[k].data.view(-1)
    j, ends = i - sum(sizes[:k]), []
    for sign in (1, -1):
        entry[j] += sign * step
        ends.append(value().item())
        entry[j] -= sign * step
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("gap", [variational_free_energy, posterior_fisher])
@pytest.mark.parametrize("n_unrolled", [0, 3])
def test_the_gradient_of_a_step_is_the_total_derivative_of_its_loss(optimizer, gap, n_unrolled):
    """What `BiSM.step` leaves in the energy's gradients, by finite differences of the loss it reports. The
    lower steps are left out, as φ₀ is a constant."""
    torch.manual_seed(2)
    x, model, q = (
        torch.randn(8, 2).double(),
        Smooth().double(),
        GaussianPosterior(nn.Linear(2, 2), 1).double(),
    )
    method = EnergyOnly(
        model,
        q,
        partial(denoising_score_matching, sigma=SIGMA),
        lower=gap,
        n_steps=1,
        n_unrolled=n_unrolled,
        lr=0.0,
        lr_posterior=0.1,
        optimizer_posterior=optimizer,
    )

    def value():  # at a rate of 0 nothing moves
        seed(3)
        return method.step(x)["loss"]

    value()
    found = flat(p.grad for p in model.parameters())
    for i in (0, 6, 16, 22):
        assert found[i].item() == pytest.approx(slope_at(value, model, i), rel=1e-5, abs=1e-8)


# one step


def make(n_steps=2, n_unrolled=2, kind=BiSM, **settings):
    torch.manual_seed(4)
    model, q = Smooth().double(), GaussianPosterior(nn.Linear(2, 2), 1).double()
    objective = partial(denoising_score_matching, sigma=SIGMA)
    settings = {"lr": 0.01, "lr_posterior": 0.02} | settings
    return kind(model, q, objective, n_steps=n_steps, n_unrolled=n_unrolled, **settings)


def test_a_step_is_the_algorithm():
    """K steps of φ, N more that are discarded, one of θ: written out anew, with the same noise."""
    method, x = make(), torch.randn(8, 2).double()
    model, q = Smooth().double(), GaussianPosterior(nn.Linear(2, 2), 1).double()
    model.load_state_dict(method.energy.state_dict())
    q.load_state_dict(method.posterior.state_dict())
    own = torch.optim.Adam(q.parameters(), lr=0.02)

    def gap(q):
        noisy = x + SIGMA * torch.empty_like(x).normal_()
        h = q.rsample(noisy)
        return (model.joint(noisy, h[0]) + q.log_prob(h, noisy)[0]).mean()

    seed(1)
    for _ in range(2):
        own.zero_grad()
        gap(q).backward(inputs=list(q.parameters()))
        own.step()
    moments = {k: (2, own.state[p]["exp_avg"], own.state[p]["exp_avg_sq"]) for k, p in q.named_parameters()}
    phi = unroll(q, gap, 2, adam(0.02, moments=moments))
    objective = partial(denoising_score_matching, sigma=SIGMA)
    loss = at(q, phi, lambda q: objective(variational_energy(model.joint, q), x))
    wanted = torch.autograd.grad(loss, list(model.parameters()))
    seed(1)
    metrics = method.step(x)
    assert metrics["loss"].item() == pytest.approx(loss.item(), rel=1e-9)
    for p, slope in zip(method.energy.parameters(), wanted, strict=True):
        torch.testing.assert_close(p.grad, slope)
    for p, end in zip(method.posterior.parameters(), q.parameters(), strict=True):
        torch.testing.assert_close(p, end)


def test_no_level_leaves_a_gradient_in_the_other():
    method = make(kind=recorder(BiSM))
    method.step(torch.randn(8, 2).double())
    assert method.order == ["posterior", "posterior", "energy"]
    assert all(p.grad is None for p in method.parameters())
    method = make(kind=Watched)
    method.step(torch.randn(8, 2).double())
    assert all(g is None for g in method.spilt)  # the lower level added nothing to the energy
    assert method.seen[0] == [None, None]
    for p, before in zip(method.posterior.parameters(), method.seen[-1], strict=True):
        assert torch.equal(p.grad, before)  # the upper level added nothing


def test_the_lower_level_is_solved_where_the_upper_one_looks(x):
    """At noisy data, with fresh noise each time; at the data themselves where the objective adds none."""
    noisy = visited(partial(denoising_score_matching, sigma=SIGMA), x.repeat(2000, 1))
    assert ((noisy - x.repeat(2000, 1)).std() / SIGMA - 1).abs() < 0.05
    assert torch.equal(visited(partial(sliced_score_matching), x), x)
    both = visited(partial(denoising_score_matching, sigma=SIGMA, control_variate=True), x)
    assert len(both) == 2 * len(x) and torch.equal(both[len(x) :], x)
    rows = visited(partial(multiscale_denoising, sigmas=(0.1, 1.0), reference=0.1), torch.zeros(4000, 2))
    assert rows[:500].std() < 0.25 < 0.7 < rows[-500:].std()
    method, points = make(), []
    method.lower = lambda joint, q, v: points.append(v) or variational_free_energy(joint, q, v)
    method.step(x)
    assert len(points) == 4 and all(not torch.equal(p, x) for p in points)
    assert len({p.sum().item() for p in points}) == 4


# the lower objectives


def test_the_variational_free_energy_is_the_free_energy_and_the_kl(x):
    model = rbm()
    for off in (0.0, 0.7):
        q = posterior_of(model, off)
        weights, exact = q.weights(x), ExactPosterior(model).weights(x)
        kl = (weights * (weights / exact).log()).sum(0)
        found = variational_free_energy(model.joint, q, x, n_samples=None)
        torch.testing.assert_close(found, (model(x) + kl).mean())
        assert kl.mean().item() == pytest.approx(0, abs=1e-12) or off


@pytest.mark.statistical
def test_its_draws_have_the_right_mean(x):
    """Of a Gaussian posterior: against quadrature over h."""
    x = 0.2 * x
    model, q = Smooth().double(), GaussianPosterior(nn.Linear(2, 2), 1).double()
    h = torch.linspace(-12, 12, 4001).double()[:, None, None].expand(-1, 6, 1)
    table = torch.stack([model.joint(x, k) for k in h]) + q.log_prob(h, x)
    wanted = (q.log_prob(h, x).exp() * table).sum(0).mean() * 24 / 4000
    one = [variational_free_energy(model.joint, q, x, n_samples=500) for _ in range(20)]
    found = torch.stack(one).detach()
    assert ((found.mean() - wanted) / (found.std() / 20**0.5)).abs() < 5


def test_the_fisher_divergence_of_a_gaussian_posterior():
    """E = ½ (h - a)²/t² has p(h|v) = N(a, t²): from N(μ, s²), ½ ((1/t² - 1/s²)² s² + (μ - a)²/t⁴)."""
    q = GaussianPosterior(nn.Linear(2, 2), 1).double()
    nn.init.zeros_(q.net.weight)
    with torch.no_grad():
        q.net.bias.copy_(torch.tensor([0.3, -0.5]))
    a, t, s = 1.0, 0.8, torch.tensor(-0.5).exp().item()
    found = posterior_fisher(
        lambda v, h: 0.5 * ((h[:, 0] - a) / t).square(), q, torch.zeros(1, 2).double(), n_samples=200_000
    )
    wanted = 0.5 * ((1 / t**2 - 1 / s**2) ** 2 * s**2 + (0.3 - a) ** 2 / t**4)
    assert found.item() == pytest.approx(wanted, rel=0.02)


def test_both_descend_to_the_posterior():
    """E = ½ (h - v)²/0.5²: from N(0, 1) to N(v, 0.5²)."""
    for gap in (variational_free_energy, posterior_fisher):
        q = GaussianPosterior(nn.Linear(1, 2), 1).double()
        for p in q.parameters():
            nn.init.zeros_(p)
        optimizer = torch.optim.Adam(q.parameters(), lr=0.02)
        for _ in range(500):
            optimizer.zero_grad()
            gap(lambda v, h: 2 * (h - v)[:, 0].square(), q, torch.randn(100, 1).double()).backward()
            optimizer.step()
        (slope, _), (shift, log_std) = q.net.weight[:, 0].tolist(), q.net.bias.tolist()
        assert (slope, shift, log_std) == pytest.approx((1, 0, math.log(0.5)), abs=0.1)


# settings


def test_bad_settings_are_refused_before_the_first_step(x):
    with pytest.raises(ValueError, match="n_steps >= 1 and n_unrolled >= 0; got 0 and 2"):
        make(0)
    with pytest.raises(ValueError, match="got 1 and -1"):
        make(1, -1)
    with pytest.raises(ValueError, match="cannot unroll"):
        make(optimizer_posterior=torch.optim.RMSprop)
    q, model = posterior_of(rbm()), rbm()
    with pytest.raises(ValueError, match="use variational_free_energy"):
        posterior_fisher(model.joint, q, x)
    with pytest.raises(ValueError, match="n_samples is 0"):
        variational_free_energy(model.joint, q, x, n_samples=0)
    smooth = GaussianPosterior(nn.Linear(2, 2), 1).double()
    with pytest.raises(ValueError, match="GaussianPosterior has no states"):
        variational_free_energy(Smooth().double().joint, smooth, x, n_samples=None)
