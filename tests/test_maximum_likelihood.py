"""CD, PCD and short-run MCMC against closed forms in one parameter."""

import math

import pytest
import torch
from torch import nn

from ebmlearn.buffer import DataStart, NoiseStart, ReplayBuffer
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.train import fit


class Precision(nn.Module):
    """E(x) = a |x|² / 2: one parameter, every fixed point known."""

    def __init__(self, a=1.0):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x):
        return 0.5 * self.a * x.square().flatten(1).sum(1)


def fitted(start, *, variance=1.0, step_size=0.5, n_steps=10, n_updates=600, a=1.0, **settings):
    """Mean of the precision over the last half of training."""
    method = MaximumLikelihood(
        Precision(a),
        start,
        n_steps=n_steps,
        step_size=step_size,
        lr=lambda t: 0.02 / (1 + t / 100),
        **settings,
    )
    trace = []
    fit(
        method,
        lambda n: math.sqrt(variance) * torch.randn(n, 2),
        steps=n_updates,
        batch_size=1000,
        hooks=[lambda i, m, v: trace.append(m.energy.a.item())],
    )
    return torch.tensor(trace[n_updates // 2 :]).mean().item()


def test_persistent_chains_find_the_precision_with_the_bias_of_ula():
    """ULA at precision a has variance 1/(a (1 - s² a/4)): learning stops where that equals the data's."""
    s, v = 0.8, 1.0
    wanted = (2 / s**2) * (1 - math.sqrt(1 - s**2 / v))
    assert wanted == pytest.approx(1.25)
    assert fitted(ReplayBuffer(torch.randn(2000, 2)), step_size=s) == pytest.approx(wanted, rel=0.01)


def test_contrastive_divergence_from_data_has_the_same_fixed_point():
    """Started at the data, K steps return the data's variance only at ULA's own stationary precision."""
    assert fitted(DataStart(), step_size=0.8, n_steps=3) == pytest.approx(1.25, rel=0.02)


def test_short_run_learns_the_transport_not_the_density():
    """Started at N(0, 4), K = 20 steps of 0.1 must contract variance 4 to 1: the precision is 7.36, not 1."""
    s, k = 0.1, 20

    def variance(a):
        rho = 1 - s**2 * a / 2
        return rho ** (2 * k) * 4 + s**2 * (1 - rho ** (2 * k)) / (1 - rho**2)

    assert variance(7.36) == pytest.approx(1, abs=1e-3)
    found = fitted(NoiseStart("normal", 2.0), step_size=s, n_steps=k, a=5.0, n_updates=1500)
    assert found == pytest.approx(7.36, rel=0.02)


def test_data_noise_is_learned_with_the_data():
    s = 0.2
    v = 1 + 0.5**2
    wanted = (2 / s**2) * (1 - math.sqrt(1 - s**2 / v))
    found = fitted(ReplayBuffer(torch.randn(2000, 2)), step_size=s, n_steps=20, data_noise=0.5)
    assert found == pytest.approx(wanted, rel=0.02)


def test_noise_scale_sets_the_temperature():
    """At temperature 4 the energy must be 4 times as steep for samples of the data's variance."""
    found = fitted(ReplayBuffer(torch.randn(2000, 2)), step_size=0.1, noise_scale=0.2, n_steps=40, a=3.0)
    assert found == pytest.approx(4, rel=0.03)


def test_the_ends_of_the_chains_are_handed_back():
    buffer = ReplayBuffer(torch.full((50, 2), 100.0))
    method = MaximumLikelihood(Precision(), buffer, n_steps=50, step_size=0.9)
    fit(method, torch.randn(50, 2), steps=5, batch_size=50)
    assert buffer.x.abs().max() < 10


def test_metrics_are_what_they_say():
    method = MaximumLikelihood(Precision(), DataStart(), n_steps=1, step_size=0.4, noise_scale=0.0)
    x = torch.randn(100, 2)
    metrics = method.step(x)
    assert metrics["displacement"].item() == pytest.approx(0.08 * x.norm(dim=1).mean().item())
    energy = 0.5 * x.square().sum(1).mean().item()
    assert metrics["energy_gap"].item() == pytest.approx(energy * (1 - 0.92**2), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_steps": 0}, "n_steps >= 1"),
        ({"data_noise": -0.1}, "data_noise >= 0"),
        ({"step_size": -0.1}, "step_size is -0.1"),
        ({"bounds": (1, 0)}, "low < high"),
        ({"ema": 1.5}, "decay is 1.5"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MaximumLikelihood(Precision(), DataStart(), **{"n_steps": 1, "step_size": 0.1, **settings})
