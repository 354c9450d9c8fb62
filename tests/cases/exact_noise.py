"""Noise whose sample moments are those of its law: with it a step of a method is a step of the law.

It comes by arguments: the ``noise`` of `ula`, and a generator whose latents and noise are given.
"""

import math

import torch

from ebmlearn.nets import MLPGenerator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.sample import Chain, Info, Kernel, State


def exact_moments(n, d):
    """A sample ``(n, d)`` with mean 0 and covariance I exactly: the mean of a quadratic over it is its
    expectation."""
    rows = torch.cat([torch.ones(n, 1), torch.randn(n, d)], 1).double()
    return torch.linalg.qr(rows)[0][:, 1:] * math.sqrt(n)


class Draws:
    """Columns ``(n, 1)`` without correlation, one after the other; ``restart`` begins with the first."""

    def __init__(self, n):
        self.first, *self.columns = exact_moments(n, n - 1).T[:, :, None]
        self.restart()

    def restart(self):
        self.left = iter(self.columns)

    def next(self, x=None):
        return next(self.left)


class Scripted(MLPGenerator):
    """A generator with one latent whose latents and noise are the next columns of ``draws``."""

    draws: Draws

    def latent(self, n, generator=None):
        return self.draws.next()

    def draw(self, z, generator=None):
        return self(z) + self.std * self.draws.next()


class ScriptedPosterior(GaussianPosterior):
    """``q(z|x) = N(w x, s²)`` of one latent, whose noise is the next column of ``draws``."""

    draws: Draws

    def __init__(self):
        super().__init__(Affine(), 1)

    def rsample(self, v, n=1, generator=None):
        mean, log_std = self._mean_log_std(v)
        return (mean + log_std.exp() * self.draws.next())[None]


class Affine(torch.nn.Module):
    """``x`` to ``(w x, log s)``, shape ``(B, 2)``: with it a loss of the posterior is quadratic in x."""

    def __init__(self):
        super().__init__()
        self.weight, self.log_std = (torch.nn.Parameter(torch.zeros(())) for _ in range(2))

    def forward(self, x):
        return torch.cat([self.weight * x, self.log_std.expand_as(x)], 1)


def exact_gaussian(draws):
    """A chain of one step that ends in the Gaussian whose energy it is given, ``(n, 1)`` to ``(n,)``: the
    mean and the curvature are read off its values."""

    def kernel(energy):
        def step(state):
            one = torch.ones_like(state.x)
            low, middle, high = energy(-one), energy(0 * one), energy(one)
            curvature, slope = high + low - 2 * middle, 0.5 * (high - low)
            z = -slope[:, None] / curvature[:, None] + draws.next() / curvature[:, None].sqrt()
            return State(z.detach(), t=state.t + 1), Info(state.x)

        return Kernel(State, step, lambda t: 1.0)

    return Chain(kernel, n_steps=1)


class FromStarts(MLPGenerator):
    """A generator whose latents are ``starts``, shape ``(n, latent_dim)``; random ones if that is None."""

    starts = None

    def latent(self, n, generator=None):
        return super().latent(n, generator) if self.starts is None else self.starts


def exact_chain(energy, grid):
    """A kernel that ends in exact samples on a grid, if rows come in blocks of as many as it has points:
    one call of the energy then tabulates the law of each block. Systematic resampling: in the order of the
    grid, each point as often as its mass says.
    """
    n = len(grid.points)

    def step(state):
        blocks = len(state.x) // n
        masses = (-energy(grid.points.repeat(blocks, 1)).detach().view(blocks, n)).softmax(1)
        index = torch.searchsorted(masses.cumsum(1), (torch.arange(n) + 0.5).expand(blocks, -1) / n)
        return State(grid.points[index.clamp_max(n - 1).flatten()], t=state.t + 1), Info(state.x)

    return Kernel(State, step, lambda t: 1.0)
