"""Evaluation: `exact`, `latent` by quadrature in the plane; `linear`; in any `ais`, `fisher`, `twosample`;
`language` for text; `images` by `features`. `claims`: what a paper says beside what was measured."""

from ebmlearn.evaluate import (
    ais,
    claims,
    exact,
    features,
    fisher,
    images,
    language,
    latent,
    linear,
    twosample,
)

__all__ = [
    "ais",
    "claims",
    "exact",
    "features",
    "fisher",
    "images",
    "language",
    "latent",
    "linear",
    "twosample",
]
