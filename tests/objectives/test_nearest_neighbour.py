"""The entropy by nearest neighbours: against known laws, its scaling, its slope, and rounding.

Bugs that they are for, each tried and seen to fail: the sign; no factor ``dim``; all elements in place of
``dim``; the ball of the other norm; no ``ψ(1)``, or ``log B`` for ``ψ(B)`` with 2 samples; distances by a
product of matrices; a sample as its own neighbour, in the second chunk; a neighbour without a gradient; a
slope that is NaN where two are equal.
"""

import math

import pytest
import torch

from ebmlearn.objectives import _nearest_neighbour, nearest_neighbour_entropy

GAUSSIAN = 0.5 * math.log(2 * math.pi * math.e)
"""Of N(0, 1), in nats."""


def draws(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def z_of(estimates, truth):
    values = torch.tensor(estimates, dtype=torch.float64)
    return ((values.mean() - truth) / (values.std() / math.sqrt(len(values)))).item()


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_a_gaussian_has_its_entropy(dim, norm):
    """Five dimensions are biased by some hundredths of a nat at 1,000 samples."""
    found = [nearest_neighbour_entropy(draws(1000, dim, seed=s), norm=norm).item() for s in range(10)]
    assert abs(z_of(found, dim * GAUSSIAN)) < 5


@pytest.mark.parametrize(("norm", "volume"), [(1, 4 / 3), (2, 4 * math.pi / 3)])
def test_two_samples_have_the_ball_between_them_and_one_nat(norm, volume):
    """``ψ(2) - ψ(1) = 1``, where ``log 2`` would give 1.27."""
    x = torch.tensor([[0.0, 0, 0], [1, 2, 2]], dtype=torch.float64)
    distance = 5 if norm == 1 else 3
    assert nearest_neighbour_entropy(x, norm=norm).item() == pytest.approx(math.log(volume * distance**3) + 1)


@pytest.mark.parametrize("norm", [1, 2])
def test_scale_adds_its_logarithm_and_a_shift_nothing(norm):
    x = draws(50, 3)
    h = nearest_neighbour_entropy(x, norm=norm)
    torch.testing.assert_close(nearest_neighbour_entropy(7 * x, norm=norm), h + 3 * math.log(7))
    torch.testing.assert_close(nearest_neighbour_entropy(x + 5, norm=norm), h)
    flat = nearest_neighbour_entropy(x, norm=norm, dim=2)
    torch.testing.assert_close(nearest_neighbour_entropy(7 * x, norm=norm, dim=2), flat + 2 * math.log(7))


def test_a_surface_has_the_entropy_of_its_own_dimensions():
    """A plane, turned in space, as it lies flat; and a circle, the log of its length."""
    x, turn = draws(500, 2), torch.linalg.qr(draws(5, 5, seed=1)).Q[:2]
    flat = nearest_neighbour_entropy(x)
    torch.testing.assert_close(nearest_neighbour_entropy(x @ turn, dim=2), flat)
    assert (nearest_neighbour_entropy(x @ turn, dim=2, norm=1) - flat).abs() > 0.1  # as is said of norm 1
    found = []
    for seed in range(10):
        angle = 2 * math.pi * torch.rand(1000, generator=torch.Generator().manual_seed(seed)).double()
        circle = torch.stack([3 * angle.cos(), 3 * angle.sin(), 0 * angle], 1)
        found.append(nearest_neighbour_entropy(circle, dim=1).item())
    assert abs(z_of(found, math.log(6 * math.pi))) < 5


def test_float32_keeps_small_distances_where_a_product_of_matrices_loses_them():
    x = draws(1000, 1, dtype=torch.float32)
    exact = nearest_neighbour_entropy(x.double())
    assert abs(nearest_neighbour_entropy(x) - exact) < 1e-4
    product, differences = (  # of more than 25 rows the first is by a product of matrices
        torch.cdist(y, y).fill_diagonal_(math.inf).min(1).values.clamp_min(1e-8).log()
        for y in (x, x.double())
    )
    lost = (product - differences).mean()
    assert abs(lost) > 0.1
    far = draws(1000, 2, dtype=torch.float32)
    assert abs(nearest_neighbour_entropy(far + 1e3) - nearest_neighbour_entropy(far)) < 0.01


@pytest.mark.parametrize("norm", [1, 2])
def test_a_part_at_a_time_is_the_same(norm, monkeypatch):
    x = draws(101, 3)
    whole = nearest_neighbour_entropy(x, norm=norm)
    monkeypatch.setattr(_nearest_neighbour, "_CHUNK", 7 * 101)
    assert torch.equal(nearest_neighbour_entropy(x, norm=norm), whole)


@pytest.mark.parametrize("norm", [1, 2])
def test_the_slope_goes_through_both_ends_of_a_distance(norm):
    x = draws(7, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: nearest_neighbour_entropy(x, norm=norm, dim=2), x)
    (slope,) = torch.autograd.grad(nearest_neighbour_entropy(x, norm=norm, dim=2), x)
    torch.testing.assert_close(slope.sum(0), torch.zeros(3, dtype=torch.float64))  # a shift changes nothing
    torch.testing.assert_close((slope * x).sum(), torch.tensor(2.0, dtype=torch.float64))  # a scale adds dim


def test_an_image_counts_its_pixels():
    x = draws(20, 1, 2, 3)
    assert torch.equal(nearest_neighbour_entropy(x), nearest_neighbour_entropy(x.flatten(1)))


def test_equal_rows_are_an_error_or_count_as_the_floor():
    x = draws(6, 2)
    x[4] = x[1]
    with pytest.raises(
        ValueError, match=r"rows 1 and 4 of x are equal, .* leave repeats out, or give a floor"
    ):
        nearest_neighbour_entropy(x)
    x.requires_grad_()
    h = nearest_neighbour_entropy(x, floor=1e-3)
    (slope,) = torch.autograd.grad(h, x)
    assert slope.isfinite().all() and slope[[0, 2, 3, 5]].any()
    apart = x.detach().clone()
    apart[4, 0] += 1e-3
    torch.testing.assert_close(nearest_neighbour_entropy(apart), h.detach(), rtol=0, atol=0.02)
    far = draws(6, 2)
    assert torch.equal(nearest_neighbour_entropy(far, floor=1e-9), nearest_neighbour_entropy(far))
