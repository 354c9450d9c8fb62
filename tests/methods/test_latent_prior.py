"""The latent-space prior against quadrature, against the moments of linear chains, and on digits.

Mutants tried, each red: no prior in the posterior's energy, or N(0, I) in its place; half the reconstruction;
no noise in the posterior's chain, or in the prior's; a sign of line 3 or 4; chains that start at 0; K₀ and K₁
exchanged, or the kernels; the posterior of other data; the chains exchanged in line 3; z⁻ in line 4.
"""

import functools
import math
from functools import partial

import pytest
import torch
from exact_noise import Draws, Scripted, exact_chain
from methods import recorder

from ebmlearn import data, seed
from ebmlearn.evaluate import latent
from ebmlearn.evaluate.exact import Grid
from ebmlearn.methods import LatentPrior, ShortRunInference
from ebmlearn.nets import LinearEnergy, MLPEnergy, MLPGenerator
from ebmlearn.random import kept
from ebmlearn.sample import Chain, gibbs, hmc, ula
from ebmlearn.schedules import linear
from ebmlearn.train import fit

pytest.importorskip("sklearn.datasets")  # here, since its import changes the environment

# one step with exact samples: maximum likelihood

GRID = Grid((-5, 5), n=60, dtype=torch.float64)


def test_with_exact_samples_a_step_descends_the_negative_log_likelihood():
    """The gradients of both nets, against that of the quadrature of log p(x)."""
    prior = MLPEnergy(2, (16,), reference_std=1.0).double()
    generator = MLPGenerator(2, (3,), (16,), std=0.7).double()
    with torch.no_grad():
        for p in [*prior.parameters(), *generator.parameters()]:
            p.mul_(2.5)  # fresh nets are nearly flat
    x = torch.tensor([[1.0, -1.0, 0.5], [-1.5, 0.3, 1.0]], dtype=torch.float64)
    once = Chain(partial(exact_chain, grid=GRID), n_steps=1)
    method = LatentPrior(prior, generator, prior_chain=once, posterior_chain=once, optimizer=torch.optim.SGD)
    z = GRID.points
    energy = prior(z)
    joint = energy + (x[:, None] - generator(z)).square().sum(2) / (2 * 0.7**2)
    loss = (energy.neg().logsumexp(0) - joint.neg().logsumexp(1)).mean()
    wanted = torch.autograd.grad(loss, [*prior.parameters(), *generator.parameters()])
    method.step(x.repeat_interleave(len(z), 0))
    for parameter, slope in zip(method.parameters(), wanted, strict=True):
        assert (parameter.grad - slope).norm() < 0.01 * slope.norm()


def test_chains_leave_no_gradient_behind_and_carry_none():
    method = recorder(LatentPrior)(MLPEnergy(2, (8,), reference_std=1.0), MLPGenerator(2, (3,), (8,)))
    method.step(torch.randn(8, 3))
    assert method.order == ["prior", "generator"]
    for found in (method.sample(4), method.sample_prior(4), method.infer(torch.randn(4, 3))):
        assert not found.requires_grad
    assert all(p.grad is None for p in method.parameters())
    method.recorded["prior"].backward()
    assert all(p.grad is None for p in method.generator.parameters())


# K steps in closed form: U = a z²/2, g = b z, data N(0, V)

V, TAU = 1.0, 0.5
K0, S0, K1, S1 = 3, 0.4, 5, 0.3


def test_learning_follows_the_moments_of_the_two_chains():
    """Both parameters after each of 60 updates: E[z²] by recursion for the prior's chain; E[z²] and E[xz] for
    the posterior's, whose force is a z - b (x - b z)/τ²."""
    prior = LinearEnergy(lambda z: 0.5 * z.square(), torch.tensor([2.0])).double()
    generator = Scripted(1, (1,), (), std=TAU).double()
    draws = generator.draws = Draws(K0 + K1 + 4)
    torch.nn.init.constant_(generator.net[0].weight, 0.5)
    torch.nn.init.zeros_(generator.net[0].bias)
    method = LatentPrior(
        prior,
        generator,
        prior_chain=Chain(ula, n_steps=K0, step_size=S0, noise=draws.next),
        posterior_chain=Chain(ula, n_steps=K1, step_size=S1, noise=draws.next),
        lr_prior=0.5,
        lr_generator=0.05,
        optimizer=torch.optim.SGD,
    )
    a, b = 2.0, 0.5
    for _ in range(60):
        draws.restart()
        method.step(math.sqrt(V) * draws.first)
        prior_zz, zz, xz = 1.0, 1.0, 0.0
        for _ in range(K0):
            prior_zz = (1 - S0**2 / 2 * a) ** 2 * prior_zz + S0**2
        keep, pull = 1 - S1**2 / 2 * (a + b**2 / TAU**2), S1**2 / 2 * b / TAU**2
        for _ in range(K1):
            zz = keep**2 * zz + 2 * keep * pull * xz + pull**2 * V + S1**2
            xz = keep * xz + pull * V
        a, b = a - 0.5 * 0.5 * (zz - prior_zz), b + 0.05 * (xz - b * zz) / TAU**2
        assert prior.theta.item() == pytest.approx(a, rel=1e-6)
        assert generator.net[0].weight.item() == pytest.approx(b, rel=1e-6)
    assert abs(a - 2.0) > 0.1 and abs(b - 0.5) > 0.1


