"""The settings of a method that is not built yet, as data: by name, changed and checked.

A recipe gives a ``partial`` of a method's class: nets by position, settings by keyword. A setting is known by
its keyword (``data_noise``), and one inside of another by both names: ``chain.n_steps`` of a `Chain
<ebmlearn.sample.Chain>`, ``optimizer.betas`` of an optimiser, ``lr.start`` of a schedule that is a
``partial``.
"""

import difflib
import inspect
from ast import literal_eval
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import nn

from ebmlearn.sample import Chain

Hints = dict[str, Any]


def table(build: partial[Any]) -> dict[str, Any]:
    """Every setting by name, with its value; what is inside of a setting comes after it."""
    found: dict[str, Any] = {}
    for name, value in _of(build)[0].items():
        found[name] = value
        found |= {f"{name}.{inner}": each for inner, each in _of(value)[0].items()}
    return found


def change(build: partial[Any], changes: Mapping[str, Any], more: Iterable[str] = ()) -> partial[Any]:
    """The same with other values of some settings.

    Args:
        build: The method that is not built yet.
        changes: New values by name.
        more: Names of settings besides those of the method, for the message.

    Raises:
        ValueError: If there is no such setting, or it does not take the value.
    """
    for name in sorted(changes, key=lambda name: "." in name):  # a whole first, then what is inside of it
        outer, _, inner = name.partition(".")
        values, hints = _of(build)
        whole: Any = values.get(outer)
        if inner:
            values, hints = _of(whole)
        key = inner or outer
        if key not in values:
            raise ValueError(_unknown(name, [*more, *table(build)]))
        new = checked(name, changes[name], hints.get(key, Any), values[key])
        if new is values[key] or (not callable(new) and new == values[key]):
            continue  # 0 and 0.0 are the same setting, but not the same text
        if isinstance(whole, Chain) and inner:
            new = whole.replace(**{inner: new})
        elif inner:
            new = partial(whole, **{inner: new})
        build = partial(build, **{outer: new})
    return build


def parse(given: Iterable[str]) -> dict[str, Any]:
    """Settings from text, each ``KEY=VALUE`` with a value as Python writes it; other text stays text.

    Raises:
        ValueError: If one is not of this form, or a key comes twice.
    """
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ValueError(f"--set is {text!r}; expected KEY=VALUE, such as lr=1e-4")
        if name in found:
            raise ValueError(f"--set gives {name} twice: {found[name]!r} and {value}")
        try:
            found[name] = literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[name] = value
    return found


def checked(name: str, value: Any, hint: Any, current: Any) -> Any:
    """The value as its setting takes it: an int becomes a float, a list a tuple, where that is wanted.

    Raises:
        ValueError: If the setting takes values of another type.
    """
    if hint is Any:
        hint = Any if current is None else type(current)
    for kind in _kinds(hint):
        fits, new = _fit(value, kind)
        if fits:
            return new
    example = "" if callable(current) or current is None else f", such as {current!r}"
    raise ValueError(f"{name} is {value!r}; expected {_words(hint)}{example}")


def _of(value: Any) -> tuple[dict[str, Any], Hints]:
    """The settings of a callable that a keyword changes, with their values, and what each may be."""
    if isinstance(value, Chain):
        given = {"n_steps": value.n_steps, **value.settings}
        return given | {k: v for k, v in _keywords(value.make_kernel).items() if k not in given}, {
            "n_steps": int,
            **_hints(value.make_kernel),
        }
    function = value.func if isinstance(value, partial) else value
    given = dict(value.keywords) if isinstance(value, partial) else {}
    if inspect.isclass(function) and issubclass(function, torch.optim.Optimizer):
        # what is keyword-only there says how torch computes, and not what
        values = _keywords(function, inspect.Parameter.POSITIONAL_OR_KEYWORD) | given
        values.pop("lr", None)
    elif isinstance(value, partial):
        values = _keywords(value) if inspect.isclass(function) else given
    else:
        return {}, {}
    return values, _hints(function)


def _keywords(function: Callable[..., Any], *kinds: Any) -> dict[str, Any]:
    """The arguments of a function that have a value, but for nets and for what only code can give."""
    hints, found = _hints(function), {}
    for name, parameter in inspect.signature(function).parameters.items():
        value = parameter.default
        if value is inspect.Parameter.empty or isinstance(value, nn.Module):
            continue
        if kinds and parameter.kind not in kinds:
            continue
        simple = [k for k in map(_plain, _kinds(hints.get(name, str))) if k in _WORDS and k is not NoneType]
        if value is None and not simple:  # a generator, or a function in place of the usual noise
            continue
        found[name] = value
    return found


def _hints(function: Any) -> Hints:
    while isinstance(function, partial):
        function = function.func
    try:
        return get_type_hints(function.__init__ if inspect.isclass(function) else function)
    except (NameError, TypeError, AttributeError):  # names that only a type checker sees, or no annotations
        return {}


def _kinds(hint: Any) -> list[Any]:
    """The types of a union, simple ones first: what may be a number or a schedule is a number."""
    if get_origin(hint) in (Union, UnionType):
        return sorted((k for each in get_args(hint) for k in _kinds(each)), key=lambda k: k not in _WORDS)
    return [hint]


def _plain(kind: Any) -> Any:
    return get_origin(kind) or kind


def _words(hint: Any) -> str:
    """What a setting takes, for a message."""

    def word(kind: Any) -> str:
        plain = _plain(kind)
        if plain is Literal:
            return f"one of {', '.join(map(repr, get_args(kind)))}"
        if plain in _WORDS:
            return _WORDS[plain]
        return "a function (in Python)" if plain is Callable else f"a {getattr(plain, '__name__', plain)}"

    return " or ".join(dict.fromkeys(word(kind) for kind in _kinds(hint)))


_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    tuple: "a tuple",
    NoneType: "None",
}


def _fit(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether a value is of a kind, and the value as one."""
    origin = _plain(kind)
    if kind is Any:
        return True, value
    if origin is Literal:
        return type(value) is str and value in get_args(kind), value
    if kind in (int, float):
        number = isinstance(value, (int, kind)) and not isinstance(value, bool)
        return (True, kind(value)) if number and abs(value) < 1e300 else (False, None)
    if origin is tuple:
        return _fit_tuple(value, get_args(kind))
    if origin is Callable or not isinstance(origin, type):
        return callable(value), value
    return isinstance(value, origin), value


def _fit_tuple(value: Any, kinds: tuple[Any, ...]) -> tuple[bool, Any]:
    if not isinstance(value, (tuple, list)):
        return False, None
    if not kinds:
        return True, tuple(value)
    kinds = (kinds[0],) * len(value) if kinds[-1] is ... else kinds
    if len(kinds) != len(value):
        return False, None
    found = [
        next((new for k in _kinds(kind) for fits, new in [_fit(each, k)] if fits), None)
        for each, kind in zip(value, kinds, strict=True)
    ]
    return None not in found, tuple(found)


def _unknown(name: str, known: list[str]) -> str:
    near = [each for each in known if each.split(".")[-1] == name.split(".")[-1]]  # half of it may be right
    near = near or difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}? " if near else ""
    return f"there is no setting {name!r}; {hint}`python -m ebmlearn show RECIPE` lists all settings"
