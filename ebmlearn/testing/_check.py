"""The check of all promises, or of some."""

from collections.abc import Callable, Collection

from ebmlearn import random
from ebmlearn.testing import _runs, _step
from ebmlearn.testing._trial import Trial
from ebmlearn.train import Data, Method

_FUNCTIONS: tuple[Callable[[Trial], str], ...] = (
    _step.optimizers,
    _step.metrics,
    _step.learning,
    _step.untouched,
    _step.clean,
    _runs.fresh,
    _runs.resume,
    _runs.refusal,
)

PROMISES = tuple(function.__name__ for function in _FUNCTIONS)
"""What is checked, in this order."""


def check_method(
    method: Callable[[], Method] | Method,
    data: Data,
    *,
    steps: int = 1,
    batch_size: int = 8,
    promises: Collection[str] = PROMISES,
) -> None:
    """Hold a method to what `fit <ebmlearn.train.fit>`, and whoever reads its results, rely on.

    1. ``optimizers``: every trainable parameter has an optimiser, and is a part of the method.
    2. ``metrics``: its ``step`` returns a dict of finite scalars that hold no graph.
    3. ``learning``: every parameter of every optimiser gets a gradient and moves.
    4. ``untouched``: a step leaves the batch as it was.
    5. ``clean``: it leaves no gradient in any net but by an update; its chains see nets in evaluation mode.
    6. ``fresh``: two runs from one seed are the same to the last bit.
    7. ``resume``: 20 steps are 10 steps, saved, and 10 resumed, to the last bit.
    8. ``refusal``: a checkpoint of another method is refused.

    It trains about 60 steps, so give it small nets and a few data. Afterwards the random numbers are as they
    were.

    Args:
        method: A function that makes the method, nets and all, ``lambda: MyMethod(MLPEnergy(2))``; or a
            method, of which copies are tried.
        data: What `ebmlearn.train.fit` takes; at least ``batch_size`` of them.
        steps: Iterations, >= 1, in which every optimiser has had a turn and every chain has run.
        batch_size: Elements in a batch.
        promises: Which to check, of `PROMISES`.

    Raises:
        AssertionError: At the first promise that is broken, saying how to mend it.
        TypeError: If ``method`` makes no method, or cannot be copied.
        ValueError: If two methods that it makes share a net, there is no such promise, ``steps`` is
            below 1 or the data are off.

    Example:
        >>> import torch
        >>> from ebmlearn import ScoreMatching, nets
        >>> check_method(lambda: ScoreMatching(nets.MLPEnergy(2, (8,))), torch.randn(64, 2))
    """
    unknown = sorted(set(promises) - set(PROMISES))
    if unknown:
        raise ValueError(f"there is no promise {unknown[0]!r}; there are {', '.join(PROMISES)}")
    if steps < 1:
        raise ValueError(f"steps is {steps}; expected at least 1")
    trial = Trial(method, data, steps, batch_size)
    with random.kept():
        first, second = trial.make(), trial.make()
        shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
        names = [name for name, p in first.named_parameters() if id(p) in shared]
        if names:
            raise ValueError(
                f"two methods that were made share {_step.listed(names)}; make the nets inside of the "
                "function, so that each try begins anew: lambda: MyMethod(MLPEnergy(2))"
            )
        for promise in _FUNCTIONS:
            if promise.__name__ in promises and (fault := promise(trial)):
                broken = f"{type(first).__name__} breaks a promise ({promise.__name__})"
                raise AssertionError(f"{broken}: {promise.__doc__}. {fault}")
