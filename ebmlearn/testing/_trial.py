"""What is tried: fresh methods, batches, and all that training changes."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebmlearn import random
from ebmlearn.train import Batch, Data, Method
from ebmlearn.train.data import source
from ebmlearn.train.ranks import Ranks

SEED = 0


@dataclass(frozen=True)
class Trial:
    """A method and what it learns from.

    Args:
        origin: Makes the method, or is one in its initial state.
        data: What `ebmlearn.train.fit` takes.
        steps: Iterations in which every optimiser has a turn.
        batch_size: Elements in a batch.
    """

    origin: Callable[[], Method] | Method
    data: Data
    steps: int
    batch_size: int

    def make(self) -> Method:
        """A fresh method, always the same one, whatever was drawn before.

        Raises:
            TypeError: If there is none, or a method cannot be copied.
        """
        random.seed(SEED)
        if isinstance(self.origin, Method):
            try:
                return copy.deepcopy(self.origin)
            except Exception as error:
                raise TypeError(
                    f"{type(self.origin).__name__} cannot be copied ({error}); pass a function that "
                    "makes it: check_method(lambda: MyMethod(...), data)"
                ) from error
        method = self.origin()
        if not isinstance(method, Method):
            raise TypeError(
                f"the function that makes the method returned a {type(method).__name__}; expected an "
                "ebmlearn.Method"
            )
        return method

    def batch(self) -> Batch:
        """A batch, the same each time as far as it is drawn from the global generators, which go on as if
        nothing had been drawn."""
        with random.kept(SEED):
            return source(self.data, self.batch_size, Ranks(None)).draw()


def changed(method: Method) -> dict[str, Tensor]:
    """All that training changes and a checkpoint holds, by name."""
    return dict(_flat(method.state_dict(), ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value.clone()
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _flat(part, f"{name}.{i}")
    elif isinstance(value, int | float):
        yield name, torch.tensor(float(value))


def unequal(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """Names whose tensors are not the same to the last bit, weights before the state of optimisers."""
    names = sorted(a | b, key=lambda name: name.startswith("_"))
    return [name for name in names if name not in a or name not in b or not torch.equal(a[name], b[name])]


def unsaved(a: nn.Module, b: nn.Module) -> list[str]:
    """Plain attributes of two methods, and of the modules in them, that are not alike: what no checkpoint
    brought from one to the other."""
    found = []
    others = dict(b.named_modules())
    for path, module in a.named_modules():
        other = vars(others.get(path, nn.Module()))
        for name, value in vars(module).items():
            bookkeeping = name.startswith("_") or name in ("updates", "optimizers", "training")
            if not bookkeeping and name in other and not _alike(value, other[name]):
                found.append(f"{path}.{name}" if path else name)
    return found


def _alike(a: Any, b: Any) -> bool:
    """Whether two values are the same; what is of no kind that is known here counts as the same."""
    if isinstance(a, Tensor | np.ndarray):
        return type(a) is type(b) and torch.equal(torch.as_tensor(a), torch.as_tensor(b))
    if isinstance(a, torch.Generator):
        return isinstance(b, torch.Generator) and torch.equal(a.get_state(), b.get_state())
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_alike(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(_alike, a, b))
    return not isinstance(a, bool | int | float | str) or a == b
