"""A code of positions: a vector at each point of a lattice, and between them by interpolation."""

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from ebmlearn import check
from ebmlearn.nets.codes import Code

_ROUNDING = 1e-5  # by which a position may lie outside


class LatticeCode(Code):
    """``v(x)`` of positions ``x`` in ``[0, 1]^dim``: free vectors at the points of a lattice.

    Between the points ``v`` is interpolated linearly along each axis, so that its norm is there a little
    smaller. A periodic lattice is a ring (``dim=1``) or a torus (``dim=2``), on which 1 is 0 again.

    Args:
        n: Points of the lattice along each axis, >= 2.
        n_blocks: Blocks ``K`` of the code.
        block_size: Elements ``b`` of a block.
        dim: Number of axes, >= 1; there are ``n ** dim`` points.
        periodic: Whether each axis is closed to a ring.
        per_block: What `project` makes of unit norm: ``|v(x)| = 1``; or, if True, ``|v_k(x)|² = 1/K`` for
            each block alone.

    Attributes:
        codes: ``v`` at the points, shape ``(n ** dim, K, b)``, in the order of `points`.
        spacing: Distance of two neighbours, ``1 / n`` on a periodic lattice and ``1 / (n - 1)`` on another.

    Raises:
        ValueError: If an argument is out of its range, or a position outside of ``[0, 1]``.
    """

    def __init__(
        self,
        n: int,
        n_blocks: int,
        block_size: int,
        *,
        dim: int = 2,
        periodic: bool = False,
        per_block: bool = False,
    ) -> None:
        super().__init__(n_blocks, block_size)
        self.n, self.dim = check.count("n", n, 2), check.count("dim", dim)
        check.choice("periodic", periodic, (False, True))
        check.choice("per_block", per_block, (False, True))
        self.periodic, self.per_block = periodic, per_block
        self.spacing = 1 / n if periodic else 1 / (n - 1)
        self.codes = nn.Parameter(torch.randn(n**dim, n_blocks, block_size))
        self.project()

    def forward(self, x: Tensor) -> Tensor:
        check.batch("x", x, event=(self.dim,))
        if not self.inside(x).all():
            raise ValueError(
                f"x lies between {x.min().item():.4g} and {x.max().item():.4g}; expected "
                f"{'finite positions' if self.periodic else 'positions in [0, 1]'}"
            )
        place = x / self.spacing
        low = place.floor()
        if not self.periodic:
            low = low.clamp(0, self.n - 2)  # the last cell has its right edge, too
        share = place - low
        strides = torch.tensor([self.n ** (self.dim - 1 - axis) for axis in range(self.dim)], device=x.device)
        corners = torch.tensor([*product((0, 1), repeat=self.dim)], device=x.device)
        rows = (((low.long()[:, None] + corners) % self.n) * strides).sum(2)
        weights = torch.where(corners == 1, share[:, None], 1 - share[:, None]).prod(2)
        table = self.codes.flatten(1)
        total = embedding_bag(rows, table, per_sample_weights=weights.to(table), mode="sum")
        return total.view(-1, self.n_blocks, self.block_size)

    def project(self) -> None:
        """Divide the codes of the points by their norms, in place; see ``per_block``."""
        with torch.no_grad():
            squares = self.codes.square().sum(2, keepdim=True)
            if self.per_block:
                self.codes.div_((squares * self.n_blocks).sqrt())
            else:
                self.codes.div_(squares.sum(1, keepdim=True).sqrt())

    def points(self) -> Tensor:
        """The positions of the lattice, shape ``(n ** dim, dim)``; the last axis runs fastest."""
        axis = self.spacing * torch.arange(self.n, dtype=self.codes.dtype, device=self.codes.device)
        return torch.cartesian_prod(*[axis] * self.dim).view(-1, self.dim)

    @torch.no_grad()
    def decode(self, v: Tensor) -> Tensor:
        """The point of the lattice whose code has the largest inner product with ``v``.

        Args:
            v: Shape ``(B, K, b)``.

        Returns:
            Positions, shape ``(B, dim)``.

        Raises:
            ValueError: If ``v`` has another shape.
        """
        check.batch("v", v, event=(self.n_blocks, self.block_size))
        return self.points()[(v.flatten(1) @ self.codes.flatten(1).T).argmax(1)]

    def inside(self, x: Tensor) -> Tensor:
        """Whether all coordinates lie in ``[0, 1]``, up to rounding, ``(..., dim)`` to ``(...)``; on a
        periodic lattice every finite position does."""
        if self.periodic:
            return x.isfinite().all(-1)
        return ((x >= -_ROUNDING) & (x <= 1 + _ROUNDING)).all(-1)

    def shift(self, x: Tensor, dx: Tensor) -> Tensor:
        """``x + dx``, on a periodic lattice modulo 1."""
        return (x + dx) % 1 if self.periodic else x + dx

    def squared_distance(self, x: Tensor, y: Tensor) -> Tensor:
        """``|x - y|²``, on a periodic lattice the short way round, ``(B, dim)`` twice to ``(B,)``."""
        difference = x - y
        if self.periodic:
            difference = difference - difference.round()
        return difference.square().sum(1)

    def draw(
        self,
        n: int,
        *,
        n_cells: int = 3,
        on_lattice: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Positions, displacements and the positions moved: batches for
        `~ebmlearn.methods.motion_representation.MotionRepresentation`.

        Positions are uniform, and so is each coordinate of the displacement, up to ``n_cells`` cells to
        either side; one that would leave the lattice is mirrored.

        Args:
            n: How many.
            n_cells: Largest displacement along an axis in cells, from 1 to half of the lattice.
            on_lattice: Draw points of the lattice, moved by whole cells; False: any positions.
            generator: Source of random numbers; None: the global one.

        Returns:
            ``(x, dx, y)`` with ``y = shift(x, dx)``, each of shape ``(n, dim)``.

        Raises:
            ValueError: If a number is out of its range.
        """
        check.draws(n, generator)
        check.choice("on_lattice", on_lattice, (False, True))
        if check.count("n_cells", n_cells) * 2 > self.n - (not self.periodic):
            raise ValueError(f"n_cells is {n_cells}; expected at most half of the lattice's {self.n} points")
        shape, device = (n, self.dim), self.codes.device
        if on_lattice:
            x = torch.randint(self.n, shape, generator=generator, device=device)
            dx = torch.randint(-n_cells, n_cells + 1, shape, generator=generator, device=device)
        else:
            x = torch.rand(shape, generator=generator, device=device) / self.spacing
            dx = n_cells * (2 * torch.rand(shape, generator=generator, device=device) - 1)
        x, dx = x.to(self.codes) * self.spacing, dx.to(self.codes) * self.spacing
        if not self.periodic:
            out = (x + dx < -_ROUNDING) | (x + dx > 1 + _ROUNDING)
            dx = torch.where(out, -dx, dx)
        return x, dx, self.shift(x, dx)

    def extra_repr(self) -> str:
        return (
            f"n={self.n}, n_blocks={self.n_blocks}, block_size={self.block_size}, dim={self.dim}, "
            f"periodic={self.periodic}, per_block={self.per_block}"
        )
