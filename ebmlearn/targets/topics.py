"""A corpus of topics that are known, and so is the best accuracy with which they can be told apart."""

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.targets._labelled import LabelledMixture


class _TopicCorpus(LabelledMixture):
    log_laws: Tensor

    def __init__(
        self, n_topics: int, n_words: int, length: int, shares: tuple[float, ...], spread: float
    ) -> None:
        check.count("n_topics", n_topics, 2)
        check.count("n_words", n_words, 2)
        check.count("length", length)
        check.number("spread", spread)
        if isinstance(shares, str | Tensor) or not isinstance(shares, tuple | list) or not shares:
            raise ValueError(
                f"shares is {check.shown(shares)}; expected numbers in (0, 1), such as (0.2, 0.4)"
            )
        for share in shares:
            check.number("shares", share, "in (0, 1)")
        super().__init__(n_topics, len(shares))
        self.event_shape, self.length = (n_words,), length
        source = torch.Generator().manual_seed(0)
        common = 1 / torch.arange(3, n_words + 3, dtype=torch.float64)
        common = common / common.sum()
        topics = (
            common.log() + spread * torch.randn(n_topics, n_words, generator=source, dtype=torch.float64)
        ).softmax(1)
        mix = torch.tensor(shares, dtype=torch.float64)[:, None]
        laws = mix * topics[:, None] + (1 - mix) * common
        self.register_buffer("log_laws", laws.log().to(torch.get_default_dtype()))

    def log_parts(self, x: Tensor) -> Tensor:
        self.check(x)
        if x.is_complex() or not ((x >= 0) & (x == x.floor())).all() or (x.sum(1) != self.length).any():
            raise ValueError(
                f"x is {check.shown(x)}; expected counts, whole numbers >= 0, that sum to "
                f"{self.length} in each row"
            )
        x = x.to(self.log_laws.dtype)
        ways = (x.sum(1) + 1).lgamma() - (x + 1).lgamma().sum(1)
        return ways[:, None, None] + torch.einsum("bw,kpw->bkp", x, self.log_laws)

    def draw_part(self, y: Tensor, part: Tensor, generator: torch.Generator | None) -> Tensor:
        p = self.log_laws[y, part].exp()
        if not len(y):
            return p
        words = p.multinomial(self.length, replacement=True, generator=generator)
        return torch.zeros_like(p).scatter_add_(1, words, torch.ones_like(words, dtype=p.dtype))


def topic_corpus(
    n_topics: int = 6,
    n_words: int = 200,
    length: int = 40,
    *,
    shares: tuple[float, ...] = (0.15, 0.3, 0.6),
    spread: float = 1.5,
) -> _TopicCorpus:
    """Documents as word counts, each of one topic; the laws of the topics, and so ``p(y|x)``, are known.

    A document draws its topic, and which share of its words belongs to it: a few documents are nearly all
    topic, others hardly. Each of its ``length`` words is then drawn from the law of the topic, with that
    probability, or from the law that all documents have in common, whose frequencies fall as ``1 / (rank +
    2)``. The law of a topic is the common one with each log-frequency moved by ``spread`` times a normal
    number; these are drawn once, always the same for the same sizes. The energy is ``-log p(x)`` of counts
    ``(B, n_words)`` that sum to ``length``, as integers or floats; over all of them ``exp(-E)`` sums to 1
    (``log_z`` is 0). Besides ``sample``: ``labelled(n) -> (x, y)``; ``probabilities(x)``, the exact
    ``p(y|x)``; ``bayes_accuracy(n) -> (value, standard error)``, which no classifier exceeds. No score and
    no box.

    Args:
        n_topics: Topics, equally frequent, >= 2.
        n_words: Size of the vocabulary, >= 2.
        length: Words of a document, >= 1.
        shares: The shares of the topic's own words, each in (0, 1) and equally frequent.
        spread: Standard deviation of the moves of a log-frequency, > 0.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> corpus = topic_corpus()
        >>> x, y = corpus.labelled(3, torch.Generator().manual_seed(0))
        >>> x.shape, x.sum(1), corpus.probabilities(x).shape
        (torch.Size([3, 200]), tensor([40., 40., 40.]), torch.Size([3, 6]))
    """
    return _TopicCorpus(n_topics, n_words, length, shares, spread)
