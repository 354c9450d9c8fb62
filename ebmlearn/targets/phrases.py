"""A language whose entropy is known: noisy copies of the phrases of a small book."""

import math

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import ExactEnergy

_MOST = 10**6  # sequences to enumerate


class _PhraseBook(ExactEnergy):
    phrases: Tensor
    entropy: Tensor

    def __init__(self, n_phrases: int, length: int, n_words: int, slip: float) -> None:
        super().__init__()
        check.count("n_phrases", n_phrases)
        check.count("length", length)
        check.count("n_words", n_words, 2)
        check.number("slip", slip, "in (0, 1)")
        if n_words**length > _MOST:
            raise ValueError(
                f"phrase_book: {n_words}^{length} sequences are too many to enumerate for the exact entropy; "
                f"at most {_MOST:,}"
            )
        self.event_shape, self.n_words, self.slip = (length,), n_words, float(slip)
        source = torch.Generator().manual_seed(0)
        self.register_buffer("phrases", torch.randint(n_words, (n_phrases, length), generator=source))
        self.register_buffer("log_z", torch.zeros(()))
        energy = torch.cat([self(part).double() for part in self.sequences().split(10_000)])
        self.register_buffer("entropy", ((-energy).exp() * energy).sum())

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        if x.dtype != torch.int64 or (x.numel() and not 0 <= x.min() <= x.max() < self.n_words):
            raise ValueError(f"x is {x.dtype}; expected words, int64 in [0, {self.n_words})")
        right = (x[:, None] == self.phrases).sum(2).to(self.log_z)
        slip = self.slip / self.n_words  # into each word, the right one included
        score = right * math.log1p(slip - self.slip) + (x.shape[1] - right) * math.log(slip)
        return math.log(len(self.phrases)) - score.logsumexp(1)

    def sequences(self) -> Tensor:
        words = torch.arange(self.n_words, device=self.phrases.device)
        return torch.cartesian_prod(*[words] * self.event_shape[0]).view(-1, *self.event_shape)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        check.draws(n, generator)
        device = self.phrases.device
        meant = torch.randint(len(self.phrases), (n,), generator=generator, device=device)
        x = self.phrases[meant]
        other = torch.randint(self.n_words, x.shape, generator=generator, device=device)
        return torch.where(torch.rand(x.shape, generator=generator, device=device) < self.slip, other, x)


def phrase_book(n_phrases: int = 4, length: int = 4, n_words: int = 6, slip: float = 0.15) -> _PhraseBook:
    """Sentences of a fixed length: a phrase of a book, in which each word may slip into any other.

    A phrase is drawn, each as likely as the others; each of its words is, with probability ``slip``, replaced
    by a word drawn from the whole vocabulary. The phrases themselves are drawn once, uniformly, always the
    same for the same sizes. Which phrase is meant is a latent variable: given it, words are independent, so
    a sentence is a mixture of products. The energy is ``-log p(x)`` of sentences ``x``, ``(B, length)`` int64
    in ``[0, n_words)``, which sums to 1 (``log_z`` is 0); it has no gradient in ``x``. Besides what every
    target has, but no box: ``phrases``, ``(n_phrases, length)``; ``entropy`` in nats a sentence, by
    enumeration; ``sequences()``, all sentences.

    Args:
        n_phrases: Phrases in the book, >= 1.
        length: Words of a sentence, >= 1.
        n_words: Size of the vocabulary, >= 2; ``n_words ** length`` at most a million.
        slip: Probability that a word is replaced, in (0, 1).

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> language = phrase_book()
        >>> language.sample(2, torch.Generator().manual_seed(0)).shape
        torch.Size([2, 4])
        >>> round(language.entropy.item(), 3)
        3.583
    """
    return _PhraseBook(n_phrases, length, n_words, slip)
