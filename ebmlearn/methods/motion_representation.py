"""Vectors that represent where, and matrices that represent motion: grid cells, and cells that see.

References:
    Gao, Xie, Zhu, Wu (2019), "Learning grid cells as vector representation of self-position coupled with
    matrix representation of self-motion", ICLR, arXiv:1810.05597.
    Gao, Xie, Zhu, Wu (2018), "Learning vector representation of local content and matrix representation of
    local motion, with implications for V1", arXiv:1902.03871: the same of image patches.

Notation:
    ==================  ==================  ==============================================================
    here                paper               meaning
    ==================  ==================  ==============================================================
    ``v(x)``            same                code of a position or a signal ``x``, in ``K`` blocks ``v_k``
    ``y``               ``x + Δx``          ``x`` moved by ``dx``: it comes with the batch
    ``M(dx)``           ``M(Δx)``           matrix of a motion, block-diagonal
    ``σ``               same                width of the kernel of adjacency
    ``α_k``             same                constant of the isometry of a block, learned
    ==================  ==================  ==============================================================

Algorithm, one iteration on a batch ``(x, dx, y)``, with means over it:
    1. Codes: ``v = v(x)`` and ``w = v(y)``.
    2. The terms, each with a weight, of which 0 drops it:
       motion ``|M(dx) v - w|²``;
       adjacency ``(⟨v(x), v(x')⟩ - exp(-|x - x'|²/(2σ²)))²`` with ``x'`` another datum's position;
       isometry ``Σ_k (⟨v_k, w_k⟩ - (1 - α_k |dx|²)/K)²``;
       balance ``Σ_i (E[v_i²] - 1/d)²`` over the ``d`` elements of the code;
       reconstruction ``|x - Σ_k W_kᵀ v_k|²``, of a linear code: a tight frame has none.
    3. One optimiser step on code, matrices and ``α`` down their sum.
    4. Project the code, such as to ``|v(x)| = 1``.

Differences from the authors' code (github.com/ruiqigao/GridCell): terms are means over the batch where it
sums, the second position of the adjacency is that of another datum, and the balance is over the batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.nets import BlockMotion, Code
from ebmlearn.schedules import Schedule
from ebmlearn.train import Method, OptimizerFactory


class MotionRepresentation(Method):
    """A code, and the matrices by which it moves.

    Args:
        code: The code to train: `LatticeCode <ebmlearn.nets.LatticeCode>` of positions, whose ``draw`` gives
            batches, or `LinearCode <ebmlearn.nets.LinearCode>` of signals.
        motion: The matrices to train, of as many blocks.
        motion_weight: Weight of the motion's term, >= 0, as all weights are.
        adjacency_weight: Weight of the adjacency, which needs a `LatticeCode <ebmlearn.nets.LatticeCode>`.
        isometry_weight: Weight of the isometry of the blocks.
        balance_weight: Weight of the balance of the elements.
        reconstruction_weight: Weight of the reconstruction, which needs a
            `LinearCode <ebmlearn.nets.LinearCode>`.
        sigma: ``σ`` > 0, in units of ``x``.
        max_alpha: ``α_k`` start uniform between 0 and this, > 0, in units of ``1 / x²``.
        lr: Learning rate, a number or a schedule of the number of updates.
        optimizer: ``factory(parameters, lr=...)``.

    Attributes:
        alpha: ``α``, shape ``(K,)``; learned if the isometry has a weight.

    Raises:
        ValueError: If a weight is negative, all are 0, code and motion differ in their blocks, or the code is
            of no use for a term.
        TypeError: If there is no code or no motion.
    """

    def __init__(
        self,
        code: Code,
        motion: BlockMotion,
        *,
        motion_weight: float = 0.1,
        adjacency_weight: float = 1.0,
        isometry_weight: float = 0.0,
        balance_weight: float = 0.0,
        reconstruction_weight: float = 0.0,
        sigma: float = 0.08,
        max_alpha: float = 110.0,
        lr: float | Schedule = 3e-3,
        optimizer: OptimizerFactory = torch.optim.Adam,
    ) -> None:
        super().__init__()
        check.instance("code", code, Code)
        check.instance("motion", motion, BlockMotion)
        blocks = (code.n_blocks, code.block_size), (motion.n_blocks, motion.block_size)
        if blocks[0] != blocks[1]:
            raise ValueError(f"the code has (n_blocks, block_size) {blocks[0]}, the motion {blocks[1]}")
        self.code, self.motion = code, motion
        self.motion_weight = check.number("motion_weight", motion_weight, ">= 0")
        self.adjacency_weight = check.number("adjacency_weight", adjacency_weight, ">= 0")
        self.isometry_weight = check.number("isometry_weight", isometry_weight, ">= 0")
        self.balance_weight = check.number("balance_weight", balance_weight, ">= 0")
        self.reconstruction_weight = check.number("reconstruction_weight", reconstruction_weight, ">= 0")
        self.sigma = check.number("sigma", sigma)
        _check_terms(code, self.weights())
        alpha = check.number("max_alpha", max_alpha) * torch.rand(code.n_blocks)
        self.alpha = nn.Parameter(alpha.to(next(code.parameters())), requires_grad=self.isometry_weight > 0)
        learned = [*code.parameters(), *motion.parameters(), *([self.alpha] if isometry_weight else [])]
        self.add_optimizer("representation", learned, lr, optimizer)

    def weights(self) -> dict[str, float]:
        """The weights of the terms that have one, by name."""
        names = ("motion", "adjacency", "isometry", "balance", "reconstruction")
        weights = {name: getattr(self, f"{name}_weight") for name in names}
        return {name: weight for name, weight in weights.items() if weight}

    def step(self, batch: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
        """One iteration on a batch ``(x, dx, y)``: positions or signals,
        displacements ``(B, dim)``, and ``x`` moved by them.

        Returns:
            ``loss``, the weighted sum, and each term that has a weight.
        """
        x, dx, y = batch
        # 1. codes
        v, w = self.code(x), self.code(y)
        # 2. terms
        terms = {}
        weights = self.weights()
        for name in weights:
            terms[name] = getattr(self, f"_{name}")(x, dx, v, w).mean()
        # 3. one update of all
        loss = torch.stack([weights[k] * terms[k] for k in terms]).sum()
        self.update("representation", loss)
        # 4. projection
        self.code.project()
        metrics = {"loss": loss, **terms}
        return {name: value.detach() for name, value in metrics.items()}

    def _motion(self, x: Tensor, dx: Tensor, v: Tensor, w: Tensor) -> Tensor:
        return (self.motion(v, dx) - w).square().sum((1, 2))

    def _adjacency(self, x: Tensor, dx: Tensor, v: Tensor, w: Tensor) -> Tensor:
        if len(x) < 2:
            raise ValueError("a batch of 1 has no other position for the adjacency; use a larger batch")
        code: Any = self.code
        kernel = torch.exp(-code.squared_distance(x, x.roll(1, 0)) / (2 * self.sigma**2))
        return ((v * v.roll(1, 0)).sum((1, 2)) - kernel).square()

    def _isometry(self, x: Tensor, dx: Tensor, v: Tensor, w: Tensor) -> Tensor:
        target = (1 - self.alpha * dx.square().sum(1, keepdim=True)) / self.code.n_blocks
        return ((v * w).sum(2) - target).square().sum(1)

    def _balance(self, x: Tensor, dx: Tensor, v: Tensor, w: Tensor) -> Tensor:
        return (v.square().mean(0) - 1 / v[0].numel()).square().sum()

    def _reconstruction(self, x: Tensor, dx: Tensor, v: Tensor, w: Tensor) -> Tensor:
        code: Any = self.code
        return (x - code.reconstruct(v)).square().flatten(1).sum(1)

    @torch.no_grad()
    def integrate(self, x0: Tensor, dxs: Tensor, *, reencode: bool = False) -> Tensor:
        """Path integration: the code of the start, moved by ``M`` of one displacement after the other.

        Args:
            x0: Starts, shape ``(B, dim)``.
            dxs: Displacements, shape ``(B, T, dim)``.
            reencode: After each step replace the code by that of the position that it is decoded to, which
                removes the error so far.

        Returns:
            The positions decoded after each step, shape ``(B, T, dim)``.

        Raises:
            ValueError: If the shapes do not fit.
        """
        code = _lattice(self.code)
        check.floats("dxs", dxs)
        if dxs.ndim != 3 or dxs.shape[::2] != x0.shape:
            raise ValueError(
                f"x0 has shape {tuple(x0.shape)}, dxs {tuple(dxs.shape)}; expected (B, dim) and (B, T, dim)"
            )
        v, found = code(x0), []
        for dx in dxs.unbind(1):
            v = self.motion(v, dx)
            found.append(code.decode(v))
            if reencode:
                v = code(found[-1])
        return torch.stack(found, 1) if found else dxs.clone()

    @torch.no_grad()
    def plan(self, x0: Tensor, target: Tensor, moves: Tensor, n_steps: int) -> Tensor:
        """Greedy paths: of all moves always the one whose ``M(dx) v(x)`` is most like the target's code.

        Args:
            x0: Starts, shape ``(B, dim)``.
            target: Where to go, shape ``(B, dim)``.
            moves: The displacements to choose from, shape ``(m, dim)``; with 0 among them a path can rest.
                Those that leave the lattice are not taken.
            n_steps: Length of the paths, >= 0.

        Returns:
            Positions from the start on, shape ``(B, n_steps + 1, dim)``.
        """
        code, path = _lattice(self.code), [x0]
        goal, matrices = code(target), self.motion.matrices(moves)
        for _ in range(check.count("n_steps", n_steps, 0)):
            moved = torch.einsum("mkrc,nkc->nmkr", matrices, code(path[-1]))
            likeness = torch.einsum("nmkr,nkr->nm", moved, goal)
            ends = path[-1][:, None] + moves
            best = likeness.masked_fill(~code.inside(ends), -torch.inf).argmax(1)
            path.append(code.shift(path[-1], moves[best]))
        return torch.stack(path, 1)

    @torch.no_grad()
    def infer_motion(self, x: Tensor, y: Tensor, candidates: Tensor) -> Tensor:
        """Of candidates ``(m, dim)`` the displacement with the least ``|M(dx) v(x) - v(y)|²``, for each pair
        of ``x`` and ``y``, shape ``(B, dim)``."""
        moved = torch.einsum("mkrc,nkc->nmkr", self.motion.matrices(candidates), self.code(x))
        error = (moved - self.code(y)[:, None]).square().sum((2, 3))
        return candidates[error.argmin(1)]


def _check_terms(code: Code, weights: dict[str, float]) -> None:
    if not weights:
        raise ValueError("all weights are 0, so that nothing would be learned; expected one above 0")
    for name, needs, kind in (
        ("adjacency", "squared_distance", "LatticeCode"),
        ("reconstruction", "reconstruct", "LinearCode"),
    ):
        if name in weights and not hasattr(code, needs):
            raise ValueError(
                f"{name}_weight is {weights[name]}, but a {type(code).__name__} has no {needs}; expected 0, "
                f"or a {kind}"
            )


def _lattice(code: Any) -> Any:
    if not hasattr(code, "decode"):
        raise ValueError(f"a {type(code).__name__} cannot be decoded to positions; a LatticeCode can")
    return code
