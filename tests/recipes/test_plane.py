"""Every method of the plane learns what its recipe says that it learns, in nats, from another seed.

What turns it red: other noise in the chains, an average of the weights that does not move, a prior that is
left out of the sum over latents.
"""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from ebmlearn import seed
from ebmlearn.evaluate import exact
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.recipes import plane
from ebmlearn.recipes.plane import CHAIN, FRESH_LATENT_CHAIN, PLANE, SPREAD, TARGETS, net
from ebmlearn.sample import ReplayBuffer
from ebmlearn.schedules import linear
from ebmlearn.train import fit

CASES = [(name, target) for name, recipe in PLANE.items() for target in recipe.kl]
GRID, ROUGH = (exact.Grid((-12, 12), n=n) for n in (300, 180))
OF_LATENTS = plane.of_generator, plane.of_latent_prior, plane.of_joint  # slow sums, and smooth


def density_nets(method):
    """The nets that make the density that is judged: the generator only where there is no energy."""
    if hasattr(method, "tilt"):
        return [method.tilt, method.flow]
    if hasattr(method, "prior"):
        return [method.prior, method.generator]
    return [getattr(method, "energy", None) or method.generator]


def test_every_recipe_says_how_far_from_t4_it_ends():
    for recipe in PLANE.values():
        assert "T4" in recipe.kl and recipe.kl.keys() <= TARGETS.keys()
        assert all(0 < low <= high for low, high in recipe.kl.values())


def test_another_number_of_steps_reaches_method_and_schedule():
    method, history = PLANE["contrastive divergence"].train(TARGETS["T4"](), steps=3)
    assert len(history["energy_gap"]) == 3
    assert method.lr_schedules["energy"](1) == linear(2e-3, 3)(1)


def points_forward(nets, act):
    """How many points go forward through nets. With a hook on it no closed form answers for a net."""
    seen = []
    for module in nets:  # a joint energy is not called itself, but the net in it
        part = getattr(module, "net", module)
        part.register_forward_hook(lambda part, inputs, output: seen.append(len(output)))
    act()
    return sum(seen)


@pytest.mark.parametrize("name", PLANE)
def test_the_gradients_of_an_update_are_counted(name):
    """Each point that goes forward comes back once, but for the two kinds of score matching. Those go back
    from one forward pass four times and twice: by the point, by the weights, and for each row of the Hessian.
    What turns it red: a chain of another length, another number of noise points."""
    recipe, target, updates = PLANE[name], TARGETS["T4"](), 5
    method = recipe.make(target, updates)
    fit_it = partial(fit, method, recipe.data(target), steps=updates, batch_size=recipe.batch_size)
    forward = points_forward(density_nets(method), fit_it) / updates
    if name == "latent-space prior":  # the chain of the posterior goes through both nets at once
        forward -= FRESH_LATENT_CHAIN.n_steps * recipe.batch_size
    back = {"score matching": 4, "denoising score matching": 2}.get(name, 1)
    assert back * forward == pytest.approx(recipe.gradients)


@pytest.mark.parametrize("name", [name for name, recipe in PLANE.items() if recipe.sample])
def test_a_method_draws_as_it_does_in_training(name):
    recipe, target = PLANE[name], TARGETS["T4"]()
    method = recipe.make(target, 10)
    seed(1)
    x = recipe.sample(method, 7)
    assert x.shape == (7, 2)
    seed(1)
    assert torch.equal(x, method.sample(7))


def test_methods_without_a_sampler_of_their_own_have_none():
    """A sampler that is left out of a recipe, or one that would refuse to draw."""
    target = TARGETS["T4"]()
    for recipe in PLANE.values():
        if recipe.sample is None:
            method = recipe.make(target, 10)
            if hasattr(method, "sample"):
                with pytest.raises(ValueError, match="no starting points of its own"):
                    method.sample(7)


def test_a_prior_that_has_learned_nothing_leaves_the_density_of_the_generator():
    method = PLANE["latent-space prior"].make(TARGETS["T4"](), 10)
    torch.nn.init.zeros_(method.prior.net[-1].weight)
    x = torch.randn(50, 2)
    torch.testing.assert_close(plane.of_latent_prior(method)(x), plane.of_generator(method)(x))
    # a prior that is steep, and far from zero at most latents
    method.prior.reference_std = 0.05
    steep, centre = plane.of_latent_prior(method), method.generator(torch.zeros(1, 2)).detach()
    assert (steep.weights > 0).all() and len(steep.weights) < len(plane.LATENTS.points)
    assert (steep.means[steep.weights.argmax()] - centre).norm() < 0.2


def test_the_density_of_the_points_of_a_joint_energy_is_its_marginal():
    """Of a Gaussian pair: ``x ~ N(0, 4)``, and ``z ~ N(0.8 x, 1.5²)`` given ``x``."""

    def joint(x, z):
        return 0.5 * ((z - 0.8 * x) / 1.5).square().sum(1) + x.square().sum(1) / 8

    energy = plane.of_joint(SimpleNamespace(energy=SimpleNamespace(joint=joint)))
    x = 2 * torch.randn(50, 2)
    known = x.square().sum(1) / 8
    torch.testing.assert_close(energy(x) - energy(x[:1]), known - known[0], atol=1e-3, rtol=0)


def test_a_tilted_flow_is_the_energy_of_its_method():
    method = PLANE["neural transport"].make(TARGETS["T4"](), 10)
    x = torch.randn(50, 2)
    torch.testing.assert_close(plane.tilted(method)(x), method.energy(x))


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.filterwarnings("ignore")  # of mass outside of the grid: the divergence shows it
@pytest.mark.parametrize(("name", "target"), CASES)
def test_a_recipe_reaches_its_known_divergence(name, target, monkeypatch):
    """Within twice the range of three seeds, and 0.05 nats; and its grid of latents, if any, is fine and wide
    enough: with another the energy is the same up to a constant."""
    recipe, density = PLANE[name], TARGETS[target]()
    low, high = recipe.kl[target]
    seed(3)
    method, _ = recipe.train(density)
    energy = recipe.model(method)
    kl = exact.kl(density, energy, ROUGH if recipe.model in OF_LATENTS else GRID).value
    assert low / 2 - 0.05 < kl < 2 * high + 0.05
    if recipe.model in OF_LATENTS:
        monkeypatch.setattr(plane, "LATENTS", exact.Grid((-6, 6), n=120))
        monkeypatch.setattr(plane, "JOINT_LATENTS", exact.Grid((-15, 15), n=30))
        x = density.sample(1000)
        with torch.no_grad():
            assert (recipe.model(method)(x) - energy(x)).std() < 0.01


@pytest.mark.slow
@pytest.mark.statistical
def test_persistent_chains_at_a_constant_rate_need_the_average_of_the_weights():
    """The last weights swing around the solution. Six seeds gave 0.5 to 3.2 nats for them and 0.05 to 0.17
    for their average."""
    seed(0)
    target, energy = TARGETS["8 Gaussians"](), net()
    bank = ReplayBuffer(SPREAD * torch.randn(2000, 2))
    method = MaximumLikelihood(energy, bank, chain=CHAIN, lr=2e-3, ema=0.995)
    fit(method, target.sample, steps=1000, batch_size=200)
    last, average = (exact.kl(target, e, GRID).value for e in (energy, method.averages["energy"]))
    assert average < 0.3
    assert last > 3 * average
