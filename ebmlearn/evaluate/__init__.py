"""Evaluation: `exact` by quadrature in one and two dimensions, `twosample` from samples in any."""

from ebmlearn.evaluate import exact, twosample

__all__ = ["exact", "twosample"]
