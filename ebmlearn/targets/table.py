"""A table of numbers and of yes and no, whose rows have a class, with the best accuracy known."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from ebmlearn import check
from ebmlearn.targets._labelled import LabelledMixture


class _MixedTable(LabelledMixture):
    means: Tensor
    logits: Tensor

    def __init__(self, n_classes: int, n_parts: int, n_numbers: int, n_binary: int, spread: float) -> None:
        check.count("n_classes", n_classes, 2)
        check.count("n_parts", n_parts)
        check.count("n_numbers", n_numbers)
        check.count("n_binary", n_binary, 0)
        check.number("spread", spread)
        super().__init__(n_classes, n_parts)
        self.event_shape = (n_numbers + n_binary,)
        self.binary = tuple(range(n_numbers, n_numbers + n_binary))
        source = torch.Generator().manual_seed(0)
        means = spread * torch.randn(n_classes, n_parts, n_numbers, generator=source, dtype=torch.float64)
        # a class says more of a binary column than the part does
        logits = torch.randn(n_classes, 1, n_binary, generator=source, dtype=torch.float64)
        logits = logits + torch.randn(n_classes, n_parts, n_binary, generator=source, dtype=torch.float64)
        self.register_buffer("means", means.to(torch.get_default_dtype()))
        self.register_buffer("logits", logits.to(torch.get_default_dtype()))

    def log_parts(self, x: Tensor) -> Tensor:
        self.check(x)
        n = self.means.shape[2]
        ones = x[:, None, None, n:]
        if ((ones != 0) & (ones != 1)).any():
            raise ValueError(f"x has values other than 0 and 1 in its binary columns, {n} and up")
        square = (x[:, None, None, :n] - self.means).square().sum(3)
        bernoulli = ones * self.logits - functional.softplus(self.logits)
        return -0.5 * square - 0.5 * n * math.log(2 * math.pi) + bernoulli.sum(3)

    def draw_part(self, y: Tensor, part: Tensor, generator: torch.Generator | None) -> Tensor:
        mean, p = self.means[y, part], self.logits[y, part].sigmoid()
        noise = torch.empty_like(mean).normal_(generator=generator)
        return torch.cat([mean + noise, p.bernoulli(generator=generator)], 1)


def mixed_table(
    n_classes: int = 5,
    n_parts: int = 3,
    n_numbers: int = 8,
    n_binary: int = 6,
    *,
    spread: float = 1.2,
) -> _MixedTable:
    """Rows of a table with some binary columns and a class, such as records of land and its cover.

    A row draws its class, then one of the class's parts; its numbers are Gaussian around the part's means,
    with standard deviation 1, and each binary column is 1 with the part's probability. Parts of a class are
    no nearer to each other than to those of other classes, as forests of one kind at different heights may
    be: a label tells of its own part. Means and probabilities are drawn once, always the same for the same
    sizes. The energy is ``-log p(x)`` of rows ``(B, n_numbers + n_binary)``, the binary columns last
    (``log_z`` is 0). Besides ``sample``: ``labelled(n) -> (x, y)``; ``probabilities(x)``, the exact
    ``p(y|x)``; ``bayes_accuracy(n) -> (value, standard error)``, which no classifier exceeds; ``binary``, the
    indices of the binary columns. No score and no box.

    Args:
        n_classes: Classes, equally frequent, >= 2.
        n_parts: Parts of a class, equally frequent, >= 1.
        n_numbers: Gaussian columns, >= 1.
        n_binary: Binary columns, >= 0.
        spread: Standard deviation of the means, in units of that of a part, > 0.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> table = mixed_table()
        >>> x, y = table.labelled(3, torch.Generator().manual_seed(0))
        >>> x.shape, table.probabilities(x).shape, table.binary
        (torch.Size([3, 14]), torch.Size([3, 5]), (8, 9, 10, 11, 12, 13))
    """
    return _MixedTable(n_classes, n_parts, n_numbers, n_binary, spread)
