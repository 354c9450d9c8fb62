"""Noise whose sample moments are those of its law: with it a step of a method is a step of the law.

It comes by arguments: the ``noise`` of `ula`, and a generator whose latents and noise are given.
"""

import math

import torch

from ebmlearn.nets import MLPGenerator


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


class FromStarts(MLPGenerator):
    """A generator whose latents are ``starts``, shape ``(n, latent_dim)``; random ones if that is None."""

    starts = None

    def latent(self, n, generator=None):
        return super().latent(n, generator) if self.starts is None else self.starts
