"""What `ebmlearn.train.fit` takes as data, who makes batches of it, and what identifies it."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ebmlearn.train.batch import Batch, tensors, unknown
from ebmlearn.train.describe import checksum
from ebmlearn.train.loader import Loader
from ebmlearn.train.ranks import Ranks
from ebmlearn.train.sources import Function, Shuffled, Source, Streams

Data: TypeAlias = Tensor | np.ndarray | Dataset | DataLoader | Callable[[int], Batch] | tuple["Data", ...]
BatchSize: TypeAlias = int | tuple[int | None, ...] | None

_KINDS = (
    "a tensor, a numpy array, a tuple of them, a function of the number of elements, or a torch.utils.data."
    "Dataset or DataLoader"
)


def source(
    data: Any,
    batch_size: BatchSize,
    ranks: Ranks,
    dtypes: frozenset[torch.dtype] = frozenset(),
    name: str = "data",
) -> Source:
    """The source of the batches of some data.

    Args:
        data: What `ebmlearn.train.fit` takes.
        batch_size: Elements in a batch, over all ranks; a tuple of them where data is a tuple of streams;
            None: 128, or that of a ``DataLoader``.
        ranks: Who shares it.
        dtypes: The floating dtypes that the method computes in; empty: any.
        name: What messages call it.

    Raises:
        TypeError: If the data are of no kind that is known.
        ValueError: If they are off, or the size of a batch is.
    """
    if isinstance(batch_size, tuple):
        found = f"a tuple of {len(data)}" if isinstance(data, tuple) else f"a {type(data).__name__}"
        if not batch_size or not isinstance(data, tuple) or len(data) != len(batch_size):
            raise ValueError(
                f"batch_size is {batch_size}, a number for each stream, but {name} is {found}; expected a "
                "tuple of as many"
            )
        pairs = enumerate(zip(data, batch_size, strict=True))
        return Streams([source(part, n, ranks, dtypes, f"{name}[{i}]") for i, (part, n) in pairs])
    size = batch_size
    if size is None:
        size = data.batch_size if isinstance(data, DataLoader) else 128
    if size is None:
        raise ValueError(
            f"{name} is a DataLoader with a batch_sampler; say how large its batches are: batch_size="
        )
    if not isinstance(size, int) or size < 1:
        raise ValueError(
            f"batch_size is {size!r}; expected a whole number >= 1, or a tuple for as many streams"
        )
    if size % ranks.n:
        raise ValueError(
            f"batch_size is {size}, which {ranks.n} ranks cannot share; take a multiple of {ranks.n}"
        )
    rest = (name, size, ranks, dtypes)
    if isinstance(data, DataLoader):
        return Loader(data, *rest)
    if isinstance(data, TensorDataset):
        return Shuffled(data.tensors, *rest)
    if isinstance(data, Tensor | np.ndarray | tuple):
        return Shuffled(tensors(data, name), *rest)
    if isinstance(data, Dataset):
        return Shuffled(data, *rest)
    if callable(data):
        return Function(data, *rest)
    raise unknown(data, name, _KINDS)


def fingerprint(data: Any) -> str:
    """What identifies data, as text: a run goes on only where it is the same.

    Of tensors it is shape, dtype and checksum. Of a ``Dataset`` it is its class and length alone, since its
    items may be random; of a ``DataLoader`` that and the sampler's class; of a function, see ``functions``.
    """
    if isinstance(data, Tensor | np.ndarray):
        x = tensors(data)
        assert isinstance(x, Tensor)
        return f"{tuple(x.shape)} {x.dtype}, sha256 {checksum(x)[:16]}"
    if isinstance(data, tuple):
        return f"({'; '.join(map(fingerprint, data))})"
    if isinstance(data, TensorDataset):
        return fingerprint(data.tensors)
    if isinstance(data, DataLoader):
        return f"DataLoader of {fingerprint(data.dataset)}, {type(data.sampler).__name__}"
    if isinstance(data, Dataset):
        length = f", {len(data)} items" if hasattr(data, "__len__") else ""
        return f"{type(data).__name__}{length}"
    return "a function"


def functions(data: Any, name: str = "data") -> dict[str, Callable[[int], Batch]]:
    """The functions among data, by the names that messages call them."""
    if isinstance(data, tuple):
        return {k: f for i, part in enumerate(data) for k, f in functions(part, f"{name}[{i}]").items()}
    known = isinstance(data, Tensor | np.ndarray | Dataset | DataLoader)
    return {name: data} if callable(data) and not known else {}
