"""Things as text that is the same in another process: values, functions, tensors."""

import dis
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

_PATHS = sysconfig.get_paths()
_LIBRARIES = (
    *(_PATHS[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")),
    str(Path(__file__).parents[1]),
    "<frozen",
)
_LONG = 200


def checksum(x: Tensor) -> str:
    """SHA-256 of a tensor's values, as 64 hexadecimal digits."""
    values = x.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(values.numpy().data).hexdigest()


def describe(value: Any) -> str:
    """A setting as text: a value by its ``repr``, a function by its name, a ``partial`` by both."""
    if isinstance(value, partial):
        settings = [describe(v) for v in value.args]
        settings += [f"{k}={describe(v)}" for k, v in sorted(value.keywords.items())]
        return f"{describe(value.func)}({', '.join(settings)})"
    if callable(value) and (hasattr(value, "__qualname__") or type(value).__repr__ is object.__repr__):
        return getattr(value, "__qualname__", type(value).__qualname__)
    return repr(value)


def short(text: str) -> str:
    """A text, or where it is long its beginning and a checksum."""
    if len(text) <= _LONG:
        return text
    return f"{text[:40]}…, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def function(value: FunctionType) -> str:
    """A function by its name and, unless a library has it, by its code.

    Code is compared as Python has compiled it, which another Python does otherwise: then names must do.
    """
    if _of_a_library(value):
        return value.__qualname__
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{value.__qualname__} (code {_digest(value.__code__)} of Python {version})"


def used_globals(value: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function of the user's own finds outside of itself, by name."""
    if _of_a_library(value):
        return
    for name in _names(value.__code__):
        if name in value.__globals__:
            yield name, value.__globals__[name]


def _of_a_library(value: FunctionType) -> bool:
    return value.__code__.co_filename.startswith(_LIBRARIES)


@functools.cache
def _names(code: CodeType) -> tuple[str, ...]:
    loads = [i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    inner = [name for c in code.co_consts if isinstance(c, CodeType) for name in _names(c)]
    return tuple(dict.fromkeys([*loads, *inner]))


@functools.cache
def _digest(code: CodeType) -> str:
    """Of what a function does, not of where it stands."""
    constants = [_digest(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    content = (code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:8]


def _constant(value: Any) -> str:
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)
