"""n-grams sum to one, count as by hand and fall back; perplexity of what is known."""

import math

import pytest
import torch

from ebmlearn import targets
from ebmlearn.evaluate.language import NGram, perplexity
from ebmlearn.nets import TextGenerator


def tokens(*rows):
    return torch.tensor(rows)


def sequences(length=4, n_tokens=3):
    x = torch.cartesian_prod(*[torch.arange(n_tokens)] * length)
    over = (x == 0).cumsum(1) > 0
    return x[~(over[:, :-1] & (x[:, 1:] != 0)).any(1)]


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_of_all_sequences_sum_to_one(order):
    x = tokens([1, 2, 0, 0], [2, 2, 1, 0], [1, 1, 1, 1])
    assert (-NGram(x, 3, order=order)(sequences())).logsumexp(0).item() == pytest.approx(0, abs=1e-6)


def test_a_bigram_by_hand():
    # tokens 1 2 end | 1 end: five tokens, of which 1 twice, 2 once, end twice
    model = NGram(tokens([1, 2, 0], [1, 0, 0]), 3, order=2, strength=3.0)
    one = {w: (n + 3 / 3) / (5 + 3) for w, n in {0: 2, 1: 2, 2: 1}.items()}
    start = (2 + 3 * one[1]) / (2 + 3)  # 1 after the start, which was seen twice
    after = (1 + 3 * one[0]) / (2 + 3)  # end after 1, one of two times
    assert model(tokens([1, 0, 0])).item() == pytest.approx(-math.log(start * after), rel=1e-6)
    never = (0 + 3 * one[2]) / (2 + 3)  # 2 at the start
    last = (0 + 3 * one[2]) / (1 + 3)  # 2 after 2
    expected = -math.log(never * last * last)
    assert model(tokens([2, 2, 2])).item() == pytest.approx(expected, rel=1e-6)


def test_longer_contexts_learn_what_shorter_ones_cannot():
    """Four sentences, which two words before do not tell apart; all four words do."""
    x = tokens([1, 2, 2, 1, 0], [2, 2, 1, 2, 0], [1, 1, 2, 1, 0], [2, 1, 1, 2, 0]).repeat(100, 1)
    cost = [NGram(x, 3, order=k)(x).mean().item() for k in (1, 2, 3, 5)]
    assert cost == sorted(cost, reverse=True) and cost[-1] < 0.7 * cost[0]
    # with all the context it is the entropy: four sentences
    assert cost[-1] == pytest.approx(math.log(4), rel=0.05)


def test_perplexity_counts_the_end_and_not_the_padding():
    x = tokens([1, 1, 0, 0], [0, 0, 0, 0], [2, 1, 2, 1])
    uniform = TextGenerator(1, 5, 4)
    for p in uniform.parameters():
        torch.nn.init.zeros_(p)
    assert perplexity(x, uniform) == pytest.approx(5, rel=1e-6)
    assert perplexity(x, lambda x: x.new_full((3,), 8.0, dtype=torch.float)) == pytest.approx(math.exp(3))
    assert perplexity(x, lambda x: x.new_full((3,), 8.0, dtype=torch.float), end=None) == pytest.approx(
        math.e**2
    )


@pytest.mark.statistical
def test_samples_of_a_language_have_the_perplexity_of_its_entropy(generator):
    language, n = targets.phrase_book(), 20_000
    x = language.sample(n, generator)
    spread = language(x).std().item() / math.sqrt(n)
    found = language.event_shape[0] * math.log(perplexity(x, language, end=None))
    assert abs(found - language.entropy.item()) < 5 * spread


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: NGram(x, 3, order=0), "order is 0; expected a whole number >= 1"),
        (lambda x: NGram(x, 3, strength=0.0), "strength is 0.0; expected a number > 0"),
        (lambda x: NGram(x, 300), r"300 tokens have 300\^4 n-grams, too many"),
        (lambda x: NGram(x, 2), r"x is torch.int64 of shape \(1, 3\); expected token ids in \[0, 2\)"),
        (lambda x: NGram(x.float(), 3), "x is torch.float32"),
        (lambda x: NGram(x[:0], 3), r"of shape \(0, 3\)"),
        (lambda x: perplexity(x[:0], NGram(x, 3)), r"x has shape \(0, 3\); expected at least one token"),
        (lambda x: perplexity(x, lambda x: torch.zeros(())), r"returned shape \(\); expected \(1,\)"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(tokens([1, 2, 0]))
