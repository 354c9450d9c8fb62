"""The text generator: its likelihood sums to 1, its draws follow it, padding costs nothing."""

import math

import pytest
import torch
from scipy import stats
from torch.nn import functional

from ebmlearn import LatentPrior, ShortRunInference, fit, seed
from ebmlearn.energy import grad
from ebmlearn.evaluate import latent
from ebmlearn.evaluate.exact import Grid
from ebmlearn.nets import MLPEnergy, TextGenerator
from ebmlearn.sample import Chain, langevin, ula
from ebmlearn.schedules import linear
from ebmlearn.targets import phrase_book

END = 0


def net(end=END, length=4, **settings):
    """Weights that are large enough for every path through the net to matter."""
    found = TextGenerator(2, 3, length, end=end, embedding=4, width=5, **settings).double()
    with torch.no_grad():
        for p in found.parameters():
            p.normal_()
    return found.requires_grad_(False)


def sequences(end, length=4, n_tokens=3):
    """All of them, padded."""
    x = torch.cartesian_prod(*[torch.arange(n_tokens)] * length).view(-1, length)
    if end is None:
        return x
    after = functional.pad((x == end).cumsum(1)[:, :-1], (1, 0)) > 0
    return x[~(after & (x != end)).any(1)]


@pytest.mark.parametrize("end", [None, 0, 2])
@pytest.mark.parametrize("length", [1, 4])
@pytest.mark.parametrize("reads", [True, False])
def test_probabilities_of_all_sequences_sum_to_one(end, length, reads):
    # padding that costs, an end that is not counted and a token that sees itself each break the sum
    generator, x = net(end, length, reads=reads), sequences(end, length)
    for z in generator.latent(3):
        log_p = -generator.reconstruction(x, z.expand(len(x), -1))
        assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-12)
    assert (-generator(x)).logsumexp(0).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.statistical
@pytest.mark.parametrize("end", [None, 0])
def test_draws_follow_the_probabilities(end, generator):
    text, x, n = net(end), sequences(end), 40_000
    for p in text.parameters():
        p.mul_(0.5)  # many sequences, and not one or two, have a probability that can be seen
    z = torch.tensor([[0.7, -1.2]], dtype=torch.float64)
    p = (-text.reconstruction(x, z.expand(len(x), -1))).exp()
    draws = text.draw(z.expand(n, -1), generator)
    index = {tuple(row): i for i, row in enumerate(x.tolist())}
    seen = torch.tensor([index[tuple(row)] for row in draws.tolist()]).bincount(minlength=len(x))
    rare = n * p < 10
    # the rare ones are one cell, if there are any
    expected, observed = (
        torch.cat([count[~rare], *[count[rare].sum()[None]] * bool(rare.any())]) for count in (n * p, seen)
    )
    assert len(expected) > 10
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-6


def test_every_step_is_the_softmax_of_a_gru_cell():
    """By a cell of torch with the same weights: the latents enter the first state and each step."""
    text, x = net(None), sequences(None)[[5, 40, 77]]
    z = text.latent(3)
    cell = torch.nn.GRUCell(6, 5).double()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in text.gru.state_dict().items()})
    h, token, cost = text.start(z), torch.full((3,), 3), 0
    for t in range(4):
        h = cell(torch.cat([text.embedding(token), z], 1), h)
        token = x[:, t]
        cost = cost - text.logits(h).log_softmax(1)[torch.arange(3), token]
    torch.testing.assert_close(text.reconstruction(x, z), cost)


def test_the_decoder_alone_is_the_generator_at_the_origin():
    text, x = net(), sequences(END)
    torch.testing.assert_close(text(x), text.reconstruction(x, torch.zeros(len(x), 2).double()))


def test_gradient_in_the_latents_is_that_of_finite_differences():
    text, x = net(), sequences(END)[:8]
    z = text.latent(8)
    _, slope = grad(lambda z: text.joint(x, z), z)
    for j in range(2):
        h = torch.zeros(2).double()
        h[j] = 1e-5
        difference = (text.joint(x, z + h) - text.joint(x, z - h)) / 2e-5
        torch.testing.assert_close(slope[:, j], difference, rtol=1e-7, atol=1e-8)


