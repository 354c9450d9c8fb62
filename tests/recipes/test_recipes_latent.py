"""Recipes of models with latent variables: the authors' nets, schedules, units and sampler.

Mutants tried, each red: noise levels, step, start or reference level in the units of [0, 1]; the temperatures
of the sampler, its last denoising, ``h`` moved by the step of ``v``; the weights in place of their average; a
rate that decays by update, not by epoch, or by updates of the posterior, not by iterations.
"""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ebmlearn.data import Images
from ebmlearn.energy import grad
from ebmlearn.nets import CouplingEBLVM
from ebmlearn.recipes import RECIPES, Labels
from ebmlearn.recipes.score_matching_latent import SETTINGS, Anneal, sample

SHAPES = {"mnist": (1, 32, 32), "cifar10": (3, 32, 32), "celeba64": (3, 64, 64)}


def count(net):
    return sum(p.numel() for p in net.parameters())


def full_size(name, data):
    recipe = RECIPES[f"{name}-{data}"]()
    return recipe, recipe.method(recipe.shape())


def joint_net(m=3):
    """An energy of small images in float64, in units of [-1, 1]."""
    features = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ELU())
    return CouplingEBLVM(features, 5, (1, 2, 2), m, 8).double().requires_grad_(False)


# full size: weights as the authors' nets have, counted with their code


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "theirs"), [("mnist", 10_891_265), ("cifar10", 18_883_075), ("celeba64", 12_656_515)]
)
def test_latent_prior_has_the_nets_of_the_code(data, theirs):
    recipe, method = full_size("latent-prior", data)
    first = method.generator.net[0]
    n_pixels = first.out_features // method.generator.net[2].unflattened_size[0]
    # theirs has one bias for each channel of the first layer, ours one for each pixel
    assert count(method.generator) - first.out_features + first.out_features // n_pixels == theirs
    assert (
        count(method.prior) == {"mnist": 42_201, "cifar10": 66_201, "celeba64": 60_601}[data] - 1
    )  # no bias
    x = torch.rand(2, *recipe.shape()) * 2 - 1
    assert recipe.sample(method, 2).shape == x.shape
    assert method.generator.joint(x, method.generator.latent(2)).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("data", SHAPES)
def test_short_run_inference_has_the_net_of_the_code(data):
    recipe, method = full_size("short-run-inference", data)
    wanted = 12_162_435  # of three channels at 32 x 32
    wanted += {"mnist": -2 * (64 * 16 + 1), "cifar10": 0, "celeba64": 64 * 64 * 16 + 64}[data]
    assert count(method.generator) == wanted and recipe.shape() == SHAPES[data]
    x = torch.rand(2, *recipe.shape()) * 2 - 1
    assert recipe.sample(method, 2).shape == x.shape
    assert method.generator.joint(x, method.generator.latent(2)).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bism", "vages"])
@pytest.mark.parametrize(
    ("data", "energy", "encoder"),
    [
        ("mnist", 9_859_250, 779_364),
        ("cifar10", 63_936_562, 780_516),
        ("celeba64", 68_876_338, 2_009_316),
    ],
)
def test_score_matching_has_the_nets_of_the_code(name, data, energy, encoder):
    recipe, method = full_size(name, data)
    assert (count(method.energy), count(method.posterior)) == (energy, encoder)
    assert recipe.shape() == SHAPES[data]
    v = torch.rand(2, *recipe.shape()) * 2 - 1
    assert method.energy.joint(v, method.posterior.sample(v)[0]).isfinite().all()


