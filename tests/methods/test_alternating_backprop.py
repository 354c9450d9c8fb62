"""Alternating back-propagation against the linear-Gaussian model: the laws of latents that stay with their
data, and the likelihood that probabilistic PCA has.

Mutants tried, each red: the latents of another datum (the next row's, the first rows'); ends not written
back, or before the chain; the chain started at 0, or in noise, each time; the prior's term dropped; a step of
the generator at the old latents; the chain's noise in the place of its ends; `infer` from the stored latents;
ranks that do not tell each other their latents, or the rows of one with the ends of the other; the check of
a repeated row, and of a row out of range, left out.
"""

import copy

import pytest
import torch
from methods import recorder
from processes import ranks

from ebmlearn import seed
from ebmlearn.evaluate import linear
from ebmlearn.methods import AlternatingBackprop
from ebmlearn.nets import MLPGenerator
from ebmlearn.sample import Chain, gibbs, langevin, ula
from ebmlearn.schedules import linear as falling
from ebmlearn.train import checkpoint, fit

TO_THE_MODE = Chain(ula, n_steps=60, step_size=0.4, noise_scale=0.0)
DESCENT = Chain(ula, n_steps=5, step_size=0.3, noise_scale=0.0)


def affine(latent_dim=3, dim=6, std=0.5):
    return MLPGenerator(latent_dim, (dim,), (), std=std).double()


def batch(n=8, dim=6):
    return torch.randn(n, dim, dtype=torch.float64)


def white(z, law):
    return (z - law.mean) @ torch.linalg.inv(torch.linalg.cholesky(law.cov)).T


# one step


def test_the_chain_of_a_row_goes_on_and_its_end_is_kept():
    method = AlternatingBackprop(affine(), 10, chain=DESCENT, lr=0.0)
    x, rows = batch(3), torch.tensor([7, 2, 4])
    before = method.z.clone()
    energy = lambda z: method.generator.joint(x, z)  # noqa: E731
    wanted = langevin(energy, before[rows], n_steps=5, step_size=0.3, noise_scale=0.0)
    metrics = method.step((x, rows))
    assert torch.equal(method.z[rows], wanted)
    others = [0, 1, 3, 5, 6, 8, 9]
    assert torch.equal(method.z[others], before[others])
    torch.testing.assert_close(metrics["prior"], 0.5 * wanted.square().sum(1).mean())


def test_the_generator_learns_at_the_new_latents():
    method = recorder(AlternatingBackprop)(affine(), 10, chain=DESCENT)
    x, rows = batch(3), torch.tensor([7, 2, 4])
    method.step((x, rows))
    wanted = method.generator.reconstruction(x, method.z[rows]).mean()
    torch.testing.assert_close(method.recorded["generator"], wanted)
    assert not method.z.requires_grad
    grads = [
        torch.autograd.grad(loss, method.generator.net[0].weight, retain_graph=True)[0]
        for loss in (method.recorded["generator"], wanted)
    ]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (torch.tensor([0, 1, 10]), "the batch has rows from 0 to 10; expected 0 to 9, since n_data is 10"),
        (torch.tensor([-1, 1, 2]), "the batch has rows from -1 to 2; expected 0 to 9"),
        (torch.tensor([4, 1, 4]), "row 4 comes 2 times in a batch of 3; each datum has one chain"),
        (torch.tensor([0.0, 1, 2]), r"the rows are torch.float32 of shape \(3,\); expected torch.int64, \(3"),
        (torch.arange(2), r"the rows are torch.int64 of shape \(2,\); expected torch.int64, \(3,\)"),
    ],
)
def test_rows_that_cannot_be_are_refused_and_nothing_is_kept(rows, message):
    method = AlternatingBackprop(affine(), 10, chain=DESCENT)
    before = copy.deepcopy(method.state_dict())
    with pytest.raises(ValueError, match=message):
        method.step((batch(3), rows))
    assert torch.equal(method.z, before["z"])


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="n_data is 0; expected a whole number >= 1"):
        AlternatingBackprop(affine(), 0, chain=DESCENT)
    with pytest.raises(TypeError, match="gibbs"):
        AlternatingBackprop(affine(), 3, chain=Chain(gibbs, n_steps=2))
    with pytest.raises(TypeError, match=r"chain is .*; expected an object of Chain"):
        AlternatingBackprop(affine(), 3, chain=ula)


# laws


@pytest.mark.statistical
def test_visits_of_a_few_steps_are_one_long_chain():
    """Ten visits of two steps have the closed form's law of twenty, from ``N(0, I)``."""
    seed(0)
    n, net = 20_000, affine()
    method = AlternatingBackprop(net, n, chain=Chain(ula, n_steps=2, step_size=0.2), lr=0.0)
    x = batch(1).expand(n, 6)
    for _ in range(10):
        method.step((x, torch.arange(n)))
    model = linear.from_generator(net)
    u = white(method.z, linear.short_run(model, x[:1], n_steps=20, step_size=0.2))
    assert u.mean(0).norm() < 5 * (3 / n) ** 0.5
    assert (torch.cov(u.T) - torch.eye(3)).abs().max() < 5 * (2 / n) ** 0.5


