"""Copies of the chapters to work in: without solutions, or with them.

A copy is an .ipynb alone in `work/` (with solutions in
`work/solutions/`), which git ignores: running and saving it changes
nothing in the repository. Cross-references, citations and boxes are plain
Markdown with the numbers of the book, so that any notebook editor shows
them. Figures are the stored ones until the copy is run.

A copy that its owner has changed is never overwritten: each remembers
what was written into it.
"""

import hashlib
import pathlib
import re

import nbformat

import needed
import plain
from ebmlearn.files import write_whole

BOOK = plain.BOOK
WORK = BOOK.parent / "work"
MARK = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{solution-(?P<what>start|end)\}"
    r" *(?P<label>\S*)\n.*?^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
# the string of a cell that names a file beside the chapters
FILE = re.compile(r'(?<=")[\w/]+\.[a-z]+(?=")')
IMPORT = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)
HEAD = (
    "*This is your copy of the chapter: change what you like. Git does not"
    " look at it, and `make student` does not overwrite it. Run it from"
    " top to bottom first, since later cells use what earlier ones made."
    " {more}*"
)
PATH = """import sys

sys.path.append("{up}/book")  # where modules of the book are: {names}"""
UNREADABLE = ValueError, AttributeError, nbformat.ValidationError
REMEDY = "rename it to keep it, or remove it; then run this again"
MORE = {
    False: "The solutions are in the [built book]({up}/_build/html/book/"
    "{name}.html) (`make book`), and in the copies that `make solutions`"
    " makes.",
    True: "It has the solutions.",
}


def make(name: str, folder: pathlib.Path, *, solutions: bool):
    """The copy of a chapter as a notebook.

    Args:
        name: Its file's name without suffix, such as ``01_energy``.
        folder: Where the copy will lie: links are relative to it.
        solutions: Whether it has them; else there is an empty cell below
            each exercise whose solution has code.
    """
    nb = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    up = plain.from_folder(folder)
    text, cells = plain.Plain(name, up), []

    def write(source: str) -> None:
        if source.strip():
            cells.append(
                nbformat.v4.new_markdown_cell(text(source).strip())
            )

    codes = iter(_codes(nb, solutions))
    in_solution = has_code = False
    for cell in nb.cells:
        if cell.cell_type != "code":
            at = 0
            for mark in MARK.finditer(cell.source):
                if solutions or not in_solution:
                    write(cell.source[at : mark.start()])
                at, in_solution = mark.end(), mark["what"] == "start"
                if solutions and in_solution:
                    write(f"**Solution to {text.number(mark['label'])}**")
                if not solutions and not in_solution and has_code:
                    cells.append(nbformat.v4.new_code_cell(""))
                has_code = False
            if solutions or not in_solution:
                write(cell.source[at:])
            continue
        has_code = has_code or (in_solution and not hidden(cell))
        if in_solution and not solutions:
            continue
        if source := next(codes):
            cells.append(code(cell, source, up))
            if told := plain.caption(cell):
                number = text.number(told["name"])
                write(f"**{number}.** {told['caption']}")
    title, _, rest = cells[0].source.partition("\n")
    head = HEAD.format(more=MORE[solutions].format(up=up, name=name))
    cells[0].source = f"{title}\n\n{head}\n{rest}"
    own = {m for c in cells if c.cell_type == "code" for m in modules(c)}
    if own:
        names = ", ".join(sorted(own))
        cells.insert(
            1, nbformat.v4.new_code_cell(PATH.format(names=names, up=up))
        )
    for i, cell in enumerate(cells):
        cell["id"] = f"copy-{i}"
        if "{bibliography}" in cell.source:
            listed = plain.bibliography(list(text.cited))
            cell.source = cell.source.replace("{bibliography}", listed)
    out = nbformat.v4.new_notebook(cells=cells)
    out.metadata = {
        k: nb.metadata[k]
        for k in ("kernelspec", "language_info")
        if k in nb.metadata
    }
    out.metadata["ebmlearn"] = {"written": digest(out)}
    return out


def hidden(cell) -> bool:
    return "remove-cell" in cell.metadata.get("tags", [])


def _codes(nb, solutions: bool) -> list[str]:
    """The code of each cell that is no solution, or of every cell."""
    chosen, inside = [], False
    for cell in nb.cells:
        if cell.cell_type == "code" and (solutions or not inside):
            chosen.append(cell)
        for mark in MARK.finditer(cell.source):
            inside = mark["what"] == "start"
    sources = [cell.source for cell in chosen]
    return needed.kept(sources, [hidden(cell) for cell in chosen])


def code(cell, source: str, up: str):
    """A code cell as a copy has it: folded where the book folds it."""
    cell = nbformat.from_dict(cell)
    tags = set(cell.metadata.get("tags", []))
    cell.metadata = {}
    if tags & FOLDED:
        cell.metadata["jupyter"] = {"source_hidden": True}
    # Lab goes on after a cell with this tag; the others are for our checks
    if "raises-exception" in tags:
        cell.metadata["tags"] = ["raises-exception"]
    cell.source = FILE.sub(
        lambda m: f"{up}/book/{m[0]}" if (BOOK / m[0]).is_file() else m[0],
        source,
    )
    return cell


def modules(cell) -> list[str]:
    """Modules beside the chapters that a cell imports."""
    named = IMPORT.findall(cell.source)
    return [name for name in named if (BOOK / f"{name}.py").is_file()]


def digest(nb) -> str:
    """Of what a person writes into a notebook; outputs do not count."""
    cells = "\0".join(f"{c.cell_type} {c.source}" for c in nb.cells)
    return hashlib.sha256(cells.encode()).hexdigest()[:16]


def update(nb, path: pathlib.Path) -> str:
    """Write a copy where it takes nothing from its owner.

    Returns:
        What was done: ``written``, ``kept`` (this chapter's copy is there
        already, changed or not), ``updated`` (the chapter has changed, the
        copy had not been); or else, why it was refused.
    """
    done, new = "written", nb.metadata["ebmlearn"]["written"]
    if path.exists():
        try:
            old = nbformat.read(path, as_version=4)
            before = old.metadata.get("ebmlearn", {}).get("written")
        except UNREADABLE:
            return f"is there and is no notebook; {REMEDY}"
        if before == new:
            return "kept"
        if before is None:
            return f"is there and is none of these copies; {REMEDY}"
        if digest(old) != before:
            return f"has your changes, and its chapter is newer; {REMEDY}"
        done = "updated"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, nbformat.writes(nb).encode())
    return done


def copies(
    names: list[str], *, solutions: bool, work: pathlib.Path = WORK
):
    """Make the copies of these chapters, and say what became of each.

    Returns:
        The exit status: 1 if a copy was refused, for the owner to decide.
    """
    folder = work / "solutions" if solutions else work
    refused, count = 0, dict.fromkeys(("written", "updated", "kept"), 0)
    for name in names:
        path = folder / f"{name}.ipynb"
        told = update(make(name, folder, solutions=solutions), path)
        if told in count:
            count[told] += 1
        else:
            refused += 1
            print(f"not written: {path}\n    {told}")
    print(
        ", ".join(f"{n} {what}" for what, n in count.items() if n), end=""
    )
    print(f" in {folder}")
    return int(refused > 0)
