"""Noise-contrastive estimation: the loss by other means, the learned log Z, and what the noise decides.

Mutants tried: ``ν`` dropped from the log-odds, ``ν`` dropped from the weight of the noise, ``log Z`` with the
other sign, ``log q`` left out, the border of the accuracy at 0.
"""

import math

import pytest
import torch
from objectives import Precision
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import ebmlearn
from ebmlearn.energy import GRBM, Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.methods import NCE
from ebmlearn.nets import MLPEnergy
from ebmlearn.objectives import nce
from ebmlearn.schedules import inverse, linear
from ebmlearn.targets import four_weighted_gaussians
from ebmlearn.train import fit


def normal(d: int, variance: float) -> Gaussian:
    return Gaussian(torch.zeros(d), variance * torch.eye(d))


@pytest.mark.parametrize("nu", [1, 3])
def test_the_loss_is_the_cross_entropy_of_a_classifier(nu):
    """Labels 1 and 0, logits r - log ν, summed over all points and divided by the number of data."""
    data, noise = torch.randn(20), torch.randn(20 * nu)
    logits = torch.cat([data, noise]) - math.log(nu)
    labels = torch.cat([torch.ones(20), torch.zeros(20 * nu)])
    wanted = binary_cross_entropy_with_logits(logits, labels, reduction="sum") / 20
    torch.testing.assert_close(nce(data, noise), wanted)


def test_gradient_by_the_log_ratios_is_that_of_finite_differences():
    data, noise = torch.randn(4).double().requires_grad_(), torch.randn(12).double().requires_grad_()
    assert torch.autograd.gradcheck(nce, (data, noise))


def test_sign_a_flat_energy_becomes_confining():
    energy = Precision(0.0)
    NCE(energy, normal(2, 9.0), lr=1e-6).step(torch.randn(500, 2))
    assert energy.a.grad < 0


@pytest.mark.statistical
@pytest.mark.parametrize("nu", [1, 3])
def test_at_the_truth_the_gradient_vanishes_and_the_loss_is_a_jensen_shannon_divergence(nu):
    """The loss is ``(1+ν) [H - JSD_ν]``, with weights 1/(1+ν) and ν/(1+ν); the integral is by quadrature."""
    target, noise = normal(1, 1.0).double(), normal(1, 4.0).double()
    energy, log_z = Precision(1.0, 1).double(), torch.tensor(0.5 * math.log(2 * math.pi)).double()
    log_z.requires_grad_()
    slopes, values = [], []
    for _ in range(100):
        x, y = target.sample(500), noise.sample(500 * nu)
        loss = nce(*(-energy(p) - log_z - noise.log_prob(p) for p in (x, y)))
        slopes.append(torch.stack(torch.autograd.grad(loss, [energy.a, log_z])))
        values.append(loss.detach())
    slopes, values = torch.stack(slopes), torch.stack(values)
    assert (slopes.mean(0) / slopes.std(0) * 10).abs().max() < 5
    points = exact.Grid((-20, 20), n=3000, dim=1).points.double()
    p, q = target.log_prob(points).exp(), nu * noise.log_prob(points).exp()
    wanted = (p * (1 + q / p).log() + q * (1 + p / q).log())[p > 1e-80].sum() * 40 / 3000
    assert abs(values.mean() - wanted) < 5 * values.std() / 10


@pytest.mark.parametrize("nu", [1, 4])
def test_the_learned_constant_is_log_z(nu):
    """With ν forgotten in the log-odds it would be off by log ν = 1.4."""
    method = NCE(Precision(0.5), normal(2, 5.0), n_noise=nu, lr=inverse(0.2, 25))
    fit(method, lambda n: 2 * torch.randn(n, 2), steps=300, batch_size=1000)
    assert method.log_z.item() == pytest.approx(math.log(2 * math.pi * 4), abs=0.05)


def test_the_constant_starts_at_its_importance_sampling_estimate():
    method = NCE(Precision(0.5, 3), normal(3, 3.0))
    assert method.log_z.item() == pytest.approx(1.5 * math.log(4 * math.pi), abs=0.1)


def test_noise_like_the_data_cannot_be_told_apart():
    energy = Precision(1.0)
    method = NCE(energy, normal(2, 1.0), lr=1e-9)
    method.log_z.data.fill_(energy.log_z.item() - 1e-3)
    metrics = method.step(torch.randn(4000, 2))
    assert metrics["loss"].item() == pytest.approx(math.log(4), abs=1e-5)
    # every ratio is just above 0: all data told right, all noise told wrong
    assert metrics["accuracy"].item() == 0.5


class Step(nn.Module):
    """Whose log-ratio to N(0, I) is 1 on the right and -10 on the left."""

    def forward(self, x):
        return 0.5 * x.square().sum(1) + torch.where(x[:, 0] > 25, -1.0, 10.0)


@pytest.mark.parametrize(("nu", "accuracy"), [(1, 1.0), (8, 0.5)])
def test_a_point_is_told_as_data_above_the_log_odds(nu, accuracy):
    """A ratio of 1 is above log 1 and below log 8: there all data are taken for noise."""
    method = NCE(Step(), normal(2, 1.0), n_noise=nu, lr=1e-9)
    method.log_z.data.fill_(math.log(2 * math.pi))
    assert method.step(50 + torch.zeros(20, 2))["accuracy"].item() == accuracy


def test_noise_with_parameters_is_not_trained():
    noise = GRBM(2, 3)
    method = NCE(MLPEnergy(2, (8,)), noise)
    method.step(torch.randn(50, 2))
    assert all(p.grad is None for p in noise.parameters())


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"ratio_noise has shape \(4, 1\); expected \(B,\)"):
        nce(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(ValueError, match=r"ratio_data has shape \(0,\)"):
        nce(torch.zeros(0), torch.zeros(4))
    with pytest.raises(ValueError, match="n_noise is 0; expected at least 1"):
        NCE(Precision(), normal(2, 1.0), n_noise=0)


def on_t4(std: float, box: float, steps: int = 800):
    """KL(T4 ‖ model), learned minus true log Z, accuracy of the classifier in the end."""
    ebmlearn.seed(0)
    target, net = four_weighted_gaussians(), MLPEnergy(2, (64, 64), reference_std=2.5)
    method = NCE(net, normal(2, std**2), lr=linear(5e-3, steps))
    history = fit(method, target.sample, steps=steps, batch_size=500)
    grid = exact.Grid((-box, box), n=402)
    off = method.log_z.item() - exact.log_z(net, grid).value
    return exact.kl(target, net, grid).value, off, history["accuracy"][-100:].mean().item()


@pytest.mark.slow
@pytest.mark.statistical
def test_noise_that_covers_the_data_leads_to_the_density_and_to_log_z():
    kl, off, accuracy = on_t4(std=1.5, box=12)
    assert kl <= 0.02
    assert abs(off) < 0.1
    assert 0.7 < accuracy < 0.9


@pytest.mark.slow
@pytest.mark.statistical
def test_narrow_noise_leads_elsewhere_and_the_classifier_says_so():
    """Most of the model's mass is where neither data nor noise are: the box must be wide to hold it."""
    kl, off, accuracy = on_t4(std=0.5, box=60)
    assert kl > 1
    assert off < -5
    assert accuracy > 0.95
