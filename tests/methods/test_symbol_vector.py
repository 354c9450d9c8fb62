"""Symbol-vector coupling against quadrature, against mixtures in closed form, and in the plane.

Mutants tried, each red: the contrast's sign; the labels' gradient into the generator; labels shuffled; the
reconstruction dropped; the sign of the information, or of its second part; z⁺ held in the encoder's loss, or
not held in the contrast; the classifier's step with the encoder's graph; the mean of the logits in the place
of their log-sum-exp; the energy of the next symbol; no weight on the labels; draws that ignore the symbol.
"""

import math
import os
from functools import partial

import pytest
import torch
from exact_noise import exact_chain
from processes import ranks
from torch import nn
from torch.nn import functional as F

from ebmlearn import seed
from ebmlearn.evaluate import exact, latent
from ebmlearn.evaluate.exact import Grid
from ebmlearn.methods import SymbolVectorCoupling
from ebmlearn.nets import MLPEnergy, MLPGenerator, SymbolEnergy, TextGenerator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, gibbs, hmc, langevin, ula
from ebmlearn.train import checkpoint, fit

CHAIN = Chain(ula, n_steps=2, step_size=0.3)
GRID = Grid((-6, 6), n=60, dtype=torch.float64)
TAU = 0.7


def nets(d=2, k=3, n=3):
    return (
        SymbolEnergy(d, k, (8,)),
        MLPGenerator(d, (n,), (8,), std=TAU),
        GaussianPosterior(nn.Linear(n, 2 * d), d),
    )


def steep():
    """Such nets, double, of which prior and generator are not as flat as fresh ones."""
    prior, generator, posterior = (net.double() for net in nets())
    with torch.no_grad():
        for p in [*prior.parameters(), *generator.parameters()]:
            p.mul_(2.5)
        posterior.net.weight[2:] *= 0.2  # s near 0.5, which the grid resolves
        posterior.net.bias[2:] = -0.7
    generator.std = 2.0  # so that the prior counts
    return prior, generator, Lattice(posterior.net, 2)


# the gradient of the bound


