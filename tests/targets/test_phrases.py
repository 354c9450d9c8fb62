"""The language of known entropy: masses, samples and entropy, each by another way."""

import pytest
import torch
from scipy import stats

from ebmlearn import targets


@pytest.mark.parametrize("sizes", [(4, 4, 6), (1, 3, 2), (9, 2, 5), (3, 1, 4)])
def test_masses_sum_to_one_and_give_the_entropy(sizes):
    language = targets.phrase_book(*sizes)
    x = language.sequences()
    assert len(x) == sizes[2] ** sizes[1] == len(x.unique(dim=0))
    log_p = language.log_prob(x).double()
    assert log_p.logsumexp(0).item() == pytest.approx(0, abs=1e-6)
    assert language.entropy.item() == pytest.approx(-(log_p.exp() * log_p).sum().item(), rel=1e-6)


def test_the_probability_of_a_sentence_by_hand():
    language = targets.phrase_book(3, 2, 4, slip=0.2)
    right, wrong = 1 - 0.2 + 0.05, 0.05
    for x in language.sequences():
        ways = torch.where(x == language.phrases, right, wrong).prod(1)
        assert language.log_prob(x[None]).exp().item() == pytest.approx(ways.mean().item(), rel=1e-5)


def test_one_phrase_has_independent_words():
    """The entropy of a word that slips, times the number of words: no enumeration."""
    p = [1 - 0.15 + 0.15 / 6, *[0.15 / 6] * 5]
    assert targets.phrase_book(1, 5).entropy.item() == pytest.approx(5 * stats.entropy(p), rel=1e-6)


@pytest.mark.statistical
def test_samples_follow_the_probabilities(generator):
    language, n = targets.phrase_book(4, 3, 3), 50_000
    x = language.sequences()
    place = torch.tensor([9, 3, 1])
    seen = (language.sample(n, generator) @ place).bincount(minlength=27)
    assert torch.equal(x @ place, torch.arange(27))
    expected = n * language.log_prob(x).double().exp()
    assert stats.chisquare(seen, expected * n / expected.sum()).pvalue > 1e-6


def test_the_book_is_always_the_same_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first, second = targets.phrase_book(), targets.phrase_book(slip=0.5)
    assert torch.equal(first.phrases, second.phrases)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_phrases": 0}, "n_phrases is 0; expected a whole number >= 1"),
        ({"length": 0}, "length is 0; expected a whole number >= 1"),
        ({"n_words": 1}, "n_words is 1; expected a whole number >= 2"),
        ({"slip": 0.0}, r"slip is 0.0; expected a number in \(0, 1\)"),
        ({"slip": 1.0}, r"slip is 1.0; expected a number in \(0, 1\)"),
        ({"length": 8}, r"6\^8 sequences are too many to enumerate for .*; at most 1,000,000"),
    ],
)
def test_bad_arguments_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        targets.phrase_book(**settings)
