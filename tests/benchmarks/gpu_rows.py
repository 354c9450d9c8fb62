"""What the parts of ``make gpu`` share: rows that come one by one, and the same noise on both devices."""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

ROOT = Path(__file__).parents[2]
TINY = 3
"""Repeats, steps and the like of a rehearsal."""

Row = dict[str, Any]
Rows = Iterator[Row]


def each(names: Iterable[str], row: Callable[[str], Row]) -> Rows:
    """A row for each name; one that fails is a row too, with its ``error``, and the rest goes on."""
    for name in names:
        try:
            found = {"name": name, **row(name)}
        except Exception as error:
            message = (str(error).splitlines() or [""])[0]
            found = {"name": name, "error": f"{type(error).__name__}: {message}"}
        print(found, flush=True)
        yield found


def held(apart: dict[str, float], limits: dict[str, float]) -> Row:
    """The fields of a row that says how far things are apart, with an ``error`` where that is too far."""
    wrong = [f"{key} is {apart[key]:.2g}, expected at most {limits[key]:g}" for key in apart]
    wrong = [text for text, key in zip(wrong, apart, strict=True) if not apart[key] <= limits[key]]
    return {**apart, **({"error": "; ".join(wrong)} if wrong else {})}


def distance(here: Tensor, there: Tensor, start: Tensor) -> float:
    """How far two ends are apart, relative to the way to the first one."""
    here, there, start = (x.detach().cpu().double() for x in (here, there, start))
    return ((here - there).norm() / (here - start).norm()).item()


def wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def tables() -> tuple[dict[str, Any], dict[str, Any]]:
    """The samplers and the methods that the tests run over."""
    sys.path.insert(0, str(ROOT / "tests" / "cases"))
    return importlib.import_module("samplers").SAMPLERS, importlib.import_module("methods").METHODS


def to_cpu(x: Tensor) -> Tensor:
    return x.cpu()


class SameNoise(TorchDispatchMode):
    """Draws on the CPU whatever is drawn in here, so that each device sees the same random numbers."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        tensors = [a for a in args if isinstance(a, Tensor)]
        device = tensors[0].device if tensors else kwargs.get("device", "cpu")
        here, there = tree_map_only(Tensor, to_cpu, (args, kwargs))
        drawn = func(*here, **({**there, "device": "cpu"} if there.get("device") else there))
        return args[0].copy_(drawn) if func._schema.name.endswith("_") else drawn.to(device)


class Waits(TorchDispatchMode):
    """Counts what makes the CPU wait for a GPU: numbers that Python reads, shapes that depend on values."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique2", "equal", "is_nonzero")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func._schema.name.removeprefix("aten::") in self.READS
        return func(*args, **(kwargs or {}))
