"""What to record of a chain: functions of the state after a step and of that step's info, for ``run(keep=)``.

`positions` keeps the trajectory; the others keep one number a step, which `ebmlearn.diagnostics` explains.
"""

from torch import Tensor

from ebmlearn.sample._kernel import Info, State, total


def positions(state: State, info: Info) -> Tensor:
    """For ``run(..., keep=positions)``: the trajectory, ``(B, *event)`` at each record."""
    return state.x


def displacement(state: State, info: Info) -> Tensor:
    """Displacement by the gradient, ``r = E_chain ‖(s²/2) ∇E(x)‖`` (arXiv:1903.12370).

    Its average over the steps of a chain is ``r_t``.

    Returns:
        Mean over the chains of the length of the drift of this step, shape ``()``, in units of ``x``.

    Raises:
        ValueError: If the kernel uses no gradient.
    """
    if info.grad is None or info.step_size is None:
        raise ValueError("a kernel without gradients has no displacement by them; use squared_jump")
    slope = info.grad.flatten(1) if info.grad.ndim > 1 else info.grad[:, None]
    return 0.5 * info.step_size**2 * slope.norm(dim=1).mean()


def acceptance(state: State, info: Info) -> Tensor:
    """Mean acceptance probability of this step, shape ``()``.

    Raises:
        ValueError: If the kernel is unadjusted.
    """
    if info.acceptance is None:
        raise ValueError("an unadjusted kernel accepts every move and has no acceptance rate; use mala")
    return info.acceptance.mean()


def mean_energy(state: State, info: Info) -> Tensor:
    """Mean energy of the chains before this step, shape ``()``.

    Raises:
        ValueError: If the kernel does not compute the energy.
    """
    if info.energy is None:
        raise ValueError("this kernel does not compute the energy; keep positions and evaluate it there")
    return info.energy.mean()


def squared_jump(state: State, info: Info) -> Tensor:
    """Expected squared jump distance, ``E ‖x' - x‖²`` of this step, rejected moves counting as 0.

    Pasarica and Gelman (2010). On a Gaussian the chain that jumps furthest is the one whose coordinates have
    the lowest autocorrelation at lag 1. It compares kernels that share neither step size nor gradient.

    Returns:
        Mean over the chains, shape ``()``, in squared units of ``x``.
    """
    return total((state.x - info.x).square()).mean()