class Lattice(GaussianPosterior):
    """Its noise is a lattice of 60 x 60 quantiles of N(0, I), of variance 1: sums over it are integrals."""

    def rsample(self, v, n=1, generator=None):
        mean, log_std = self._mean_log_std(v)
        line = torch.special.ndtri((torch.arange(60) + 0.5).double() / 60)
        noise = torch.cartesian_prod(line, line) / line.square().mean().sqrt()
        return (mean + log_std.exp() * noise.repeat(len(v) // len(noise), 1))[None]


def bound(prior, generator, posterior, x):
    """Minus the mean evidence lower bound, log Z and all, by quadrature over q(z|x) on the grid."""
    z = GRID.points
    energy = prior(z)
    mean, log_std = posterior.net(x).chunk(2, 1)
    log_q = (-0.5 * ((z - mean[:, None]) / log_std.exp()[:, None]) ** 2 - log_std[:, None]).sum(2)
    log_q = log_q - math.log(2 * math.pi)
    joint = energy + (x[:, None] - generator(z)).square().sum(2) / (2 * generator.std**2)
    log_z = energy.neg().logsumexp(0) + math.log(GRID.volume)
    return (log_q.exp() * GRID.volume * (joint + log_q)).sum(1).mean() + log_z


def off(found, wanted):
    """How far a gradient is from another, relative to it."""
    differ = sum((a - b).square().sum() for a, b in zip(found, wanted, strict=True))
    return (differ / sum(b.square().sum() for b in wanted)).sqrt().item()


class Detached(SymbolVectorCoupling):
    """Of the authors' files that for unconditional text: the prior's slope does not reach the encoder."""

    def divergence(self, x, z):
        return super().divergence(x, z.detach())


@pytest.mark.parametrize("graph", ["one backward", "two steps", "detached"])
def test_of_the_authors_gradient_graphs_two_are_that_of_the_bound(graph):
    """Two steps are those of this package: the encoder's part has the slope of the prior, the prior's part
    that of log Z, the generator's part neither."""
    prior, generator, posterior = steep()
    x = torch.tensor([[1.0, -1.0, 0.5], [-1.5, 0.3, 1.0]], dtype=torch.float64)
    parts = [[*net.parameters()] for net in (prior, generator, posterior)]
    loss = bound(prior, generator, posterior, x)
    wanted = [torch.autograd.grad(loss, part, retain_graph=True) for part in parts]
    many = x.repeat_interleave(len(GRID.points), 0)
    once = Chain(partial(exact_chain, grid=GRID), n_steps=1)
    kind = Detached if graph == "detached" else SymbolVectorCoupling
    settings = {"prior_chain": once, "label_weight": 0.0, "optimizer": torch.optim.SGD}
    method = kind(prior, generator, posterior, **settings)
    if graph == "one backward":  # synthetic_8gaussian.py
        (z,) = posterior.rsample(many)
        f, f_prior = (prior.logits(at).logsumexp(1) for at in (z, method.sample_prior(len(many))))
        (generator.reconstruction(many, z) + posterior.kl(many) - f + f_prior).mean().backward()
    else:
        method.step(many)
    found = [off([p.grad for p in part], slopes) for part, slopes in zip(parts, wanted, strict=True)]
    assert max(found[:2]) < 0.02
    assert found[2] > 0.1 if graph == "detached" else found[2] < 0.02


def test_a_step_descends_the_losses_of_the_algorithm():
    """Written out anew with both weights: what each update holds constant, and in which order."""
    prior, generator, posterior = nets()
    settings = {"label_weight": 7.0, "information_weight": 3.0, "optimizer": torch.optim.SGD}
    rates = {"lr_classifier": 0.05, "lr_autoencoder": 0.02, "lr_prior": 0.01}
    method = SymbolVectorCoupling(prior, generator, posterior, prior_chain=CHAIN, **settings, **rates)
    x, x_labelled, y = torch.randn(16, 3), torch.randn(6, 3), torch.arange(6) % 3
    before = {p: p.detach().clone() for p in method.parameters()}
    seed(1)
    loss = F.cross_entropy(prior.net(posterior.net(x_labelled)[:, :2]), y)
    for net, rate in ((posterior, 0.02 * 7), (prior, 0.05)):
        slopes = torch.autograd.grad(loss, [*net.parameters()], retain_graph=True)
        for p, slope in zip(net.parameters(), slopes, strict=True):
            before[p] = before[p] - rate * slope  # where lines 2 to 4 begin
    old = {p: p.detach().clone() for p in method.parameters()}
    with torch.no_grad():
        for p, value in before.items():
            p.copy_(value)

    def told(z):
        p = prior.net(z).softmax(1)
        return -p.mean(0) @ p.mean(0).log() + (p * p.log()).sum(1).mean()

    mean, log_std = posterior.net(x).chunk(2, 1)
    z = mean + log_std.exp() * torch.randn(16, 2)
    z_prior = langevin(prior, torch.randn(16, 2), n_steps=2, step_size=0.3)
    kl = ((mean.square() + (2 * log_std).exp() - 1) / 2 - log_std).sum(1) - prior.net(z).logsumexp(1)
    lost = (x - generator(z)).square().sum(1).mean() / (2 * TAU**2)
    parameters = [*generator.parameters(), *posterior.parameters()]
    by_bound = torch.autograd.grad(lost + kl.mean() - 3 * told(z), parameters)
    z = z.detach()
    gap = (z.square().sum(1) / 2 - prior.net(z).logsumexp(1)).mean() - (
        z_prior.square().sum(1) / 2 - prior.net(z_prior).logsumexp(1)
    ).mean()
    by_gap = torch.autograd.grad(gap - 3 * told(z), [*prior.parameters()])
    wanted = {
        "cross_entropy": loss,
        "reconstruction": lost,
        "kl": kl.mean(),
        "energy_gap": gap,
        "information": told(z),
    }
    with torch.no_grad():
        for p, value in old.items():
            p.copy_(value)
    seed(1)
    metrics = method.step((x, (x_labelled, y)))
    for p, slope in zip([*prior.parameters(), *parameters], [*by_gap, *by_bound], strict=True):
        torch.testing.assert_close(p.grad, slope, rtol=1e-3, atol=1e-5)
    for name, value in wanted.items():
        assert metrics[name].item() == pytest.approx(value.item(), rel=1e-3, abs=1e-5), name


@pytest.mark.parametrize("label_weight", [0.0, 200.0])
def test_each_loss_reaches_its_own_nets(label_weight):
    """No graph leads from the labels into the generator, nor from the contrast out of the prior."""
    method = SymbolVectorCoupling(*nets(), prior_chain=CHAIN, label_weight=label_weight)
    x, y = torch.randn(8, 3), torch.arange(8) % 3
    seen = []

    def update(name, loss):
        for p in method.parameters():
            p.grad = None
        loss.backward()
        found = (
            k
            for k in ("prior", "generator", "posterior")
            for p in getattr(method, k).parameters()
            if p.grad is not None
        )
        seen.append((name, {*found}))

    method.update = update
    method.step((x, (x, y)) if label_weight else x)
    of_labels = [("autoencoder", {"prior", "posterior"}), ("classifier", {"prior"})]
    rest = [("autoencoder", {"prior", "generator", "posterior"}), ("prior", {"prior"})]
    assert seen == (of_labels if label_weight else []) + rest


def test_information_is_that_of_a_table():
    """Of certain and of ignorant rows, in closed form."""
    method = SymbolVectorCoupling(*nets(2, 4), prior_chain=CHAIN)
    table = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.1, 0.1]])
    method.prior.logits = lambda z: table.log() + 5
    information, entropy = method.information(torch.zeros(2, 2))
    mean = table.mean(0)
    assert entropy.item() == pytest.approx(-(mean * mean.log()).sum().item(), rel=1e-5)
    row = -(table[0] * table[0].log()).sum().item()
    assert information.item() == pytest.approx(entropy.item() - row, rel=1e-5)
    method.prior.logits = lambda z: 1000 * torch.eye(4)  # certain, and each another
    information, entropy = method.information(torch.zeros(4, 2))
    assert information.item() == pytest.approx(math.log(4), rel=1e-6)
    assert entropy.item() == pytest.approx(math.log(4), rel=1e-6)


