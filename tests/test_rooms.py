"""The rooms of the package: each imports from those below it only, and nobody reaches for another's privacy.

Broken on purpose and seen to fail: an import upward, at the top of a module and inside a function; a private
module; a private name of a public module; a name of the package itself; a module that one room uses.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import ebmlearn

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(ebmlearn.__file__).parent

# A room imports from those before it. CONTRIBUTING.md says what they are for.
ROOMS = [
    *("check", "random", "files", "progress", "schedules", "speed", "architecture", "energy"),
    *("targets", "nets", "posteriors", "objectives", "sample", "diagnostics", "evaluate", "unroll"),
    *("train", "testing", "methods", "data", "viz"),
    *("exercises", "recipes", "runs", "pretrained", "commands", "__main__"),
]


class Import(NamedTuple):
    """What a line of a room takes from another: a path in the package, from the room down to the name."""

    room: str
    path: tuple[str, ...]
    line: int


def imports(source: str, room: str) -> Iterator[Import]:
    """All imports from the package, wherever they stand, and what is reached for through its name."""
    for node in ast.walk(ast.parse(source)):
        paths = []
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the package"
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            paths = [f"{node.value.id}.{node.attr}"]
        for path in paths:
            package, *rest = path.split(".")
            if package == "ebmlearn" and rest and rest[0] != room:
                yield Import(room, tuple(rest), node.lineno)


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def fault(found: Import) -> str:
    """What is wrong with an import; empty if nothing is."""
    other = found.path[0]
    if any(map(private, found.path)):
        return "private"
    if other in ("__version__", "__file__"):
        return ""
    if other not in ROOMS:
        return "no room"
    return "upward" if ROOMS.index(other) >= ROOMS.index(found.room) else ""


def modules() -> dict[Path, str]:
    """Every module of the package but its front door, and the room that it is in."""
    paths = [p.relative_to(PACKAGE) for p in PACKAGE.rglob("*.py")]
    return {p: p.with_suffix("").parts[0] for p in paths if p != Path("__init__.py")}


FOUND = [
    (path, found) for path, room in modules().items() for found in imports((PACKAGE / path).read_text(), room)
]


@pytest.mark.parametrize(
    ("source", "room", "wanted"),
    [
        ("from ebmlearn.energy import grad", "sample", ""),
        ("from ebmlearn import random", "train", ""),
        ("import ebmlearn\nebmlearn.__version__", "runs", ""),
        ("from ebmlearn.sample._kernel import State", "sample", ""),
        ("from ebmlearn.energy.grbm import GRBM", "posteriors", ""),
        ("from ebmlearn.methods import NCE", "train", "upward"),
        ("def f():\n    from ebmlearn.train import fit", "sample", "upward"),
        ("import ebmlearn.viz", "evaluate", "upward"),
        ("from ebmlearn import train", "energy", "upward"),
        ("from ebmlearn import commands", "runs", "upward"),
        ("import ebmlearn\nebmlearn.train", "sample", "upward"),
        ("from ebmlearn.sample._kernel import State", "train", "private"),
        ("from ebmlearn.sample import _kernel", "train", "private"),
        ("from ebmlearn.energy.grbm import GRBM, _states", "posteriors", "private"),
        ("from ebmlearn import fit", "runs", "no room"),
        ("import ebmlearn\nebmlearn.fit", "runs", "no room"),
        ("from ebmlearn.attic import x", "runs", "no room"),
    ],
)
def test_faults_are_seen(source, room, wanted):
    assert next(filter(None, map(fault, imports(source, room))), "") == wanted


def test_every_module_is_in_a_room():
    assert {*modules().values()} == {*ROOMS} and len(FOUND) > 200


def test_no_room_imports_from_one_above_or_what_is_private():
    """From below only, and so in no circle."""
    faults = [f"{path}:{found.line}: {fault(found)}: {'.'.join(found.path)}" for path, found in FOUND]
    assert [line for line, (_, found) in zip(faults, FOUND, strict=True) if fault(found)] == []


def test_a_module_at_the_top_has_two_users():
    """Rooms, or one of them and the chapters, for whom the front door opens it."""
    used = {(found.path[0], found.room) for _, found in FOUND}
    front = {found.path[0] for found in imports((PACKAGE / "__init__.py").read_text(), "__init__")}
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "book").glob("[0-9][0-9]_*.md"))
    code = "".join(re.findall(r"```\{code-cell\}.*?```", text, re.S))
    used |= {(room, "book") for room in front if re.search(rf"\b{room}\b", code)}
    for path, room in modules().items():
        if len(path.parts) == 1 and room != "__main__":
            assert len([user for name, user in used if name == room]) >= 2, f"{path} belongs to its user"


def test_the_rooms_are_those_of_the_documented_layout():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = text.split("room above room")[1].split("\n    data/README.md")[0]
    lines = [line for line in layout.splitlines() if re.match(r" {6}\w", line)]  # deeper ones describe
    listed = re.findall(r"(?: {4,}|; )(\w+)(?:/|\.py)(?= )", "\n".join(lines))
    assert listed == ROOMS