def test_a_chain_on_the_posterior_leaves_no_gradient_behind():
    text, x = net().requires_grad_(True), sequences(END)
    z = langevin(lambda z: text.joint(x, z), text.latent(len(x)), n_steps=3, step_size=0.1)
    assert z.shape == (len(x), 2) and not z.requires_grad
    assert all(p.grad is None for p in text.parameters())
    text.reconstruction(x, z).mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in text.parameters())


@pytest.mark.parametrize("reads", [True, False])
def test_tokens_are_independent_given_the_latents_unless_the_net_reads(reads):
    text, x = net(None, 2, reads=reads), sequences(None, 2)
    z = torch.tensor([[0.7, -1.2]], dtype=torch.float64).expand(9, -1)
    p = (-text.reconstruction(x, z)).exp().view(3, 3)
    assert torch.allclose(p, p.sum(1, keepdim=True) * p.sum(0), atol=1e-6) != reads


def test_each_sequence_has_latents_of_its_own():
    text, x = net(), sequences(END)
    z = text.latent(len(x))
    torch.testing.assert_close(text.reconstruction(x[:1], z[:1]), text.reconstruction(x, z)[:1])


def test_a_net_of_zeros_is_uniform():
    text = TextGenerator(1, 5, 6)
    for p in text.parameters():
        torch.nn.init.zeros_(p)
    x = torch.tensor([[1, 2, 0, 0, 0, 0], [4, 4, 4, 4, 4, 4]])
    cost = text.reconstruction(x, text.latent(2)) / math.log(5)
    torch.testing.assert_close(cost, torch.tensor([3.0, 6.0]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: TextGenerator(2, 1, 4), "n_tokens >= 2, .* got 1, 4 and 0"),
        (lambda t: TextGenerator(2, 3, 0), "length is 0; expected a whole number >= 1"),
        (lambda t: TextGenerator(2, 3, 4, end=3), r"end None or in \[0, n_tokens\); got 3, 4 and 3"),
        (lambda t: t(torch.ones(2, 5, dtype=int)), r"torch.int64 of shape \(2, 5\); .* int64 \(B, 4\)"),
        (lambda t: t(torch.ones(2, 4)), r"x is torch.float32 of shape \(2, 4\); expected token ids"),
        (lambda t: t(torch.full((2, 4), 3)), "ids from 3 to 3; this vocabulary has 0 to 2"),
        (lambda t: t(torch.full((2, 4), -1)), "ids from -1 to -1"),
        (lambda t: t(torch.tensor([[1, 0, 1, 0]])), "a token other than 0 follows the end .* or .* end=None"),
        (lambda t: t.draw(torch.zeros(2, 3)), r"z has shape \(2, 3\); expected \(B, 2\)"),
        (lambda t: t.joint(torch.ones(2, 4, dtype=int), torch.zeros(2, 1)), r"z has shape \(2, 1\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(net())


@pytest.mark.slow
def test_an_energy_prior_of_a_toy_language_gains_nothing_that_survives_the_seed():
    """Chapter 14's comparison, where the energy is ahead by 0.1 nats, with another seed: it is behind."""
    language, plane = phrase_book(4, 4, 4), Grid((-6, 6), n=30)
    x = language.sequences()
    weight = language.log_prob(x).double().exp()
    chain, lr = Chain(ula, n_steps=12, step_size=0.4), linear(2e-2, 250)

    def nats(learn):
        seed(3)
        text = TextGenerator(2, 4, 4, end=None, reads=False, embedding=8, width=16)
        method = learn(text)
        fit(method, language.sample, steps=250, batch_size=64)
        found = latent.log_prob(x, text, plane, getattr(method, "prior", None)).value
        return (-(weight @ found) - language.entropy).item()

    def with_energy(text):
        prior = MLPEnergy(2, (64, 64), reference_std=1.0)
        chains = {"prior_chain": chain.replace(n_steps=10), "posterior_chain": chain}
        return LatentPrior(prior, text, **chains, lr_prior=2e-4, lr_generator=lr)

    gaussian = nats(lambda text: ShortRunInference(text, chain=chain, lr=lr))
    assert 0 < gaussian < 0.45  # 0.9 without latents
    assert nats(with_energy) > gaussian + 0.05
