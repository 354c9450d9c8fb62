"""What the targets with labels share: classes that are mixtures of parts, and the best that can be told."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import ExactEnergy


class LabelledMixture(ExactEnergy, ABC):
    """Abstract: ``p(x) = Σ_y p(x|y) / K``, each class an equal mixture of ``n_parts`` known laws.

    Energies and posteriors are computed in the dtype of the buffers. A subclass calls ``super().__init__()``
    and registers what its laws need.
    """

    def __init__(self, n_classes: int, n_parts: int) -> None:
        super().__init__()
        self.n_classes, self.n_parts = n_classes, n_parts
        self.register_buffer("log_z", torch.zeros(()))

    @abstractmethod
    def log_parts(self, x: Tensor) -> Tensor:
        """``log p(x | class, part)``, ``(B, *event)`` to ``(B, n_classes, n_parts)``."""

    @abstractmethod
    def draw_part(self, y: Tensor, part: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draws of the laws of classes and parts ``(B,)``, shape ``(B, *event)``."""

    def forward(self, x: Tensor) -> Tensor:
        return math.log(self.n_classes) - self._log_classes(x).logsumexp(1)

    def probabilities(self, x: Tensor) -> Tensor:
        """``p(y|x)``, exact, ``(B, *event)`` to ``(B, n_classes)``."""
        return self._log_classes(x).softmax(1)

    def labelled(self, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draws of ``(x, y)``: shapes ``(n, *event)`` and ``(n,)``, int64."""
        check.draws(n, generator)
        device = self.log_z.device
        y = torch.randint(self.n_classes, (n,), generator=generator, device=device)
        part = torch.randint(self.n_parts, (n,), generator=generator, device=device)
        return self.draw_part(y, part, generator), y

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.labelled(n, generator)[0]

    def bayes_accuracy(
        self, n: int = 100_000, generator: torch.Generator | None = None
    ) -> tuple[float, float]:
        """The accuracy of ``argmax_y p(y|x)``, which no classifier exceeds, and its standard error.

        It is the mean of ``max_y p(y|x)`` over ``n`` draws of ``x``: at the defaults the error is below .001.
        """
        check.count("n", n, 2)
        check.generator(generator)
        sizes = [len(part) for part in torch.empty(n, 0).split(10_000)]
        best = torch.cat([self.probabilities(self.sample(k, generator)).amax(1).double() for k in sizes])
        return best.mean().item(), (best.std() / math.sqrt(n)).item()

    def _log_classes(self, x: Tensor) -> Tensor:
        """``log p(x|y)``, ``(B, n_classes)``."""
        return self.log_parts(x).logsumexp(2) - math.log(self.n_parts)
