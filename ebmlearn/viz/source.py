"""The package's own source on a page."""

import ast
import inspect
import re
import sys
import textwrap
from typing import Any


def show(obj: Any, *, inner: str | None = None) -> None:
    """Display the source of a function, class or method, without its docstring, which the reference has.

    In a notebook the output is a Markdown code block, which JupyterLab and the built book colour with their
    own highlighter, on light and dark pages alike; it has no style sheet of its own. Outside IPython the text
    is printed.

    Args:
        obj: A function, class, method or module; a method is dedented.
        inner: Name of a function that is defined inside ``obj``, to show in its place: ``show(hmc,
            inner="move")`` is the step of the kernel that `hmc` returns.

    Raises:
        TypeError: If ``obj`` has no source, as an instance or a built-in.
        OSError: If the source file cannot be found (code typed into a plain ``python`` prompt).
        ValueError: If ``obj`` defines no function of the name ``inner``.

    Example:
        >>> def square(x):
        ...     '''The square.'''
        ...     return x * x
        >>> show(square)
        def square(x):
            return x * x
    """
    try:
        source = textwrap.dedent(inspect.getsource(obj)).rstrip()
    except TypeError:
        raise TypeError(
            f"no Python source for {type(obj).__name__} object {obj!r:.60}: pass a function, method, "
            "class or module written in Python. For an instance pass its class: show(type(obj))."
        ) from None
    source = _code_of(source, inner)
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(source)
        return
    from IPython.display import display

    longest = max((len(ticks) for ticks in re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    display({"text/plain": source, "text/markdown": f"{fence}python\n{source}\n{fence}"}, raw=True)


def _code_of(source: str, inner: str | None) -> str:
    """The lines of ``source``, or of the function ``inner`` in it, without the docstring; comments stay."""
    tree = ast.parse(source)
    node: Any = tree.body[0] if len(tree.body) == 1 else tree
    if inner is not None:
        functions = {n.name: n for n in ast.walk(node) if isinstance(n, ast.FunctionDef) and n is not node}
        if inner not in functions:
            raise ValueError(f"inner = {inner!r}; expected one of {sorted(functions)}")
        node = functions[inner]
    lines = source.splitlines()
    if ast.get_docstring(node) is not None and len(node.body) > 1:
        text = node.body[0]
        first, last = (text.lineno - 1, text.end_lineno)
    else:
        first = last = len(lines)
    begin, end = (0, len(lines)) if inner is None else (node.lineno - 1, node.end_lineno)
    kept = [line for i, line in enumerate(lines) if begin <= i < end and not first <= i < last]
    return textwrap.dedent("\n".join(kept)).strip()
