"""The kernel Stein discrepancy."""

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad


def kernel_stein_discrepancy(energy: Energy, x: Tensor, *, bandwidth: float | None = None) -> Tensor:
    """Squared kernel Stein discrepancy between samples and the density of an energy.

    Liu, Lee and Jordan (2016), arXiv:1602.03253; Chwialkowski, Strathmann and Gretton (2016),
    arXiv:1602.02964. With the score ``s = -∇E``, ``δ = x - x'`` and ``k = exp(-‖δ‖² / (2h²))`` it is the
    mean over all pairs ``i ≠ j`` (a U-statistic) of

    ``u(x, x') = k [s·s' + (s - s')·δ / h² + d/h² - ‖δ‖²/h⁴]``,

    which is ``E_{x,x'}[(s - s_data)·(s' - s_data') k]``: a Fisher divergence smoothed by the kernel, and 0 if
    the samples are from the model. Leaving out ``i = j`` makes it unbiased, and sometimes negative. Time and
    memory are quadratic in ``B``.

    Args:
        energy: The energy.
        x: Samples, shape ``(B, *event)``, ``B >= 2``.
        bandwidth: ``h`` > 0 in units of ``x``; None: the median of ``‖x_i - x_j‖`` over pairs ``i < j``.
            Values are comparable only at the same bandwidth.

    Returns:
        The estimate of the *squared* discrepancy, shape ``()``, in 1/(units of ``x``)².

    Raises:
        ValueError: If there are fewer than 2 samples, the bandwidth is not positive, or the energy has the
            wrong shape.
    """
    check.batch("x", x)
    if bandwidth is not None:
        check.number("bandwidth", bandwidth)
    if len(x) < 2:
        raise ValueError(f"got {len(x)} samples; the discrepancy is a mean over pairs and needs at least 2")
    terms = stein_kernel(energy, x, bandwidth)
    return (terms.sum() - terms.diagonal().sum()) / (len(x) * (len(x) - 1))


def stein_kernel(energy: Energy, x: Tensor, bandwidth: float | None) -> Tensor:
    """``u(x_i, x_j)`` of all pairs, shape ``(B, B)``, differentiable by the parameters of the energy."""
    x = x.detach()
    score = -grad(energy, x, create_graph=True)[1].flatten(1)
    z = x.flatten(1)
    z = z - z.mean(0)  # differences of large numbers would round
    if bandwidth is None:
        bandwidth = torch.pdist(z).median().item()
    if not 0 < bandwidth < float("inf"):
        raise ValueError(
            f"bandwidth = {bandwidth}; expected a positive number "
            "(the median heuristic gives 0 if most samples coincide: pass one)"
        )
    square = torch.cdist(z, z).square() / bandwidth**2
    own, cross = (score * z).sum(1), score @ z.T
    drift = (own[:, None] + own - cross - cross.T) / bandwidth**2
    return (-0.5 * square).exp() * (score @ score.T + drift + (z.shape[1] - square) / bandwidth**2)
