"""Sources of batches: each gives this rank's share of one batch after another, and can go on bit for bit."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate

from ebmlearn import random
from ebmlearn.random import ShuffledIndex
from ebmlearn.train.batch import Batch, each, parts, tensors
from ebmlearn.train.checks import check, check_length
from ebmlearn.train.ranks import Ranks


class Source(ABC):
    """Abstract: batches of one kind of data.

    Args:
        name: What messages call it.
        size: Elements in a batch, over all ranks.
        ranks: Who shares it.
        dtypes: The floating dtypes that the method computes in; empty: any.

    Attributes:
        batch_size: Elements in a batch, or a tuple of them, one for each stream.
        example: Something with the structure of a batch where it is known before the first one; else None.
    """

    batch_size: int | tuple[int, ...]
    example: Any = None

    def __init__(self, name: str, size: int, ranks: Ranks, dtypes: frozenset[torch.dtype]) -> None:
        self.name, self.ranks, self.dtypes = name, ranks, dtypes
        self.size = self.batch_size = size
        self.share = size // ranks.n

    @abstractmethod
    def draw(self) -> Batch:
        """This rank's share of the next batch.

        Raises:
            TypeError: If there is anything but tensors in it.
            ValueError: If it is of another length than it should be, or off in another way.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Where in its order it is."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another was."""


class Shuffled(Source):
    """Data with a length, in an order shuffled anew for each pass; on n ranks each has every n-th datum.

    Args:
        data: Tensors of equal length, which are checked here, or a ``Dataset``, whose batches are.
        name, size, ranks, dtypes: As of `Source`.
    """

    def __init__(
        self, data: Batch | Dataset, name: str, size: int, ranks: Ranks, dtypes: frozenset[torch.dtype]
    ) -> None:
        super().__init__(name, size, ranks, dtypes)
        self.data = data
        if isinstance(data, Dataset):
            if isinstance(data, IterableDataset) or not hasattr(data, "__len__"):
                raise TypeError(
                    f"{name} is a {type(data).__name__}, which has no length, so that fit cannot shuffle it; "
                    "put it into a DataLoader, which has an order of its own"
                )
            n = len(data)
        else:
            check(data, name, dtypes)
            self.example, n = data, len(next(parts(data))[1])
        if size > n // ranks.n * ranks.n:
            raise ValueError(f"batch_size is {size}, but there are {n} data; use a smaller batch")
        self.index = ShuffledIndex(len(range(ranks.rank, n, ranks.n)))
        self.generators = generators(data) if isinstance(data, Dataset) else []

    def draw(self) -> Batch:
        rows = self.index.draw(self.share)
        if self.ranks.n > 1:
            rows = rows * self.ranks.n + self.ranks.rank
        if not isinstance(self.data, Dataset):
            # the same as x[rows], for images in a fifth of the time
            return each(lambda x: x.index_select(0, rows.to(x.device)), self.data)
        batch = untied(default_collate([self.data[i] for i in rows.tolist()]), self.name)
        check(batch, self.name, self.dtypes, rows)
        return batch

    def state_dict(self) -> dict[str, Any]:
        states = [random.generator_state(g) for g in self.generators]
        return {**self.index.state_dict(), **({"generators": states} if states else {})}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.index.load_state_dict({k: v for k, v in state.items() if k != "generators"})
        for generator, saved in zip(self.generators, state.get("generators", []), strict=True):
            random.restore_generator(generator, saved)


class Function(Source):
    """A function of the number of elements, for infinite data; each rank asks it for its share.

    Args:
        data: The function.
        name, size, ranks, dtypes: As of `Source`.
    """

    def __init__(
        self,
        data: Callable[[int], Batch],
        name: str,
        size: int,
        ranks: Ranks,
        dtypes: frozenset[torch.dtype],
    ) -> None:
        super().__init__(f"{name}({size // ranks.n})", size, ranks, dtypes)
        self.data = data

    def draw(self) -> Batch:
        batch = tensors(self.data(self.share), self.name)
        check_length(batch, self.share, self.name, "The function is given the number of elements to return")
        check(batch, self.name, self.dtypes)
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Nothing: where it is, the random numbers know, its own among them, which the run saves."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Streams(Source):
    """Several sources side by side, such as few labelled and many unlabelled images, each in its own order.

    Args:
        sources: The sources.
    """

    def __init__(self, sources: list[Source]) -> None:
        first = sources[0]
        super().__init__(first.name, sum(source.size for source in sources), first.ranks, first.dtypes)
        self.sources, self.batch_size = sources, tuple(source.size for source in sources)
        self.example = tuple(source.example for source in sources)

    def draw(self) -> Batch:
        return tuple(source.draw() for source in self.sources)

    def state_dict(self) -> dict[str, Any]:
        return {str(i): source.state_dict() for i, source in enumerate(self.sources)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for i, source in enumerate(self.sources):
            source.load_state_dict(state[str(i)])


def generators(value: Any, depth: int = 3) -> list[Any]:
    """The random generators that a data set holds, once each, also in the data sets that it is made of."""
    if random.is_generator(value):
        return [value]
    inner: Any = vars(value).values() if hasattr(value, "__dict__") and not isinstance(value, Tensor) else ()
    if isinstance(value, list | tuple) and len(value) < 1000:
        inner = value
    found = [g for item in inner for g in generators(item, depth - 1)] if depth else []
    return list({id(g): g for g in found}.values())


def untied(batch: Any, name: str) -> Batch:
    """A batch of collated items with tuples for its lists.

    Raises:
        TypeError: If there is anything but tensors in it.
    """

    def plain(value: Any) -> Any:
        return tuple(map(plain, value)) if isinstance(value, list | tuple) else value

    return tensors(plain(batch), f"a batch of {name}")
