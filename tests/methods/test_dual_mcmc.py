"""Dual-MCMC teaching against its fixed points in closed form: between cooperative learning and the data.

Mutants tried, each red: the posterior's chain without its prior term, from N(0, I), or of other data; latents
of either teaching term shuffled or drawn anew; the chain's ends keep their graph; a weight on the other term;
the second chain of x from the old generator, or from other latents; a sign of the gap.
"""

import math

import pytest
import torch
from exact_noise import Draws, Scripted, ScriptedPosterior, exact_gaussian
from scipy.optimize import brentq
from torch import nn

from ebmlearn import seed
from ebmlearn.methods import DualMCMC
from ebmlearn.nets import LinearEnergy, MLPEnergy, MLPGenerator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, gibbs, langevin, ula

V, TAU, K, S = 1.0, 0.3, 20, 0.1
THREE = Chain(ula, n_steps=3, step_size=0.1)


def nets():
    return MLPEnergy(2, (8,)), MLPGenerator(3, (2,), (8,)), GaussianPosterior(nn.Linear(2, 6), 3)


@pytest.mark.parametrize("n_x_chains", [1, 2])
def test_a_step_descends_the_three_losses_of_the_algorithm(n_x_chains):
    """Gradients written out anew: the latents of each term, the weights, and the new draw of line 5."""
    energy, generator, posterior = nets()
    settings = {"generator_weight": 5.0, "posterior_weight": 0.1, "n_x_chains": n_x_chains}
    method = DualMCMC(
        energy,
        generator,
        posterior,
        chain=THREE.replace(step_size=0.3),
        latent_chain=THREE,
        optimizer=torch.optim.SGD,
        lr_generator=0.01,
        **settings,
    )
    x_data = torch.randn(16, 2)

    def revise(z):
        x = (generator(z) + 0.3 * torch.randn(16, 2)).detach()
        return langevin(energy, x, n_steps=3, step_size=0.3)

    def nll(z, x):
        mean, log_std = posterior.net(x).chunk(2, 1)
        return (((z - mean) / log_std.exp()) ** 2 / 2 + log_std + 0.5 * math.log(2 * math.pi)).sum(1).mean()

    seed(1)
    z = torch.randn(16, 3)
    x = revise(z)
    mean, log_std = posterior.net(x_data).detach().chunk(2, 1)
    z_data = mean + log_std.exp() * torch.randn(16, 3)

    def posterior_energy(z):
        return (x_data - generator(z)).square().sum(1) / (2 * 0.3**2) + z.square().sum(1) / 2

    z_data = langevin(posterior_energy, z_data, n_steps=3, step_size=0.1)
    lost = [(a - generator(b)).square().sum(1).mean() / (2 * 0.3**2) for a, b in ((x_data, z_data), (x, z))]
    inferred = nll(z_data, x_data) + 0.1 * nll(z, x)
    by_generator = torch.autograd.grad(lost[0] + 5 * lost[1], generator.parameters())
    by_posterior = torch.autograd.grad(inferred, posterior.parameters())
    before = [p.detach().clone() for p in generator.parameters()]
    if n_x_chains == 2:
        with torch.no_grad():
            for p, slope in zip(generator.parameters(), by_generator, strict=True):
                p -= 0.01 * slope
        x = revise(z)
        with torch.no_grad():
            for p, old in zip(generator.parameters(), before, strict=True):
                p.copy_(old)
    gap = energy(x_data).mean() - energy(x).mean()
    by_energy = torch.autograd.grad(gap, energy.parameters())
    seed(1)
    metrics = method.step(x_data)
    for parameter, slope in zip(method.parameters(), [*by_energy, *by_generator, *by_posterior], strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-4, atol=1e-5)
    assert metrics["energy_gap"].item() == pytest.approx(gap.item(), abs=1e-5)
    assert metrics["reconstruction"].item() == pytest.approx(lost[0].item(), rel=1e-4)
    assert metrics["teaching"].item() == pytest.approx(lost[1].item(), rel=1e-4)
    assert metrics["posterior_nll"].item() == pytest.approx(inferred.item(), rel=1e-4)


# fixed points: data N(0, V), E = a x²/2, g = b z, the posterior's chain exact


