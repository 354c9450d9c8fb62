"""Energies with hidden variables for the objectives of slopes: variational estimates of the marginal energy.

Of a joint energy ``E(v, h)`` the marginal ``F(v) = -log ∫ exp(-E(v, h)) dh`` is out of reach. An objective of
first derivatives asks for less: the slope of ``F``, and the derivative of this slope by the parameters. With
``h`` from the posterior,

    ``∇F(v) = mean ∇_v E(v, h)``,
    ``∂/∂θ ∇F(v) = mean ∂/∂θ ∇_v E(v, h) - cov(∇_v E(v, h), ∂/∂θ E(v, h))``.

`vaes` and `vages` are energies that have these derivatives at the point where they are evaluated, so that
`denoising_score_matching`, `multiscale_denoising` and `kernel_stein_discrepancy` take them as they are.
"""

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad
from ebmlearn.posteriors import BinaryPosterior, JointEnergy, Posterior, joint_energies


def vaes(
    joint: JointEnergy,
    posterior: Posterior,
    n_samples: int | None,
    *,
    variance_reduced: bool = False,
    generator: torch.Generator | None = None,
) -> Energy:
    """Variational estimate of the score: an energy whose slope estimates that of the marginal.

    Bao et al. (2021), arXiv:2010.08258: the mean of ``E(v, h)`` over ``h`` from the posterior, drawn
    anew at each call and held fixed while ``v`` is differentiated. If the posterior is the true one the
    slope is unbiased. Its derivative by the parameters is *not* that of the marginal, which is what `vages`
    is for.

    Args:
        joint: ``E(v, h)``, ``(B, *event)`` and ``(B, m)`` to ``(B,)``.
        posterior: Approximate posterior ``q(h | v)``.
        n_samples: ``L`` >= 1, draws of ``h`` for each ``v``. None: the exact mean, a sum over all 2ᵐ
            states of a `BinaryPosterior <ebmlearn.posteriors.BinaryPosterior>`.
        variance_reduced: Take ``E(v, h) + log q(h | v)``. At the true posterior this is ``F(v)`` for *every*
            ``h``, up to a constant, so that the slope has no noise. Elsewhere it adds an error of its own,
            since the mean of ``∇_v log q`` is 0.
        generator: Source of the draws; torch's global one if None.

    Returns:
        The energy. Its value is a mean energy, not the marginal one.

    Raises:
        ValueError: If ``n_samples`` is below 1, or when called, if the joint energy has the wrong shape.
    """
    _check(joint, posterior, n_samples, 1, generator)

    def energy(v: Tensor) -> Tensor:
        h, weight = _draw(posterior, v, n_samples, generator)
        values = joint_energies(joint, v, h)
        if variance_reduced:
            values = values + posterior.log_prob(h, v)
        return (weight * values).sum(0)

    return energy


def vages(
    joint: JointEnergy,
    posterior: Posterior,
    n_samples: int | None,
    *,
    covariance: bool = True,
    variance_reduced: bool = False,
    generator: torch.Generator | None = None,
) -> Energy:
    """Variational estimate of the gradient of the score, as an energy for objectives of first derivatives.

    Bao et al. (2021), arXiv:2010.08258. At the point where it is evaluated its slope is that of
    `vaes`, and the derivative of this slope by the parameters is the estimate above. Both are parts of one
    expression, the beginning of the cumulant series of ``-log mean exp(-δ)``:

        ``mean_l E_l - ½ var_l(δ_l)``, with ``δ_l = E(v, h_l)`` minus its own value, held constant.

    ``δ`` is 0, so that the variance vanishes with its first derivatives; of the second ones the covariance
    is left. The variance is the unbiased one, which divides by ``L - 1``.

    An objective multiplies slope and derivative. Their draws are independent, so that the product has the
    right mean: ``L`` draws for the value of the slope and ``L`` for the derivative. Hence the objective must
    be quadratic in slopes, without second derivatives in ``v``: not `score_matching`.

    Args:
        joint: As in `vaes`.
        posterior: As in `vaes`. It gets no gradient.
        n_samples: ``L`` >= 2. None: sums over all states; with an
            `ExactPosterior <ebmlearn.posteriors.ExactPosterior>` all is then as with the marginal itself.
        covariance: Whether to keep the covariance; without it the gradient is biased, at any posterior.
        variance_reduced: As in `vaes`, for the value of the slope.
        generator: As in `vaes`.

    Returns:
        The energy.

    Raises:
        ValueError: If ``n_samples`` is below 2: one draw has no covariance. When called, as `vaes`.
    """
    _check(joint, posterior, n_samples, 2 if covariance else 1, generator)
    value = vaes(joint, posterior, n_samples, variance_reduced=variance_reduced, generator=generator)

    def energy(v: Tensor) -> Tensor:
        h, weight = _draw(posterior, v, n_samples, generator)
        values = joint_energies(joint, v, h)
        out = (weight * values).sum(0)
        if covariance:
            delta = values - values.detach()
            var = (weight * delta.square()).sum(0) - (weight * delta).sum(0).square()
            out = out - 0.5 * (var if n_samples is None else n_samples / (n_samples - 1) * var)
        if n_samples is None:
            return out
        # a linear term exchanges the value of the slope for that of independent draws
        at = v.detach()
        own = grad(lambda v: (weight * joint_energies(joint, v, h)).sum(0), at)[1]
        return out + ((grad(value, at)[1] - own) * (v - at)).flatten(1).sum(1)

    return energy


def _check(
    joint: JointEnergy,
    posterior: Posterior,
    n_samples: int | None,
    least: int,
    source: torch.Generator | None,
) -> None:
    check.function("joint", joint)
    check.instance("posterior", posterior, Posterior)
    check.generator(source)
    if n_samples is not None and check.count("n_samples", n_samples, 0) < least:
        why = ": the covariance of one draw is undefined, L/(L-1) divides by zero" if least == 2 else ""
        raise ValueError(f"n_samples is {n_samples}; expected at least {least}, or None for all states{why}")


@torch.no_grad()
def _draw(
    posterior: Posterior, v: Tensor, n: int | None, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """``h`` of shape ``(L, B, m)`` and weights ``(L, B)``; constants, that no derivative passes through."""
    if n is None:
        if not isinstance(posterior, BinaryPosterior):
            raise ValueError(
                f"n_samples=None sums over the states of binary h, which a {type(posterior).__name__} has "
                "not: give a number of draws"
            )
        return posterior.states(v), posterior.weights(v)
    h = posterior.sample(v, n, generator)
    return h, h.new_full(h.shape[:2], 1 / n)