# F affine: a mixture of Gaussians, with all its answers in closed form


def mixture():
    """Prior Σ p(y) N(w_y, I) with p(y) ∝ exp(b_y + ‖w_y‖²/2), and x = A z + a + τ ε."""
    prior, generator, encoder = SymbolEnergy(2, 3, ()), MLPGenerator(2, (3,), (), std=TAU), nn.Linear(3, 4)
    with torch.no_grad():
        prior.net[0].weight.copy_(torch.tensor([[2.0, 0.0], [-1.0, 1.5], [-0.5, -2.0]]))
        prior.net[0].bias.copy_(torch.tensor([-1.5, 0.3, -1.0]))
    chain = Chain(hmc, n_steps=8, step_size=0.5, n_leapfrog=3)
    method = SymbolVectorCoupling(prior, generator, GaussianPosterior(encoder, 2), prior_chain=chain).double()
    weight, bias = (p.detach() for p in prior.net[0].parameters())
    return method, weight, bias + weight.square().sum(1) / 2


def test_on_the_grid_all_of_a_mixture_is_its_closed_form():
    """log Z, p(y), p(z|y) and p(y|x) = ∫ p(y|z) p(z|x) dz; the plug-in mean is another number."""
    method, mean, log_p = mixture()
    prior, generator, z = method.prior, method.generator, GRID.points
    log_z = math.log(2 * math.pi) + log_p.logsumexp(0).item()
    assert exact.log_z(prior, GRID).value == pytest.approx(log_z, abs=1e-4)
    p = log_p.softmax(0)
    mass = (-prior(z)).softmax(0)
    torch.testing.assert_close(mass @ prior.logits(z).softmax(1), p, atol=1e-4, rtol=0)
    for y in range(3):
        energy = prior.given(torch.full((len(z),), y))
        torch.testing.assert_close((-energy(z)).softmax(0) @ z, mean[y], atol=1e-3, rtol=0)
        log_zy = (-energy(z)).logsumexp(0).item() + math.log(GRID.volume)
        assert log_zy - log_z == pytest.approx(p[y].log().item(), abs=1e-4)
    x = torch.randn(5, 3).double()
    weight, bias = (q.detach() for q in generator.net[0].parameters())
    cov = weight @ weight.T + TAU**2 * torch.eye(3).double()
    law = torch.distributions.MultivariateNormal(mean @ weight.T + bias, cov)
    wanted = (p.log() + law.log_prob(x[:, None])).softmax(1)
    found = latent.posterior(x, generator, GRID, prior) @ prior.logits(z).softmax(1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
    plug_in = prior.logits(method.infer(x)).softmax(1)
    assert torch.equal(method.probabilities(x), plug_in) and (plug_in - wanted).abs().max() > 0.05
    assert torch.equal(method.predict(x), plug_in.argmax(1))


def test_a_function_added_to_all_logits_changes_the_prior_and_not_the_classifier():
    """By the last layer: with equal rows added to its weights, a(z) is a linear function of z."""
    prior, z = mixture()[0].prior, GRID.points
    told, energy = prior.logits(z).softmax(1), prior(z)
    with torch.no_grad():
        prior.net[0].weight += torch.tensor([0.7, -0.2]).double()
    a = z @ torch.tensor([0.7, -0.2]).double()
    torch.testing.assert_close(prior.logits(z).softmax(1), told)
    torch.testing.assert_close(prior(z), energy - a)
    by_symbol = torch.stack([prior.given(torch.full((len(z),), y))(z) for y in range(3)])
    torch.testing.assert_close(prior(z), -(-by_symbol).logsumexp(0))  # the marginal is the sum over symbols


def test_samples_of_a_symbol_are_of_its_gaussian():
    """By chains that mix: one symbol, a symbol for each row, and none."""
    n, (method, mean, log_p) = 4000, mixture()
    eye = torch.eye(3).double()
    for y in range(3):
        z = method.sample_prior(n, y)
        assert (z.mean(0) - mean[y]).norm() < 5 * (2 / n) ** 0.5
        assert (torch.cov(z.T) - eye[:2, :2]).abs().max() < 5 * (2 / n) ** 0.5
    labels = torch.arange(n) % 3
    z = method.sample_prior(n, labels)
    for y in range(3):
        assert (z[labels == y].mean(0) - mean[y]).norm() < 5 * (6 / n) ** 0.5
    weight, bias = (q.detach() for q in method.generator.net[0].parameters())
    cov = weight @ weight.T + TAU**2 * eye
    u = (method.sample(n, 1) - mean[1] @ weight.T - bias) @ torch.linalg.inv(torch.linalg.cholesky(cov)).T
    assert u.mean(0).norm() < 5 * (3 / n) ** 0.5
    assert (torch.cov(u.T) - eye).abs().max() < 5 * (2 / n) ** 0.5
    spread = sum(p * (1 + m.square().sum() / 2) for p, m in zip(log_p.softmax(0), mean, strict=True))
    z = method.sample_prior(n)  # successive draws of modes that hardly meet: a rough bound
    assert (z.mean(0) - log_p.softmax(0) @ mean).norm() < 0.2 * spread


def test_anomaly_and_reconstruction_are_at_the_mean_of_the_encoder():
    method, _, _ = mixture()
    x = torch.randn(4, 3).double()
    z = method.posterior.net(x)[:, :2]
    lost = (x - method.generator(z)).square().sum(1) / (2 * TAU**2)
    torch.testing.assert_close(method.anomaly(x), lost + method.prior(z))
    torch.testing.assert_close(method.reconstruct(x), method.generator(z))
    assert not method.anomaly(x).requires_grad and not method.infer(x).requires_grad


# text


def test_text_passes_through_an_encoder_of_tokens():
    """Whole numbers are refused only by nets that cannot take them."""
    x, y = torch.randint(0, 5, (8, 4)), torch.arange(8) % 2
    encoder = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(12, 4))
    text = TextGenerator(2, 5, 4, end=None, embedding=3, width=4)
    prior = SymbolEnergy(2, 2, (8,))
    method = SymbolVectorCoupling(prior, text, GaussianPosterior(encoder, 2), prior_chain=CHAIN)
    history = fit(method, (x, (x[:4], y[:4])), steps=3, batch_size=(8, 4))
    assert all(v.isfinite().all() for v in history.values())
    assert method.reconstruct(x).shape == method.sample(8, 1).shape == (8, 4)
    assert method.anomaly(x).shape == (8,)
    with pytest.raises(ValueError, match=r"v is torch\.int64; expected floating numbers"):
        GaussianPosterior(nn.Linear(4, 4), 2).mean(x)


