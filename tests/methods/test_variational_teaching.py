"""Variational MCMC teaching against its fixed point in closed form, and given conditions.

Mutants tried, each red: the latents of the draws in place of inferred ones in line 5 (the encoder then gets
no gradient from the reconstruction); the data in place of the chains' ends, or the draws; the sign of the
divergence, or twice it; a sign of line 3; chains and draws that keep their graph; conditions shuffled, or
missing in one of the nets.
"""

import math

import pytest
import torch
from exact_noise import Draws, Scripted, ScriptedPosterior
from torch import nn

from ebmlearn import seed
from ebmlearn.methods import VariationalTeaching
from ebmlearn.nets import (
    ConditionalEnergy,
    ConditionalGenerator,
    LinearEnergy,
    MLPEnergy,
    MLPGenerator,
)
from ebmlearn.posteriors import ConditionalPosterior, GaussianPosterior
from ebmlearn.sample import Chain, gibbs, langevin, ula

V, TAU = 1.0, 0.3
THREE = Chain(ula, n_steps=3, step_size=0.3)


def plain():
    return MLPEnergy(2, (8,)), MLPGenerator(3, (2,), (8,)), GaussianPosterior(nn.Linear(2, 6), 3)


def conditional():
    return (
        ConditionalEnergy((2,), (1,), (8,), reference_std=2.0),
        ConditionalGenerator(3, (2,), (1,), (8,)),
        ConditionalPosterior(nn.Linear(3, 6), 3, (1,)),
    )


