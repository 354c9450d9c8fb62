"""Annealed importance sampling: log Z in any dimension, from below by `forward` and from above by `reverse`.

A path of energies leads from a density whose log Z is known, at β = 0, to the energy in question, at β = 1.
Chains walk along it. For each step from β = a to b,

1. weight: ``log w ← log w + E_a(x) - E_b(x)``, from 0;
2. move: ``x`` by a kernel that leaves the density at ``b`` invariant.

The mean of ``w`` is ``Z_end / Z_start`` exactly, for any number of steps and any such kernel (Neal, 2001). So
`forward` is unbiased for ``Z``; `reverse`, which starts at exact samples of the model and walks back, is
unbiased for ``1/Z``. Only the variance depends on the path. The logarithm turns it into bias (Jensen):

    ``E[log Z of forward] <= log Z <= E[log Z of reverse]``.

A likelihood computed with `forward` is thus too *high* on average, the more so the worse the chains mix
(Burda, Grosse and Salakhutdinov, 2015). Where exact samples exist, the two bracket the answer (Grosse,
Ghahramani and Adams, 2015). The kernel must be exact: `ebmlearn.sample.ula` leaves another density invariant,
and is refused, since the error that this makes would be in no number reported here.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from ebmlearn import check
from ebmlearn.energy import Energy, ExactEnergy, energy_at
from ebmlearn.progress import progress_enabled
from ebmlearn.sample import Kernel, MakeKernel, run

__all__ = ["AIS", "LowESSWarning", "Path", "forward", "geometric", "reverse"]

Path = Callable[[float], Energy]
"""``path(beta)`` is an energy for each β in [0, 1]; `forward` and `reverse` need ``path(0).log_z``."""


class AIS(NamedTuple):
    """Estimate of log Z from weighted chains.

    Attributes:
        log_z: The estimate, in nats.
        error: Its standard error by the delta method. It cannot exceed 1 and sees only the weights that came
            up: trust it if ``ess`` is large. Infinite for a single chain.
        ess: Effective number of chains, ``(Σw)² / Σw²``, between 1 and ``n_chains``. It counts how evenly the
            weights are spread; a mode that no chain found does not lower it.
        log_weights: What each chain alone says of log Z, shape ``(n_chains,)``, float64. `forward` averages
            their exponentials, `reverse` those of their negatives.
        x: The ends of the chains, shape ``(n_chains, *event)``. Those of `forward`, weighted by
            ``exp(log_weights)``, represent the model.
    """

    log_z: float
    error: float
    ess: float
    log_weights: Tensor
    x: Tensor


class LowESSWarning(UserWarning):
    """Fewer than 10 chains carry the estimate: the error is not to be trusted."""


def geometric(base: ExactEnergy, energy: Energy) -> Path:
    """The path ``(1 - β) E_base + β E``; ``base`` should cover all of the mass of the model.

    Args:
        base: An energy with known ``log_z`` and ``sample``, such as a Gaussian fitted to the data.
        energy: The energy whose log Z is asked for.
    """

    check.instance("base", base, ExactEnergy, "an ExactEnergy, with known log_z and samples")
    check.function("energy", energy)

    def path(beta: float) -> Energy:
        if beta in (0, 1):
            return energy if beta else base
        return lambda x: (1 - beta) * base(x) + beta * energy(x)

    return path


def forward(
    path: Path,
    kernel: MakeKernel,
    *,
    n_chains: int,
    betas: int | Tensor,
    n_steps: int = 1,
    generator: torch.Generator | None = None,
    progress: bool = False,
) -> AIS:
    """Annealed importance sampling from the base to the model: on average too *low* a log Z.

    Args:
        path: From an exact energy to the model: `geometric`, or ``rbm.tempered`` of `ebmlearn.energy.GRBM`.
        kernel: ``kernel(energy)`` makes an exact transition: `ebmlearn.sample.gibbs`, or
            ``partial(hmc, step_size=..., n_leapfrog=...)``. It gets no burn-in at a new β.
        n_chains: Number of chains, >= 1.
        betas: Number ``K`` of equal steps from 0 to 1, or increasing values from 0 to 1, shape ``(K + 1,)``.
        n_steps: Steps of the kernel at each β, >= 0; with 0 this is plain importance sampling from the base.
        generator: Source of the starts; the kernel has its own.
        progress: Show a progress bar.

    Raises:
        TypeError: If ``path(0)`` is not an `ebmlearn.energy.ExactEnergy`.
        ValueError: If ``n_chains``, ``betas`` or ``n_steps`` is out of its range, or the kernel is not exact,
            as `ebmlearn.sample.ula` is not, or of another temperature than 1.
        FloatingPointError: If a weight or a chain is not finite.

    Warns:
        LowESSWarning: If ``ess`` is below 10.

    Example:
        >>> from ebmlearn.energy import GRBM
        >>> from ebmlearn.sample import gibbs
        >>> g = torch.Generator().manual_seed(0)
        >>> rbm = GRBM.from_parameters(torch.tensor([[2.0]]), torch.zeros(1), torch.zeros(1), 1.0)
        >>> found = forward(rbm.tempered, gibbs, n_chains=2000, betas=100, generator=g)
        >>> abs(found.log_z - rbm.log_z.item()) < 0.1
        True
    """
    base = _base(path)
    check.count("n_chains", n_chains)
    check.generator(generator)
    x = base.sample(n_chains, generator)
    log_w, x = _anneal(path, kernel, x, _schedule(betas), n_steps, progress)
    return _estimate(base.log_z.item(), log_w, 1, x)


def reverse(
    path: Path,
    kernel: MakeKernel,
    x: Tensor,
    *,
    betas: int | Tensor,
    n_steps: int = 1,
    progress: bool = False,
) -> AIS:
    """Annealed importance sampling from the model to the base: on average too *high* a log Z.

    The direction holds only if ``x`` are exact samples of the model. Ends of chains that have not converged
    may err to either side.

    The last step weighs by ``exp(β (E - E_base))``, which explodes in the tails of an energy that grows
    faster than the base's, such as ``x⁴``. Begin ``betas`` with small steps, as ``torch.linspace(0, 1, 101)
    ** 3`` does.

    Args:
        path: As in `forward`.
        kernel: As in `forward`.
        x: Exact independent samples of ``path(1)``, shape ``(n_chains, *event)``; not modified.
        betas: As in `forward`, increasing; they are walked from 1 to 0.
        n_steps: As in `forward`.
        progress: As in `forward`.

    Raises:
        TypeError: As `forward`.
        ValueError: If ``x`` is empty, or ``betas`` or ``n_steps`` is out of its range.
        FloatingPointError: As `forward`.

    Warns:
        LowESSWarning: As `forward`.
    """
    base = _base(path)
    check.tensor("x", x)
    if x.ndim < 1 or len(x) < 1:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (n_chains, *event) with at least one chain")
    log_w, x = _anneal(path, kernel, x.detach(), _schedule(betas)[::-1], n_steps, progress)
    return _estimate(base.log_z.item(), log_w, -1, x)


def _base(path: Path) -> ExactEnergy:
    check.function("path", path, "a path, such as geometric(base, energy)")
    base = path(0.0)
    if not isinstance(base, ExactEnergy):
        raise TypeError(
            f"path(0) is a {type(base).__name__}; expected an ExactEnergy, with known log_z and samples. "
            "Begin the path with one: geometric(Gaussian(mean, cov), energy)."
        )
    return base


def _schedule(betas: int | Tensor) -> list[float]:
    if not isinstance(betas, Tensor):
        check.count("betas", betas)
    values = torch.arange(betas + 1).double() / betas if isinstance(betas, int) else betas.double()
    if (
        values.ndim != 1
        or len(values) < 2
        or values[0] != 0
        or values[-1] != 1
        or not (values.diff() > 0).all()
    ):
        raise ValueError(
            f"betas are {betas}; expected increasing numbers in one row, the first 0, the last 1"
        )
    return values.tolist()


@torch.no_grad()
def _anneal(
    path: Path, kernel: MakeKernel, x: Tensor, betas: list[float], n_steps: int, progress: bool
) -> tuple[Tensor, Tensor]:
    """Log-weights of ``Z_end / Z_start``, float64 ``(n_chains,)``, and the ends of the chains."""
    log_w = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    check.count("n_steps", n_steps, 0)
    here = path(betas[0])
    for beta in tqdm(betas[1:], disable=not (progress and progress_enabled()), leave=False):
        there = path(beta)
        log_w += energy_at(here, x).double() - energy_at(there, x).double()
        if n_steps:
            x = run(_exact(kernel, there), x, n_steps)
        here = there
    bad = int((~log_w.isfinite()).sum())
    if bad:
        raise FloatingPointError(
            f"{bad} of {len(x)} weights are not finite: an energy is infinite or NaN where the chains went. "
            "Use a base inside the region where the energy is finite, or a smaller step in the kernel."
        )
    return log_w, x


def _exact(make: MakeKernel, energy: Energy) -> Kernel:
    """The kernel. One that leaves another density than ``exp(-E)`` as it is is refused: no weight tells."""
    check.function("kernel", make, "a function that makes a kernel, such as partial(mala, step_size=0.1)")
    kernel = make(energy)
    check.instance("kernel(energy)", kernel, Kernel, "a kernel, such as partial(mala, step_size=0.1) makes")
    if not kernel.exact:
        raise ValueError(
            f"{kernel} is not exact: it leaves another density invariant than that of the energy, and log Z "
            "would be wrong by more than its error. Use mala, hmc or gibbs, which accept or reject."
        )
    if kernel.temperature(0) != 1:
        raise ValueError(f"{kernel} samples exp(-E/T); expected temperature 1")
    return kernel


def _estimate(log_z_base: float, log_w: Tensor, sign: int, x: Tensor) -> AIS:
    n = len(log_w)
    log_z = log_z_base + sign * (log_w.logsumexp(0).item() - math.log(n))
    ess = 1 / log_w.softmax(0).square().sum().item()
    # variance of w / mean(w), over n
    error = math.sqrt(max(n / ess - 1, 0) / (n - 1)) if n > 1 else math.inf
    if ess < 10:
        warnings.warn(
            f"only {ess:.1f} of {n} chains carry the estimate of log Z: its error is not to be trusted. Use "
            "more betas, more n_steps, a better kernel or more chains.",
            LowESSWarning,
            stacklevel=3,
        )
    return AIS(log_z, error, ess, log_z_base + sign * log_w, x)
