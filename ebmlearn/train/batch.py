"""What a batch is: a tensor or a tuple of tensors, its parts by name, and what a method takes of them."""

import inspect
from collections.abc import Callable, Iterator
from types import UnionType
from typing import Any, TypeAlias, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor

Batch: TypeAlias = Tensor | tuple["Batch", ...]


def parts(batch: Batch, name: str = "data") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a batch, each with its name: ``data``, or ``data[0]`` and so on."""
    if isinstance(batch, Tensor):
        yield name, batch
    else:
        for i, part in enumerate(batch):
            yield from parts(part, f"{name}[{i}]")


def each(function: Callable[[Tensor], Tensor], batch: Batch) -> Batch:
    """The batch of a function's results."""
    if isinstance(batch, Tensor):
        return function(batch)
    return tuple(each(function, part) for part in batch)


def spell(batch: Any) -> str:
    """What a batch is made of, for a message."""
    if isinstance(batch, Tensor):
        return f"{str(batch.dtype).removeprefix('torch.')} {tuple(batch.shape)}"
    if isinstance(batch, tuple):
        return f"({', '.join(map(spell, batch))}{',' * (len(batch) == 1)})"
    return f"a {type(batch).__name__}"


def tensors(values: Any, name: str = "data") -> Batch:
    """Tensors as they are, arrays as tensors, tuples of them as plain tuples.

    Raises:
        TypeError: If there is anything else.
        ValueError: If a tuple is empty.
    """
    if isinstance(values, Tensor):
        return values
    if isinstance(values, tuple):
        if not values:
            raise ValueError(f"{name} is an empty tuple; expected tensors of equal length")
        return tuple(tensors(value, f"{name}[{i}]") for i, value in enumerate(values))
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "biufc":
            raise TypeError(f"{name} is an array of dtype {values.dtype}; expected numbers")
        # a view where torch can have one: neither read-only memory nor steps backwards
        plain = values.flags.writeable and min(values.strides, default=0) >= 0 and values.dtype.isnative
        return torch.from_numpy(values if plain else np.array(values, dtype=values.dtype.newbyteorder("=")))
    raise unknown(values, name, "a tensor or a tuple of tensors")


def unknown(values: Any, name: str, expected: str) -> TypeError:
    """The error for what is of another kind than expected."""
    advice = "; a list becomes a tensor by torch.as_tensor(...)" if isinstance(values, list) else ""
    return TypeError(f"{name} is a {type(values).__name__}; expected {expected}{advice}")


def kind_of(method: Any) -> Any:
    """What a method's ``step`` says that it takes: the annotation of its first argument; ``Any`` without."""
    step = type(method).step
    try:
        hints = get_type_hints(step)
    except (NameError, TypeError):  # an annotation in quotes whose names are not there at run time
        return Any
    names = [name for name in inspect.signature(step).parameters if name != "self"]
    return hints.get(names[0], Any) if names else Any


def check_kind(batch: Batch | None, method: Any, kind: Any) -> None:
    """Refuse a tuple where ``step`` wants a tensor, and the reverse. None stands for what is not known yet.

    Raises:
        TypeError: Saying what the method takes, and what the data are.
    """
    if not _fits(batch, kind):
        raise TypeError(
            f"a step of {type(method).__name__} takes {_spell_kind(kind)}, but the data give {spell(batch)}. "
            "Give fit just what it takes: data.x for images without their labels, (x, y) with them"
        )


def _fits(batch: Batch | None, kind: Any) -> bool:
    if batch is None:
        return True
    if kind is Tensor:
        return isinstance(batch, Tensor)
    if isinstance(kind, UnionType):
        return any(_fits(batch, one) for one in get_args(kind))
    if get_origin(kind) is not tuple:
        return True
    kinds = get_args(kind)
    if isinstance(batch, Tensor):
        return False
    if Ellipsis in kinds:
        return all(_fits(part, kinds[0]) for part in batch)
    return len(batch) == len(kinds) and all(map(_fits, batch, kinds))


def _spell_kind(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(map(_spell_kind, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"({', '.join('...' if k is Ellipsis else _spell_kind(k) for k in get_args(kind))})"
    return "a tensor" if kind is Tensor else "a batch"
