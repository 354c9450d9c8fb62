"""The generator of tables: both kinds of columns have their law, and the scales of Gaussians are learned.

Mutants, each seen to fail: no `log s`; no `½ log 2π`; the scales of the wrong columns; a sigmoid before the
loss of logits; a variance where the scale belongs; the global generator for either kind of column; no check
of NaN, or of binary columns.
"""

import math

import pytest
import torch
from scipy import stats

from ebmlearn import VAE, fit
from ebmlearn.energy import grad
from ebmlearn.nets import TabularGenerator
from ebmlearn.posteriors import GaussianPosterior


def net(binary=(0, 3)):
    """Four columns; weights and scales that no constructor makes."""
    found = TabularGenerator(2, 4, (5,), binary=binary).double()
    with torch.no_grad():
        for p in found.parameters():
            p.normal_()
    return found.requires_grad_(False)


def test_the_likelihood_is_that_of_torch():
    table = net()
    z, x = table.latent(6), torch.randn(6, 4).double()
    x[:, [0, 3]] = torch.randint(2, (6, 2)).double()
    raw = table.net(z)
    wanted = torch.distributions.Bernoulli(logits=raw[:, [0, 3]]).log_prob(x[:, [0, 3]]).sum(1)
    wanted += torch.distributions.Normal(raw[:, 1:3], table.scales).log_prob(x[:, 1:3]).sum(1)
    torch.testing.assert_close(table.reconstruction(x, z), -wanted)
    torch.testing.assert_close(table(z)[:, 1:3], raw[:, 1:3])
    torch.testing.assert_close(table(z)[:, [0, 3]], raw[:, [0, 3]].sigmoid())


@pytest.mark.parametrize("binary", [(1,), (0,)])
def test_the_mass_is_one(binary):
    """Over both values of the binary column, and the other by a sum on a fine grid."""
    table = TabularGenerator(1, 2, (3,), binary=binary).double()
    torch.nn.init.constant_(table.log_scale, -0.7)
    step, axis = 0.01, torch.arange(-12, 12, 0.01, dtype=torch.float64)
    other = 1 - binary[0]
    x = torch.zeros(2, len(axis), 2).double()
    x[:, :, other], x[1, :, binary[0]] = axis, 1
    rows = x.view(-1, 2)
    z = torch.full((len(rows), 1), 0.8).double()
    assert (-table.reconstruction(rows, z)).exp().sum().item() * step == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("binary", [(), (0, 1, 2, 3)])
def test_columns_of_one_kind_only(binary):
    table = net(binary)
    z = table.latent(5)
    x = table.draw(z)
    assert table.reconstruction(x, z).shape == (5,) and len(table.scales) == 4 - len(binary)
    assert bool(((x == 0) | (x == 1)).all()) == bool(binary)


@pytest.mark.statistical
def test_draws_follow_the_laws_of_their_columns(generator):
    table, n = net(), 40_000
    z = torch.tensor([[0.7, -1.2]], dtype=torch.float64).expand(n, -1)
    before = torch.get_rng_state()
    x = table.draw(z, generator)
    assert torch.equal(torch.get_rng_state(), before)
    mean = table(z[:1])[0]
    for j in (0, 3):
        assert set(x[:, j].unique().tolist()) <= {0.0, 1.0}
        assert stats.binomtest(int(x[:, j].sum()), n, mean[j].item()).pvalue > 1e-6
    for j, scale in zip((1, 2), table.scales.tolist(), strict=True):
        assert stats.kstest(x[:, j], "norm", (mean[j].item(), scale)).pvalue > 1e-6
    # independent given z
    assert abs(torch.corrcoef(x.T)[1, 2].item()) < 5 / math.sqrt(n)


def test_gradient_in_the_latents_is_that_of_finite_differences():
    table = net()
    z = table.latent(8)
    x = table.draw(z)
    _, slope = grad(lambda z: table.joint(x, z), z)
    for j in range(2):
        h = torch.zeros(2).double()
        h[j] = 1e-5
        difference = (table.joint(x, z + h) - table.joint(x, z - h)) / 2e-5
        torch.testing.assert_close(slope[:, j], difference, rtol=1e-7, atol=1e-8)


def test_scales_are_learned_and_are_those_of_the_noise():
    """x = (w z + .3 ε, .6 ε, a coin): the second column is noise alone. Its scale is known; that of the first
    lies between the noise that no latent explains and the spread of the whole column."""
    n = 2000
    z, noise = torch.randn(n), torch.randn(n, 2)
    coin = (torch.rand(n) < 0.25).float()
    x = torch.stack([z + 0.3 * noise[:, 0], 0.6 * noise[:, 1], coin], 1)
    table = TabularGenerator(1, 3, (), binary=(2,))
    fit(VAE(table, GaussianPosterior(torch.nn.Linear(3, 2), 1), lr=1e-2), x, steps=800, batch_size=200)
    second = table.scales[1].item()
    assert abs(second / x[:, 1].std().item() - 1) < 0.06
    assert table.scales[0] < 0.95
    assert abs(table(torch.zeros(1, 1))[0, 2].item() - coin.mean().item()) < 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: TabularGenerator(2, 0), "n_columns is 0; expected a whole number >= 1"),
        (lambda t: TabularGenerator(2, 3, binary=(3,)), r"binary is \(3,\); .* each once, from 0 to 2"),
        (lambda t: TabularGenerator(2, 3, binary=(1, 1)), r"binary is \(1, 1\); .* each once"),
        (lambda t: TabularGenerator(2, 3, binary=(-1,)), r"binary is \(-1,\); expected whole numbers >= 0"),
        (lambda t: t.reconstruction(torch.zeros(2, 3), t.latent(2)), r"x has shape \(2, 3\); .* \(2, 4\)"),
        (lambda t: t.reconstruction(torch.zeros(3, 4), t.latent(2)), r"x has shape \(3, 4\); .* \(2, 4\)"),
        (lambda t: t.reconstruction(torch.zeros(2, 4).long(), t.latent(2)), "x is torch.int64; .* floating"),
        (
            lambda t: t.reconstruction(torch.tensor([[0, math.nan, 0, 0.0]]), t.latent(1)),
            r"NaN or infinite, in columns \[1\]: remove those rows, or fill in",
        ),
        (
            lambda t: t.reconstruction(torch.tensor([[0.0, 0.5, 0.5, 2.0]]), t.latent(1)),
            r"binary columns \[3\] of x hold values other than 0 and 1: do not standardise them",
        ),
        (lambda t: t.draw(torch.zeros(2, 3)), r"z has shape \(2, 3\); expected \(B, 2\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(net())
