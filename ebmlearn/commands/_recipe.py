"""Which recipe a command means: one of the package, or one in a file of the user's, run only if they name it.

``run.json`` tells where the recipe of a run was. A run's folder may come from somebody else, and could name
any file: so a file is run without being named only if this user has run it before as it is now. The cache's
folder ``recipes`` holds an empty file for each that was.
"""

import hashlib
import os
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from ebmlearn.data import cache
from ebmlearn.recipes import Recipe, find, from_file


class Named(NamedTuple):
    """A recipe and where it comes from.

    Attributes:
        label: Its name, for a run of whose folder it is part: without the folder of its file.
        recipe: The recipe.
        file: Path and SHA-256 of the user's file; None for a recipe of the package.
    """

    label: str
    recipe: Recipe
    file: dict[str, str] | None = None


def named(name: str, *, smoke: bool) -> Named:
    """The recipe that a user names; the file of ``FILE.py:NAME`` is run.

    Raises:
        ValueError, FileNotFoundError: If there is none.
    """
    parts = from_file.split(name)
    if parts is None:
        return Named(name, find(name, smoke=smoke))
    return _make(from_file.read(parts[0]), parts[1], smoke)


def of_run(run: Path, about: dict[str, Any], name: str | None = None) -> Recipe:
    """The recipe of a run, with the settings that were changed.

    Args:
        run: The folder.
        about: Its ``run.json``.
        name: The recipe as the user names it, ``FILE.py:NAME``; None if they do not.

    Raises:
        ValueError: If its file may not be run without being named.
        FileNotFoundError: If it is not there.
    """
    options = about["options"]
    label, smoke, then = options["recipe"], options["smoke"], about.get("file")
    if then is None:
        if name is not None or from_file.split(label) is not None:
            raise ValueError(
                f"{run} is a run of the recipe {label!r}, which is in no file; leave --recipe out"
            )
        return find(label, smoke=smoke).with_settings(options["set"])
    if name is not None:
        found = named(name, smoke=smoke)
    else:
        source = _unnamed(run, then, label)
        found = _make(source, label.rpartition(":")[2], smoke)
    tell_changes(then, found.file)
    return found.recipe.with_settings(options["set"])


def tell_changes(then: dict[str, str] | None, now: dict[str, str] | None) -> None:
    """Say it if the file of a run's recipe is another than then."""
    if then is not None and now is not None and then["sha256"] != now["sha256"]:
        print(
            f"note: {now['path']} has changed since the run began: SHA-256 {then['sha256'][:12]}... then, "
            f"{now['sha256'][:12]}... now; settings are compared, code cannot be",
            file=sys.stderr,
        )


def _make(source: from_file.Source, name: str, smoke: bool) -> Named:
    if not name:
        raise ValueError(f"name the recipe as well: {source.path.name}:NAME")
    recipe = from_file.make(source, name, smoke=smoke)
    _remember(source)
    file = {"path": str(source.path), "sha256": source.sha256}
    return Named(f"{source.path.name}:{name}", recipe, file)


def _unnamed(run: Path, then: dict[str, str], label: str) -> from_file.Source:
    """The file of a run that nobody has named, if it may be run."""
    again = f"--recipe FILE.py:{label.rpartition(':')[2]}"
    try:
        source = from_file.read(then["path"])
    except FileNotFoundError:
        reason = f"the recipe of {run} was in {then['path']}, which is not there"
        raise FileNotFoundError(f"{reason}; say where it is now with {again}") from None
    if not _mark(source).exists():
        raise ValueError(
            f"the recipe of {run} is in {source.path}, which you have not run on this machine as it is now. "
            f"To go on is to run that file: if you trust it, say so with --recipe "
            f"{source.path}:{label.rpartition(':')[2]}"
        )
    return source


def _mark(source: from_file.Source) -> Path:
    key = hashlib.sha256(os.fsencode(source.path) + b"\0" + source.content).hexdigest()
    return cache.folder() / "recipes" / key


def _remember(source: from_file.Source) -> None:
    mark = _mark(source)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        warnings.warn(
            f"cannot note in {mark.parent} that you have run {source.path} ({error}); `sample` and "
            "`evaluate` will ask for --recipe",
            stacklevel=2,
        )
