"""The short-run chain as a generator: synthesis, reconstruction and interpolation.

Reference:
    Nijkamp, Hill, Zhu, Wu (2019), "Learning non-convergent non-persistent short-run MCMC toward energy-based
    model", NeurIPS, arXiv:1904.09770. Training is `ebmlearn.methods.MaximumLikelihood` with a `NoiseStart`.

Notation: ``E = -f`` of the paper; ``z`` is the start of the chain, ``x = M(z)`` its end after ``K`` steps.

Algorithm of reconstruction:
    1. Start at ``z ~ p₀``.
    2. ``x̂ = M(z)``: K steps without noise, keeping the graph.
    3. One optimiser step on ``‖x - x̂‖²``, with its gradient through all K steps, down to ``z``.
    4. Repeat 2 and 3.

Differences from the paper: interpolation moves on the great circle in the start's *Gaussian* coordinates,
so every point of the path has exactly the law ``p₀``, also when ``p₀`` is uniform.
"""

import math

import torch
from torch import Tensor

from ebmlearn.energy import Energy
from ebmlearn.sample import Chain, NoiseStart


class ShortRunGenerator:
    """``x = M(z)``: K steps of Langevin dynamics as one differentiable function of where they start.

    Use the start and the chain that the energy was trained with: with another K or another start the samples
    are no longer those that were matched to the data. Reconstruction and interpolation need a chain without
    noise, ``chain.replace(noise_scale=0.0)``, which makes ``M`` a function.

    Args:
        energy: A trained energy.
        start: The law ``p₀`` of ``z``.
        chain: The chain, of `ula`: a derivative does not pass a decision to accept or reject.

    Raises:
        TypeError: If the kernel of the chain cannot be differentiated.
    """

    def __init__(self, energy: Energy, start: NoiseStart, chain: Chain) -> None:
        self.energy, self.start, self.chain = energy, start, chain
        self.differentiable = chain.replace(create_graph=True)

    def __call__(self, z: Tensor) -> Tensor:
        """Ends of the chains from ``z``, ``(B, *event)``; differentiable if ``z`` requires a gradient."""
        chain = self.differentiable if z.requires_grad else self.chain
        return chain(self.energy, z)

    def reconstruct(
        self,
        x: Tensor,
        *,
        n_updates: int = 100,
        lr: float = 0.1,
    ) -> tuple[Tensor, Tensor]:
        """Find starts whose chains end at ``x``.

        Args:
            x: What to reconstruct, ``(B, *event)``.
            n_updates: Updates of ``z`` by Adam, >= 1.
            lr: Its learning rate.

        Returns:
            ``(z, errors)``: the starts ``(B, *event)``, whose chains
            ``self(z)`` are the reconstructions, and the mean squared
            error per element before each update, ``(n_updates,)``.

        Raises:
            ValueError: If ``n_updates`` < 1.
        """
        if n_updates < 1:
            raise ValueError(f"n_updates is {n_updates}; expected at least 1")
        z = self.start.draw(x).requires_grad_()  # 1.
        optimizer = torch.optim.Adam([z], lr=lr)
        errors = []
        for _ in range(n_updates):
            error = (self(z) - x).square()  # 2.
            (z.grad,) = torch.autograd.grad(error.sum(), z)  # 3.
            optimizer.step()
            errors.append(error.mean().detach())
        return z.detach(), torch.stack(errors)

    def interpolate(self, z0: Tensor, z1: Tensor, n: int) -> Tensor:
        """Ends of chains whose starts move from ``z0`` to ``z1``, every one of them distributed as ``p₀``.

        Args:
            z0: First starts, ``(B, *event)``, drawn from ``p₀``.
            z1: Last starts, of the same shape.
            n: Number of points on the path, >= 2, ends included.

        Returns:
            Samples, ``(n, B, *event)``.

        Raises:
            ValueError: If the shapes differ, ``n`` < 2 or a point lies outside ``p₀``.
        """
        if z0.shape != z1.shape or n < 2:
            raise ValueError(
                f"got z0 {tuple(z0.shape)}, z1 {tuple(z1.shape)}, n = {n}; expected equal shapes, n >= 2"
            )
        g0, g1 = self._to_normal(z0), self._to_normal(z1)
        angle = torch.linspace(0, math.pi / 2, n, dtype=z0.dtype, device=z0.device).tolist()
        path = [self._from_normal(math.cos(a) * g0 + math.sin(a) * g1) for a in angle]
        return torch.stack([self(z) for z in path])

    def _to_normal(self, z: Tensor) -> Tensor:
        z = z / self.start.scale
        if self.start.law == "normal":
            return z
        if not (z.abs() < 1).all():
            raise ValueError(
                f"a start lies outside (-{self.start.scale}, {self.start.scale}), the support of p₀"
            )
        return math.sqrt(2) * torch.erfinv(z)

    def _from_normal(self, g: Tensor) -> Tensor:
        return self.start.scale * (g if self.start.law == "normal" else torch.erf(g / math.sqrt(2)))
