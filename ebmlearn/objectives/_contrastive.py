"""Contrastive objectives: tell data from noise, and the density is what you learn on the way."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ebmlearn import check
from ebmlearn.energy import Energy, energy_at


def nce(ratio_data: Tensor, ratio_noise: Tensor) -> Tensor:
    """Noise-contrastive estimation: logistic regression of data against noise of known density.

    Gutmann and Hyvärinen (2010). With ``ν`` noise points for each datum, the log-odds that a point is a datum
    are ``r(x) - log ν``, where ``r(x) = -E(x) - log Z - log q(x)``. The loss is the cross-entropy per datum,
    ``mean softplus(log ν - r(x⁺)) + ν mean softplus(r(x⁻) - log ν)``. ``log Z`` is a parameter like any
    other: at the minimum over all functions ``r = log p_data / q``, so the model is normalised by itself.

    At ``ν = 1`` the minimum is ``log 4 - 2 JSD(p_data, q)``; noise equal to the data gives ``log 4``.

    Args:
        ratio_data: ``-E(x) - log_z - log q(x)`` on data, in nats, shape ``(B,)``.
        ratio_noise: The same on samples of ``q``, shape ``(B',)``; ``ν = B'/B``.

    Returns:
        The loss, shape ``()``, in nats per datum.

    Raises:
        ValueError: If an argument is not of shape ``(B,)`` with ``B >= 1``.

    Example:
        >>> print(f"{nce(torch.zeros(4), torch.zeros(4)).item():.4f}")  # log 4: no way to tell them apart
        1.3863
    """
    for name, ratio in (("ratio_data", ratio_data), ("ratio_noise", ratio_noise)):
        check.floats(name, ratio)
        if ratio.ndim != 1 or len(ratio) == 0:
            raise ValueError(f"{name} has shape {tuple(ratio.shape)}; expected (B,), a number a point")
    nu = len(ratio_noise) / len(ratio_data)
    log_nu = math.log(nu)
    return softplus(log_nu - ratio_data).mean() + nu * softplus(ratio_noise - log_nu).mean()


def importance_log_z(energy: Energy, x: Tensor, log_q: Tensor) -> Tensor:
    """``log mean exp(-E - log q)`` over samples of ``q``, shape ``()``: where a learned ``log_z`` starts.

    Args:
        energy: The energy.
        x: Samples of ``q``, shape ``(B, *event)``.
        log_q: Their log-density, shape ``(B,)``.

    Raises:
        ValueError: If there is no sample, or a shape is off.
    """
    check.batch("x", x, least=1)
    check.floats("log_q", log_q)
    if log_q.shape != x.shape[:1]:
        raise ValueError(f"log_q has shape {tuple(log_q.shape)}; expected ({len(x)},), a number a sample")
    return (-energy_at(energy, x) - log_q).logsumexp(0) - math.log(len(x))


def conditional_nce(
    energy: Energy,
    x: Tensor,
    sigma: float,
    *,
    n_noise: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Conditional noise-contrastive estimation: which of a datum and its noisy copy is the datum?

    Ceylan and Gutmann (2018), arXiv:1806.03664. The noise ``x' = x + σ ε`` is symmetric, so its density
    cancels, and so does ``log Z``: the loss is ``2 mean softplus(E(x) - E(x'))``. As ``σ → 0`` it becomes
    ``2 log 2 + (σ²/2) · score_matching`` (`score_matching`), without second derivatives.

    Args:
        energy: The energy.
        x: Data, shape ``(B, *event)``.
        sigma: Standard deviation ``σ`` of the noise, > 0, in units of ``x``.
        n_noise: Noisy copies of each datum, >= 1 (``κ`` of the paper).
        generator: Source of the noise; torch's global one if None.

    Returns:
        The loss, shape ``()``, in nats.

    Raises:
        ValueError: If ``sigma`` or ``n_noise`` is out of range or the energy has the wrong shape.
    """
    check.number("sigma", sigma)
    check.count("n_noise", n_noise)
    check.batch("x", x, least=1)
    check.generator(generator)
    x = x.detach()
    copies = x.repeat(n_noise, *[1] * (x.ndim - 1))
    noisy = copies + sigma * torch.empty_like(copies).normal_(generator=generator)
    gap = energy_at(energy, x).repeat(n_noise) - energy_at(energy, noisy)
    return 2 * softplus(gap).mean()