# chains of any kernel


def test_posteriors_by_hmc_are_those_of_a_linear_generator():
    """U = z·Az/2 and x = W z + b + τ ε: Gaussian, with the precision A + WᵀW/τ², here of eigenvalues between
    10 and 50. Half of it is the prior's, which a chain on the reconstruction alone would miss."""
    n, a = 20_000, torch.tensor([25.0, 10.0, 5.0]).double()
    prior = LinearEnergy(lambda z: 0.5 * z.square(), a)
    generator = MLPGenerator(3, (6,), (), std=TAU).double()
    with torch.no_grad():
        q = torch.linalg.qr(torch.randn(6, 3).double())[0]
        p = torch.linalg.qr(torch.randn(3, 3).double())[0]
        generator.net[0].weight.copy_(q * TAU * torch.tensor([5.0, 10.0, 25.0]).sqrt() @ p.T)
    chain = Chain(hmc, n_steps=20, step_size=0.15, n_leapfrog=2)
    method = LatentPrior(prior, generator, posterior_chain=chain)
    x = torch.randn(1, 6).double()
    weight, bias = generator.net[0].weight.detach(), generator.net[0].bias.detach()
    precision = torch.diag(a) + weight.T @ weight / TAU**2
    mean = torch.linalg.solve(precision, weight.T @ (x[0] - bias) / TAU**2)
    u = (method.infer(x.expand(n, 6)) - mean) @ torch.linalg.cholesky(precision)
    assert u.mean(0).norm() < 5 * (3 / n) ** 0.5
    assert (torch.cov(u.T) - torch.eye(3)).abs().max() < 5 * (2 / n) ** 0.5


def test_samples_are_draws_at_latents_of_the_prior():
    """By exact chains on U = z·Az/2, with the generator's noise: covariance W A⁻¹ Wᵀ + τ² I."""
    n, a = 50_000, torch.tensor([4.0, 1.0])
    prior = LinearEnergy(lambda z: 0.5 * z.square(), a)
    generator = MLPGenerator(2, (2,), (), std=TAU)
    with torch.no_grad():
        generator.net[0].weight.mul_(2)
    chain = Chain(hmc, n_steps=15, step_size=0.4, n_leapfrog=3)
    x = LatentPrior(prior, generator, prior_chain=chain).sample(n)
    weight, bias = (p.detach() for p in generator.net[0].parameters())
    cov = weight @ torch.diag(1 / a) @ weight.T + TAU**2 * torch.eye(2)
    u = (x - bias) @ torch.linalg.inv(torch.linalg.cholesky(cov)).T
    assert x.shape == (n, 2) and not x.requires_grad
    assert u.mean(0).norm() < 5 * (2 / n) ** 0.5
    assert (torch.cov(u.T) - torch.eye(2)).abs().max() < 5 * (2 / n) ** 0.5


# digits, two latents: exact numbers

BOX = Grid((-8, 8), n=210)
WIDE = Grid((-24, 24), n=480)
PRIOR = Chain(ula, n_steps=40, step_size=0.4)
POSTERIOR = Chain(ula, n_steps=20, step_size=0.15)


def flat():
    """A prior that starts as N(0, I), exactly."""
    prior = MLPEnergy(2, (32, 32), reference_std=1.0)
    torch.nn.init.zeros_(prior.net[-1].weight)
    return prior


def decoder():
    return MLPGenerator(2, (1, 8, 8), (32,), std=0.25, bounded=True)


def log_p(generator, prior=None, box=BOX):
    value, error = latent.log_prob(data.load("digits", "test").x[:100], generator, box, prior)
    assert error.mean() < 0.1
    return value.mean().item()


@functools.cache
def gaussian_prior(number):
    """Nobody moves it: tests share it."""
    seed(number)
    method = ShortRunInference(decoder(), chain=POSTERIOR, lr=linear(4e-3, 500))
    fit(method, data.load("digits").x, steps=500, batch_size=100)
    return method.generator