@pytest.mark.slow
def test_symbol_vector_has_the_nets_of_the_code():
    """The generator of SVHN as counted with theirs, but for the biases of the first layer; the prior of 10
    symbols with theirs, of which 100 inputs, 100 and 100 hidden units."""
    recipe, method = full_size("symbol-vector", "svhn")
    assert count(method.generator) - 512 * 16 + 512 == 3_447_683
    assert count(method.prior) == 21_210
    assert recipe.shape() == (3, 32, 32) and recipe.labels.per_class * recipe.labels.n_classes == 1000
    images = Images(torch.rand(40, 3, 32, 32), torch.arange(40) % 10)
    (x, (x_labelled, y)), *_ = dataclasses.replace(recipe, labels=Labels(2, 20)).streams(images)
    assert x_labelled.shape == (20, 3, 32, 32) and y.bincount().tolist() == [2] * 10
    metrics = method.step((x[:4], (x_labelled[:4], y[:4])))
    assert all(value.isfinite() for value in metrics.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "theirs"),
    [
        ("divergence-triangle", "cifar10", 4_450_848),
        ("bidvl", "cifar10", 4_450_848),
        ("bidvl", "celeba64", 16_861_728),
    ],
)
def test_generators_of_the_triangle_and_of_bidvl_have_the_matrices_of_the_code(name, data, theirs):
    """Theirs have batch normalisation in the place of biases."""
    recipe, method = full_size(name, data)
    assert sum(p.numel() for p in method.generator.parameters() if p.ndim > 1) == theirs
    assert recipe.shape() == SHAPES[data]
    x = recipe.sample(method, 2)
    assert x.shape == (2, *SHAPES[data]) and torch.equal(x, x.clamp(-1, 1))
    if name == "divergence-triangle":
        assert count(method.energy.latent_tower) == 528_512  # with biases, as theirs
    assert all(value.isfinite() for value in method.step(torch.rand(2, *SHAPES[data])).values())


# schedules count epochs, or iterations


def test_learning_rates_of_short_run_inference_are_halved_after_epochs():
    rate = RECIPES["short-run-inference-cifar10"](smoke=True).method((3, 16, 16)).lr_schedules["generator"]
    per_epoch = 400
    for epoch, divisor in ((0, 1), (49, 1), (50, 2), (99, 2), (100, 4), (299, 4), (300, 8), (600, 8)):
        assert rate(epoch * per_epoch) == rate(epoch * per_epoch + 399) == pytest.approx(8e-5 / divisor)


def test_learning_rates_of_the_latent_prior_decay_after_epochs():
    rates = RECIPES["latent-prior-celeba64"](smoke=True).method((3, 16, 16)).lr_schedules
    for name, start in (("prior", 2e-5), ("generator", 1e-4)):
        assert rates[name](0) == rates[name](399) == start
        assert rates[name](400) == pytest.approx(0.998 * start)
        assert rates[name](200 * 400) == pytest.approx(0.998**200 * start)


@pytest.mark.parametrize(
    ("name", "starts", "per_epoch"),
    [
        ("symbol-vector-svhn", {"prior": 2e-5, "classifier": 1e-3, "autoencoder": 1e-4}, 366),
        ("divergence-triangle-celeba64", {"energy": 1e-4, "generator": 3e-4, "posterior": 3e-4}, 500),
        ("bidvl-cifar10", {"energy": 1e-4, "autoencoder": 3e-4}, 500),
        ("bidvl-celeba64", {"energy": 1e-4, "autoencoder": 3e-4}, 1000),
    ],
)
def test_learning_rates_of_later_recipes_decay_after_epochs(name, starts, per_epoch):
    recipe = RECIPES[name](smoke=True)
    rates = recipe.method(recipe.shape()).lr_schedules
    assert rates.keys() == starts.keys()
    for key, start in starts.items():
        assert rates[key](0) == rates[key](per_epoch - 1) == start
        assert rates[key](per_epoch) == pytest.approx(0.998 * start)


@pytest.mark.parametrize("name", ["bism", "vages"])
def test_learning_rates_of_score_matching_end_with_the_run(name):
    """The posterior makes five updates in an iteration, of which there are 20."""
    rates = RECIPES[f"{name}-mnist"](smoke=True).method((1, 16, 16)).lr_schedules
    assert rates["energy"](0) == rates["posterior"](4) == pytest.approx(1e-4)
    assert rates["energy"](10) == rates["posterior"](50) == pytest.approx(0.5 * (1e-4 + 1e-6))
    assert rates["energy"](20) == rates["posterior"](100) == rates["energy"](30) == pytest.approx(1e-6)


# units: the authors' images lie in [0, 1]


