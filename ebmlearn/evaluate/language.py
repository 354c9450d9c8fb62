"""Samples of text against a reference: an n-gram model, and perplexity.

Perplexity goes both ways. Samples under a model of the data are cheap to please: a generator that repeats the
likeliest sentence has the lowest. Data under a model of the samples is dear to whoever leaves something out.
Report both, and beside them the perplexity of held-out data, which is the one to meet, not to beat.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ebmlearn import check
from ebmlearn.energy import Energy

_MOST = 2**26  # entries of the largest table: 256 MB


class NGram:
    """``-log p(x)`` of sequences under an n-gram model: an energy with ``log Z = 0``.

    The probability of a token given those before it falls back on shorter contexts (MacKay and Peto 1995, "A
    hierarchical Dirichlet language model", Natural Language Engineering 1): with ``n(c, w)`` the number of
    times that ``w`` follows the context ``c``, and ``c'`` the context without its first token,
    ``p(w|c) = (n(c, w) + s p(w|c')) / (n(c) + s)``. The last one to fall back on is uniform. Where a sequence
    begins, ``end`` stands in the place of what is missing.

    Args:
        x: The sequences to learn from, token ids ``(N, length)``, padded with ``end``.
        n_tokens: Size of the vocabulary, ``end`` included.
        order: Tokens of an n-gram, the predicted one included, >= 1.
        strength: ``s`` > 0, in counts: how often a context must have been seen to be believed.
        end: Id of the token that ends a sequence.

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self, x: Tensor, n_tokens: int, *, order: int = 4, strength: float = 5.0, end: int = 0
    ) -> None:
        check.tensor("x", x)
        check.count("order", order)
        check.count("n_tokens", n_tokens)
        check.number("strength", strength)
        if check.count("end", end, 0) >= n_tokens:
            raise ValueError(f"end is {end}; expected a token in [0, {n_tokens})")
        if n_tokens**order > _MOST:
            raise ValueError(
                f"{n_tokens} tokens have {n_tokens}^{order} n-grams, too many for a table; use a lower order"
            )
        if x.ndim != 2 or not len(x) or x.dtype != torch.int64 or x.min() < 0 or x.max() >= n_tokens:
            raise ValueError(
                f"x is {x.dtype} of shape {tuple(x.shape)}; expected token ids in [0, {n_tokens}), int64 "
                "(N, length), N >= 1"
            )
        self.order, self.n_tokens, self.end = order, n_tokens, end
        grams = self._grams(x)[_counts(x, end)]
        table = torch.full((1, n_tokens), 1 / n_tokens)
        for k in range(1, order + 1):
            size = n_tokens ** (k - 1), n_tokens
            seen = self._index(grams[:, -k:]).bincount(minlength=size[0] * size[1]).view(size)
            shorter = table if k == 1 else table.repeat(n_tokens, 1)  # row c' of each context c
            table = (seen + strength * shorter) / (seen.sum(1, keepdim=True) + strength)
        self._cost = -table.flatten().log()

    def __call__(self, x: Tensor) -> Tensor:
        check.tensor("x", x)
        if (
            x.ndim != 2
            or x.dtype != torch.int64
            or (x.numel() and not 0 <= x.min() <= x.max() < self.n_tokens)
        ):
            raise ValueError(
                f"x is {x.dtype} of shape {tuple(x.shape)}; expected token ids in [0, {self.n_tokens}), "
                "int64 (B, length)"
            )
        cost = self._cost[self._index(self._grams(x))]
        return (cost * _counts(x, self.end)).sum(1)

    def _grams(self, x: Tensor) -> Tensor:
        """Each token with those before it, ``(B, length, order)``."""
        return functional.pad(x, (self.order - 1, 0), value=self.end).unfold(1, self.order, 1)

    def _index(self, grams: Tensor) -> Tensor:
        place = self.n_tokens ** torch.arange(grams.shape[-1] - 1, -1, -1)
        return (grams * place).sum(-1)


def _counts(x: Tensor, end: int) -> Tensor:
    """Whether each token belongs to its sequence, the first ``end`` included: padding does not."""
    return functional.pad((x == end).cumsum(1)[:, :-1], (1, 0)) == 0


def perplexity(x: Tensor, energy: Energy, *, end: int | None = 0) -> float:
    """``exp`` of the mean cost of a token in nats: as if each had been drawn from so many, equally likely.

    Args:
        x: Token ids, shape ``(B, length)``, B >= 1.
        energy: ``-log p(x)`` with all constants, ``(B, length)`` to ``(B,)``: an `NGram`, a
            `TextGenerator <ebmlearn.nets.TextGenerator>`, `phrase_book <ebmlearn.targets.phrase_book>`.
        end: Id of the token that ends a sequence; it counts, padding does not. None: all tokens count.

    Raises:
        ValueError: If ``x`` is empty, or the energy returns another shape than ``(B,)``.

    Example:
        >>> uniform = lambda x: (x.cumsum(1) < 99).sum(1) * math.log(3)
        >>> round(perplexity(torch.ones(5, 4, dtype=torch.int64), uniform, end=None), 2)
        3.0
    """
    check.tensor("x", x)
    check.function("energy", energy)
    if x.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, length)")
    if not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; expected at least one token")
    with torch.no_grad():
        cost = energy(x)
    check.tensor("what the energy returned", cost)
    if cost.shape != x.shape[:1]:
        raise ValueError(f"the energy returned shape {tuple(cost.shape)}; expected ({len(x)},)")
    tokens = x.numel() if end is None else int(_counts(x, end).sum())
    return math.exp(cost.double().sum().item() / tokens)
