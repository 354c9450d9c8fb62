"""What a run depends on besides weights: settings to compare, generators to save, and what can be neither.

A method, its modules, the functions and objects that it holds, and a data function are walked through by
name. Plain values, containers of them, functions and tensors that nothing saves become text: a run goes on
only where the text is the same, and stops where it changes in training, because no checkpoint holds it.
"""

import io
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ebmlearn import random
from ebmlearn.sample import Chain
from ebmlearn.train.describe import checksum, describe, function, short, used_globals

_OF_TORCH = {*vars(nn.Module()), "scratch"}
_OF_METHOD = {"optimizers", "lr_schedules", "updates", "_followed", "accelerator"}
_SCALARS = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, np.generic, range)
_LARGE, _DEEP = 10**6, 12


class State:
    """What a method or a data function depends on besides weights, by dotted names.

    A class names in ``scratch`` the attributes that nothing depends on, such as notes: they are left out.

    Args:
        root: The method or the function.
        name: What messages call it; empty for a method, whose attributes have names of their own.
        known: A method whose modules are in checkpoints anyway.
        refuse: Whether what can be neither saved nor compared is an error; else it is passed over.

    Attributes:
        texts: What identifies it.
        generators: The random generators that it holds, each once, whose states a checkpoint holds.

    Raises:
        ValueError: If it holds what can be neither saved nor compared, with its name and the remedy.
    """

    def __init__(
        self, root: Any, name: str = "", known: nn.Module | None = None, refuse: bool = True
    ) -> None:
        self.root, self.name, self.known, self.refuse = root, name, known, refuse
        self.texts, self.generators = self._walk(watched=False)
        self.before: dict[str, str] = {}

    def watch(self) -> None:
        """From now on `changed` tells what is not as it is now."""
        self.before, _ = self._walk(watched=True)

    def settings(self) -> dict[str, str]:
        """What identifies it, with what a method says itself."""
        return {**(self.root.settings() if not self.name else {}), **self.texts}

    def changed(self) -> dict[str, tuple[str, str]]:
        """What is not saved and has changed since `watch`: by name what it was and what it is."""
        now, _ = self._walk(watched=True)
        names = [k for k in self.before.keys() | now.keys() if self.before.get(k) != now.get(k)]
        return {k: (self.before.get(k, "absent"), now.get(k, "absent")) for k in sorted(names)}

    def _walk(self, watched: bool) -> tuple[dict[str, str], dict[str, Any]]:
        walk = _Walk(watched, self.known, self.refuse)
        if not self.name:
            walk.know(self.root)
            for path, module in self.root.named_modules():
                walk.module(path, module)
        else:
            walk.visit(self.name, self.root)
        return walk.texts, walk.generators


def unsaved(method: Any, changes: dict[str, tuple[str, str]], step: int, then: str) -> str:
    """What to say of changes that no checkpoint holds."""
    lines = [f"  {name}: {old} → {new}" for name, (old, new) in changes.items()]
    first = next(iter(changes))
    attribute = first.rpartition(".")[2].partition("[")[0]
    remedy = (
        f'Make it a buffer, self.register_buffer("{attribute}", torch.tensor(...)); or, if nothing depends '
        f'on it, say so in the class: scratch = ("{attribute}",)'
    )
    if first.startswith(("data.", "data[")):
        remedy = "Give fit a Dataset or a DataLoader, or a function that changes random generators only"
    return (
        f"by step {step} of {type(method).__name__} this has changed, which no checkpoint holds, so that a "
        "resumed run would end elsewhere:\n" + "\n".join(lines) + f"\n{then}{' ' if then else ''}{remedy}"
    )


