"""Targets with labels: the exact p(y|x) and the best accuracy, each by another way.

Mutants, each seen to fail: parts of a class weighed by their number; no factorial in the multinomial; the
accuracy of a guess that is drawn from p(y|x) for that of the best; labels of other rows.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score

from ebmlearn import targets

TARGETS = {
    "topics": lambda: targets.topic_corpus(3, 4, 5, shares=(0.3, 0.8)),
    "table": lambda: targets.mixed_table(3, 2, 2, 2, spread=1.0),
}


def counts(n_words, length):
    x = torch.cartesian_prod(*[torch.arange(length + 1)] * n_words)
    return x[x.sum(1) == length]


def test_masses_of_all_documents_sum_to_one_and_give_the_best_accuracy_exactly(generator):
    corpus = TARGETS["topics"]().double()
    x = counts(4, 5)
    p = corpus.log_prob(x).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-6)
    exact = (p * corpus.probabilities(x).amax(1)).sum().item()
    value, error = corpus.bayes_accuracy(20_000, generator)
    assert abs(value - exact) < 5 * error
    assert 1 / 3 < exact < 1 and 0 < error < 0.005


def test_the_probability_of_a_document_by_hand():
    corpus = TARGETS["topics"]().double()
    x, laws = counts(4, 5)[17], corpus.log_laws.exp()
    torch.testing.assert_close(laws.sum(2), torch.ones(3, 2).double(), rtol=0, atol=1e-6)
    ways = math.factorial(5) / math.prod(math.factorial(n) for n in x.tolist())
    found = ways * (laws**x).prod(2)
    assert corpus.log_prob(x[None]).exp().item() == pytest.approx(found.mean().item(), rel=1e-6)
    by_class = found.mean(1)
    torch.testing.assert_close(corpus.probabilities(x[None])[0], by_class / by_class.sum())


def test_a_larger_share_is_further_from_the_words_that_all_have():
    """Topics differ more in the laws of the larger share, and the common law is where they meet."""
    laws = TARGETS["topics"]().double().log_laws.exp()
    few, many = laws[:, 0], laws[:, 1]
    common = few - 0.3 * (many - few) / 0.5
    torch.testing.assert_close(common, common[:1].expand(3, -1), rtol=0, atol=1e-6)


def test_the_density_of_a_row_by_hand():
    table = TARGETS["table"]()
    x = torch.tensor([[0.3, -1.0, 1.0, 0.0]])
    total = torch.zeros(3)
    for k in range(3):
        for part in range(2):
            mean, p = table.means[k, part], table.logits[k, part].sigmoid()
            density = torch.distributions.Normal(mean, 1.0).log_prob(x[0, :2]).sum().exp()
            total[k] += density * p[0] * (1 - p[1]) / 2
    assert table.log_prob(x).exp().item() == pytest.approx(total.mean().item(), rel=1e-5)
    torch.testing.assert_close(table.probabilities(x)[0], total / total.sum())
    assert table.binary == (2, 3)


@pytest.mark.statistical
@pytest.mark.parametrize("name", TARGETS)
def test_labels_follow_the_exact_posterior(name, generator):
    """The best guess is right as often as it says, and each p(y|x) is calibrated."""
    target, n = TARGETS[name](), 40_000
    x, y = target.labelled(n, generator)
    p = target.probabilities(x).double()
    assert stats.chisquare(y.bincount(minlength=3)).pvalue > 1e-6
    value, error = target.bayes_accuracy(n, generator)
    right = accuracy_score(y, p.argmax(1))
    assert abs(right - value) < 5 * math.hypot(error, math.sqrt(value * (1 - value) / n))
    for k in range(3):
        for low in np.linspace(0, 0.8, 5):
            rows = (p[:, k] > low) & (p[:, k] <= low + 0.2)
            if (m := int(rows.sum())) > 100:
                spread = (p[rows, k] * (1 - p[rows, k])).sum().sqrt().item()
                assert abs((y[rows] == k).sum().item() - p[rows, k].sum().item()) < 5 * spread, (k, low, m)


@pytest.mark.statistical
def test_documents_follow_their_masses(generator):
    corpus, n = targets.topic_corpus(2, 3, 3), 30_000
    x, place = counts(3, 3), torch.tensor([16, 4, 1])
    expected = n * corpus.log_prob(x).double().exp()
    seen = (corpus.sample(n, generator).long() @ place).bincount(minlength=64)[x @ place]
    assert stats.chisquare(seen, expected * n / expected.sum()).pvalue > 1e-6


@pytest.mark.parametrize("name", ["topic_corpus", "mixed_table"])
def test_the_target_is_always_the_same_and_the_global_generator_is_left_alone(name, generator):
    before = torch.get_rng_state()
    first, second = getattr(targets, name)(), getattr(targets, name)()
    first.labelled(3, generator)
    assert torch.equal(before, torch.get_rng_state())
    a, b = (t.labelled(5, torch.Generator().manual_seed(3)) for t in (first, second))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert first.labelled(0)[0].shape == (0, *first.event_shape)


@pytest.mark.statistical
def test_the_best_accuracy_of_the_defaults():
    """The numbers that stand beside the table of chapter 15."""
    for target, wanted in ((targets.topic_corpus(), 0.8425), (targets.mixed_table(), 0.9205)):
        value, error = target.bayes_accuracy(50_000)
        assert error < 0.002 and abs(value - wanted) < 5 * error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: targets.topic_corpus(1), "n_topics is 1; expected a whole number >= 2"),
        (lambda: targets.topic_corpus(shares=()), r"shares is \(\); expected numbers in \(0, 1\)"),
        (lambda: targets.topic_corpus(shares=(0.2, 1.0)), r"shares is 1.0; expected a number in \(0, 1\)"),
        (lambda: targets.topic_corpus(spread=0.0), "spread is 0.0; expected a number > 0"),
        (lambda: targets.mixed_table(n_numbers=0), "n_numbers is 0; expected a whole number >= 1"),
        (lambda: targets.mixed_table(n_binary=-1), "n_binary is -1; expected a whole number >= 0"),
        (lambda: TARGETS["topics"]()(torch.ones(2, 4)), r"counts, whole numbers >= 0, that sum to 5"),
        (lambda: TARGETS["topics"]()(torch.tensor([[6.0, -1, 0, 0]])), "counts, whole numbers >= 0"),
        (lambda: TARGETS["topics"]()(torch.ones(2, 3)), r"x has shape \(2, 3\); expected \(B, 4\)"),
        (lambda: TARGETS["table"]()(torch.full((2, 4), 0.5)), "other than 0 and 1 in its binary columns, 2"),
        (lambda: TARGETS["table"]().bayes_accuracy(1), "n is 1; expected a whole number >= 2"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
