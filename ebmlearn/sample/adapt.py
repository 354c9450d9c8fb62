"""Choosing the step size by the acceptance rate."""

import math
import warnings

from torch import Tensor

from ebmlearn import check
from ebmlearn.sample._kernel import MakeKernel
from ebmlearn.sample._run import run
from ebmlearn.sample.keep import acceptance


def adapt_step_size(
    kernel: MakeKernel, x: Tensor, *, step_size: float, target: float, n_steps: int = 200
) -> tuple[float, Tensor]:
    """Find the step size at which a Metropolis-adjusted kernel accepts a given share of its proposals.

    Dual averaging of Hoffman and Gelman (2014), "The No-U-Turn sampler", section 3.2.1, with its constants,
    on the mean acceptance probability of a batch of chains. The second step is already about ten times the
    guess if that is accepted. Where a chain is not finite, the acceptance counts as 0 and the step shrinks.

    The adapting chain itself is not a Markov chain with the right stationary law: use the step size that
    comes back for the run that counts. With 100 chains or more, 200 steps reach the target to about 0.04 even
    from a guess that is a hundred times off; a single chain ends at 0.85 or 0.9 where 0.8 was asked for. The
    rate of `hmc` with many leapfrog steps goes up and down with the step size where all scales are equal
    (resonance), and then it is met only to about 0.2.

    Args:
        kernel: ``kernel(step_size=...)``, such as ``partial(hmc, energy, n_leapfrog=10)``.
        x: Starting points, shape ``(B, *event)``; not modified.
        step_size: First guess, > 0.
        target: Acceptance rate to reach, in (0, 1). In many dimensions 0.57 is best for `mala` (Roberts and
            Rosenthal 1998) and 0.65 for `hmc` (Beskos et al. 2013); 0.8 is the careful choice.
        n_steps: Steps of the chains, >= 1.

    Returns:
        ``(step_size, x)``: the step size, and the ends of the chains, shape ``(B, *event)``.

    Raises:
        ValueError: If ``target`` is not in (0, 1), ``step_size`` <= 0, ``n_steps`` < 1 or the kernel is
            unadjusted.
        TypeError: If ``kernel`` is no function.
        FloatingPointError: If a chain is still not finite in the last step.

    Warns:
        UserWarning: If the step size has not settled: the last is five times the average, or a fifth of it.
    """
    check.function("kernel", kernel, "a function, such as partial(mala, energy)")
    check.number("target", target, "in (0, 1)")
    check.number("step_size", step_size)
    check.count("n_steps", n_steps)
    # t₀, γ, κ and μ of the paper
    delay, shrinkage, decay, centre = 10, 0.05, 0.75, math.log(10 * step_size)
    log_size, average, error = math.log(step_size), 0.0, 0.0
    for t in range(1, n_steps + 1):
        rate = 0.0
        try:
            x, kept = run(kernel(step_size=math.exp(log_size)), x, 1, keep=acceptance)
            rate = kept.item()
        except FloatingPointError:
            if t == n_steps:
                raise
        error += (target - rate - error) / (t + delay)
        log_size = centre - math.sqrt(t) / shrinkage * error
        average += t**-decay * (log_size - average)
    if abs(log_size - average) > math.log(5):
        warnings.warn(
            f"the step size has not settled after {n_steps} steps: it is at {math.exp(log_size):.2g}, its "
            f"average at {math.exp(average):.2g}. Begin nearer to it, or take more steps.",
            stacklevel=2,
        )
    return math.exp(average), x