class _Walk:
    """One walk; ``watched``: to see changes in this process, where large tensors need not be read."""

    def __init__(self, watched: bool, known: nn.Module | None, refuse: bool) -> None:
        self.watched, self.refuse = watched, refuse
        self.texts: dict[str, str] = {}
        self.generators: dict[str, Any] = {}
        self.seen: dict[int, Any] = {}  # holds them, so that no other gets their id
        self.names: dict[int, str] = {}  # under which each was first seen, if it is no part of the method
        self.own = ""  # the class and attribute of the method in which the walk is
        if known is not None:
            self.know(known)

    def know(self, method: nn.Module) -> None:
        """Modules, weights and buffers that are saved."""
        self.seen |= {
            id(x): x for m in method.modules() for x in (m, *m.parameters(False), *m.buffers(False))
        }

    def module(self, path: str, module: nn.Module, saved: bool = True) -> None:
        """The attributes of a module, and of its tensors those that are not saved."""
        buffers = {k: x for k, x in module._buffers.items() if k in module._non_persistent_buffers_set}
        tensors = buffers if saved else {**module._parameters, **module._buffers}
        self.texts |= {_join(path, k): self._tensor(x) for k, x in tensors.items() if x is not None}
        if type(module).__module__.startswith("torch."):
            return
        skipped = {*_OF_TORCH, *getattr(module, "scratch", ())}
        if hasattr(module, "add_optimizer"):
            skipped |= _OF_METHOD
        for key in [key for key in vars(module) if key not in skipped]:
            outer, self.own = self.own, f"{type(module).__name__}.{key}" if saved else self.own
            self.visit(_join(path, key), vars(module)[key], strict=saved)
            self.own = outer

    def visit(self, name: str, value: Any, strict: bool = False, depth: int = 0) -> None:
        """Enter a value; ``strict`` if it is an attribute of a saved module, or an item of one."""
        if isinstance(value, _SCALARS):
            self.texts[name] = short(repr(value))
        elif id(value) in self.seen:
            first = self.names.get(id(value))
            self.texts[name] = (
                f"the {type(value).__name__} of the method" if first is None else self.texts[first]
            )
        elif isinstance(value, Tensor | np.ndarray):
            if strict and self.refuse:
                raise self._unsaved(name, value)
            self.texts[name] = self._tensor(value)
        elif isinstance(value, type | ModuleType | BuiltinFunctionType) or depth > _DEEP:
            self.texts[name] = getattr(
                value, "__qualname__", getattr(value, "__name__", type(value).__name__)
            )
        else:
            self.seen[id(value)], self.names[id(value)] = value, name
            self.texts[name] = f"a {type(value).__name__}"
            if random.is_generator(value):
                self.generators[name] = value
            elif isinstance(value, io.IOBase | Iterator):
                if self.refuse:
                    raise self._unrepeatable(name, value)
            elif isinstance(value, dict | list | tuple | set | frozenset | deque):
                self._container(name, value, strict, depth + 1)
            elif isinstance(value, nn.Module):
                self.texts[name] = short(repr(value))
                for path, module in value.named_modules():
                    self.seen[id(module)] = module
                    self.module(_join(name, path), module, saved=False)
            elif strict and self.refuse and hasattr(value, "state_dict"):
                raise self._unsaved(name, value)
            else:
                for key, item in self._parts(name, value):
                    self.visit(f"{name}.{key}", item, depth=depth + 1)

    def _container(self, name: str, value: Any, strict: bool, depth: int) -> None:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, set | frozenset):
            value = sorted(value, key=repr)
            items = enumerate(value)
        pairs = list(items)
        if all(isinstance(item, _SCALARS) for _, item in pairs):
            self.texts[name] = short(repr(value))
            return
        self.texts[name] = f"a {type(value).__name__} of {len(pairs)}"
        for key, item in pairs:
            self.visit(f"{name}[{key!r}]", item, strict, depth)

    def _parts(self, name: str, value: Any) -> Iterable[tuple[str, Any]]:
        """Enter what a function or an object is, and give what it holds."""
        if isinstance(value, partial):
            self.texts[name] = describe(value)
            named = ((f"args[{i}]", v) for i, v in enumerate(value.args))
            return [("func", value.func), *named, *value.keywords.items()]
        if isinstance(value, MethodType):
            self.texts[name] = value.__qualname__
            return [("__self__", value.__self__)]
        if isinstance(value, FunctionType):
            self.texts[name] = function(value)
            closure = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
            defaults = ((f"default[{i}]", v) for i, v in enumerate(value.__defaults__ or ()))
            named = ((key, cell.cell_contents) for key, cell in closure if _is_filled(cell))
            return [*named, *used_globals(value), *defaults, *(value.__kwdefaults__ or {}).items()]
        if isinstance(value, Chain):
            self.texts[name] = repr(value)
            other = {k: v for k, v in value.settings.items() if not (callable(v) and k in value.schedules())}
            return [("kernel", value.make_kernel), *other.items()]
        text = repr(value)
        self.texts[name] = type(value).__qualname__ if " at 0x" in text else short(text)
        slots = [k for kind in type(value).__mro__ for k in _listed(kind.__dict__.get("__slots__", ()))]
        held = {k: getattr(value, k) for k in slots if hasattr(value, k)} | getattr(value, "__dict__", {})
        left_out = {*getattr(value, "scratch", ())}
        return [(k, v) for k, v in held.items() if k not in left_out and not k.startswith("__")]

    def _tensor(self, x: Any) -> str:
        if isinstance(x, np.ndarray):
            if x.dtype.kind not in "biufc":
                return f"{x.shape} {x.dtype}"
            x = torch.from_numpy(np.array(x))
        elif self.watched and x.numel() > _LARGE:
            return f"{tuple(x.shape)} {x.dtype}, written {x._version} times"
        return f"{tuple(x.shape)} {x.dtype}, sha256 {checksum(x)[:16]}"

    def _unsaved(self, name: str, value: Any) -> ValueError:
        of, _, attribute = self.own.rpartition(".")
        remedy = "Keep what changes in it in buffers: register_buffer"
        if isinstance(value, torch.optim.Optimizer):
            remedy = "Register it by add_optimizer, and step it by update"
        elif isinstance(value, Tensor | np.ndarray):
            remedy = f'Make it a buffer: self.register_buffer("{attribute}", tensor)'
        return ValueError(
            f"{name} of {of} is a {type(value).__name__} that no checkpoint would hold, so that a resumed "
            f"run would end elsewhere. {remedy}. If nothing depends on it, say so in the class: "
            f'scratch = ("{attribute}",)'
        )

    def _unrepeatable(self, name: str, value: Any) -> ValueError:
        of, _, attribute = self.own.rpartition(".")
        remedy = f'If nothing depends on it, say so in the class: scratch = ("{attribute}",)'
        if not of:
            remedy = (
                "Use a DataLoader or a Dataset, or a function that draws from torch's global random numbers "
                "or from a torch.Generator of its own"
            )
        return ValueError(
            f"{name}{f' of {of}' if of else ''} is a {type(value).__name__}, whose place no checkpoint can "
            f"hold, so that a resumed run would go on elsewhere. {remedy}"
        )


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None or True
    except ValueError:  # of a function that is not yet defined
        return False


def _listed(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key
