"""What the compiler of chains is told about small nets; on a CPU only.

Each rule replaces an operation of torch by others that mean the same to rounding and cost less in a chain:

- a product of matrices with an inner or outer size of at most `NARROW` becomes sums by element, because
  these merge with their neighbours into one loop, and a library takes for two columns nearly half of the
  time of 128;
- a bias is added after the product, again because that merges;
- ``silu(x)`` is ``x sigmoid(x)``, because its derivative contains the same sigmoid, which is computed once.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten

NARROW = 4
"""Largest size of a product that is written out."""


def backend(graph: Any, inputs: Sequence[Any]) -> Any:
    """Compile a graph by these rules: a backend of ``torch.compile``."""
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.decomposition import select_decomp_table

    if any(isinstance(x, Tensor) and x.device.type != "cpu" for x in inputs):
        return compile_fx(graph, inputs)
    table = dict(select_decomp_table())
    for operation, rule in ((aten.silu, _silu), (aten.mm, _mm), (aten.addmm, _addmm)):
        table[operation.default] = _unless_half(rule, table.get(operation.default))
    # A product and a sum in one instruction; operations called from C++, since Python costs a small net much.
    options = {"cpp.enable_floating_point_contract_flag": "fast", "cpp_wrapper": True}
    return compile_fx(graph, inputs, decompositions=table, config_patches=options)


def _unless_half(rule: Callable[..., Any], other: Callable[..., Any] | None) -> Callable[..., Any]:
    """The rule where it applies, else what the compiler does by itself. Numbers of 16 bits are left alone."""

    def choose(*args: Any, **kwargs: Any) -> Any:
        found = NotImplemented
        if args[0].dtype in (torch.float32, torch.float64):
            found = rule(*args, **kwargs)
        return other(*args, **kwargs) if found is NotImplemented and other is not None else found

    return choose


def _silu(x: Tensor) -> Tensor:
    return x * aten.sigmoid(x)


def _mm(a: Tensor, b: Tensor) -> Any:
    if a.shape[1] <= NARROW:
        rows = _stored(b)
        return sum((a[:, i, None] * rows[i] for i in range(1, len(rows))), a[:, 0, None] * rows[0])
    if b.shape[1] <= NARROW:
        return torch.stack([(a * column).sum(1) for column in _stored(b.t())], 1)
    return NotImplemented


def _addmm(c: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    if beta != 1 or alpha != 1:
        return NotImplemented
    product = _mm(a, b)
    # minus -c, because the compiler would make one call of a product and a sum again
    return aten.mm(a, b) - (-c) if product is NotImplemented else product + c


def _stored(x: Tensor) -> Tensor:
    """A copy row by row in memory: a view of it forces the compiler to make it once, and not at each use."""
    return torch.as_strided(x.clone(memory_format=torch.contiguous_format), x.shape, (x.shape[1], 1))
