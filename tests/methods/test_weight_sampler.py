"""Sampling weights: the step, the Gibbs density that it reaches, the gauge.

Bugs that they are for, each tried and seen to fail: the entropy's sign; its dimension that of all weights, or
of ``z`` where that is more than canonical weights have; the data of the first net for all; data dealt out in
turns; weights whose gauge is not fixed, in the entropy or in the energy; a gauge without a gradient; a scale
without one; the energy of other weights than those of the entropy; an ensemble that is not a mean.
"""

import math

import pytest
import torch
from methods import recorder

import ebmlearn as el
from ebmlearn.nets import MLPHypernetwork, ReLUTarget, SharedHypernetwork, WeightEnergy
from ebmlearn.schedules import linear

NO_DATA = {"data": torch.zeros(1, 1), "batch_size": 1, "progress": False}
X = torch.randn(24, 2, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
TARGET = ReLUTarget((2,), 3, (4,))


def hypernetwork():
    torch.manual_seed(0)
    return SharedHypernetwork(TARGET, 5, extractor=(8,), code_dims=3, widths=(6,))


@pytest.mark.parametrize("gauge", [True, False])
@pytest.mark.parametrize("norm", [1, 2])
def test_a_step_is_the_energy_of_each_net_on_its_share_less_the_entropy(gauge, norm):
    energy = WeightEnergy(TARGET, lam=30.0, prior_std=0.7)
    method = recorder(el.WeightSampler)(hypernetwork(), energy, n_nets=4, gauge=gauge, entropy_norm=norm)
    torch.manual_seed(1)
    metrics = method.step((X, Y))
    torch.manual_seed(1)
    theta = method.hypernetwork(method.hypernetwork.latent(4))
    theta = TARGET.canonical(theta) if gauge else theta
    shares = [(X[6 * b : 6 * b + 6], Y[6 * b : 6 * b + 6]) for b in range(4)]
    wanted = torch.cat([energy(theta[b : b + 1], *shares[b]) for b in range(4)]).mean()
    distances = torch.stack([torch.cat([theta[:b], theta[b + 1 :]]) - theta[b] for b in range(4)])
    distances = distances.norm(norm, dim=2).min(1).values
    volume = math.log(2**5 / 120) if norm == 1 else 2.5 * math.log(math.pi) - math.lgamma(3.5)
    entropy = 5 * distances.log().mean() + volume + 1 + 1 / 2 + 1 / 3  # ψ(4) - ψ(1)
    torch.testing.assert_close(metrics["energy"], wanted.detach())
    torch.testing.assert_close(metrics["entropy"], entropy.detach())
    loss = method.recorded["hypernetwork"]
    torch.testing.assert_close(loss, wanted - entropy)
    torch.testing.assert_close(metrics["free_energy"], loss.detach())
    parameters = list(method.hypernetwork.parameters())
    found, by_hand = (torch.autograd.grad(v, parameters) for v in (loss, wanted - entropy))
    torch.testing.assert_close(found, by_hand, rtol=1e-4, atol=1e-4)


def test_the_loss_has_no_slope_along_the_gauge():
    """Rescaling a hidden unit, or a row added to the last layer, changes nothing, to first order either."""
    target = ReLUTarget((2,), 3, (4, 3))
    energy = WeightEnergy(target, lam=20.0, prior_std=1.0)
    method = el.WeightSampler(MLPHypernetwork(target.n_weights, 4).double(), energy.double(), n_nets=6)
    theta = (0.5 * torch.randn(6, target.n_weights, dtype=torch.float64)).requires_grad_()
    x = torch.randn(6, 4, 2, dtype=torch.float64)
    canonical = target.canonical(theta)
    loss = energy(canonical, x, torch.arange(24).view(6, 4) % 3).mean() - method.entropy(canonical)
    slope = target.rows(torch.autograd.grad(loss, theta)[0])
    rows = target.rows(theta.detach())
    for i in range(2):
        up = (slope[i] * rows[i]).sum(2)
        down = (slope[i + 1][..., :-1] * rows[i + 1][..., :-1]).sum(1)
        torch.testing.assert_close(up, down, rtol=1e-6, atol=1e-9)
        assert up.abs().max() > 1e-3  # each alone has one
    torch.testing.assert_close(slope[2].sum(1), torch.zeros(6, 4, dtype=torch.float64))


def test_samples_are_canonical_and_without_a_graph():
    energy = WeightEnergy(TARGET, lam=30.0)
    method = el.WeightSampler(hypernetwork(), energy)
    theta = method.sample(7)
    torch.testing.assert_close(TARGET.canonical(theta), theta)
    assert theta.shape == (7, 27) and not theta.requires_grad
    raw = el.WeightSampler(hypernetwork(), energy, gauge=False).sample(7)
    assert not torch.allclose(TARGET.canonical(raw), raw)


def test_an_ensemble_is_the_mean_of_probabilities():
    method = el.WeightSampler(hypernetwork(), WeightEnergy(TARGET, lam=30.0), n_nets=4)
    torch.manual_seed(3)
    found = method.predict(X, 10)
    torch.manual_seed(3)
    torch.testing.assert_close(found, method.energy.predict(method.sample(10), X).mean(0))
    with pytest.raises(TypeError, match=r"the energy is .*; expected an object of WeightEnergy"):
        el.WeightSampler(MLPHypernetwork(2, 2), lambda theta: theta.square().sum(1)).predict(X)


def test_the_entropy_has_no_more_dimensions_than_canonical_weights():
    energy = WeightEnergy(TARGET, lam=1.0)  # 27 weights, 4 + 5 directions of the gauge
    assert el.WeightSampler(MLPHypernetwork(27, 40), energy).entropy_dim == 18
    assert el.WeightSampler(MLPHypernetwork(27, 40), energy, gauge=False).entropy_dim == 27
    assert el.WeightSampler(MLPHypernetwork(27, 5), energy).entropy_dim == 5
    assert el.WeightSampler(MLPHypernetwork(27, 40), energy, entropy_dim=27).entropy_dim == 27


def test_a_batch_is_shared_by_the_nets_or_refused():
    method = el.WeightSampler(hypernetwork(), WeightEnergy(TARGET, lam=1.0), n_nets=5)
    with pytest.raises(ValueError, match="batch has 24 data, which 5 nets cannot share; take a batch_size"):
        method.step((X, Y))
    with pytest.raises(TypeError, match=r"batch is a float32 tensor .*; expected \(x, y\)"):
        method.step(X)


@pytest.mark.slow
@pytest.mark.parametrize("lam", [1.0, 16.0])
def test_a_line_gets_the_gibbs_density(lam):
    """``E = λ θ²/2``: a Gaussian of variance ``1/λ``, and the free energy ends at ``-log Z``."""
    torch.manual_seed(0)
    method = el.WeightSampler(
        MLPHypernetwork(1, 1, (16,), law="normal"),
        lambda theta: 0.5 * lam * theta.square().sum(1),
        n_nets=64,
        lr=linear(1e-2, 800),
    )
    free = el.fit(method, steps=800, **NO_DATA)["free_energy"]
    theta = method.sample(20_000)
    assert lam * theta.var().item() == pytest.approx(1, abs=0.08)
    assert abs(theta.mean().item()) * math.sqrt(lam) < 0.1
    error = free[-100:].std().item() / 10
    assert -5 * error < free[-100:].mean().item() + 0.5 * math.log(2 * math.pi / lam) < 5 * error + 0.05


def gaussian_kl(theta, mean, precision):
    """KL of the Gaussian with the moments of samples from one that is known."""
    theta = theta.double()
    covariance, off = theta.T.cov(), theta.mean(0) - mean
    d = len(mean)
    trace, log = (precision @ covariance).trace(), precision.logdet() + covariance.logdet()
    return 0.5 * (trace + off @ precision @ off - d - log).item()


@pytest.fixture(scope="module")
def regression():
    """128 data of a line in the plane, their energy, and the posterior of its weights."""
    gen = torch.Generator().manual_seed(0)
    x = torch.randn(128, 2, generator=gen)
    y = x @ torch.tensor([1.0, -0.5]) + 0.3 + 0.5 * torch.randn(128, generator=gen)
    energy = WeightEnergy(ReLUTarget((2,), 1, (), softmax=False), "squared", lam=128 / 0.5**2, prior_std=1.0)
    design = torch.cat([x, torch.ones(128, 1)], 1).double()
    precision = design.T @ design / 0.25 + torch.eye(3).double()
    return energy, x, y, torch.linalg.solve(precision, design.T @ y.double() / 0.25), precision


@pytest.mark.slow
def test_a_bayesian_regression_gets_its_posterior(regression):
    energy, x, y, mean, precision = regression
    torch.manual_seed(0)
    method = el.WeightSampler(
        MLPHypernetwork(3, 3, (), law="normal"), energy.on(x, y), n_nets=64, lr=linear(1e-2, 2000)
    )
    free = el.fit(method, steps=2000, **NO_DATA)["free_energy"][-200:]
    assert gaussian_kl(method.sample(20_000), mean, precision) < 0.02
    log_z = -energy(mean[None].float(), x, y).item() + 0.5 * (
        3 * math.log(2 * math.pi) - precision.logdet().item()
    )
    assert free.mean().item() == pytest.approx(-log_z, abs=0.15)


def test_langevin_and_hmc_draw_from_the_same_energy(regression):
    energy, x, y, mean, precision = regression
    torch.manual_seed(0)
    start, on_data = mean.float() + 0.1 * torch.randn(500, 3), energy.on(x, y)
    theta = el.langevin(on_data, start, n_steps=200, step_size=0.02)
    assert gaussian_kl(theta, mean, precision) < 0.05
    theta = el.run(el.hmc(on_data, step_size=0.02, n_leapfrog=5), start, 50)
    assert gaussian_kl(theta, mean, precision) < 0.05


@pytest.mark.slow
def test_the_excess_of_energy_is_half_a_nat_for_each_dimension():
    """Equipartition: ``E = λ/2 Σ k_i θ_i²`` in 10 dimensions has the mean 5 at any stiffness."""
    torch.manual_seed(0)
    stiffness = torch.logspace(0, 1, 10)
    method = el.WeightSampler(
        MLPHypernetwork(10, 10, (), law="normal"),
        lambda theta: 2.0 * (stiffness * theta.square()).sum(1),
        n_nets=64,
        lr=linear(1e-2, 2000),
    )
    el.fit(method, steps=2000, **NO_DATA)
    assert method.energy(method.sample(20_000)).mean().item() == pytest.approx(5, abs=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("gauge", [True, False])
def test_a_minimum_needs_a_prior_with_the_gauge_or_without(gauge):
    """The last layer is not bounded by the gauge: without a prior it runs away, with one it comes to rest."""
    growth = {}
    for prior_std in (None, 2.0):
        energy = WeightEnergy(TARGET, lam=100.0, prior_std=prior_std)
        method = el.WeightSampler(hypernetwork(), energy, n_nets=8, gauge=gauge, lr=1e-2)
        sizes = []
        for _ in range(2):
            el.fit(method, (X, Y), batch_size=24, steps=250, progress=False)
            sizes.append(TARGET.rows(TARGET.canonical(method.sample(200)))[-1].square().mean().sqrt())
        growth[prior_std] = (sizes[1] / sizes[0]).item()
    assert growth[None] > 2 and growth[2.0] < 1.5


def test_the_gauge_leaves_nothing_to_the_scale_of_units():
    """Nets that differ by nothing but scales are equal modulo the gauge, and far apart without it."""
    method = el.WeightSampler(hypernetwork(), WeightEnergy(TARGET, lam=1.0))
    theta = method.sample(1).expand(30, -1).clone()
    first, last = TARGET.rows(theta)
    scale = torch.linspace(0.1, 10, 30)[:, None]
    other = torch.cat([(first * scale[..., None]).flatten(1), (last.clone()).flatten(1)], 1)
    TARGET.rows(other)[1][..., :-1] /= scale[..., None]
    torch.testing.assert_close(TARGET.canonical(other), theta, rtol=1e-4, atol=1e-5)
    assert method.entropy(other) > method.entropy(TARGET.canonical(other)) + 20
