"""The Fisher divergence: closed form, samples and quadrature agree.

Mutants tried: the half dropped; the covariance of q in place of that of p; precision and shift of the wrong
density; the standard error without the square root of n.
"""

import pytest
import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact, fisher


def gaussian(d):
    root = torch.randn(d, d).double() / d**0.5
    cov = root @ root.T + 0.3 * torch.eye(d).double()
    return Gaussian(torch.randn(d).double(), (cov + cov.T) / 2)


def test_closed_form_and_quadrature_agree_in_the_plane():
    p, q = gaussian(2), gaussian(2)
    wanted = exact.fisher_divergence(p, q, exact.Grid((-15, 15), n=402, dtype=torch.float64)).value
    assert fisher.between_gaussians(p, q) == pytest.approx(wanted, rel=1e-6)
    assert fisher.between_gaussians(p, p) == 0


@pytest.mark.statistical
@pytest.mark.parametrize("d", [2, 10])
def test_samples_agree_with_the_closed_form(d):
    """Two hundred estimates: their mean is right, and their spread is the error they state."""
    p, q = gaussian(d), gaussian(d)
    found = [fisher.divergence(p, q, p.sample(500)) for _ in range(200)]
    values, errors = torch.tensor(found).double().T
    assert abs(values.mean() - fisher.between_gaussians(p, q)) < 5 * values.std() / 200**0.5
    assert errors.mean().item() == pytest.approx(values.std().item(), rel=0.2)


def test_images_are_fine():
    p = Gaussian(torch.zeros(1, 3, 3), torch.eye(9))
    q = Gaussian(torch.ones(1, 3, 3), torch.eye(9))
    estimate = fisher.divergence(p, q, p.sample(10))
    assert estimate.value == pytest.approx(4.5) and estimate.error == pytest.approx(0, abs=1e-6)


def test_bad_arguments_are_refused():
    p = gaussian(2)
    with pytest.raises(ValueError, match="got 1 samples; at least 2 are needed"):
        fisher.divergence(p, p, p.sample(1))
    with pytest.raises(ValueError, match=r"event shapes \(2,\) and \(3,\) differ"):
        fisher.between_gaussians(p, gaussian(3))