@pytest.mark.parametrize("nets", [plain, conditional])
def test_a_step_descends_the_two_losses_of_the_algorithm(nets):
    """Gradients written out anew. The reconstruction's reaches the encoder: through the latents inferred."""
    energy, generator, posterior = nets()
    method = VariationalTeaching(energy, generator, posterior, chain=THREE, kl_weight=1.5)
    x_data, c = torch.randn(16, 2), torch.randn(16, 1)
    with_c = nets is conditional
    E = (lambda x: energy(x, c)) if with_c else energy
    beside = (lambda x: torch.cat([x, c], 1)) if with_c else lambda x: x
    g = (lambda z: generator.net(torch.cat([z, c], 1))) if with_c else generator
    seed(1)
    z = torch.randn(16, 3)
    x = (g(z) + 0.3 * torch.randn(16, 2)).detach()
    x = langevin(E, x, n_steps=3, step_size=0.3)
    mean, log_std = posterior.net(beside(x)).chunk(2, 1)
    z = mean + log_std.exp() * torch.randn(16, 3)
    gap = E(x_data).mean() - E(x).mean()
    reconstruction = (x - g(z)).square().sum(1).mean() / (2 * 0.3**2)
    kl = (0.5 * (mean**2 + torch.exp(2 * log_std) - 1) - log_std).sum(1).mean()
    vae = [*generator.parameters(), *posterior.parameters()]
    through_z = torch.autograd.grad(reconstruction, posterior.net.weight, retain_graph=True)[0]
    wanted = [
        *torch.autograd.grad(gap, energy.parameters()),
        *torch.autograd.grad(reconstruction + 1.5 * kl, vae),
    ]
    seed(1)
    metrics = method.step((x_data, c) if with_c else x_data)
    for parameter, slope in zip([*energy.parameters(), *vae], wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-4, atol=1e-5)
    assert through_z.abs().max() > 0.05
    assert metrics["energy_gap"].item() == pytest.approx(gap.item(), abs=1e-5)
    assert metrics["reconstruction"].item() == pytest.approx(reconstruction.item(), rel=1e-4)
    assert metrics["kl"].item() == pytest.approx(kl.item(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("n_steps", "s"), [(20, 0.1), (3, 0.3)])
def test_a_linear_encoder_ends_at_the_data_up_to_the_bias_of_ula(n_steps, s):
    """b² = V - τ², a = (2/s²)(1 - √(1 - s²/V)), and q is the posterior: with moments that are exact, where
    cooperative learning with known latents rests at a = 0."""
    draws = Draws(n_steps + 10)
    energy = LinearEnergy(lambda x: 0.5 * x.square(), torch.tensor([0.5]))
    generator, posterior = Scripted(1, (1,), (), std=TAU), ScriptedPosterior()
    generator.draws = posterior.draws = draws
    nn.init.constant_(generator.net[0].weight, 0.5)
    nn.init.zeros_(generator.net[0].bias)
    nn.init.constant_(posterior.net.weight, 0.5)
    method = VariationalTeaching(
        energy.double(),
        generator.double(),
        posterior.double(),
        chain=Chain(ula, n_steps=n_steps, step_size=s, noise=draws.next),
        lr_energy=1.0,
        lr_vae=0.02,
        optimizer=torch.optim.SGD,
    )
    for _ in range(2500):
        draws.restart()
        method.step(math.sqrt(V) * draws.first)
    b = generator.net[0].weight.item()
    assert b == pytest.approx(math.sqrt(V - TAU**2), abs=1e-3)
    assert energy.theta.item() == pytest.approx(2 / s**2 * (1 - math.sqrt(1 - s**2 / V)), abs=1e-3)
    assert posterior.net.weight.item() == pytest.approx(b / V, abs=1e-3)
    assert posterior.net.log_std.exp().item() == pytest.approx(TAU / math.sqrt(V), abs=1e-3)


def test_samples_are_what_the_chain_makes_of_draws_for_each_condition():
    energy, generator, posterior = conditional()
    method = VariationalTeaching(energy, generator, posterior, chain=THREE)
    c = torch.linspace(-1, 1, 5)[:, None]
    seed(2)
    x = method.sample(5, c)
    seed(2)
    z, noise = torch.randn(5, 3), torch.randn(5, 2)
    start = (generator.net(torch.cat([z, c], 1)) + 0.3 * noise).detach()
    wanted = langevin(lambda x: energy(x, c), start, n_steps=3, step_size=0.3)
    torch.testing.assert_close(x, wanted)


# settings


@pytest.mark.parametrize(
    ("nets", "settings", "error", "message"),
    [
        (plain, {"chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        (conditional, {"chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        (plain, {"chain": THREE, "kl_weight": 0}, ValueError, "kl_weight is 0; expected a number > 0"),
        (plain, {"chain": THREE, "ema": 0.0}, ValueError, r"decay is 0\.0"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(nets, settings, error, message):
    with pytest.raises(error, match=message):
        VariationalTeaching(*nets(), **settings)


def test_nets_that_do_not_fit_are_refused():
    energy, generator, _ = plain()
    with pytest.raises(ValueError, match="the generator has 3 latents, the posterior 2; expected equal"):
        VariationalTeaching(energy, generator, GaussianPosterior(nn.Linear(2, 4), 2), chain=THREE)
    _, _, posterior = conditional()
    with pytest.raises(TypeError, match=r"MLPEnergy, MLPGenerator, ConditionalPosterior; expected all three"):
        VariationalTeaching(energy, generator, posterior, chain=THREE)


def test_conditions_that_do_not_fit_are_refused():
    method = VariationalTeaching(*conditional(), chain=THREE)
    x = torch.zeros(4, 2)
    with pytest.raises(TypeError, match=r"the nets take a batch \(x, c\); got no conditions"):
        method.step(x)
    with pytest.raises(ValueError, match=r"shape \(4, 2\); expected \(4, 1\), one for each of 4 rows"):
        method.step((x, torch.zeros(4, 2)))
    with pytest.raises(ValueError, match=r"shape \(3, 1\); expected \(4, 1\)"):
        method.step((x, torch.zeros(3, 1)))
    with pytest.raises(TypeError, match="the nets take x alone; got conditions"):
        VariationalTeaching(*plain(), chain=THREE).step((x, torch.zeros(4, 1)))
