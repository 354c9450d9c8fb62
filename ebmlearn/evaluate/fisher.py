"""The Fisher divergence ``½ E_p‖∇log p - ∇log q‖²`` beyond the plane (there: `ebmlearn.evaluate.exact`).

It needs no normalising constant, of neither density, which is its use and its weakness: two densities with
the same modes in other proportions have nearly the same scores.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, Gaussian, grad
from ebmlearn.evaluate.quadrature import Estimate


def divergence(p: Energy, q: Energy, x: Tensor) -> Estimate[float]:
    """Fisher divergence from samples of ``p``, if the scores of both are known: unbiased in any dimension.

    Its noise is far below that of a difference of two score matching objectives, where the large parts that
    both share do not cancel.

    Args:
        p: Energy of the first density.
        q: Energy of the second.
        x: Independent samples of ``p``, shape ``(n, *event)``, ``n >= 2``.

    Returns:
        The mean and its standard error, in 1/(units of ``x``)².

    Raises:
        ValueError: If there are fewer than 2 samples or an energy has the wrong shape.
    """
    _check_samples(x)
    square = (grad(p, x)[1] - grad(q, x)[1]).flatten(1).double().square().sum(1)
    return Estimate(0.5 * square.mean().item(), 0.5 * square.std().item() / len(x) ** 0.5)


def lower_bound(energy: Energy, critic: Callable[[Tensor], Tensor], x: Tensor) -> Estimate[float]:
    """Lower bound of the Fisher divergence from samples of the data and the slope of the model's energy.

    For any field ``f`` that does not grow too fast, ``E_data[s·f + tr ∇f - ½ ‖f‖²]`` with ``s = -∇E`` is at
    most the divergence, and equal to it for ``f* = s - ∇ log p_data``: integrate ``tr ∇f`` by parts and
    complete the square. What is missing is ``½ E‖f - f*‖²``. Train the critic by
    `FisherCritic <ebmlearn.methods.fisher_critic.FisherCritic>`, on *other* data: on its own there is no
    bound.

    Args:
        energy: The model's energy, or an estimate with the right mean slope such as
            `vaes <ebmlearn.objectives.vaes>`: the slope enters linearly.
        critic: The field ``f``, ``(B, *event)`` to the same shape.
        x: Held-out data, shape ``(n, *event)``, ``n >= 2``.

    Returns:
        The mean and its standard error, in 1/(units of ``x``)².

    Raises:
        ValueError: If there are fewer than 2 data, or the critic or the energy has the wrong shape.
    """
    _check_samples(x)
    check.function("critic", critic)
    terms = critic_terms(energy, critic, x, torch.eye(x[0].numel(), dtype=x.dtype, device=x.device)).double()
    return Estimate(terms.mean().item(), terms.std().item() / len(x) ** 0.5)


@torch.enable_grad()
def critic_terms(
    energy: Energy, critic: Callable[[Tensor], Tensor], x: Tensor, directions: Tensor | None = None
) -> Tensor:
    """The terms of `lower_bound`, one for each datum, with a graph to the parameters of the critic.

    Args:
        energy: As in `lower_bound`; no gradient flows into it.
        critic: As in `lower_bound`.
        x: Data, shape ``(B, *event)``.
        directions: Rows ``u``, shape ``(k, d)``, whose ``uᵀ ∇f u`` add up to the trace: the unit vectors for
            the exact one. None: one random vector of signs for each datum, of the same mean (Hutchinson).

    Returns:
        Shape ``(B,)``.

    Raises:
        ValueError: As `lower_bound`.
    """
    slope = grad(energy, x)[1].flatten(1)
    x = x.detach().requires_grad_()
    field = critic(x)
    check.tensor("what the critic returned", field)
    if field.shape != x.shape:
        raise ValueError(f"the critic maps shape {tuple(x.shape)} to {tuple(field.shape)}; they must agree")
    field = field.flatten(1)
    rows = torch.where(torch.rand_like(field) < 0.5, -1.0, 1.0)[None] if directions is None else directions
    out = -(slope * field).sum(1) - 0.5 * field.square().sum(1)
    for u in rows:
        u = u.to(field).expand_as(field)
        (product,) = torch.autograd.grad(field, x, u, create_graph=True)
        out = out + (product.flatten(1) * u).sum(1)
    return out


def between_gaussians(p: Gaussian, q: Gaussian) -> float:
    """Fisher divergence of two Gaussians in closed form.

    ``½ tr(A Σ_p Aᵀ) + ½ ‖P_q (m_p - m_q)‖²`` with precisions ``P = Σ⁻¹`` and ``A = P_q - P_p``.

    Args:
        p: First Gaussian.
        q: Second, of the same event shape.

    Raises:
        ValueError: If the event shapes differ.

    Example:
        >>> import torch
        >>> p, q = Gaussian(torch.zeros(2), torch.eye(2)), Gaussian(torch.ones(2), torch.eye(2))
        >>> print(between_gaussians(p, q))  # ½ |1|²
        1.0
    """
    check.instance("p", p, Gaussian)
    check.instance("q", q, Gaussian)
    if p.event_shape != q.event_shape:
        raise ValueError(f"the event shapes {p.event_shape} and {q.event_shape} differ")
    spread = (q.precision - p.precision).double() @ p.factor.double()
    shift = q.precision.double() @ (p.mean - q.mean).flatten().double()
    return 0.5 * (spread.square().sum() + shift.square().sum()).item()


def _check_samples(x: Tensor) -> None:
    check.batch("x", x, finite=True)
    if len(x) < 2:
        raise ValueError(f"got {len(x)} samples; at least 2 are needed for a mean with an error")
