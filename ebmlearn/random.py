"""Random numbers: the seed, the state of every generator, and an order of data that a checkpoint can hold."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebmlearn import check


def seed(value: int) -> torch.Generator:
    """Seed Python, numpy and torch; call it at the top of a script or chapter.

    The environment variable ``EBMLEARN_SEED_OFFSET``, an integer, is added to every seed. So the checks of a
    script or chapter can be run with other random numbers, without a change of its text.

    Args:
        value: The seed; with the offset in 0 … 2³² - 1.

    Returns:
        A torch generator with the same seed, for functions that take ``generator=``.

    Raises:
        ValueError: If ``EBMLEARN_SEED_OFFSET`` is no integer, or the sum is out of range.
    """
    value = check.count("the seed", value, -(2**32))
    offset = os.environ.get("EBMLEARN_SEED_OFFSET", "0")
    try:
        value += int(offset)
    except ValueError:
        raise ValueError(
            f"EBMLEARN_SEED_OFFSET is {offset!r}; expected an integer, or leave it unset"
        ) from None
    if not 0 <= value < 2**32:
        raise ValueError(f"the seed is {value}, EBMLEARN_SEED_OFFSET included; expected 0 to 2**32 - 1")
    random.seed(value)
    np.random.seed(value)
    torch.manual_seed(value)
    return torch.Generator().manual_seed(value)


def state() -> dict[str, Any]:
    """State of every random generator that training may use: torch (all devices), numpy and Python."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest),
        "python": random.getstate(),
    }


def restore(state: dict[str, Any]) -> None:
    """Bring every generator back to where it was when `state` was called."""
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    random.setstate(state["python"])


@contextmanager
def kept(value: int | None = None) -> Iterator[None]:
    """Whatever is drawn in here, afterwards every random generator is as it was.

    Args:
        value: Seed of the random numbers in here; None: they go on where they are.
    """
    before = state()
    try:
        if value is not None:
            seed(value)
        yield
    finally:
        restore(before)


def diversify(rank: int, step: int) -> None:
    """Random numbers that belong to the seed, this rank and a step alone, for torch, numpy and Python."""
    key = np.random.SeedSequence([torch.initial_seed(), rank, step])
    value = int(key.generate_state(1, np.uint64)[0])
    torch.manual_seed(value)
    np.random.seed(value % 2**32)
    random.seed(value)


def is_generator(value: Any) -> bool:
    """Whether it is a generator of torch, numpy or Python, whose state `generator_state` can tell."""
    return isinstance(value, torch.Generator | np.random.Generator | np.random.RandomState | random.Random)


def generator_state(generator: Any) -> Any:
    """The state of a generator, in what a checkpoint can hold."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, np.random.Generator):
        return _plain(generator.bit_generator.state)
    return _plain(generator.get_state(legacy=False))


def restore_generator(generator: Any, state: Any) -> None:
    """Bring a generator to where another one was when `generator_state` was called."""
    if isinstance(generator, torch.Generator):
        generator.set_state(state.cpu())
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _arrays(state)
    else:
        generator.set_state(_arrays(state))


def diversify_generator(generator: Any, rank: int, step: int) -> None:
    """Give a generator numbers that belong to where it is, this rank and a step alone."""
    if isinstance(generator, torch.Generator):
        drawn = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    elif isinstance(generator, random.Random):
        drawn = generator.getrandbits(62)
    else:
        drawn = int.from_bytes(generator.bytes(7), "big")
    value = int(np.random.SeedSequence([drawn, rank, step]).generate_state(1)[0])
    if isinstance(generator, torch.Generator):
        generator.manual_seed(value)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = type(generator.bit_generator)(value).state
    else:
        generator.seed(value)


def _plain(value: Any) -> Any:
    """Arrays in a numpy state as tensors: a checkpoint holds no arrays."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return (
        torch.from_numpy(value.astype(np.uint64).view(np.int64)) if isinstance(value, np.ndarray) else value
    )


def _arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _arrays(v) for k, v in value.items()}
    return value.cpu().numpy().view(np.uint64) if isinstance(value, Tensor) else value


class ShuffledIndex(nn.Module):
    """Indices ``0 … size-1`` in an order shuffled anew for each pass; a checkpoint holds order and position.

    Args:
        size: Number of items, >= 1.
    """

    order: Tensor
    position: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        check.count("size", size)
        self.register_buffer("order", torch.randperm(size))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def draw(self, n: int) -> Tensor:
        """The next ``n`` indices, all different; a remainder shorter than ``n`` is left out of the pass.

        Raises:
            ValueError: If ``n`` is larger than the number of items.
        """
        order, position = self.order, self.position
        size = order.shape[0]
        if check.count("n", n, 0) == 0 or n > size:
            raise ValueError(
                f"cannot draw {n} different items out of {size}; use a smaller batch or more items"
            )
        start = int(position)
        if start + n > size:
            order.copy_(torch.randperm(size))
            start = 0
        position.fill_(start + n)
        return order[start : start + n].clone()
