"""Noise whose sample moments are those of its law: with it a step of a method is a step of the law.

It comes through arguments and subclasses: a kernel for the chains, a generator for latents and draws.
"""

import math

import torch

from ebmlearn.nets import MLPGenerator
from ebmlearn.sample import ula


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

    def kernel(self, energy, *, step_size):
        """`ula` with the next column as its noise."""
        quiet = ula(energy, step_size=step_size, noise_scale=0.0)

        def step(state):
            state, info = quiet.step(state)
            return state._replace(x=state.x + step_size * next(self.left)), info

        return quiet._replace(step=step, temperature=lambda t: 1.0, parts=None)


class Scripted(MLPGenerator):
    """A generator with one latent whose latents and noise are the next columns of ``draws``."""

    draws: Draws

    def latent(self, n, generator=None):
        return next(self.draws.left)

    def draw(self, z, generator=None):
        return self(z) + self.std * next(self.draws.left)


class FromStarts(MLPGenerator):
    """A generator whose latents are ``starts``, shape ``(n, latent_dim)``; random ones if that is None."""

    starts = None

    def latent(self, n, generator=None):
        return super().latent(n, generator) if self.starts is None else self.starts
