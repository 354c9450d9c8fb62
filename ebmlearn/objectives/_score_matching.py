"""Score matching: fit ``-∇E(x)`` to the score of the data, which nobody knows and nobody needs.

Both descend the Fisher divergence ``½ E‖∇log p - ∇log p_θ‖²`` to the density of the data, up to a constant.
They take second derivatives; with noise on the data first ones do.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from ebmlearn import check
from ebmlearn.energy import Energy, grad

# At a kink the second derivative is a delta function, which automatic differentiation does not see.
_KINKED = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.RReLU,
    nn.SELU,
    nn.Hardtanh,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardshrink,
    nn.Softshrink,
    nn.Threshold,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
)


@torch.enable_grad()
def score_matching(energy: Energy, x: Tensor) -> Tensor:
    """Explicit score matching: ``E[½ ‖∇E(x)‖² - ΔE(x)]``, with the trace of the Hessian exact.

    Hyvärinen (2005), theorem 1, in terms of the energy. It equals the Fisher divergence
    ``½ E_data‖∇log p_data - ∇log p_θ‖²`` minus ``½ E_data‖∇log p_data‖²``, which no parameter
    changes, if ``p_data ∇E`` vanishes at infinity and the data have no edge. The trace takes a backward pass
    for each element of an event: use `sliced_score_matching` for images.

    Args:
        energy: The energy, twice differentiable in ``x``.
        x: Data, shape ``(B, *event)``.

    Returns:
        The loss, shape ``()``, in 1/(units of ``x``)². It may be negative.

    Raises:
        ValueError: If the energy has kinks or no second derivative in ``x``, or the wrong shape.

    Example:
        >>> x = torch.ones(4, 3)  # of N(0, 1): ½ |x|² - d
        >>> print(score_matching(lambda x: 0.5 * x.square().sum(1), x).item())
        -1.5
    """
    x, slope = _slope(energy, x)
    laplacian = torch.zeros_like(slope[:, 0])
    for i in range(slope.shape[1]):
        direction = torch.zeros_like(slope)
        direction[:, i] = 1
        laplacian = laplacian + _hessian_times(direction, slope, x)[:, i]
    _refuse_no_curvature(slope, laplacian)
    return (0.5 * slope.square().sum(1) - laplacian).mean()


@torch.enable_grad()
def sliced_score_matching(
    energy: Energy,
    x: Tensor,
    *,
    variance_reduced: bool = True,
    projection: Literal["rademacher", "normal"] = "rademacher",
    n_projections: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Sliced score matching: the trace of the Hessian from random directions, one more backward pass each.

    Song et al. (2019), arXiv:1905.07088. With ``E[u uᵀ] = I`` the mean of
    ``½ (u·∇E(x))² - uᵀ ∇²E(x) u`` over ``u`` is that of `score_matching`. Variance-reduced, the first term is
    ``½ ‖∇E(x)‖²`` itself, for the same price.

    Args:
        energy: The energy, twice differentiable in ``x``.
        x: Data, shape ``(B, *event)``.
        variance_reduced: Whether to take the first term exactly.
        projection: Law of ``u``: signs, or standard normal.
        n_projections: Directions for each datum, >= 1.
        generator: Source of the directions; torch's global one if None.

    Returns:
        The loss, shape ``()``; its mean over ``u`` is that of `score_matching`.

    Raises:
        ValueError: As `score_matching`; also if ``projection`` is unknown or ``n_projections`` < 1.
    """
    check.choice("projection", projection, ("rademacher", "normal"))
    check.count("n_projections", n_projections)
    check.generator(generator)
    x, slope = _slope(energy, x)
    first, second = 0.5 * slope.square().sum(1), torch.zeros_like(slope[:, 0])
    if not variance_reduced:
        first = torch.zeros_like(first)
    for _ in range(n_projections):
        u = torch.empty_like(slope).normal_(generator=generator)
        if projection == "rademacher":
            u = torch.where(u < 0, -1.0, 1.0).to(u)
        second = second + (u * _hessian_times(u, slope, x)).sum(1) / n_projections
        if not variance_reduced:
            first = first + 0.5 * (u * slope).sum(1).square() / n_projections
    _refuse_no_curvature(slope, second)
    return (first - second).mean()


def _slope(energy: Energy, x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` as a leaf, and ``∇E(x)`` of shape ``(B, d)`` with its graph."""
    check.batch("x", x, least=1)
    if isinstance(energy, nn.Module):
        kinked = {type(m).__name__ for m in energy.modules() if isinstance(m, _KINKED)}
        if kinked:
            raise ValueError(
                f"the energy contains {', '.join(sorted(kinked))}, whose second derivative is zero but for "
                "its kinks, which automatic differentiation does not see: this objective would be wrong. Use "
                "a smooth activation such as nn.SiLU, or an objective of first derivatives: "
                "denoising_score_matching, kernel_stein_discrepancy, conditional_nce."
            )
    x = x.detach().requires_grad_()
    return x, grad(energy, x, create_graph=True)[1].flatten(1)


def _hessian_times(u: Tensor, slope: Tensor, x: Tensor) -> Tensor:
    """``∇²E(x) u`` of each element, shape ``(B, d)``, with its graph; zeros where there is no path."""
    if not slope.requires_grad:
        return torch.zeros_like(slope)
    (out,) = torch.autograd.grad(slope, x, u, create_graph=True, materialize_grads=True)
    return out.flatten(1)


def _refuse_no_curvature(slope: Tensor, curvature: Tensor) -> None:
    # an energy that is zero everywhere, as before training, has neither slope nor curvature: that is fine
    if slope.any() and not curvature.any():
        raise ValueError(
            "the second derivative of the energy is zero at every datum: the energy is piecewise linear in x "
            "(ReLU?), or its gradient was detached. Use smooth activations, or an objective of first "
            "derivatives: denoising_score_matching, kernel_stein_discrepancy, conditional_nce."
        )
