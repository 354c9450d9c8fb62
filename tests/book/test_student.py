"""Copies for students and lecturers: what is in them, that they run, and that nobody's work is overwritten.

Mutants that turned these red: solutions kept; hidden cells dropped whole (names are missing); asserts kept;
the empty cell left out; a link without `..`; theorems and propositions counted as one; a changed copy
overwritten; a copy made anew although the chapter is the same (its owner's outputs are lost).
"""

import ast
import builtins
import functools
import re
import symtable
from pathlib import Path

import nbformat
import needed
import plain
import pytest
import student

BOOK = Path(__file__).resolve().parents[2] / "book"
NAMES = sorted(path.stem for path in BOOK.glob("[0-9][0-9]_*.ipynb"))
WORK = BOOK.parent / "work"


@functools.cache
def copies(name: str):
    return (
        student.make(name, WORK, solutions=False),
        student.make(name, WORK / "solutions", solutions=True),
    )


def code(nb) -> list[str]:
    return [cell.source for cell in nb.cells if cell.cell_type == "code"]


def text(nb) -> str:
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")


def names_of(sources: list[str]) -> tuple[set[str], set[str]]:
    """The names that code uses and those that it binds, in whatever order."""
    used, bound = set(), {*dir(builtins), "display", "get_ipython"}

    def walk(table, top):
        for s in table.get_symbols():
            if s.is_referenced() and (top or s.is_global()):
                used.add(s.get_name())
            if top and (s.is_assigned() or s.is_imported() or s.is_namespace()):
                bound.add(s.get_name())
        for inner in table.get_children():
            walk(inner, False)

    for source in sources:
        walk(symtable.symtable(source, "cell", "exec"), True)
    return used, bound


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_has_no_solution_no_hidden_assert_and_every_name_that_it_uses(name):
    chapter = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
    hidden = [c for c in chapter.cells if c.cell_type == "code" and student.hidden(c)]
    asserts = {
        ast.unparse(n) for c in hidden for n in ast.walk(ast.parse(c.source)) if isinstance(n, ast.Assert)
    }
    for nb, solved in zip(copies(name), (False, True), strict=True):
        nbformat.validate(nb)
        found = {
            ast.unparse(n) for s in code(nb) for n in ast.walk(ast.parse(s)) if isinstance(n, ast.Assert)
        }
        assert not found & asserts
        used, bound = names_of(code(nb))
        assert used - bound == set()
        n = text(nb).count("\n### Exercise ") + text(nb).startswith("### Exercise ")
        assert text(nb).count("**Solution to Exercise") == (n if solved else 0)
        assert n == sum(c.source.count("{exercise}") for c in chapter.cells)
        assert "jupytext" not in nb.metadata  # a save writes the .ipynb alone


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_plain_markdown_and_its_links_lead_somewhere(name):
    for nb, folder in zip(copies(name), (WORK, WORK / "solutions"), strict=True):
        prose = re.sub(r"`[^`\n]*`", "", text(nb))
        assert re.findall(r"\{[a-z:]+\}(?=`)|^(?:`{3,}|:{3,})\{.*|^\([\w-]+\)=$", text(nb), re.M) == []
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if target.startswith("http") or "/_build/html/" in target:
                continue
            if target in {f"{n}.ipynb" for n in NAMES}:
                continue
            assert (folder / target).resolve().is_file(), target


def test_an_exercise_whose_solution_has_code_has_an_empty_cell_and_no_other():
    nb, _ = copies("08_cooperative_learning")
    at = [i for i, c in enumerate(nb.cells) if "### Exercise 8." in c.source]
    assert len(at) == 6
    assert all(nb.cells[i + 1].cell_type == "code" and nb.cells[i + 1].source == "" for i in at)
    assert code(nb).count("") == 6
    for name in NAMES:
        chapter = nbformat.read(BOOK / f"{name}.ipynb", as_version=4)
        whole = "\n".join(
            f"{c.cell_type}\n{c.source}" if not student.hidden(c) else "" for c in chapter.cells
        )
        solutions = re.findall(r"\{solution-start\}.*?\{solution-end\}", whole, re.S)
        n = sum(bool(re.search(r"^code$", s, re.M)) for s in solutions)
        assert code(copies(name)[0]).count("") == n


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("see {numref}`fig-08-steps`", "see Figure 8.2"),
        ("by {eq}`eq-08-moments` and {eq}`eq-04-cliff`", "by (8.4) and [(4.9)](04_maximum_likelihood.ipynb)"),
        ("{prf:ref}`thm-08-three`", "Theorem 8.1"),
        ("{ref}`ex-08-edit`, {ref}`this <ex-08-edit>`", "Exercise 8.4, this"),
        ("{ref}`chapter 5 <chapter-short-run>`", "[chapter 5](05_short_run.ipynb)"),
        ("{ref}`chapter-short-run`", "[5 Short-run MCMC](05_short_run.ipynb)"),
        ("{ref}`how-to-use`", "[How to use this book](../book/intro.md)"),
        ("{term}`a latent <latent variable>` and {term}`score`", "a latent and score"),
        ("{cite}`xie2018,neal2011`", "[Xie *et al.*, 2018, Neal, 2011]"),
        ("{cite:t}`roberts1996`", "Roberts and Tweedie [1996]"),
        ("{py:func}`~ebmlearn.sample.ula`", "[`ula`](../ebmlearn/sample/_ula.py)"),
        ("[C2ST](glossary.md), [x](01_energy.md)", "[C2ST](../book/glossary.md), [x](01_energy.ipynb)"),
        ("{py:func}`ebmlearn.fit`", "[`ebmlearn.fit`](../ebmlearn/train/fit.py)"),
        ("{py:func}`~torch.nn.Linear`", "`Linear`"),
        ("{doc}`the notation <notation>`", "[the notation](../book/notation.md)"),
        ("```{math}\n:label: eq-08-flat\nx\n```", "$$\nx \\tag{8.5}\n$$"),
        ("```{math}\nx\n```", "$$\nx\n$$"),
        ("```{prf:theorem} T\n:label: thm-08-three\n\nIf.\n```", "**Theorem 8.1** (T)**.**\n\nIf."),
        (":::{note}\nSee {eq}`eq-08-flat`.\n:::", "**Note.** See (8.5)."),
        (
            "```{figure} _static/readme.png\n:name: fig-08-long-run\n:alt: A.\n\nB.\n```",
            "![A.](../book/_static/readme.png)\n\n**Figure 8.6.** B.",
        ),
        ("(chapter-x)=\n# 8 X", "# 8 X"),
    ],
)
def test_myst_becomes_what_the_book_says(source, expected):
    assert plain.Plain("08_cooperative_learning", "..")(source) == expected


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("{numref}`fig-08-nothing`", "01_energy: no label 'fig-08-nothing' in the book"),
        ("{cite}`nobody1900`", "references.bib has no source 'nobody1900'"),
        ("{kbd}`Esc`", "no plain form for the role 'kbd'; add it"),
        ("```{margin}\nx\n```", "no plain form for the directive 'margin'; add it"),
    ],
)
def test_what_has_no_plain_form_is_refused(source, error):
    with pytest.raises(ValueError, match=error):
        plain.Plain("01_energy", "..")(source)


