"""Denoising score matching: fit ``-∇E(x)`` to the score of noisy data, which needs first derivatives only."""

import math

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad


def denoising_score_matching(
    energy: Energy,
    x: Tensor,
    sigma: float,
    *,
    control_variate: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Denoising score matching: ``E ½ ‖∇E(x + σε) - ε/σ‖²``, which learns the density of *noisy* data.

    Vincent (2011), eq. 4. The minimum is at the score of ``p_data * N(0, σ²)``: on data of variance ``v`` a
    Gaussian learns ``v + σ²``. The variance of the gradient grows like ``1/σ²``, for which
    ``control_variate`` is the cure: add ``∇E(x)·ε/σ``, whose mean over ``ε`` is 0 for every parameter and
    which nearly equals the noisy term ``∇E(x + σε)·ε/σ``; and subtract ``½ (‖ε‖² - d)/σ²``, a constant
    that calms the value. The price is a second gradient, at the clean data.

    Args:
        energy: The energy.
        x: Data, shape ``(B, *event)``.
        sigma: Standard deviation ``σ`` of the noise, > 0, in units of ``x``.
        control_variate: Whether to reduce the variance; the mean is the same.
        generator: Source of the noise; torch's global one if None.

    Returns:
        The loss, shape ``()``. Its minimum is not 0 but about ``d / (2σ²)`` for small ``σ``.

    Raises:
        ValueError: If ``sigma`` is not positive, or the energy has the wrong shape.
    """
    check.number("sigma", sigma, hint=" (score_matching needs no noise)")
    check.batch("x", x, least=1)
    check.generator(generator)
    x = x.detach()
    noise = torch.empty_like(x).normal_(generator=generator)
    _, slope = grad(energy, x + sigma * noise, create_graph=True)
    loss = 0.5 * (slope - noise / sigma).flatten(1).square().sum(1)
    if control_variate:
        _, clean = grad(energy, x, create_graph=True)
        excess = 0.5 * (noise.square() - 1) / sigma**2
        loss = loss + (clean * noise / sigma - excess).flatten(1).sum(1)
    return loss.mean()


def multiscale_denoising(
    energy: Energy,
    x: Tensor,
    sigmas: tuple[float, float],
    reference: float,
    *,
    geometric: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Multi-scale denoising score matching: one energy that denoises at every noise level.

    Li, Chen and Sommer (2019), arXiv:1910.07762. The rows of the batch get noise levels ``σ`` evenly spaced
    from the lowest to the highest, and the loss is ``E ½ ‖(σ₀²/σ) ∇E(x + σε) - ε‖²``: their weight ``1/σ²``.
    So ``-σ₀² ∇E`` learns to point from a noisy point to the clean one, *whatever* its noise. That is a score
    only for data with noise of the reference level ``σ₀``, where ``∇log p = -(x - E[clean | x]) / σ₀²``: the
    energy is no log-density at other levels, and its likelihood means nothing.

    To sample, anneal: at noise level ``σ`` the energy is right at the temperature ``T = σ²/σ₀²``. Run `ula`
    with ``noise_scale = step_size · σ(t)/σ₀``, ``σ(t)`` falling to ``σ₀``, then remove the last noise by one
    step ``x - σ₀² ∇E(x)``.

    Args:
        energy: The energy.
        x: Data, shape ``(B, *event)``, ``B >= 2``.
        sigmas: Lowest and highest noise level, > 0, in units of ``x``.
        reference: The reference level ``σ₀`` > 0.
        geometric: Whether the logarithms of the levels are evenly spaced, in place of the levels.
        generator: Source of the noise; torch's global one if None.

    Returns:
        The loss, shape ``()``; about ``d/2`` where nothing has been learned.

    Raises:
        ValueError: If a level is not positive, they are not in order, there is only one datum, or the energy
            has the wrong shape.
    """
    try:
        low, high = (check.number("a noise level", s) for s in sigmas)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not low <= high:
        raise ValueError(f"sigmas is {check.shown(sigmas)}; expected two numbers, 0 < low <= high")
    check.number("reference", reference)
    check.batch("x", x)
    check.generator(generator)
    if len(x) < 2:
        raise ValueError("one datum cannot get the lowest and the highest noise level; use a larger batch")
    x = x.detach()
    noise = torch.empty_like(x).normal_(generator=generator)
    if geometric:
        sigma = torch.linspace(math.log(low), math.log(high), len(x), dtype=x.dtype, device=x.device).exp()
    else:
        sigma = torch.linspace(low, high, len(x), dtype=x.dtype, device=x.device)
    sigma = sigma.view(-1, *[1] * (x.ndim - 1))
    _, slope = grad(energy, x + sigma * noise, create_graph=True)
    return 0.5 * (reference**2 / sigma * slope - noise).flatten(1).square().sum(1).mean()
