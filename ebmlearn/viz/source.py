"""The package's own source on a page."""

import inspect
import re
import sys
import textwrap
from typing import Any


def show(obj: Any) -> None:
    """Display the source of a function, class or method, docstring included.

    In a notebook the output is a Markdown code block, which JupyterLab and the built book colour with their
    own highlighter, on light and dark pages alike; it has no style sheet of its own. Outside IPython the text
    is printed.

    Args:
        obj: A function, class, method or module; a method is dedented.

    Raises:
        TypeError: If ``obj`` has no source, as an instance or a built-in.
        OSError: If the source file cannot be found (code typed into a plain ``python`` prompt).

    Example:
        >>> def square(x):
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
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        print(source)
        return
    from IPython.display import display

    longest = max((len(ticks) for ticks in re.findall("`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    display({"text/plain": source, "text/markdown": f"{fence}python\n{source}\n{fence}"}, raw=True)
