"""The anatomy of MCMC-based learning (chapter 6): convergent and non-convergent learning of one energy, its
two diagnostics in closed form, and collapse.

Mutants tried, each red: the drift doubled; the noise times √2; the sign of `ml_gap`; a buffer that is never
written.
"""

import math

import pytest
import torch

from ebmlearn import seed
from ebmlearn.diagnostics import autocorrelation, cross_correlation
from ebmlearn.energy import grad
from ebmlearn.evaluate import exact
from ebmlearn.evaluate.twosample import squared_mmd
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import LinearEnergy, MLPEnergy
from ebmlearn.sample import Chain, NoiseStart, ReplayBuffer, ula
from ebmlearn.schedules import inverse, linear
from ebmlearn.targets import eight_gaussians
from ebmlearn.train import fit


def half_square(x):
    return 0.5 * x.square().sum(1, keepdim=True)


def test_expansion_and_contraction_have_the_closed_form():
    """One parameter, converged chains, SGD: d and the excess steepness u follow the law of a damped loop.

    E = a ‖x‖²/2 on N(0, I) in the plane. Chains of ULA have the variance V(a) = 1 / (a (1 - s²a/4)), which
    is 1 at a* = (2/s²)(1 - √(1-s²)). Around it the gradient of the gap is c u, with c = √(1-s²), plus noise,
    and φ = 1 - ηc: the autocorrelation of d is -(1-φ)/2 φ^(k-1), its correlation with u ±√((1-φ)/2) φ^|k|.
    """
    s, steps = 0.8, 1200
    c = math.sqrt(1 - s**2)
    best = 2 / s**2 * (1 - c)
    eta = 0.5 / c
    net = LinearEnergy(half_square, torch.tensor([best]))
    chain = Chain(ula, n_steps=6, step_size=s)
    bank = ReplayBuffer(torch.randn(500, 2))
    method = MaximumLikelihood(net, bank, chain=chain, lr=eta, optimizer=torch.optim.SGD)
    steepness = []
    history = fit(
        method,
        lambda n: torch.randn(n, 2),
        steps=steps,
        batch_size=500,
        hooks=[lambda step, m, metrics: steepness.append(m.energy.theta.item())],
    )
    # the hook sees the weights after the update, the gap was taken before it
    u = torch.tensor([best, *steepness[:-1]])
    d = history["energy_gap"]
    assert abs(u.mean().item() - best) < 0.01
    phi, lags = 0.5, torch.arange(-3, 4)
    size = math.sqrt((1 - phi) / 2)
    expected = torch.where(lags > 0, -size * phi ** (lags - 1.0), size * phi ** (-lags * 1.0)).double()
    torch.testing.assert_close(cross_correlation(d, u, 4), expected, atol=0.15, rtol=0)
    expected = torch.tensor([1.0, -0.25, -0.125, -0.0625]).double()
    torch.testing.assert_close(autocorrelation(d[:, None], 4), expected, atol=0.15, rtol=0)


def test_data_noise_of_twice_the_step_prevents_collapse():
    """A flat direction has no fixed point, since ULA makes nothing narrower than its step.

    With noise of 2s on the data it is learned as the precision of that noise, 7 % too large by the bias.
    """
    s = 0.3

    def learn(data_noise, lr):
        net = LinearEnergy(lambda x: 0.5 * x.square(), torch.tensor([1.0, 5.0]))
        bank = ReplayBuffer(torch.randn(1000, 2) * torch.tensor([1.0, s]))
        chain = Chain(ula, n_steps=5, step_size=s)
        flat = lambda n: torch.randn(n, 2) * torch.tensor([1.0, 0.0])  # noqa: E731
        method = MaximumLikelihood(net, bank, chain=chain, data_noise=data_noise, lr=lr)
        return fit(method, flat, steps=300, batch_size=500), net.theta.detach()

    history, theta = learn(2 * s, inverse(0.3, 30))
    assert abs(history["energy_gap"][-100:].mean()) < 0.05
    closed = 2 / s**2 * (1 - math.sqrt(1 - 1 / 4))
    assert theta[1].item() == pytest.approx(closed, rel=0.05)
    with pytest.raises(FloatingPointError, match="add data noise"):
        learn(0.0, 0.5)


@pytest.mark.statistical
@pytest.mark.slow
def test_equal_samples_from_a_right_and_a_wrong_density():
    """8 Gaussians, one net: persistent chains and an annealed rate against short runs from noise.

    Both samples are as near to the data. One density is within 0.25 nats, the other more than 10 nats away.
    The displacement of the first settles at its exact target; that of the second is far above it.
    """
    target = eight_gaussians(radius=1.0, std=0.15)
    grid = exact.Grid((-4, 4), n=300)

    def learn(start, step, lr, optimizer):
        seed(0)
        net = MLPEnergy(2, (64, 64), n_fourier=16, fourier_scale=2.0, reference_std=1.0)
        chain = Chain(ula, n_steps=20, step_size=step)
        method = MaximumLikelihood(net, start, chain=chain, lr=linear(lr, 600), optimizer=optimizer)
        history = fit(method, target.sample, steps=600, batch_size=128)
        drift = exact.expectation(lambda x: 0.5 * step**2 * grad(target, x)[1].norm(dim=1), target, grid)
        ratio = history["displacement"][-100:].mean().item() / drift.value.item()
        return method, exact.kl(target, net, grid).value, ratio

    bank = ReplayBuffer(NoiseStart("uniform", 1.0).draw(torch.empty(256, 2)))
    convergent, kl, ratio = learn(bank, 0.075, 0.3, torch.optim.SGD)
    assert kl <= 0.25
    assert 0.75 < ratio < 1.25
    short, far, ratio = learn(NoiseStart("normal", 1.0, (2,)), 0.015, 1e-2, torch.optim.Adam)
    assert far > 10
    assert ratio > 10
    x = target.sample(1000)
    long = convergent.chain.replace(n_steps=200)
    for samples in (long(convergent.energy, bank.x.repeat(4, 1)), short.sample(1000)):
        assert squared_mmd(x, samples, bandwidth=0.3) < 0.01
    # the judge: two thousand steps from the data leave the first density as it is, and not the second
    stays, leaves = (
        squared_mmd(x, chain(method.energy, target.sample(500)), bandwidth=0.3)
        for method, chain in ((m, m.chain.replace(n_steps=2000)) for m in (convergent, short))
    )
    assert stays < 0.03 and leaves > 2 * stays