def test_of_hidden_cells_what_others_use_is_left():
    codes = [
        "a, b = 1, 2",
        "c = a + 1\nassert c == 2\nd = {}\nfor k in (1, 2):\n    assert k\n    d[k] = c\nunused = f = 3",
        "def g():\n    return d",
        "import math\nc = 5",
        "print(c, math.pi)",
    ]
    kept = needed.kept(codes, [False, True, False, True, False])
    assert [kept[i] for i in (0, 2, 4)] == [codes[i] for i in (0, 2, 4)]
    assert kept[1] == "c = a + 1\nd = {}\nfor k in (1, 2):\n    d[k] = c"
    assert kept[3] == "import math\nc = 5"
    assert needed.kept(["x = 1\nassert x", "y = 2"], [True, False]) == ["", "y = 2"]
    assert needed.kept(["x = 1", "x = 2", "x"], [True, False, False])[0] == ""


# writing


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A copy in a folder, and a way to make it again from a chapter that has changed or not."""

    def again(changed=""):
        nb = student.make("12_neural_transport", tmp_path, solutions=False)
        nb.cells[0].source += changed
        nb.metadata["ebmlearn"]["written"] = student.digest(nb)
        return student.update(nb, path)

    path = tmp_path / "12_neural_transport.ipynb"
    assert again() == "written"
    return path, again


def edit(path, change):
    nb = nbformat.read(path, as_version=4)
    change(nb)
    nbformat.write(nb, path)
    return path.read_bytes()


def add_code(nb):
    nb.cells.append(nbformat.v4.new_code_cell("mine = 1"))


def run_all(nb):
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], 7


@pytest.mark.parametrize("change", [add_code, run_all])
def test_a_copy_of_the_same_chapter_is_left_as_it_is(made, change):
    path, again = made
    before = edit(path, change)
    assert again() == "kept"
    assert path.read_bytes() == before


def test_a_copy_that_nobody_changed_follows_its_chapter(made):
    path, again = made
    edit(path, run_all)
    assert again("A new sentence.") == "updated"
    assert "A new sentence." in path.read_text(encoding="utf-8")
    assert again("A new sentence.") == "kept"


REFUSED = "rename it to keep it, or remove it; then run this again"


def test_a_changed_copy_is_refused_by_name_when_its_chapter_is_newer(made):
    path, again = made
    before = edit(path, add_code)
    assert again("A new sentence.") == f"has your changes, and its chapter is newer; {REFUSED}"
    assert path.read_bytes() == before


def test_a_file_that_is_no_copy_is_refused(made):
    path, again = made
    before = edit(path, lambda nb: nb.metadata.pop("ebmlearn"))
    assert again() == f"is there and is none of these copies; {REFUSED}"
    assert path.read_bytes() == before
    for content in ("{", "", "{}", "[1]"):
        path.write_text(content)
        assert again() == f"is there and is no notebook; {REFUSED}", content
        assert path.read_text() == content


def test_the_command_says_what_it_did_and_exits_with_1_if_it_refused(tmp_path, monkeypatch, capsys):
    names = ["12_neural_transport", "10_dual_mcmc"]
    assert student.copies(names, solutions=True, work=tmp_path) == 0
    assert capsys.readouterr().out == f"2 written in {tmp_path / 'solutions'}\n"
    path = tmp_path / "solutions" / "10_dual_mcmc.ipynb"
    edit(path, add_code)
    monkeypatch.setattr(student, "MORE", {True: "A new head."})
    assert student.copies(names, solutions=True, work=tmp_path) == 1
    out = capsys.readouterr().out
    assert out.startswith(f"not written: {path}\n    has your changes")
    assert out.endswith(f"1 updated in {tmp_path / 'solutions'}\n")
