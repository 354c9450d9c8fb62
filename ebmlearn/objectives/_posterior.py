"""How far a posterior ``q(h|v)`` is from the true one, by the joint energy alone; and where that matters."""

from collections.abc import Callable

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.energy import Energy, grad
from ebmlearn.posteriors import BinaryPosterior, JointEnergy, Posterior, joint_energies


def variational_free_energy(
    joint: JointEnergy,
    posterior: Posterior,
    v: Tensor,
    *,
    n_samples: int | None = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``E_q[E(v, h) + log q(h|v)] = F(v) + KL(q(h|v) ‖ p(h|v))``, the negative ELBO without its ``log Z``.

    It lies above the free energy ``F(v) = -log ∫ exp(-E(v, h)) dh``, and touches it at the true posterior.
    Draws of binary ``h`` are relaxed, so that the gradient by the posterior has little noise and some bias.

    Args:
        joint: The joint energy.
        posterior: The posterior.
        v: Shape ``(B, *event)``.
        n_samples: Draws of ``h`` for each ``v``, >= 1; None: the exact sum over the states of binary ``h``.
        generator: Source of the draws; torch's global one if None.

    Returns:
        The mean over ``v``, shape ``()``, in nats up to ``log Z``.

    Raises:
        ValueError: If ``n_samples`` is below 1, or None where ``h`` has no states to sum over.
    """
    check.instance("posterior", posterior, Posterior)
    check.generator(generator)
    if n_samples is None:
        if not isinstance(posterior, BinaryPosterior):
            raise ValueError(f"a {type(posterior).__name__} has no states to sum over; give n_samples")
        h, weights = posterior.states(v), posterior.weights(v)
        return (weights * (joint_energies(joint, v, h) + posterior.log_prob(h, v))).sum(0).mean()
    h = _draw(posterior, v, n_samples, generator)
    return (joint_energies(joint, v, h) + posterior.log_prob(h, v)).mean()


def posterior_fisher(
    joint: JointEnergy,
    posterior: Posterior,
    v: Tensor,
    *,
    n_samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """``½ E_q ‖∇_h E(v, h) + ∇_h log q(h|v)‖²``: the Fisher divergence from ``q(h|v)`` to ``p(h|v)``.

    For continuous ``h`` only. Like every Fisher divergence it hardly sees the weights of separate modes.

    Args:
        joint: The joint energy.
        posterior: The posterior.
        v: Shape ``(B, *event)``.
        n_samples: Draws of ``h`` for each ``v``, >= 1.
        generator: Source of the draws; torch's global one if None.

    Returns:
        The mean over ``v``, shape ``()``, in 1/(units of ``h``)².

    Raises:
        ValueError: If ``n_samples`` is below 1, or ``h`` is binary and has no gradient.
    """
    check.instance("posterior", posterior, Posterior)
    check.generator(generator)
    if isinstance(posterior, BinaryPosterior):
        raise ValueError(
            "binary h has no density to differentiate: use variational_free_energy in place of "
            "posterior_fisher"
        )
    h = _draw(posterior, v, n_samples, generator)

    def ratio(flat: Tensor) -> Tensor:
        draws = flat.view_as(h)
        return (joint_energies(joint, v, draws) + posterior.log_prob(draws, v)).flatten()

    _, slope = grad(ratio, h.flatten(0, 1), create_graph=True)
    return 0.5 * slope.square().sum(1).mean()


def variational_energy(joint: JointEnergy, posterior: Posterior) -> Energy:
    """``E_h(v) = E(v, h) + log q(h|v)``, with ``h`` drawn at ``v`` in each call and then held fixed.

    Its slope in ``v`` is that of the free energy, whatever ``h``, if ``q`` is the true posterior. Hence ``h``
    is drawn at a detached ``v``: how it would move with ``v`` is no part of the slope. The parameters of
    ``q`` get their gradient through ``log q`` and through ``h``; binary ``h`` is relaxed for that.

    Args:
        joint: The joint energy.
        posterior: The posterior ``q``.

    Raises:
        TypeError: If ``joint`` is no function, or ``posterior`` no posterior.
    """
    check.function("joint", joint)
    check.instance("posterior", posterior, Posterior)

    def energy(v: Tensor) -> Tensor:
        h = posterior.rsample(v.detach())
        return (joint_energies(joint, v, h) + posterior.log_prob(h, v))[0]

    return energy


def visited(objective: Callable[[Energy, Tensor], Tensor], x: Tensor) -> Tensor:
    """Where an objective evaluates its energy on a batch: at noisy copies of it, or at the data themselves.

    It is there that a posterior must be good. Each call draws new noise.

    Args:
        objective: ``objective(energy, x)``, a scalar.
        x: Batch, shape ``(B, *event)``.

    Returns:
        All points of one evaluation, shape ``(B', *event)``, without a graph.

    Raises:
        ValueError: If ``x`` is empty or of integers, or the objective evaluates no energy.
        TypeError: If ``objective`` is no function, or ``x`` no tensor.
    """
    points: list[Tensor] = []

    def energy(v: Tensor) -> Tensor:
        points.append(v.detach())
        return 0.5 * v.square().flatten(1).sum(1)

    check.function("objective", objective)
    check.batch("x", x, least=1)
    objective(energy, x)
    if not points:
        raise ValueError("the objective has not evaluated its energy: it visits nothing")
    return torch.cat(points)


def _draw(posterior: Posterior, v: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    check.count("n_samples", n)
    check.batch("v", v, least=1)
    return posterior.rsample(v, n, generator)
