"""A motion of a code: a matrix for each displacement, which is the identity where nothing moves."""

from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.architecture import Net


class BlockMotion(Net):
    """``M(dx)`` is block-diagonal, and each block a polynomial of the displacement without a constant:
    ``M_k(dx) = I + Σ_j W_kj φ_j(u)`` with ``u = dx / scale`` and all monomials ``φ_j`` up to ``degree``.

    So ``M(0) = I`` whatever the weights are. In two dimensions and to degree 2 the monomials are
    ``u₁, u₂, u₁², u₁u₂, u₂²``: a rotation by an angle linear in ``dx`` is met to second order.

    Args:
        n_blocks: Blocks ``K`` of the code.
        block_size: Elements ``b`` of a block.
        dim: Number of coordinates of a displacement, >= 1.
        degree: Degree of the polynomial, >= 1.
        scale: The displacement that counts as one, > 0: about the largest, lest the weights learn slowly.

    Attributes:
        weight: ``W``, shape ``(number of monomials, K, b, b)``.

    Raises:
        ValueError: If an argument is out of its range, or a shape does not fit.
    """

    def __init__(
        self, n_blocks: int, block_size: int, dim: int, *, degree: int = 2, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.n_blocks = check.count("n_blocks", n_blocks)
        self.block_size = check.count("block_size", block_size)
        self.dim, self.degree = check.count("dim", dim), check.count("degree", degree)
        self.scale = check.number("scale", scale)
        self.monomials = tuple(
            axes for p in range(1, degree + 1) for axes in combinations_with_replacement(range(dim), p)
        )
        self.weight = nn.Parameter(0.01 * torch.randn(len(self.monomials), n_blocks, block_size, block_size))

    def matrices(self, dx: Tensor) -> Tensor:
        """The blocks ``M_k(dx)``, ``(B, dim)`` to ``(B, K, b, b)``."""
        check.batch("dx", dx, event=(self.dim,))
        u = dx / self.scale
        features = torch.stack([u[:, axes].prod(1) for axes in self.monomials], 1)
        eye = torch.eye(self.block_size, dtype=dx.dtype, device=dx.device)
        return eye + torch.einsum("nj,jkrc->nkrc", features, self.weight)

    def forward(self, v: Tensor, dx: Tensor) -> Tensor:
        """``M(dx) v``, of codes ``(B, K, b)`` and displacements ``(B, dim)``, shape ``(B, K, b)``."""
        matrices = self.matrices(dx)
        check.batch("v", v, event=(self.n_blocks, self.block_size))
        if len(v) != len(dx):
            raise ValueError(f"there are {len(v)} codes v and {len(dx)} displacements dx; expected one each")
        return torch.einsum("nkrc,nkc->nkr", matrices, v)

    def extra_repr(self) -> str:
        return (
            f"n_blocks={self.n_blocks}, block_size={self.block_size}, dim={self.dim}, degree={self.degree}, "
            f"scale={self.scale:.6g}"
        )
