"""The variational auto-encoder: an exact posterior makes its bound the likelihood, and a linear one is PPCA.

Mutants tried, each red: no divergence, or twice; the divergence summed over the batch; the draw without a
graph, or the mean in place of it; only one of the nets updated.
"""

import math

import pytest
import torch
from torch import nn

from ebmlearn import data, seed
from ebmlearn.evaluate import linear
from ebmlearn.methods import VAE
from ebmlearn.nets import MLPGenerator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.train import fit

pytest.importorskip("sklearn.datasets")  # the digits; its first import sets environment variables


def linear_pair(d, latent, std, shape=None):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(d, 2 * latent))
    return MLPGenerator(latent, shape or (d,), (), std=std), GaussianPosterior(encoder, latent)


@pytest.mark.statistical
def test_with_the_exact_posterior_the_bound_is_the_likelihood():
    """The posterior is diagonal if the columns of W are orthogonal."""
    n, d = 20_000, 4
    net, posterior = linear_pair(d, 2, 0.5)
    weight = torch.linalg.qr(torch.randn(d, d))[0][:, :2] * torch.tensor([1.0, 0.6])
    variance = 1 / (1 + weight.square().sum(0) / 0.25)
    with torch.no_grad():
        net.net[0].weight.copy_(weight)
        layer = posterior.net[1]
        layer.weight.copy_(torch.cat([weight.T * variance[:, None] / 0.25, torch.zeros(2, d)]))
        layer.bias.copy_(torch.cat([-layer.weight[:2] @ net.net[0].bias, variance.log() / 2]))
    x = torch.randn(1, d)
    true = linear.marginal(linear.from_generator(net)).log_prob(x.double()).item()
    z = posterior.sample(x.expand(n, d))[0]
    spread = net.reconstruction(x.expand(n, d), z).std().item() / math.sqrt(n)
    metrics = VAE(net, posterior, lr=1e-9).step(x.expand(n, d))
    elbo = metrics["elbo"].item() - 0.5 * d * math.log(2 * math.pi * 0.25)
    assert spread < 0.02 and abs(elbo - true) < 5 * spread
    assert metrics["elbo"].item() == pytest.approx(
        -metrics["reconstruction"].item() - metrics["kl"].item(), abs=1e-5
    )


def test_a_step_descends_minus_the_bound_in_both_nets():
    net, posterior = linear_pair(4, 3, 0.5)
    x = torch.randn(16, 4)
    seed(1)
    mean, log_std = posterior.net(x).chunk(2, 1)
    z = mean + log_std.exp() * torch.randn(16, 3)
    kl = 0.5 * (mean**2 + torch.exp(2 * log_std) - 1 - 2 * log_std).sum(1)
    loss = ((x - net(z)).square().sum(1) / (2 * 0.25) + kl).mean()
    parameters = [*net.parameters(), *posterior.parameters()]
    wanted = torch.autograd.grad(loss, parameters)
    seed(1)
    metrics = VAE(net, posterior).step(x)
    for parameter, slope in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope)
    assert metrics["kl"].item() == pytest.approx(kl.mean().item(), rel=1e-5)
    assert -metrics["elbo"].item() == pytest.approx(loss.item(), rel=1e-5)


@pytest.mark.slow
def test_a_linear_auto_encoder_of_digits_comes_within_a_tenth_of_a_nat_of_ppca():
    """Its bound has no other maxima than those of the likelihood (Lucas et al., 2019, arXiv:1911.02469)."""
    x, test = (data.load("digits", part).x for part in ("train", "test"))
    optimum = linear.ppca(x, 8)
    net, posterior = linear_pair(64, 8, optimum.std, (1, 8, 8))
    fit(VAE(net, posterior, lr=lambda t: 0.1 * (1 - t / 1000) ** 2), x, steps=1000, batch_size=200)
    flat = test.flatten(1).double()
    found, wanted = (linear.marginal(m).log_prob(flat).mean() for m in (linear.from_generator(net), optimum))
    assert 0 < wanted - found < 0.1


def test_two_nets_with_other_latents_are_refused():
    with pytest.raises(ValueError, match="the generator has 2 latents, the posterior 3"):
        VAE(MLPGenerator(2, (4,)), linear_pair(4, 3, 0.5)[1])


def test_anomaly_is_minus_the_bound_of_each_example():
    """As the stored runs of chapter 14 have it: at one draw, the divergence in closed form."""
    net, posterior = linear_pair(4, 3, 0.5)
    x = torch.randn(16, 4)
    seed(1)
    found = VAE(net, posterior).anomaly(x)
    seed(1)
    mean, log_std = posterior.net(x).chunk(2, 1)
    z = mean + log_std.exp() * torch.randn(16, 3)
    kl = 0.5 * (mean**2 + torch.exp(2 * log_std) - 1 - 2 * log_std).sum(1)
    torch.testing.assert_close(found, ((x - net(z)).square().sum(1) / (2 * 0.25) + kl).detach())
    assert not found.requires_grad
