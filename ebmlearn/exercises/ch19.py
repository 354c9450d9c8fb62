"""Chapter 19: bi-level doubly variational learning."""

import math
from typing import Any

from ebmlearn.exercises._base import exercise
from ebmlearn.exercises._compare import compare


@exercise("ex-19-scale")
def scale(answer: Any) -> None:
    """a number, the scale ς at which the energy rests right, for v = 1.5, τ = 0.5 and κ = 2."""
    v, tau, kappa = 1.5, 0.5, 2.0
    s = tau / v**0.5
    compare(
        answer,
        s * kappa**0.5,
        what="ς",
        wrong=[
            (s, "that is right for κ = 1"),
            (s / kappa**0.5, "a larger weight asks for a larger scale"),
            (s * kappa, "the share has the square of ς"),
            (s**2 * kappa, "that is ς²"),
            (tau * kappa**0.5, "τ is the width of x given h; the encoder's is that of h given x"),
            (-s * kappa**0.5, "a sign is free, so take the positive one"),
        ],
    )


@exercise("ex-19-bound")
def bound(answer: Any) -> None:
    """a number, the nats that the bound of the entropy loses at rest, for v = 1, τ = 0.5 and ς = 1."""
    ratio = 0.5  # s over ς
    right = 0.5 * (ratio**2 - 1) - math.log(ratio)
    compare(
        answer,
        right,
        what="loss",
        wrong=[
            (-right, "the bound lies below the entropy, and a loss is positive"),
            (0.5 * (ratio**-2 - 1) + math.log(ratio), "that is the divergence the other way round"),
            (-math.log(ratio), "the scales differ, but so do the mean squares"),
            (2 * right, "there is one latent"),
            (right / math.log(2), "that is in bits"),
        ],
    )