@pytest.mark.statistical
@pytest.mark.parametrize("n_steps", [None, 9])
def test_what_has_no_row_is_inferred_from_noise(n_steps):
    seed(0)
    n, net = 20_000, affine()
    method = AlternatingBackprop(net, 5, chain=Chain(ula, n_steps=2, step_size=0.2))
    x, seen = batch(1), torch.tensor([True, True, False, True, True, True])
    before = method.z.clone()
    z = method.infer(torch.where(seen, x, torch.nan).expand(n, 6), n_steps=n_steps, mask=seen)
    whole = linear.from_generator(net)
    part = linear.LinearGaussian(whole.weight[seen], whole.bias[seen], whole.std)
    u = white(z, linear.short_run(part, x[:, seen], n_steps=n_steps or 2, step_size=0.2))
    assert u.mean(0).norm() < 5 * (3 / n) ** 0.5
    assert (torch.cov(u.T) - torch.eye(3)).abs().max() < 5 * (2 / n) ** 0.5
    assert torch.equal(method.z, before) and not z.requires_grad


@pytest.mark.slow
@pytest.mark.statistical
def test_an_affine_generator_reaches_the_likelihood_of_pca():
    """Within 0.05 nats of the maximum, on its training data; the start is 1 nat and more below."""
    seed(0)
    factors = torch.linalg.qr(torch.randn(8, 3))[0].T * torch.tensor([[2.0], [1.5], [1.2]])
    x = torch.randn(1000, 3) @ factors + 0.5 * torch.randn(1000, 8) + 1
    net = MLPGenerator(3, (8,), (), std=0.5)

    def score(model):
        return linear.marginal(model).log_prob(x.double()).mean().item()

    best, before = score(linear.ppca(x, 3, std=0.5)), score(linear.from_generator(net))
    chain = Chain(ula, n_steps=20, step_size=0.1)
    method = AlternatingBackprop(net, 1000, chain=chain, lr=falling(0.03, 600, 5e-4))
    history = fit(method, (x, torch.arange(1000)), steps=600, batch_size=200, progress=False)
    assert before < best - 1
    assert best - 0.05 < score(linear.from_generator(net)) <= best + 1e-6
    assert 1.3 < history["prior"][-100:].mean() < 1.8  # half of three latents
    assert method.sample(4).shape == (4, 8)


# rows in training


def modes(x, net):
    """The posterior's mean, at which a chain without noise ends."""
    return linear.posterior(linear.from_generator(net), x).mean


def test_latents_stay_with_their_data_in_any_order_and_over_an_interruption(tmp_path):
    seed(0)
    x, net = batch(20), affine()
    chain = TO_THE_MODE

    def method():
        seed(1)
        return AlternatingBackprop(copy.deepcopy(net), 20, chain=chain, lr=0.0)

    run = {"data": (x, torch.arange(20)), "batch_size": 4, "progress": False}
    fit(whole := method(), **run, steps=30)
    torch.testing.assert_close(whole.z, modes(x, net), rtol=0, atol=1e-6)
    fit(method(), **run, steps=7, out=tmp_path)  # in the middle of a pass
    resumed = method()
    fit(resumed, **run, steps=30, out=tmp_path, resume=True)
    assert torch.equal(resumed.z, whole.z)


def train(folder, x, net):
    """On each rank: latents of all data, and those of a run that stopped and went on."""
    import os

    from accelerate import Accelerator

    seed(0)
    rank = int(os.environ["RANK"])
    chain = TO_THE_MODE
    run = {"data": (x, torch.arange(20)), "batch_size": 4, "accelerator": Accelerator(cpu=True)}
    fit(whole := AlternatingBackprop(net, 20, chain=chain, lr=0.0), **run, steps=30)
    noisy = Chain(ula, n_steps=2, step_size=0.3)
    seed(0)
    fit(first := AlternatingBackprop(net, 20, chain=noisy, lr=0.01), **run, steps=7, out=folder)
    checkpoint.save(folder / f"rank{rank}.pt", {"z": whole.z, "noisy": first.z})
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_ranks_have_the_latents_of_all_data(tmp_path):
    """Each runs the chains of every second datum; one rank alone can go on with the latents of all."""
    seed(0)
    x, net = batch(20), affine()
    wanted = modes(x, net)
    children = ranks(train, tmp_path, x, net, log=tmp_path)
    statuses = [child.wait() for child in children]
    assert statuses == [0, 0], "\n".join(child.printed for child in children)
    a, b = (checkpoint.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    torch.testing.assert_close(a["z"], wanted, rtol=0, atol=1e-6)
    assert torch.equal(a["z"], b["z"]) and torch.equal(a["noisy"], b["noisy"])
    assert len(a["noisy"].unique()) == 60  # chains have noise of their own
    noisy = Chain(ula, n_steps=2, step_size=0.3)
    alone = AlternatingBackprop(affine(), 20, chain=noisy, lr=0.01)
    data = (x, torch.arange(20))
    with pytest.warns(UserWarning, match="was written by 2 rank"):
        fit(alone, data, steps=7, batch_size=4, out=tmp_path, resume=True, progress=False)
    assert torch.equal(alone.z, a["noisy"])
