"""The script behind chapter 19's areas under the ROC curve: outliers, scores, and what is stored."""

import importlib
import json
from itertools import product

import numpy as np
import pytest
import torch

import ebmlearn as el

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("outliers")


@pytest.fixture(scope="module")
def kinds(script):
    """Test digits, what stands for MNIST, and outliers of seed 0."""
    _, test = script.digits()
    dark = torch.rand(1500, 1, 8, 8, generator=torch.Generator().manual_seed(1)) ** 6 * 2 - 1
    return test, dark, script.outliers(test, dark, 0)


def test_outliers_are_of_the_kinds_that_their_names_say(script, kinds):
    test, dark, found = kinds
    assert tuple(found) == script.OUTLIERS[:-1]
    assert all(x.min() >= -1 and x.max() <= 1 and x.shape[1:] == (1, 8, 8) for x in found.values())
    assert [len(x) for x in found.values()] == [1000] * 4 + [355] * 2
    assert len(torch.unique(found["MNIST"].flatten(1), dim=0)) == 1000
    assert torch.equal(found["constant images"].flatten(1).std(1), torch.zeros(1000))
    assert abs(found["uniform noise"].mean()) < 5 * (1 / 3 / 64000) ** 0.5
    assert torch.equal(found["inverted"], -test)
    # one order for all: each image keeps its grey levels, each place has those of one pixel
    permuted = found["pixels permuted"].flatten(1)
    assert torch.equal(permuted.sort(1).values, test.flatten(1).sort(1).values)
    assert torch.equal(permuted.mean(0).sort().values, test.flatten(1).mean(0).sort().values)
    assert not torch.equal(permuted, test.flatten(1))
    other = script.outliers(test, dark, 1)
    assert all(torch.equal(other[k], v) == (k == "inverted") for k, v in found.items())


def test_images_made_brighter_have_the_mean_of_the_digits_and_their_own_order_of_greys(script, kinds):
    test, _, found = kinds
    before, after = found["MNIST"], found["MNIST, as bright"]
    assert before.mean() < test.mean() - 0.1
    assert after.mean().item() == pytest.approx(test.mean().item(), abs=1e-5)
    assert torch.equal(before.flatten().argsort(stable=True), after.flatten().argsort(stable=True))


@pytest.mark.parametrize(
    "name", ["BiDVL", "BiDVL, hinge", "divergence triangle, no noise", "latent prior", "VAE"]
)
def test_a_learner_scores_by_its_own_energy_and_by_its_reconstruction(script, name):
    el.seed(0)
    method, x = script.untrained(name).eval(), torch.rand(5, 1, 8, 8) * 2 - 1
    el.seed(1)
    found = script.scores(method, x)
    el.seed(1)
    with torch.no_grad():
        z = method.infer(x) if name == "latent prior" else method.posterior.mean(x)
        nats = (x - method.generator(z)).square().flatten(1).sum(1) / (2 * 0.3**2)
        if name == "latent prior":
            own = nats + method.prior(z)
        elif name == "VAE":
            z = method.posterior.sample(x)[0]
            own = (x - method.generator(z)).square().flatten(1).sum(1) / (2 * 0.3**2) + method.posterior.kl(x)
        elif name.startswith("divergence triangle"):
            own = method.energy.joint(x, z)
        else:
            own = method.energy(x)
    torch.testing.assert_close(found["reconstruction"], nats)
    torch.testing.assert_close(found["own"], own)


@pytest.mark.parametrize("name", ["BiDVL", "BiDVL, hinge", "BiDVL, no noise"])
def test_learners_are_what_their_names_say(script, name):
    method = script.untrained(name)
    assert method.loss == ("hinge" if "hinge" in name else "difference")
    assert method.noise == ("no noise" not in name)


def test_rivals_without_nets_measure_what_they_are_called(script):
    source = torch.Generator().manual_seed(0)
    train = torch.randn(4000, 1, 8, 8, generator=source, dtype=torch.float64)
    train[:, :, 0] *= 20  # eight directions of large variance
    train[:, :, 1:] *= 0.1
    x = torch.zeros(3, 1, 8, 8, dtype=torch.float64)
    x[1, 0, 0, 0], x[2, 0, 7, 7] = 2.0, 2.0
    _, along, across = script.classic("Gaussian of pixels", train)(x)["own"]
    assert along < 0.1 and across > 20  # covariances are shrunk
    centre, along, across = script.classic("PCA", train)(x)["own"]
    assert along < centre + 0.01 and across == pytest.approx(4, abs=0.1)
    near = script.classic("nearest neighbour", train)
    np.testing.assert_allclose(near(train[:50])["own"], 0, atol=1e-5)
    expected = (train - x[2]).square().flatten(1).sum(1).min().sqrt()
    assert near(x)["own"][2] == pytest.approx(expected.item())


@pytest.mark.slow
def test_a_run_finds_noise_and_has_what_the_stored_ones_have(script, monkeypatch):
    """With 100 updates of a VAE. Scores of the wrong sign would give areas near 0."""
    monkeypatch.setattr(script, "UPDATES", 100)
    dark = torch.rand(1500, 1, 8, 8, generator=torch.Generator().manual_seed(1)) ** 6 * 2 - 1
    images = el.data.Images(dark, torch.zeros(1500))
    load = el.data.load
    monkeypatch.setattr(el.data, "load", lambda name, *a, **k: images if name == "mnist" else load(name, *a))
    found = script.run("VAE", 0)
    assert found["area"]["own"]["uniform noise"] > 0.95
    assert 0.4 < found["area"]["own"]["training digits"] < 0.55
    (stored, *_) = [r for r in script.stored()[0]["runs"] if r["learner"] == "VAE"]
    assert {"learner", "seed"} | found.keys() == stored.keys()
    assert {k: list(v) for k, v in found["area"].items()} == {k: list(v) for k, v in stored["area"].items()}


def test_the_stored_table_is_whole_and_says_how_it_was_made(script):
    table, found = script.stored()
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    assert {"date", "machine", "torch"} == table["made"].keys()
    runs = [(r["learner"], r["seed"]) for r in table["runs"]]
    assert sorted(runs) == sorted(product((*script.LEARNERS, *script.CLASSIC), script.SEEDS))
    kinds = {(name, "own") for name, _ in runs} | {(name, "reconstruction") for name in script.LEARNERS}
    assert found.keys() == kinds
    assert all(v.shape == (7, 5) and v.min() >= 0 and v.max() <= 1 for v in found.values())
    # nearest neighbours know training digits by heart
    assert (found["nearest neighbour", "own"][script.OUTLIERS.index("training digits")] == 0).all()
    for r in table["runs"]:
        for kind, areas in r["area"].items():
            for what, area in areas.items():
                place = script.OUTLIERS.index(what), r["seed"]
                assert found[r["learner"], kind][place].item() == pytest.approx(area)
