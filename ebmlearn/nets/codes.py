"""Codes: representations ``v(x)`` in blocks, which a motion turns, each a short vector of its own."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.architecture import Net
from ebmlearn.nets._layers import check_images


class Code(Net, ABC):
    """Abstract: ``v(x)``, made of ``K`` blocks ``v_k(x)`` of ``b`` elements.

    Args:
        n_blocks: ``K``, >= 1.
        block_size: ``b``, >= 1.

    Raises:
        ValueError: If a number is below 1.
    """

    def __init__(self, n_blocks: int, block_size: int) -> None:
        super().__init__()
        self.n_blocks = check.count("n_blocks", n_blocks)
        self.block_size = check.count("block_size", block_size)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The code of each element of a batch ``(B, *event)``, shape ``(B, K, b)``."""

    def project(self) -> None:
        """Bring the parameters back to where they must lie, in place, after an update; nothing by default."""
        return


class LinearCode(Code):
    """``v_k(x) = W_k x``: each block sees a signal or an image patch through ``b`` linear filters.

    With all filters as rows of ``W``, ``Wᵀ W = I`` makes it a tight frame: the signal is the sum of its
    filters, weighted by the code.

    Args:
        event_shape: Shape of one ``x``.
        n_blocks: ``K``, >= 1.
        block_size: ``b``, >= 1; two filters can turn into each other.

    Attributes:
        weight: ``W``, shape ``(K b, D)`` with ``D`` the number of elements of ``x``.

    Raises:
        ValueError: If an argument is out of its range or ``x`` has another shape.
    """

    def __init__(self, event_shape: Sequence[int], n_blocks: int, block_size: int = 2) -> None:
        super().__init__(n_blocks, block_size)
        self.event_shape = check.counts("event_shape", event_shape)
        n_rows, n_columns = n_blocks * block_size, prod(self.event_shape)
        self.weight = nn.Parameter(torch.randn(n_rows, n_columns) / max(n_rows, n_columns) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.event_shape)
        return (x.flatten(1) @ self.weight.T).view(-1, self.n_blocks, self.block_size)

    def reconstruct(self, v: Tensor) -> Tensor:
        """``Σ_k W_kᵀ v_k``, the signal if the code is a tight frame, ``(B, K, b)`` to ``(B, *event)``.

        Raises:
            ValueError: If ``v`` has another shape.
        """
        check.batch("v", v, event=(self.n_blocks, self.block_size))
        return (v.flatten(1) @ self.weight).view(-1, *self.event_shape)

    def extra_repr(self) -> str:
        return f"event_shape={self.event_shape}, n_blocks={self.n_blocks}, block_size={self.block_size}"