def after_chain(a, start):
    """Contraction ρ^K of a chain, and the variance that it makes of the variance ``start``."""
    rho = 1 - S**2 * a / 2
    return rho**K, rho ** (2 * K) * start + S**2 * sum(rho ** (2 * j) for j in range(K))


def rest(weight):
    """(a, b) at rest, in closed form up to two roots: the chain keeps the data's variance, and the
    generator's two terms balance."""

    def energy_at_rest(b):
        return brentq(lambda a: after_chain(a, b**2 + TAU**2)[1] - V, -5, 50)

    def pull(b):
        total = b**2 + TAU**2
        w, spread = b / total, TAU**2 / total  # mean and variance of the exact posterior
        known = after_chain(energy_at_rest(b), total)[0] * b - b
        return V * w - b * (w**2 * V + spread) + weight * known

    b = brentq(pull, 0.5, math.sqrt(V - TAU**2) + 1e-9)
    return energy_at_rest(b), b


@pytest.mark.slow
@pytest.mark.parametrize(("weight", "a"), [(0.0, 1.0025), (1.0, 0.209), (50.0, 0.006)])
def test_the_fixed_point_lies_between_cooperative_learning_and_the_data(weight, a):
    """Teaching alone rests at a flat energy, the data's term alone at that of the data, 1.0025 for `ula`."""
    draws = Draws(K + 10)
    energy = LinearEnergy(lambda x: 0.5 * x.square(), torch.tensor([0.5]))
    generator, posterior = Scripted(1, (1,), (), std=TAU), ScriptedPosterior()
    generator.draws = posterior.draws = draws
    nn.init.constant_(generator.net[0].weight, 0.7)
    nn.init.zeros_(generator.net[0].bias)
    nn.init.constant_(posterior.net.weight, 0.5)
    method = DualMCMC(
        energy.double(),
        generator.double(),
        posterior.double(),
        chain=Chain(ula, n_steps=K, step_size=S, noise=draws.next),
        latent_chain=exact_gaussian(draws),
        generator_weight=weight,
        lr_energy=2.0,
        lr_generator=0.5 * TAU**2 / (1 + weight),
        lr_posterior=0.02,
        optimizer=torch.optim.SGD,
    )
    for _ in range(1500):
        draws.restart()
        method.step(math.sqrt(V) * draws.first)
    found = energy.theta.item(), generator.net[0].weight.item()
    assert found == pytest.approx(rest(weight), abs=1e-3)
    assert found[0] == pytest.approx(a, abs=1e-3)


def test_the_chain_of_latents_ends_in_the_posterior_and_starts_at_the_inference_model():
    energy, generator, posterior = nets()
    method = DualMCMC(energy, generator, posterior, chain=THREE, latent_chain=THREE)
    x = torch.randn(4, 2)
    seed(3)
    z = method.infer(x)
    seed(3)
    (start,) = posterior.sample(x)
    wanted = langevin(lambda z: generator.joint(x, z), start, n_steps=3, step_size=0.1)
    torch.testing.assert_close(z, wanted)
    seed(3)
    x = method.sample(5)
    seed(3)
    wanted = langevin(energy, generator.sample(5).detach(), n_steps=3, step_size=0.1)
    torch.testing.assert_close(x, wanted)


# settings


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        ({"latent_chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        (
            {"generator_weight": -1.0},
            ValueError,
            r"generator_weight is -1\.0, posterior_weight 1\.0; expected",
        ),
        ({"posterior_weight": math.nan}, ValueError, "posterior_weight nan; expected numbers >= 0"),
        ({"n_x_chains": 3}, ValueError, "n_x_chains is 3; expected 1, or 2"),
        ({"ema": 1.0}, ValueError, r"decay is 1\.0"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(settings, error, message):
    with pytest.raises(error, match=message):
        DualMCMC(*nets(), **{"chain": THREE, "latent_chain": THREE, **settings})


def test_latents_of_another_length_are_refused():
    energy, generator, _ = nets()
    with pytest.raises(ValueError, match="the generator has 3 latents, the posterior 2; expected equal"):
        DualMCMC(
            energy,
            generator,
            GaussianPosterior(nn.Linear(2, 4), 2),
            chain=THREE,
            latent_chain=THREE,
        )
