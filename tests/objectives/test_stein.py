"""The kernel Stein discrepancy against closed forms and automatic differentiation.

Mutants tried: the diagonal counted, the drift with the other sign, ``d/h²`` without ``d``, a factor 2 in the
bandwidth, the score with the sign of the energy's gradient.
"""

import pytest
import torch

from ebmlearn.energy import Gaussian
from ebmlearn.objectives import kernel_stein_discrepancy
from ebmlearn.objectives._stein import stein_kernel


def normal(d):
    return Gaussian(torch.zeros(d), torch.eye(d)).double()


@pytest.mark.statistical
@pytest.mark.parametrize("d", [1, 4])
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_two_shifted_gaussians(d, shift):
    """The scores differ by the constant shift m, so KSD² = |m|² E[k] = |m|² (1 + 2/h²)^(-d/2); 0 at m = 0."""
    h, values = 1.5, []
    for _ in range(200):
        x = shift + torch.randn(100, d).double()
        values.append(kernel_stein_discrepancy(normal(d), x, bandwidth=h))
    values = torch.stack(values)
    wanted = d * shift**2 * (1 + 2 / h**2) ** (-d / 2)
    assert abs(values.mean() - wanted) < 5 * values.std() / 200**0.5
    if shift == 0:
        assert values.min() < 0  # a U-statistic is not a square


def test_the_terms_are_the_derivatives_of_the_kernel():
    """u = s·s' k + s·∇'k + s'·∇k + tr ∇∇'k, every derivative by automatic differentiation."""
    h, d = 0.8, 3
    x = torch.randn(5, d).double()

    def energy(x):
        return (x**4).sum(1) + x.prod(1)

    got = stein_kernel(energy, x, h)

    def kernel(a, b):
        return torch.exp(-0.5 * (a - b).square().sum() / h**2)

    score = torch.autograd.functional.jacobian(lambda x: -energy(x).sum(), x)
    for i in range(5):
        for j in range(5):
            a, b = x[i], x[j]
            hessian = torch.autograd.functional.hessian(kernel, (a, b))
            by_a, by_b = torch.autograd.functional.jacobian(kernel, (a, b))
            wanted = score[i] @ score[j] * kernel(a, b) + score[i] @ by_b + score[j] @ by_a
            torch.testing.assert_close(got[i, j].detach(), wanted + hessian[0][1].diagonal().sum())


def test_the_default_bandwidth_is_the_median_distance():
    x = torch.randn(31, 2).double()
    h = torch.pdist(x).median().item()
    torch.testing.assert_close(
        kernel_stein_discrepancy(normal(2), x), kernel_stein_discrepancy(normal(2), x, bandwidth=h)
    )


def test_samples_far_from_the_origin_do_not_round():
    far = Gaussian(torch.full((2,), 1000.0), torch.eye(2))
    x = torch.randn(200, 2)
    near = kernel_stein_discrepancy(Gaussian(torch.zeros(2), torch.eye(2)), x, bandwidth=1.0)
    torch.testing.assert_close(
        kernel_stein_discrepancy(far, 1000 + x, bandwidth=1.0), near, atol=1e-3, rtol=0
    )


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"got 1 samples; .* needs at least 2"):
        kernel_stein_discrepancy(normal(2), torch.zeros(1, 2).double())
    with pytest.raises(ValueError, match=r"bandwidth = 0.0; .*median heuristic gives 0"):
        kernel_stein_discrepancy(normal(2), torch.zeros(5, 2).double())
