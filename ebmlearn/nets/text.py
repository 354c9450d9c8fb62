"""A generator of text: sequences of tokens from a recurrent net that sees the latents at every step."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ebmlearn import check
from ebmlearn.nets.generator import Generator


class TextGenerator(Generator):
    """``p(x|z) = Π_t p(x_t | x_1, …, x_{t-1}, z)``, each factor a softmax on the state of a GRU.

    The latents set the first state of the GRU and are a part of each of its inputs (Bowman et al. 2016,
    arXiv:1511.06349, set the first state only). ``x`` are token ids, ``(B, length)`` int64 in
    ``[0, n_tokens)``. A sequence is over with its first ``end``; what follows is padding, also ``end``, and
    costs nothing. The probabilities of all such sequences sum to 1. No dropout: the posterior of ``z`` is
    the same at each step of a chain.

    Args:
        latent_dim: Number of elements of ``z``.
        n_tokens: Size of the vocabulary, ``end`` included, >= 2.
        length: Positions of a sequence, ``end`` and padding included, >= 1.
        end: Id of the token that ends a sequence; None: every sequence fills all positions.
        embedding: Elements of the vector that stands for a token.
        width: Elements of the state of the GRU.
        reads: Whether the net sees the tokens before. If not, they are independent given ``z``, and only
            ``z`` can make them agree: word dropout at the rate 1 (Bowman et al.).

    Raises:
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        latent_dim: int,
        n_tokens: int,
        length: int,
        *,
        end: int | None = 0,
        embedding: int = 16,
        width: int = 64,
        reads: bool = True,
    ) -> None:
        super().__init__(latent_dim)
        check.count("n_tokens", n_tokens)
        check.count("length", length)
        if end is not None:
            check.count("end", end, 0)
        check.count("embedding", embedding)
        check.count("width", width)
        if n_tokens < 2 or length < 1 or not (end is None or 0 <= end < n_tokens):
            raise ValueError(
                f"expected n_tokens >= 2, length >= 1 and end None or in [0, n_tokens); got {n_tokens}, "
                f"{length} and {end}"
            )
        self.n_tokens, self.length, self.end, self.reads = n_tokens, length, end, reads
        self.embedding = nn.Embedding(n_tokens + 1, embedding)  # the last stands before the first token
        self.gru = nn.GRU(embedding + latent_dim, width, batch_first=True)
        self.start = nn.Linear(latent_dim, width)
        self.logits = nn.Linear(width, n_tokens)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """``-log p(x|z)`` in nats, exact: the constant is 0.

        Args:
            x: Token ids, shape ``(B, length)``, int64.
            z: Latents, shape ``(B, latent_dim)``.

        Returns:
            One number for each sequence, shape ``(B,)``; padding does not count.

        Raises:
            ValueError: If the shapes do not fit, or ``x`` is no batch of token ids padded with ``end``.
        """
        self.check(z)
        before = self._check_tokens(x)
        state, _ = self._advance(before, z, self.start(z)[None])
        cost = functional.cross_entropy(self.logits(state).transpose(1, 2), x, reduction="none")
        return cost.sum(1) if self.end is None else (cost * (before != self.end)).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        """``-log p(x|z=0)``, shape ``(B,)``: the decoder alone, a plain language model and an energy of
        sequences with ``log Z = 0``. Arguments and errors as `reconstruction`."""
        like = self.start.weight
        return self.reconstruction(x, like.new_zeros(len(x), self.latent_dim))

    @torch.no_grad()
    def draw(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws from ``p(x|z)``, token after token, one for each latent, shape ``(B, length)``, int64."""
        self.check(z)
        hidden = self.start(z)[None]
        token = torch.full((len(z), 1), self.n_tokens, device=z.device)
        tokens = []
        for _ in range(self.length):
            state, hidden = self._advance(token, z, hidden)
            drawn = self.logits(state[:, 0]).softmax(1).multinomial(1, generator=generator)
            token = drawn if self.end is None else drawn.masked_fill(token == self.end, self.end)
            tokens.append(token)
        return torch.cat(tokens, 1)

    def _advance(self, tokens: Tensor, z: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """States after each of the tokens ``(B, T)``, shape ``(B, T, width)``, and the last state."""
        if not self.reads:
            tokens = torch.full_like(tokens, self.n_tokens)
        every = z[:, None].expand(-1, tokens.shape[1], -1)
        return self.gru(torch.cat([self.embedding(tokens), every], 2), hidden)

    def _check_tokens(self, x: Tensor) -> Tensor:
        """The token before each position, ``(B, length)``."""
        check.tensor("x", x)
        if x.dtype != torch.int64 or x.shape[1:] != (self.length,):
            raise ValueError(
                f"x is {x.dtype} of shape {tuple(x.shape)}; expected token ids, int64 (B, {self.length})"
            )
        if x.numel() and not (x.min() >= 0 and x.max() < self.n_tokens):
            raise ValueError(
                f"x holds ids from {x.min()} to {x.max()}; this vocabulary has 0 to {self.n_tokens - 1}"
            )
        before = functional.pad(x[:, :-1], (1, 0), value=self.n_tokens)
        if self.end is not None and ((before == self.end) & (x != self.end)).any():
            raise ValueError(
                f"a token other than {self.end} follows the end of a sequence: pad with end={self.end}, or "
                "give the generator end=None"
            )
        return before

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, length={self.length}, end={self.end}, reads={self.reads}"
