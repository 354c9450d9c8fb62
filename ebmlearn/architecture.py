"""Nets as plain data: what a checkpoint says of a net beside its weights, and the net again.

A class of the package that derives from `Net` notes the arguments of its constructor, by name and with their
defaults: numbers, strings, sequences, tensors, other nets, activations by their names in ``torch.nn``.
`describe` gives them as a dict that ``torch.load(weights_only=True)`` reads; `build` makes the net again. No
class of another package is ever built from a file: names are looked up in a table.
"""

import functools
import inspect
from collections.abc import Callable
from functools import partial
from math import prod
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation
from torch.overrides import TorchFunctionMode

_CLASSES: dict[str, type["Net"]] = {}
_ACTIVATIONS = {name: getattr(nn, name) for name in ("Identity", *activation.__all__)}
_KINDS: dict[type, Callable[[Any], Any]] = {str: str, Integral: int, Real: float}  # those of numpy, too
_LARGEST, _DEEPEST = 2**24, 20  # a number in a description, and how deep it may be nested


class Net(nn.Module):
    """Abstract: a module whose constructor's arguments are noted, so that it can be built anew."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if cls.__module__.startswith("ebmlearn.") and not cls.__name__.startswith("_"):
            _CLASSES[cls.__name__] = cls
            if "__init__" in vars(cls):
                cls.__init__ = _noting(cls.__init__)  # type: ignore[method-assign]


def _noting(init: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(init)

    @functools.wraps(init)  # signature, docstring and source stay those of the constructor
    def __init__(self: Net, *args: Any, **settings: Any) -> None:
        init(self, *args, **settings)
        if type(self).__init__ is __init__:  # else a subclass called it, whose arguments are others
            given = signature.bind(self, *args, **settings)
            given.apply_defaults()
            self.__dict__["_arguments"] = _noted(dict([*given.arguments.items()][1:]))

    return __init__


def _noted(arguments: dict[str, Any]) -> dict[str, Any] | str:
    """Arguments as plain data, or which of them is not."""
    noted = {}
    for name, value in arguments.items():
        try:
            noted[name] = _plain(value)
        except TypeError as error:
            return f"its argument {name} is {error}"
    return noted


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    for kind, plain in _KINDS.items():
        if isinstance(value, kind):
            return plain(value)
    if isinstance(value, tuple | list):
        items = [_plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, nn.Module):
        arguments = _arguments(value)
        if isinstance(arguments, str):
            raise TypeError(f"a net that cannot be described, since {arguments}")
        return {"net": type(value).__name__, "arguments": arguments}
    made = value if isinstance(value, partial) else partial(value) if callable(value) else None
    if made is not None and _ACTIVATIONS.get(getattr(made.func, "__name__", "")) is made.func:
        settings = {name: _plain(v) for name, v in made.keywords.items()}
        return {"activation": made.func.__name__, "args": _plain(made.args), "settings": settings}
    advice = "; partial(nn.LeakyReLU, 0.2) is described, a lambda is not" if callable(value) else ""
    raise TypeError(f"{getattr(value, '__qualname__', type(value).__qualname__)}, not plain data{advice}")


def _arguments(net: nn.Module) -> dict[str, Any] | str:
    kind = type(net)
    if _CLASSES.get(kind.__name__) is not kind:
        return f"its class {kind.__qualname__} is not one of ebmlearn"
    return net.__dict__.get("_arguments", "it was made without its constructor")


def describe(net: nn.Module) -> dict[str, Any]:
    """What a net is, as plain data.

    Returns:
        ``{"repr": its repr, "net": what `build` takes}``, or, for a net that cannot be built anew,
        ``{"repr": its repr, "reason": why not}``.
    """
    try:
        return {"repr": repr(net), "net": _plain(net)}
    except TypeError:
        return {"repr": repr(net), "reason": str(_arguments(net))}


def build(description: Any, *, n_elements: int) -> Net:
    """Make a net anew, with weights as a constructor makes them; the global random numbers are used.

    The description may come from a file of unknown origin: nothing but a class of this package is called, and
    only with plain data.

    Args:
        description: What `describe` has as ``"net"``.
        n_elements: Elements of all its tensors together, as far as they are known: a net far larger than that
            is refused before its memory is taken.

    Raises:
        ValueError: If this is no description, or of a net that cannot be built.
    """
    try:
        with _Budget(4 * n_elements + 10_000_000):
            return _net(description, 0)
    except Exception as error:
        raise ValueError(
            f"the description of the net cannot be followed ({type(error).__name__}: {error})"
        ) from error


def _net(description: Any, depth: int) -> Net:
    if not isinstance(description, dict) or description.keys() != {"net", "arguments"}:
        raise ValueError(f"expected the class of a net and its arguments, got {_shown(description)}")
    name, arguments = description["net"], description["arguments"]
    if not isinstance(name, str) or name not in _CLASSES:
        raise ValueError(f"{_shown(name)} is no net of ebmlearn, and no other class is built from a file")
    if not isinstance(arguments, dict) or not all(isinstance(key, str) for key in arguments):
        raise ValueError(f"expected arguments by name, got {_shown(arguments)}")
    return _CLASSES[name](**{key: _value(value, depth + 1) for key, value in arguments.items()})


def _value(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} deep")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError(f"{value} is no size of a net")
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return value
    if isinstance(value, list | tuple):
        return type(value)(_value(item, depth + 1) for item in value)
    if isinstance(value, dict) and value.keys() == {"activation", "args", "settings"}:
        kind = _ACTIVATIONS[value["activation"]]
        args = [_value(v, depth + 1) for v in value["args"]]
        settings = {name: _value(v, depth + 1) for name, v in value["settings"].items()}
        return partial(kind, *args, **settings) if args or settings else kind
    return _net(value, depth)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


_FACTORIES = {
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.tensor),
    *(torch.arange, torch.linspace, torch.eye, torch.randperm),
}


class _Budget(TorchFunctionMode):
    """In here, only so many elements of tensors are made; each tensor costs a thousand more, for the time."""

    def __init__(self, n_elements: int) -> None:
        super().__init__()
        self.left = n_elements

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FACTORIES:
            sizes = [n for a in args for n in (a if isinstance(a, list | tuple) else [a])]
            self.left -= prod(n for n in sizes if isinstance(n, int)) + 1000
            if self.left < 0:
                raise ValueError("it is of a net far larger than its weights")
        return func(*args, **(kwargs or {}))
