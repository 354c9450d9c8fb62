"""The chain as a generator, on energies where the answer is known."""

import math

import pytest
import torch
from scipy import stats

import ebmlearn
from ebmlearn import targets
from ebmlearn.evaluate import exact
from ebmlearn.evaluate.twosample import mmd, squared_mmd
from ebmlearn.methods import MaximumLikelihood, ShortRunGenerator
from ebmlearn.nets import MLPEnergy
from ebmlearn.sample import Chain, NoiseStart, ReplayBuffer, hmc, ula
from ebmlearn.schedules import linear
from ebmlearn.train import fit


def quadratic(x):
    return 0.5 * x.square().flatten(1).sum(1)


def still(n_steps):
    """A chain without noise, whose end is a function of its start."""
    return Chain(ula, n_steps=n_steps, step_size=0.5, noise_scale=0.0)


@pytest.fixture(params=["normal", "uniform"])
def generator(request):
    """On a quadratic energy without noise M(z) = (1 - s²/2)^K z."""
    return ShortRunGenerator(quadratic, NoiseStart(request.param, 2.0), still(4))


def test_the_generator_is_the_chain(generator):
    z = torch.randn(5, 1, 2, 2)
    torch.testing.assert_close(generator(z), 0.875**4 * z)


def test_reconstruction_finds_the_start(generator):
    x = 0.5 * torch.randn(8, 3)
    z, errors = generator.reconstruct(x, n_updates=300, lr=0.1)
    assert errors.shape == (300,) and not z.requires_grad
    assert errors[0] > 0.1 and (generator(z) - x).square().mean() < 1e-6


def test_reconstruction_leaves_no_gradient_in_the_net():
    net = torch.nn.Linear(2, 1)
    generator = ShortRunGenerator(lambda x: net(x.tanh()).squeeze(1), NoiseStart(), still(2))
    generator.reconstruct(torch.randn(3, 2), n_updates=2)
    assert all(p.grad is None for p in net.parameters())


def test_interpolation_starts_and_ends_at_its_ends(generator):
    z0, z1 = generator.start.draw(torch.empty(2, 4, 3))
    x = generator.interpolate(z0, z1, 5)
    assert x.shape == (5, 4, 3)
    torch.testing.assert_close(x[0], generator(z0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(x[-1], generator(z1), atol=1e-5, rtol=1e-4)


@pytest.mark.statistical
def test_every_point_of_an_interpolation_has_the_law_of_the_start(generator):
    """A straight line between two uniform starts would be triangular in the middle."""
    z0, z1 = generator.start.draw(torch.empty(2, 20_000, 1))
    middle = generator.interpolate(z0, z1, 3)[1] / 0.875**4
    law = stats.norm(0, 2) if generator.start.law == "normal" else stats.uniform(-2, 4)
    assert stats.kstest(middle.flatten().numpy(), law.cdf).pvalue > 1e-6


@pytest.mark.statistical
def test_noise_adds_its_variance():
    generator = ShortRunGenerator(quadratic, NoiseStart("normal"), still(1).replace(noise_scale=0.5))
    x = generator(torch.zeros(100_000, 1))
    assert abs(x.var().item() / 0.25 - 1) < 5 * math.sqrt(2 / 100_000)


def test_bad_arguments_are_refused(generator):
    with pytest.raises(ValueError, match="n_updates is 0"):
        generator.reconstruct(torch.zeros(1, 2), n_updates=0)
    with pytest.raises(ValueError, match="expected equal shapes, n >= 2"):
        generator.interpolate(torch.zeros(1, 2), torch.zeros(2, 2), 3)
    with pytest.raises(ValueError, match="expected equal shapes, n >= 2"):
        generator.interpolate(torch.zeros(1, 2), torch.zeros(1, 2), 1)
    uniform = ShortRunGenerator(quadratic, NoiseStart("uniform", 1.0), still(1))
    with pytest.raises(ValueError, match="outside"):
        uniform.interpolate(torch.full((1, 2), 2.0), torch.zeros(1, 2), 3)


def test_a_chain_that_cannot_be_differentiated_is_refused():
    with pytest.raises(TypeError, match="hmc does not know the setting 'create_graph'"):
        ShortRunGenerator(quadratic, NoiseStart(), Chain(hmc, n_steps=1, step_size=0.1, n_leapfrog=2))


@pytest.mark.statistical
@pytest.mark.slow
def test_samples_that_are_nearly_right_come_from_a_wrong_energy():
    """Four weighted Gaussians: samples of noise starts pass small tests at a KL above 5."""
    target = targets.four_weighted_gaussians()
    grid = exact.Grid((-8, 8), n=300)

    def train(start):
        ebmlearn.seed(0)
        net = MLPEnergy(2, (64, 64), reference_std=2.5)
        chain = Chain(ula, n_steps=20, step_size=0.2)
        method = MaximumLikelihood(net, start, chain=chain, lr=linear(2e-3, 1200))
        fit(method, target.sample, steps=1200, batch_size=200)
        return method

    short = train(NoiseStart("normal", 2.5, (2,)))
    x = short.sample(1000)
    assert exact.kl(target, short.energy, grid).value > 5
    assert squared_mmd(x, target.sample(1000)) < 0.01
    # nearly right, not right: modes too wide, and points between them
    assert mmd(short.sample(4000), target.sample(4000), level=0.05).p_value <= 0.05
    longer = short.chain.replace(n_steps=1000)(short.energy, x)
    assert squared_mmd(longer, target.sample(1000)) > 0.05, "the test could not see a wrong law"
    persistent = train(ReplayBuffer(2.5 * torch.randn(2000, 2)))
    assert exact.kl(target, persistent.energy, grid).value <= 0.15
