"""What the processes of one training run do together. With one process nothing of it happens.

Each process, or rank, trains on its own share of the batch, with its own random numbers and chains; weights
are equal on all, because gradients are averaged. Whatever decides how a rank goes on must be agreed: ranks
that take different branches wait for each other for ever.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ebmlearn import random
from ebmlearn.random import ShuffledIndex
from ebmlearn.train.waiting import Waiting

T = TypeVar("T")


class RankLost(RuntimeError):
    """Another rank of the run has failed, or cannot be reached."""


_waiting: Waiting | None = None


@contextmanager
def _reached(accelerator: Any) -> Iterator[None]:
    global _waiting
    if _waiting is None:
        handler = getattr(accelerator, "init_handler", None)
        limit = None if handler is None else handler.timeout.total_seconds()
        _waiting = Waiting(accelerator.process_index, accelerator.num_processes, limit)
        _waiting.start()
    _waiting.begin()
    try:
        yield
        if accelerator.device.type == "cuda":  # NCCL only queues an exchange: wait for it where it is watched
            torch.cuda.current_stream().synchronize()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # what gloo and NCCL raise has no class of its own
        raise RankLost(_waiting.verdict()) from error
    finally:
        _waiting.since = None


def _greet(accelerator: Any, failed: bool = False) -> None:
    """What every exchange begins with, always of the same size: so a rank that fails can tell the others, who
    are waiting for it, without knowing what they are about to exchange."""
    with _reached(accelerator):
        failures = accelerator.reduce(torch.tensor(float(failed), device=accelerator.device), reduction="sum")
    if failures > 0 and not failed:
        raise RankLost("another rank has failed; its own message says why")


def mean(value: Tensor, accelerator: Any) -> Tensor:
    """The mean of a tensor over all ranks; the tensor itself where there is one.

    Args:
        value: Any shape, the same on all ranks.
        accelerator: An ``accelerate.Accelerator``, or None for one rank.

    Raises:
        RankLost: If another rank has failed or ended.
    """
    return _exchanged(value, accelerator, lambda: accelerator.reduce(value, reduction="mean"))


def gather(value: Tensor, accelerator: Any) -> Tensor:
    """The rows of all ranks one after the other, those of rank 0 first; the tensor itself where there is one.

    Args:
        value: Shape ``(B, ...)``, the same on all ranks.
        accelerator: An ``accelerate.Accelerator``, or None for one rank.

    Raises:
        RankLost: If another rank has failed or ended.
    """
    return _exchanged(value, accelerator, lambda: accelerator.gather(value))


def _exchanged(value: Tensor, accelerator: Any, exchange: Callable[[], Tensor]) -> Tensor:
    """What an exchange gives, which all ranks enter; the tensor itself where there is one rank."""
    if accelerator is None or accelerator.num_processes == 1:
        return value
    _greet(accelerator)
    with _reached(accelerator):
        return exchange()


class Ranks:
    """The ranks of a run, seen from this one.

    Args:
        accelerator: An ``accelerate.Accelerator``, or None for one rank.

    Attributes:
        n: How many there are.
        rank: Which this is, in 0 … n-1.
        main: Whether this is rank 0, which writes and shows what concerns all.
    """

    def __init__(self, accelerator: Any = None) -> None:
        self.accelerator = accelerator
        self.n: int = 1 if accelerator is None else accelerator.num_processes
        self.rank: int = 0 if accelerator is None else accelerator.process_index
        self.main = self.rank == 0

    def place(self, method: nn.Module) -> None:
        """Put a method on this rank's device. With several ranks it gets rank 0's weights and buffers, and
        each rank its own random numbers."""
        if self.accelerator is None:
            return
        method.to(self.accelerator.device)
        method.accelerator = self.accelerator
        if self.n > 1:
            with _reached(self.accelerator):
                for value in [*method.parameters(), *method.buffers()]:
                    torch.distributed.broadcast(value.data, src=0)
            self.diversify(method, 0)

    def diversify(
        self, method: nn.Module, step: int, generators: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Give torch, numpy, Python and the user's generators random numbers that belong to the seed, this
        rank and a step alone, and begin a new pass over persistent chains: they are the same on all ranks,
        but need not meet."""
        random.diversify(self.rank, step)
        for generator in generators.values():
            random.diversify_generator(generator, self.rank, step)
        for index in method.modules():
            if isinstance(index, ShuffledIndex):
                index.position.fill_(len(index.order))  # the next draw begins a pass

    def average(self, metrics: dict[str, Tensor], stop: bool) -> tuple[dict[str, Tensor], bool]:
        """The means of scalar metrics over all ranks and whether any of them wants to stop, in one
        reduction."""
        if self.n == 1:
            return metrics, stop
        packed = torch.tensor([stop, *(value.item() for value in metrics.values())], dtype=torch.float64)
        wish, *values = mean(packed.to(self.accelerator.device), self.accelerator).cpu()
        kinds = [torch.promote_types(value.dtype, torch.float32) for value in metrics.values()]
        means = [value.to(kind) for value, kind in zip(values, kinds, strict=True)]
        return dict(zip(metrics, means, strict=True)), bool(wish > 0)

    def together(self, function: Callable[[], T]) -> T:
        """Call a function on every rank; what it raises on one, all raise."""
        if self.n == 1:
            return function()
        from accelerate.utils import gather_object

        try:
            result, error = function(), None
        except Exception as raised:
            error = raised
        _greet(self.accelerator)
        with _reached(self.accelerator):
            errors = gather_object([error])
        for wrong in (error, *errors):  # its own has the better traceback
            if wrong is not None:
                raise wrong
        return result

    def on_main(self, function: Callable[[], T]) -> T:
        """Call a function on rank 0 only; all get its result, or raise what it raises."""
        result = self.together(lambda: function() if self.main else None)
        if self.n > 1:
            from accelerate.utils import broadcast_object_list

            with _reached(self.accelerator):
                result = broadcast_object_list([result])[0]
        return result  # type: ignore[return-value]

    def main_first(self, function: Callable[[], T]) -> T:
        """Call a function on rank 0 and then on the others, which find what it left in a cache."""
        result = self.together(lambda: function() if self.main else None)
        return function() if result is None else result

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For work that may fail on this rank only: the others then raise `RankLost` when they need it."""
        try:
            yield
        except RankLost:
            raise
        except BaseException as error:
            if self.n > 1:  # show it now: the launcher may end this process before Python does
                print(
                    f"rank {self.rank} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True
                )
                with suppress(RankLost):
                    _greet(self.accelerator, failed=True)
            raise