# two streams


def make(label_weight=200.0):
    return SymbolVectorCoupling(*nets(), prior_chain=CHAIN, information_weight=1.0, label_weight=label_weight)


def streams():
    g = torch.Generator().manual_seed(3)
    return torch.randn(40, 3, generator=g), (torch.randn(6, 3, generator=g), torch.arange(6) % 3)


def latents(rank):
    return torch.randn(4, 2, generator=torch.Generator().manual_seed(rank))


def train_on_ranks(folder):
    from accelerate import Accelerator

    rank = int(os.environ["RANK"])
    run = {"batch_size": (8, 4), "accelerator": Accelerator(cpu=True)}
    torch.manual_seed(rank)
    fit(whole := make(), streams(), **run, steps=6)
    torch.manual_seed(rank)
    fit(make(), streams(), **run, steps=3, out=folder)
    torch.manual_seed(99)
    fit(method := make(), streams(), **run, steps=6, out=folder, resume=True)
    same = all(torch.equal(a, b) for a, b in zip(whole.parameters(), method.parameters(), strict=True))
    weights = {k: v for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    method.accelerator = run["accelerator"]
    own = [float(v) for v in method.information(latents(rank))]
    checkpoint.save(folder / f"end{rank}.pt", {"weights": weights, "same": same, "own": own})
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_ranks_with_two_streams_resume_and_end_with_equal_weights(tmp_path):
    """Each has half of both batches. A class counts as labelled though one rank has none of it, and the
    entropies of the ranks have that of all latents as their mean."""
    children = ranks(train_on_ranks, tmp_path, log=tmp_path)
    assert [child.wait() for child in children] == [0, 0], children[0].printed
    ends = [checkpoint.load(tmp_path / f"end{rank}.pt") for rank in (0, 1)]
    assert all(end["same"] for end in ends)
    a, b = (end["weights"] for end in ends)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert a["n_labelled"].sum() == 6 * 2 and (a["n_labelled"] > 0).all()
    method = make()
    method.load_state_dict(a, strict=False)
    p = method.prior.logits(torch.cat([latents(0), latents(1)])).softmax(1).double()
    entropy = -(p.mean(0) * p.mean(0).log()).sum().item()
    told = entropy + (p * p.log()).sum(1).mean().item()
    own = torch.tensor([end["own"] for end in ends]).mean(0)
    assert own.tolist() == pytest.approx([told, entropy], rel=1e-3, abs=1e-6)


def test_two_streams_resume_to_the_last_bit(tmp_path):
    run = {"batch_size": (8, 4), "progress": False}
    seed(0)
    history = fit(whole := make(), streams(), **run, steps=6)
    seed(0)
    fit(make(), streams(), **run, steps=3, out=tmp_path)
    seed(9)
    again = fit(method := make(), streams(), **run, steps=6, out=tmp_path, resume=True)
    assert all(torch.equal(history[k], again[k]) for k in history)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), method.parameters(), strict=True))
    assert torch.equal(whole.n_labelled, method.n_labelled)


