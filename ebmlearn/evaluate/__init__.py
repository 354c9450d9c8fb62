"""Evaluation: `exact`, `latent` by quadrature in the plane; `linear`; in any `ais`, `fisher`, `twosample`;
`language` for text."""

from ebmlearn.evaluate import ais, exact, fisher, language, latent, linear, twosample

__all__ = ["ais", "exact", "fisher", "language", "latent", "linear", "twosample"]