@pytest.mark.slow
@pytest.mark.xdist_group("latent prior")
@pytest.mark.statistical
def test_the_prior_gains_a_nat_at_an_equal_decoder():
    """Equal to the last bit: it is frozen. And the short run samples the prior, near the floor."""
    generator = gaussian_prior(0)
    frozen = {name: value.clone() for name, value in generator.state_dict().items()}
    seed(0)
    method = LatentPrior(
        flat(),
        generator,
        prior_chain=PRIOR,
        posterior_chain=POSTERIOR,
        lr_prior=linear(4e-3, 300),
        lr_generator=0.0,
    )
    fit(method, data.load("digits").x, steps=300, batch_size=100)
    assert all(torch.equal(value, frozen[name]) for name, value in generator.state_dict().items())
    assert log_p(generator, method.prior) - log_p(generator) > 1
    assert latent.sample_tv(method.sample_prior(10_000), method.prior, BOX).value < 0.1


def from_scratch(number, lr_prior, n_prior, steps=250, lr_generator=5e-3):
    """The method, the distance of its short runs from its prior after 250 steps and in the end, and the mean
    gap of the last 100."""
    seed(number)
    method = LatentPrior(
        flat(),
        decoder(),
        prior_chain=PRIOR.replace(n_steps=n_prior),
        posterior_chain=POSTERIOR,
        lr_prior=lr_prior,
        lr_generator=lr_generator,
    )
    distances = []

    def measure(step, method, metrics):
        if step in (250, steps):
            with kept():
                z = method.sample_prior(5000)
            distances.append(latent.sample_tv(z, method.prior, WIDE, 30).value)

    history = fit(method, data.load("digits").x, steps=steps, batch_size=100, hooks=[measure])
    return method, distances, history["energy_gap"][-100:].mean().item()


@pytest.mark.slow
@pytest.mark.xdist_group("latent prior")
@pytest.mark.statistical
def test_equal_rates_leave_a_short_chain_behind_while_the_gap_looks_healthy():
    """A tenth of the rate is a delay: after 250 steps the chain follows, after 800 it does not."""
    method, (tv,), gap = from_scratch(0, 5e-3, 10)
    assert tv > 0.5 and abs(gap) < 1
    long = PRIOR.replace(n_steps=2000)(method.prior, method.generator.latent(5000))
    assert latent.sample_tv(long, method.prior, WIDE, 30).value < tv - 0.3
    _, (tenth, late), _ = from_scratch(0, 5e-4, 10, steps=800)
    assert tenth < tv - 0.2
    assert late > 0.8
    _, (longer,), gap = from_scratch(0, 5e-3, 40)
    assert longer < 0.3 and abs(gap) < 0.5


@pytest.mark.slow
@pytest.mark.xdist_group("latent prior")
@pytest.mark.statistical
def test_two_training_runs_differ_by_more_than_a_prior_gains():
    """Joint learning against N(0, I), same budget: the gain of a prior cannot be read off so few runs (here
    2.1 and -5.6 nats; equal runs without one differ by 1.8 nats and more)."""
    box, numbers = Grid((-14, 14), n=360), (0, 2)
    plain = [log_p(gaussian_prior(number), box=box) for number in numbers]
    assert abs(plain[0] - plain[1]) > 0.5
    rate, gains = linear(4e-3, 500), []
    for number, without in zip(numbers, plain, strict=True):
        method, _, _ = from_scratch(number, rate, 40, steps=500, lr_generator=rate)
        gains.append(log_p(method.generator, method.prior, box) - without)
    assert abs(gains[0] - gains[1]) > 0.5


# settings


@pytest.mark.parametrize(
    ("prior", "settings", "error", "message"),
    [
        (None, {}, ValueError, "the prior has no Gaussian term"),
        (1.0, {"prior_chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        (1.0, {"posterior_chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(prior, settings, error, message):
    with pytest.raises(error, match=message):
        LatentPrior(MLPEnergy(2, reference_std=prior), MLPGenerator(2, (2,)), **settings)


def test_a_prior_of_another_dimension_is_refused():
    method = LatentPrior(MLPEnergy(3, reference_std=1.0), MLPGenerator(2, (2,)))
    with pytest.raises(ValueError, match="2 elements an event; this net was built for dim=3"):
        method.step(torch.zeros(4, 2))


def test_anomaly_is_minus_log_p_of_an_example_and_its_inferred_latents():
    """As the stored runs of chapter 14 have it, in other words, up to the constants of both."""
    prior, generator = MLPEnergy(2, (8,), reference_std=1.0), MLPGenerator(2, (3,), (8,), std=0.7)
    method, x = LatentPrior(prior, generator), torch.randn(5, 3)
    with kept(1):
        found = method.anomaly(x)
    with kept(1), torch.no_grad():
        z = method.infer(x)
        wanted = (x - generator(z)).square().sum(1) / (2 * 0.7**2) + prior(z)
    torch.testing.assert_close(found, wanted)
    assert not found.requires_grad
