"""Evaluation: `exact`, `latent` by quadrature in the plane; `linear`; in any `ais`, `fisher`, `twosample`;
`language` for text; `images` by `features`."""

from ebmlearn.evaluate import ais, exact, features, fisher, images, language, latent, linear, twosample

__all__ = ["ais", "exact", "features", "fisher", "images", "language", "latent", "linear", "twosample"]