@pytest.mark.parametrize(
    ("data", "low", "high", "geometric"),
    [("mnist", 0.1, 3.0, True), ("cifar10", 0.05, 1.2, False), ("celeba64", 0.05, 1.2, False)],
)
def test_the_objective_is_theirs_times_a_constant(monkeypatch, data, low, high, geometric):
    """Theirs: ``½ ‖∇E(v + σε)/σ + ε/0.1²‖²`` of v in [0, 1], with the score as minus the slope."""
    name = data.removesuffix("64")
    monkeypatch.setitem(SETTINGS, name, SETTINGS[name]._replace(width=4, n_blocks=1))
    _, method = full_size("bism", data)
    net, v = joint_net(), torch.rand(6, 1, 2, 2, dtype=torch.float64)
    h = torch.randn(6, 3, dtype=torch.float64)
    torch.manual_seed(1)
    found = method.objective(lambda x: net.joint(x, h), 2 * v - 1)
    torch.manual_seed(1)
    noise = torch.randn_like(v)
    spaced = (
        torch.logspace(math.log10(low), math.log10(high), 6) if geometric else torch.linspace(low, high, 6)
    )
    sigma = spaced.double().view(6, 1, 1, 1)
    _, slope = grad(lambda v: net.joint(2 * v - 1, h), v + sigma * noise)
    theirs = 0.5 * (-slope / sigma + noise / 0.1**2).square().flatten(1).sum(1).mean()
    torch.testing.assert_close(found, 0.1**4 * theirs, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", ["divergence-triangle-cifar10", "bidvl-cifar10"])
def test_squared_errors_are_theirs(name):
    """Theirs are sums over pixels without a factor, and for BiDVL the mean over latents."""
    recipe = RECIPES[name](smoke=True)
    method, x = recipe.method(recipe.shape()), torch.rand(4, *recipe.shape())
    z = method.generator.latent(4)
    wanted = (x - method.generator(z)).square().flatten(1).sum(1)
    torch.testing.assert_close(method.generator.reconstruction(x, z), wanted)
    if name.startswith("bidvl"):
        found = method.latent_weight * (
            method.latent_nll(x, z) - method.latent_nll(x, method.posterior.mean(x))
        )
        torch.testing.assert_close(found, (z - method.posterior.mean(x)).square().mean(1))


def test_the_sampler_is_theirs():
    """Their loop on v in [0, 1] and h, with steps of 0.02 and the same noise, gives the same images."""
    average, anneal = joint_net(), Anneal(4, 6, 5)
    method = SimpleNamespace(averages={"energy": SimpleNamespace(module=average)}, energy=joint_net())
    torch.manual_seed(1)
    found = sample(method, 7, anneal=anneal)
    torch.manual_seed(1)
    v = 0.5 + torch.randn(7, 1, 2, 2, dtype=torch.float64)
    h = 0.5 + torch.randn(7, 3, dtype=torch.float64)

    def slopes(v, h):
        v, h = v.requires_grad_(), h.requires_grad_()
        return torch.autograd.grad(average.joint(2 * v - 1, h).sum(), (v, h))

    falling = [100 * 10 ** (-2 * i / 6) for i in range(6)]
    for temperature in [100.0] * 4 + falling + [1, 0.75, 0.5, 0.25, 0]:
        to_v, to_h = slopes(v, h)
        noise = torch.randn(7, 7, dtype=torch.float64) if temperature else torch.zeros(7, 7)
        v = v - 0.5 * 0.02**2 * to_v + temperature**0.5 * 0.02 * noise[:, :4].view_as(v)
        h = h - 0.5 * 0.02**2 * to_h + temperature**0.5 * 0.02 * noise[:, 4:]
        v, h = v.detach(), h.detach()
    torch.testing.assert_close(found, 2 * (v - 0.1**2 * slopes(v, h)[0]) - 1)


def test_the_sampler_cools_in_2700_steps():
    anneal = Anneal()
    found = [anneal.temperature(t) for t in (0, 499, 500, 1500, 2500, 2699)]
    assert sum(anneal) == 2700
    assert found == pytest.approx([100, 100, 100, 10, 1, 0])
