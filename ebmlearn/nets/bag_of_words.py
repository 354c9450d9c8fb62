"""A generator of word counts: a document is a bag of words, drawn from one law that the latents set."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.nets._layers import hidden_layers
from ebmlearn.nets.generator import Generator


class BagOfWordsGenerator(Generator):
    """``p(x|z)`` multinomial: ``N`` words, independent given ``z``, each from ``softmax(b + g(z))``.

    ``x`` are counts ``(B, n_words)``, whole numbers >= 0, as integers or floats; ``N`` is their sum, and the
    likelihood is that of the counts given ``N``. The background ``b`` are log-frequencies of the words in all
    documents, so that ``g``, a multilayer perceptron, need only say how a document differs from the others.

    Args:
        latent_dim: Number of elements of ``z``.
        n_words: Size of the vocabulary, >= 2.
        widths: Widths of the hidden layers.
        length: Words ``N`` of a document that is drawn, >= 1; documents of any length have a likelihood.
        background: ``b``, shape ``(n_words,)``, finite, and not trained; None: 0 for each word.
            ``BagOfWordsGenerator.background(x)`` makes it of counts.
        activation: Makes an activation.

    Raises:
        ValueError: If an argument is out of its range, or ``x`` or ``z`` does not fit.

    Example:
        >>> x = torch.tensor([[3, 0, 1], [0, 2, 2]])
        >>> net = BagOfWordsGenerator(2, 3, (), length=4, background=BagOfWordsGenerator.background(x))
        >>> net.reconstruction(x, torch.zeros(2, 2)).shape, net.draw(torch.zeros(2, 2)).sum(1)
        (torch.Size([2]), tensor([4., 4.]))
    """

    log_frequency: Tensor

    def __init__(
        self,
        latent_dim: int,
        n_words: int,
        widths: Sequence[int] = (128,),
        *,
        length: int,
        background: Tensor | None = None,
        activation: Callable[[], nn.Module] = nn.SiLU,
    ) -> None:
        super().__init__(latent_dim)
        self.n_words = check.count("n_words", n_words, 2)
        self.length = check.count("length", length)
        widths = check.counts("widths", widths, some=False)
        if background is None:
            background = torch.zeros(n_words)
        check.floats("background", background)
        if background.shape != (n_words,) or not background.isfinite().all():
            raise ValueError(
                f"background is {check.shown(background)}; expected a finite log-frequency for each of "
                f"{n_words} words, also of one that never occurs: BagOfWordsGenerator.background(counts)"
            )
        self.register_buffer("log_frequency", background.detach().to(torch.get_default_dtype()).clone())
        sizes = [latent_dim, *widths]
        self.net = nn.Sequential(*hidden_layers(sizes, activation), nn.Linear(sizes[-1], n_words))

    @staticmethod
    def background(x: Tensor) -> Tensor:
        """Log-frequencies of the words in documents ``(B, n_words)``, with one half added to each count, so
        that a word that never occurs has one; shape ``(n_words,)``."""
        check.tensor("x", x)
        _check_counts(x, x.shape[-1] if x.ndim == 2 else 0)
        total = x.to(torch.get_default_dtype()).sum(0) + 0.5
        return (total / total.sum()).log()

    def forward(self, z: Tensor) -> Tensor:
        """Probabilities of the words, ``(B, latent_dim)`` to ``(B, n_words)``."""
        return self._log_p(z).exp()

    def _log_p(self, z: Tensor) -> Tensor:
        self.check(z)
        return (self.log_frequency + self.net(z)).log_softmax(1)

    def reconstruction(self, x: Tensor, z: Tensor) -> Tensor:
        """``-log p(x|z)`` in nats, exact, ``log N! / Π x_w!`` included: the constant is 0.

        Args:
            x: Counts, shape ``(B, n_words)``.
            z: Latents, shape ``(B, latent_dim)``.

        Returns:
            One number for each document, shape ``(B,)``.

        Raises:
            ValueError: If the shapes do not fit, or ``x`` are no counts.
        """
        log_p = self._log_p(z)
        check.tensor("x", x)
        _check_counts(x, self.n_words)
        if len(x) != len(z):
            raise ValueError(f"x has {len(x)} documents for {len(z)} latents; expected one for each")
        x = x.to(log_p.dtype)
        ways = (x.sum(1) + 1).lgamma() - (x + 1).lgamma().sum(1)
        return -ways - (x * log_p).sum(1)

    @torch.no_grad()
    def draw(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draws from ``p(x|z)``, documents of ``length`` words, one for each latent: counts
        ``(B, n_words)``, floats."""
        check.generator(generator)
        p = self(z)
        words = (
            p.multinomial(self.length, replacement=True, generator=generator) if len(z) else p[:, :0].long()
        )
        return torch.zeros_like(p).scatter_add_(1, words, torch.ones_like(words, dtype=p.dtype))

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}, n_words={self.n_words}, length={self.length}"


def _check_counts(x: Tensor, n_words: int) -> None:
    if x.ndim != 2 or x.shape[1] != n_words:
        raise ValueError(
            f"x has shape {tuple(x.shape)}; expected counts (B, {n_words or 'n_words'}), a column for each "
            "word of the vocabulary: leave other words out, or have one that stands for all of them"
        )
    if x.dtype == torch.bool or x.is_complex() or not (x.isfinite() & (x >= 0) & (x == x.floor())).all():
        bad = "" if x.dtype == torch.bool or x.is_complex() else f", {_first_bad(x)} among them"
        raise ValueError(
            f"x is {x.dtype}{bad}; expected counts, whole numbers >= 0: tf-idf and relative frequencies have "
            "no multinomial likelihood"
        )


def _first_bad(x: Tensor) -> float:
    return x[~(x.isfinite() & (x >= 0) & (x == x.floor()))][0].item()