# what is refused

X, Y = torch.randn(8, 3), torch.arange(8) % 3


@pytest.mark.parametrize(
    ("data", "label_weight", "error", "message"),
    [
        (X, 1.0, ValueError, "the batch has no labels; give fit the data"),
        (
            (X, Y),
            1.0,
            TypeError,
            r"takes a tensor or \(a tensor, \(a tensor, a tensor\)\), but the data give",
        ),
        ((X, (X, Y)), 0.0, ValueError, "label_weight is 0, but the batch has labels"),
        ((X, (X, Y + 1)), 1.0, ValueError, "y has classes from . to 3; expected 0 to 2, for 3 classes"),
        ((X, (X, Y - 1)), 1.0, ValueError, "y has classes from -1 to 1; expected 0 to 2"),
        (
            (X, (X, Y.float())),
            1.0,
            ValueError,
            r"y is a torch\.float32 tensor of shape .*; expected torch\.int64",
        ),
        ((X, (X, F.one_hot(Y))), 1.0, ValueError, r"y is a torch\.int64 tensor of shape \(8, 3\); expected"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, label_weight, error, message):
    method = make(label_weight)
    with pytest.raises(error, match=message):
        fit(method, data, steps=1, batch_size=8)
    assert sum(method.updates.values()) == 0


def test_as_many_labels_as_examples():
    with pytest.raises(ValueError, match="5 labels for 8 examples; expected one for each"):
        make().step((X, (X, Y[:5])))


def test_a_class_without_a_label_is_said_when_predicting():
    method = make()
    method.predict(X)  # not trained, so that nothing is missing yet
    fit(method, (X, (X, Y % 2)), steps=2, batch_size=8)
    with pytest.warns(UserWarning, match=r"of 3 symbols, \[2\] had no label .* give labels of every class"):
        method.predict(X)
    fit(method, (X, (X, Y)), steps=1, batch_size=8)
    method.predict(X)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"generator": MLPGenerator(3, (3,))}, ValueError, "the generator has 3 latents, the posterior 2"),
        (
            {"prior": SymbolEnergy(3, 2)},
            ValueError,
            "the generator has 2 latents, the prior 3; expected equal",
        ),
        ({"prior": SymbolEnergy(2, 2, reference_std=None)}, ValueError, "the prior has no Gaussian term"),
        ({"prior": MLPEnergy(2)}, TypeError, "(?s)prior is MLPEnergy.*; expected an object of SymbolEnergy"),
        ({"prior_chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        ({"label_weight": -1.0}, ValueError, r"label_weight is -1\.0; expected a number >= 0"),
        ({"information_weight": math.nan}, ValueError, "information_weight is nan; expected a number >= 0"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(change, error, message):
    good = dict(zip(("prior", "generator", "posterior"), nets(), strict=True)) | {"prior_chain": CHAIN}
    with pytest.raises(error, match=message):
        SymbolVectorCoupling(**(good | change))


def test_symbols_that_do_not_fit_are_refused():
    method = make()
    with pytest.raises(ValueError, match="y has classes from 3 to 3; expected 0 to 2, for 3 classes"):
        method.sample(2, 3)
    with pytest.raises(ValueError, match="y has 3 symbols for 2 rows of z; expected one for each"):
        method.sample(2, torch.arange(3))
    with pytest.raises(TypeError, match=r"y is 1\.0 \(float\); expected a tensor"):
        method.sample(2, 1.0)
    with pytest.raises(ValueError, match=r"z has shape \(4, 3\); expected \(B, 2\)"):
        method.prior(torch.zeros(4, 3))
