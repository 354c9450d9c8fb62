"""The generator of word counts: its likelihood sums to 1, its draws follow it, the background is added.

Mutants, each seen to fail: no `N!`; no `x!`; words drawn without replacement; the background left out, or
added after the softmax; no check of fractional counts.
"""

import math

import pytest
import torch
from scipy import stats

from ebmlearn import VAE, fit
from ebmlearn.energy import grad
from ebmlearn.nets import BagOfWordsGenerator
from ebmlearn.posteriors import GaussianPosterior

LOGS = torch.tensor([0.0, -1.0, 0.5])


def net(length=4, background=LOGS):
    """Weights that are large enough for each to matter."""
    found = BagOfWordsGenerator(2, 3, (5,), length=length, background=background).double()
    with torch.no_grad():
        for p in found.parameters():
            p.normal_()
    return found.requires_grad_(False)


def documents(length):
    """All counts of three words that sum to ``length``."""
    x = torch.cartesian_prod(*[torch.arange(length + 1)] * 3)
    return x[x.sum(1) == length]


@pytest.mark.parametrize("length", [0, 1, 4, 9])
def test_probabilities_of_all_documents_of_a_length_sum_to_one(length):
    """Also of other lengths than those that are drawn."""
    words, x = net(length=4), documents(length)
    assert len(x) == (length + 1) * (length + 2) // 2
    for z in words.latent(3):
        log_p = -words.reconstruction(x, z.expand(len(x), -1))
        assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-12)


def test_the_likelihood_is_the_multinomial_of_torch():
    words, x = net(), documents(4)
    z = words.latent(len(x))
    logits = LOGS.double() + words.net(z)
    law = torch.distributions.Multinomial(4, logits=logits)
    torch.testing.assert_close(-words.reconstruction(x, z), law.log_prob(x.double()))
    torch.testing.assert_close(words(z), logits.softmax(1))
    torch.testing.assert_close(words.reconstruction(x.float(), z), words.reconstruction(x, z))


@pytest.mark.statistical
def test_draws_follow_the_probabilities(generator):
    words, x, n = net(background=LOGS / 2), documents(4), 40_000
    for p in words.parameters():
        p.mul_(0.2)  # no document is too rare to be counted
    z = torch.tensor([[0.7, -1.2]], dtype=torch.float64)
    expected = n * (-words.reconstruction(x, z.expand(len(x), -1))).exp()
    draws = words.draw(z.expand(n, -1), generator)
    assert draws.dtype == z.dtype and (draws.sum(1) == 4).all()
    place = torch.tensor([25, 5, 1])
    seen = (draws.long() @ place).bincount(minlength=125)[x @ place]
    assert seen.sum() == n and (expected > 5).all()
    assert stats.chisquare(seen, expected * n / expected.sum()).pvalue > 1e-6


def test_each_document_has_latents_of_its_own():
    words = net(length=50)
    z = words.latent(3)
    together = words.reconstruction(torch.ones(3, 3), z)
    alone = torch.cat([words.reconstruction(torch.ones(1, 3), row[None]) for row in z])
    torch.testing.assert_close(together, alone)
    assert len(alone.unique()) == 3
    assert words.draw(z[:0]).shape == (0, 3)


def test_the_background_alone_is_the_frequency_of_words():
    """A net of zeros says what all documents have in common; a word that never occurs has half a count."""
    x = torch.tensor([[3, 0, 1], [0, 0, 2]])
    words = BagOfWordsGenerator(1, 3, (), length=2, background=BagOfWordsGenerator.background(x))
    for p in words.parameters():
        torch.nn.init.zeros_(p)
    wanted = torch.tensor([3.5, 0.5, 3.5]) / 7.5
    torch.testing.assert_close(words(torch.randn(2, 1)), wanted.expand(2, -1))
    assert not any(p.shape == wanted.shape and torch.equal(p, wanted.log()) for p in words.parameters())
    plain = BagOfWordsGenerator(1, 3, (), length=2)
    for p in plain.parameters():
        torch.nn.init.zeros_(p)
    torch.testing.assert_close(plain(torch.randn(1, 1)), torch.full((1, 3), 1 / 3))


def test_gradient_in_the_latents_is_that_of_finite_differences():
    words, x = net(), documents(4)[:8]
    z = words.latent(8)
    _, slope = grad(lambda z: words.joint(x, z), z)
    for j in range(2):
        h = torch.zeros(2).double()
        h[j] = 1e-5
        difference = (words.joint(x, z + h) - words.joint(x, z - h)) / 2e-5
        torch.testing.assert_close(slope[:, j], difference, rtol=1e-7, atol=1e-8)


def test_a_vae_learns_the_law_of_one_kind_of_documents():
    """Without structure the best law is the frequency of words, whose cross-entropy is known."""
    law = torch.tensor([0.6, 0.3, 0.1])
    x = torch.distributions.Multinomial(20, law).sample((500,))
    words = BagOfWordsGenerator(1, 3, (8,), length=20)
    encoder = GaussianPosterior(torch.nn.Linear(3, 2), 1)
    fit(VAE(words, encoder, lr=1e-2), x, steps=300, batch_size=100)
    frequencies = x.mean(0) / 20
    found = words(torch.randn(1000, 1)).mean(0)
    assert (found - frequencies).abs().max() < 0.03


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda w: BagOfWordsGenerator(2, 1, length=3), "n_words is 1; expected a whole number >= 2"),
        (lambda w: BagOfWordsGenerator(2, 3, length=0), "length is 0; expected a whole number >= 1"),
        (lambda w: BagOfWordsGenerator(2, 4, length=3, background=LOGS), "background .* for each of 4 words"),
        (
            lambda w: BagOfWordsGenerator(2, 3, length=3, background=LOGS.log()),
            r"finite log-frequency .* never occurs: BagOfWordsGenerator\.background\(counts\)",
        ),
        (
            lambda w: w.reconstruction(torch.ones(2, 4), w.latent(2)),
            r"x has shape \(2, 4\); expected counts \(B, 3\), .*: leave other words out, or have one",
        ),
        (lambda w: w.reconstruction(torch.ones(3), w.latent(3)), r"x has shape \(3,\); expected counts"),
        (
            lambda w: w.reconstruction(torch.ones(2, 3), w.latent(1)),
            "x has 2 documents for 1 latents; expected one for each",
        ),
        (
            lambda w: w.reconstruction(torch.tensor([[1, -1, 2]]), w.latent(1)),
            "x is torch.int64, -1 among them; expected counts, whole numbers >= 0",
        ),
        (
            lambda w: w.reconstruction(torch.tensor([[1, 0.5, 2]]), w.latent(1)),
            "0.5 among them; expected counts, .* tf-idf and relative frequencies have no multinomial",
        ),
        (lambda w: w.reconstruction(torch.tensor([[1, math.nan, 2]]), w.latent(1)), "nan among them"),
        (lambda w: w.reconstruction(torch.ones(1, 3) > 0, w.latent(1)), "x is torch.bool; expected counts"),
        (lambda w: w.background(torch.ones(3)), r"x has shape \(3,\); expected counts \(B, n_words\)"),
        (lambda w: w.draw(torch.zeros(2, 3)), r"z has shape \(2, 3\); expected \(B, 2\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(net())
