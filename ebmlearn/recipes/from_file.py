"""A recipe in a file of one's own, named ``FILE.py:NAME``. To make it is to run the file."""

import difflib
import hashlib
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from ebmlearn.recipes._base import Recipe


class Source(NamedTuple):
    """A file of recipes, as it is now.

    Attributes:
        path: The absolute path.
        content: What it holds.
    """

    path: Path
    content: bytes

    @property
    def sha256(self) -> str:
        """The checksum of its content."""
        return hashlib.sha256(self.content).hexdigest()


def split(name: str) -> tuple[str, str] | None:
    """File and name of ``FILE.py:NAME``; None for the name of a recipe of the package."""
    file, colon, inner = name.rpartition(":")
    if colon and file.endswith(".py"):
        return file, inner
    return (name, "") if name.endswith(".py") else None


def read(file: str | Path) -> Source:
    """A file of recipes, unread as code.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(file).absolute()
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path}; expected FILE.py:NAME, a recipe in a file of yours"
        )
    return Source(path, path.read_bytes())


def make(source: Source, name: str, *, smoke: bool = False) -> Recipe:
    """Run a file and make the recipe of a name: a `Recipe`, or a function that gives one.

    Args:
        source: The file.
        name: What it is called there.
        smoke: The tiny size, for a function that takes ``smoke``.

    Raises:
        ValueError: If the file is no Python, has no such recipe, or has it in one size only.
        Exception: What the file raises.
    """
    module, file = _run(source), source.path.name
    found = vars(module).get(name)
    if found is None:
        raise ValueError(f"{file} has no recipe {name!r}; {_hint(module, name)}")
    if callable(found):
        takes = inspect.signature(found).parameters
        if smoke and "smoke" not in takes:
            raise ValueError(f"{name} of {file} takes no `smoke`: it has one size; leave --smoke out")
        found = found(smoke=smoke) if "smoke" in takes else found()
    elif smoke:
        raise ValueError(f"{name} of {file} is no function of `smoke`: it has one size; leave --smoke out")
    if not isinstance(found, Recipe):
        raise ValueError(
            f"{name} of {file} gives a {type(found).__name__}; expected an ebmlearn.recipes.Recipe"
        )
    return found


def _hint(module: ModuleType, name: str) -> str:
    known = [
        each
        for each, value in vars(module).items()
        if not each.startswith("_")
        and (isinstance(value, Recipe) or getattr(value, "__module__", "") == module.__name__)
    ]
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it defines {', '.join(known) or 'none'}"


def _run(source: Source) -> ModuleType:
    """The module of a file, run once in a process."""
    key = hashlib.sha256(f"{source.path}\n{source.sha256}".encode()).hexdigest()[:16]
    name = f"ebmlearn_recipes_{key}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = str(source.path)
    try:
        code = compile(source.content, str(source.path), "exec")
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"{source.path} is no Python: {error}") from error
    sys.modules[name] = module  # where annotations and dataclasses look for their names
    sys.path.insert(0, str(source.path.parent))  # as if it were run: it may import what lies beside it
    try:
        exec(code, vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(source.path.parent))
    return module
