"""What nothing can be learned from, refused with its name: arguments of `ebmlearn.train.fit`, and data."""

import cmath
from typing import Any

import torch
from torch import Tensor

from ebmlearn.train.batch import Batch, parts
from ebmlearn.train.method import Method


def require_method(method: Any) -> None:
    """Refuse what is no method, or has nothing to learn.

    Raises:
        TypeError, ValueError: Saying what it is.
    """
    if not isinstance(method, Method):
        name = getattr(method, "__name__", type(method).__name__)
        raise TypeError(
            f"fit got {name}, which is no method; expected one, such as MaximumLikelihood(energy, ...), or a "
            "subclass of ebmlearn.Method"
        )
    if next(method.parameters(), None) is None:
        raise ValueError(
            f"{type(method).__name__} has no parameters to learn: its __init__ must set its nets as "
            "attributes (self.energy = energy), lists of them as an nn.ModuleList"
        )


def check(batch: Batch, name: str, dtypes: frozenset[torch.dtype], rows: Tensor | None = None) -> None:
    """Refuse what no method can learn from.

    Args:
        batch: All data, or a batch.
        name: What messages call it.
        dtypes: The floating dtypes that the method computes in; values of others are refused. Integers pass,
            since they may be labels, rows or tokens.
        rows: Where in the data set its rows are from; None: it is the data set.

    Raises:
        ValueError: Naming the tensor.
    """
    named = list(parts(batch, name))
    for part, x in named:
        if x.ndim == 0 or not x.shape[0]:
            raise ValueError(f"{part} has shape {tuple(x.shape)}; expected (N, *event) with N >= 1")
        if x.requires_grad:
            raise ValueError(f"{part} requires a gradient, which data must not: use {part}.detach()")
        if x.is_floating_point() and dtypes and x.dtype not in dtypes:
            has, wants = (str(d).removeprefix("torch.") for d in (x.dtype, min(dtypes, key=str)))
            remedy = {"float32": ".float()", "float64": ".double()"}.get(wants, f".to(torch.{wants})")
            raise ValueError(
                f"{part} is {has}, but the weights of the method are {wants}; use {part}{remedy}"
            )
        if x.dtype == torch.uint8 and x.ndim == 4:
            raise ValueError(
                f"{part} is uint8 of shape {tuple(x.shape)}, as raw images are; expected values in [-1, 1], "
                f"{part}.float() / 127.5 - 1"
            )
    lengths = {part: x.shape[0] for part, x in named}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{part} has {length}" for part, length in lengths.items())
        raise ValueError(
            f"the tensors of {name} differ in length: {found}. Expected a row of each for every datum. "
            "Several streams of data, each in its own order, take a batch_size each: batch_size=(10, 90)"
        )
    for part, x in named:
        if not finite(x):
            bad = (~x.isfinite().reshape(len(x), -1).all(1)).nonzero().flatten().cpu()
            first = int(bad[0]) if rows is None else int(rows[bad[0]])
            raise ValueError(
                f"{len(bad)} of {len(x)} rows of {part} are not finite, the first at index {first}; "
                "remove or mend them"
            )


def finite(x: Tensor) -> bool:
    """Whether all values are finite. One sum tells, and makes no tensor as large as the data: a value that is
    not finite makes it so. If the sum of finite values overflows, each is looked at."""
    if not (x.is_floating_point() or x.is_complex()):
        return True
    return cmath.isfinite(x.sum().item()) or bool(x.isfinite().all())


def check_length(batch: Batch, n: int, name: str, advice: str) -> None:
    """Refuse a batch of another length than was asked for.

    Raises:
        ValueError: Naming the tensor.
    """
    for part, x in parts(batch, name):
        if x.ndim == 0 or x.shape[0] != n:
            raise ValueError(f"{part} has shape {tuple(x.shape)}; expected {n} rows. {advice}")
