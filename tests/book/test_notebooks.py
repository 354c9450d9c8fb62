"""The pairing of chapters, and the check that keeps it: each way of breaking a pair turns it red."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_output

BOOK = Path(__file__).resolve().parents[2] / "book"


def load(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


notebooks = load("notebooks", BOOK / "notebooks.py")
tolerance = load("tolerance", BOOK / "tolerance.py")
conftest = load("book_conftest", BOOK / "conftest.py")


# the chapters


@pytest.mark.parametrize("md", notebooks.sources(), ids=lambda p: p.stem)
def test_a_chapter_and_its_notebook_are_in_step(md):
    assert notebooks.problems(md) == []


@pytest.mark.parametrize("md", notebooks.sources(), ids=lambda md: md.stem)
def test_a_chapter_has_its_length_and_its_captions(md):
    assert notebooks.shape_problems(md) == []


@pytest.mark.parametrize("md", notebooks.sources(), ids=lambda md: md.stem)
def test_a_save_in_jupyterlab_changes_no_byte_of_a_pair(md, tmp_path):
    pair = [Path(shutil.copy(path, tmp_path)) for path in (md, md.with_suffix(".ipynb"))]
    before = [path.read_bytes() for path in pair]
    server = jupytext.TextFileContentsManager()  # what opens and saves a pair behind JupyterLab
    server.root_dir = str(tmp_path)
    for path in pair:
        server.save(server.get(path.name), path.name)
    assert [path.read_bytes() for path in pair] == before


def test_no_notebook_is_without_its_text():
    assert {p.stem for p in BOOK.rglob("*.ipynb") if not p.parent.name.startswith(".")} == {
        md.stem for md in notebooks.sources()
    }


# the check on broken pairs

TEXT = """---
jupytext:
  formats: ipynb,md:myst
  text_representation:
    extension: .md
    format_name: myst
    format_version: 0.13
    jupytext_version: 1.19.6
kernelspec:
  display_name: Python 3 (ipykernel)
  language: python
  name: python3
---

# A chapter

Some prose.

```{code-cell} ipython3
x = 1
```

```{code-cell} ipython3
:tags: [nbval-approx-5]

print(x)
```
"""


def make_pair(folder: Path, text: str = TEXT) -> Path:
    """A pair in step, as `notebooks.run` leaves it, without running a kernel."""
    md = folder / "chapter.md"
    md.write_text(text, encoding="utf-8")
    nb = jupytext.read(md)
    code = notebooks.code_cells(nb)
    for i, cell in enumerate(code, 1):
        cell.execution_count = i
    code[-1].outputs = [new_output("stream", name="stdout", text="1\n")]
    nb.metadata["executed_code"] = notebooks.digest(nb)
    nbformat.write(nb, md.with_suffix(".ipynb"))
    return md


def edit(md: Path, change) -> None:
    """Apply a change to the stored notebook."""
    ipynb = md.with_suffix(".ipynb")
    nb = nbformat.read(ipynb, as_version=4)
    change(notebooks.code_cells(nb))
    nbformat.write(nb, ipynb)


def test_a_pair_in_step_has_no_problem(tmp_path):
    assert notebooks.problems(make_pair(tmp_path)) == []
    assert notebooks.sources(tmp_path) == [tmp_path / "chapter.md"]


def test_a_missing_notebook_is_a_problem(tmp_path):
    md = make_pair(tmp_path)
    md.with_suffix(".ipynb").unlink()
    assert "no .ipynb" in notebooks.problems(md)[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Some prose.", "Other prose.", ["differ"]),
        ("nbval-approx-5", "nbval-approx-6", ["differ"]),
        ("x = 1", "x = 2", ["differ", "code changed"]),
        ("print(x)\n```", "print(x)\n```\n\n```{code-cell} ipython3\nx\n```", ["differ", "code changed"]),
    ],
)
def test_a_change_of_the_text_is_a_problem(tmp_path, old, new, expected):
    md = make_pair(tmp_path)
    md.write_text(TEXT.replace(old, new), encoding="utf-8")
    problems = notebooks.problems(md)
    assert len(problems) == len(expected)
    assert all(e in p for e, p in zip(expected, problems, strict=True))


def test_outputs_of_other_code_are_a_problem_even_if_both_files_agree(tmp_path):
    md = make_pair(tmp_path)
    text = TEXT.replace("x = 1", "x = 2")
    md.write_text(text, encoding="utf-8")
    edit(md, lambda code: code[0].update(source="x = 2"))
    assert notebooks.problems(md) == ["code changed since it was run: run `make notebooks`"]


@pytest.mark.parametrize("counts", [[None, None], [1, None], [2, 1], [1, 3], [3, 4]])
def test_an_order_of_execution_other_than_1_to_n_is_a_problem(tmp_path, counts):
    md = make_pair(tmp_path)
    edit(md, lambda code: [c.update(execution_count=n) for c, n in zip(code, counts, strict=True)])
    assert notebooks.problems(md) == ["not run from top to bottom"]


def display(kind: str, data: str):
    return new_output("display_data", {kind: data})


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (new_output("stream", name="stderr", text="a warning"), "stored stderr"),
        (new_output("error", ename="ValueError", evalue="", traceback=[]), "stored error ValueError"),
        (display("text/plain", "<a.B object at 0x7f1200>"), "memory address"),
        (new_output("stream", name="stdout", text="<f at 0x7f12>"), "memory address"),
        (display("image/svg+xml", "<svg/>"), "output image/svg+xml"),
        (display("text/html", "<b>1</b>"), "output text/html"),
        (display("application/vnd.plotly.v1+json", "{}"), "plotly"),
        (new_output("execute_result", {"text/plain": "1\n" * 21}, execution_count=1), "over 20 lines"),
        (new_output("stream", name="stdout", text="1\n" + 79 * "2"), "79 columns; a page shows 78"),
    ],
)
def test_a_bad_output_is_a_problem(tmp_path, output, problem):
    md = make_pair(tmp_path)
    edit(md, lambda code: code[0].update(outputs=[output]))
    (found,) = notebooks.problems(md)
    assert found.startswith("cell 1: ")
    assert problem in found


def test_harmless_outputs_are_no_problem(tmp_path):
    md = make_pair(tmp_path)
    outputs = [
        display("image/png", "aGk="),
        display("text/markdown", "**a**"),
        display("text/plain", "at 0x"),
    ]
    edit(md, lambda code: code[0].update(outputs=outputs))
    assert notebooks.problems(md) == []


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("plt.plot(x);", "ends in ';'"),
        ("", "empty"),
        (":tags: [nbval-ignore-output]\n\nprint(x)", "without a first comment"),
    ],
)
def test_a_bad_cell_is_a_problem(tmp_path, cell, problem):
    md = make_pair(tmp_path, TEXT.replace("x = 1", cell))
    (found,) = notebooks.problems(md)
    assert problem in found


CELL = "```{code-cell} ipython3\n%s\n```\n\n"


def test_what_a_reader_sees_is_counted_and_what_is_folded_is_not(tmp_path):
    words = "\n\n" + 1600 * "word " + "\n\n```{math}\n" + 3000 * "x " + "\n```\n\n"
    cells = 60 * (CELL % "x = 1\n\ny = 2\n")
    removed = CELL % (":tags: [remove-cell]\n\n" + "x = 1\n" * 99)
    folded = 8 * (CELL % (":tags: [hide-input]\n\n" + "x = 1\n" * 99))
    inside = 3000 * "word " + "\n\n" + removed.replace("remove-cell", "x")
    solution = "\n```{solution-start} a\n```\n\n" + inside + "\n```{solution-end}\n```\n\n"
    header = TEXT[: TEXT.index("```{code-cell}")]

    def problems(*parts):
        return notebooks.shape_problems(make_pair(tmp_path, header + "".join(parts)))

    assert problems(words, cells, removed, folded, solution) == []
    assert problems(words, cells, CELL % "z = 3") == ["121 visible lines of code; expected at most 120"]
    assert problems(words, folded, CELL % ":tags: [hide-cell]\n\nx") == ["9 folded cells; expected at most 8"]
    assert problems(removed) == ["5 words; expected 1,500 to 3,500"]
    assert problems(words, words, words, removed) == ["4805 words; expected 1,500 to 3,500"]


def test_a_figure_has_a_caption_and_an_alt_text(tmp_path):
    header = TEXT[: TEXT.index("```{code-cell}")] + 1600 * "word " + "\n\n"
    figure = ":mystnb:\n:  image:\n:    alt: A line.\n:  figure:\n:    name: a\n:    caption: See.\n\nplot()"

    def problems(cell):
        md = make_pair(tmp_path, header + CELL % cell)
        edit(md, lambda code: code[0].update(outputs=[display("image/png", "aGk=")]))
        return [problem.split(": ")[1] for problem in notebooks.shape_problems(md)]

    assert problems(figure) == []
    small = figure + '; legend(fontsize=7.5, title_fontsize="small"); tick(labelsize=10)'
    assert problems(small) == [
        f"{size}; expected 8 points or more" for size in ("fontsize=7.5", 'fontsize="small"')
    ]
    assert problems("plot()") == ["a figure without a caption", "a figure without an alt text"]


IGNORED = ":tags: [nbval-ignore-output]\n\n# the time of day"
SECOND = "\n```{code-cell} ipython3\n" + IGNORED + "\n```\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TEXT.replace("x = 1", IGNORED) + SECOND, "more than one cell is tagged nbval-ignore-output"),
        (TEXT + "\n````{note}\n```{code-cell} ipython3\nx\n```\n````\n", "inside another directive"),
    ],
)
def test_a_bad_chapter_is_a_problem(tmp_path, text, problem):
    (found,) = notebooks.problems(make_pair(tmp_path, text))
    assert problem in found


def test_what_is_allowed_is_no_problem(tmp_path):
    text = TEXT.replace("x = 1", IGNORED)
    assert notebooks.problems(make_pair(tmp_path, text)) == []
    text = TEXT.replace("x = 1", ":tags: [raises-exception]\n\n1 / 0")
    md = make_pair(tmp_path, text)
    error = new_output("error", ename="ZeroDivisionError", evalue="", traceback=[])
    edit(md, lambda code: code[0].update(outputs=[error]))
    assert notebooks.problems(md) == []


def test_the_command_line_reports_and_sets_the_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(notebooks, "sources", lambda: [make_pair(tmp_path)])
    assert notebooks.main(["check"]) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(notebooks, "problems", lambda md: ["broken"])
    assert notebooks.main(["check"]) == 1
    assert capsys.readouterr().out == "book/chapter.md: broken\n"
    for wrong in (["chek"], [], ["run", "no_such_chapter"]):
        assert notebooks.main(wrong) == 2


# running and formatting


@pytest.mark.slow
def test_run_stores_outputs_and_twice_the_same_bytes(tmp_path):
    md = make_pair(tmp_path)
    ipynb = md.with_suffix(".ipynb")
    ipynb.unlink()
    notebooks.run(md)
    assert notebooks.problems(md) == []
    (output,) = notebooks.code_cells(nbformat.read(ipynb, as_version=4))[1].outputs
    assert output.text == "1\n"
    first = ipynb.read_bytes()
    notebooks.run(md)
    assert ipynb.read_bytes() == first
    assert md.read_text(encoding="utf-8") == TEXT


@pytest.mark.slow
def test_run_keeps_the_output_of_a_cell_that_cannot_run_here(tmp_path, monkeypatch):
    text = TEXT.replace("x = 1", ":tags: [needs-gpu]\n\n1 / 0").replace("print(x)", "7")
    md = make_pair(tmp_path, text)
    edit(md, lambda code: code[0].update(outputs=[new_output("stream", name="stdout", text="stored\n")]))
    monkeypatch.setattr(notebooks, "unmet", lambda tags: "needs a device" if "needs-gpu" in tags else None)
    notebooks.run(md)
    assert notebooks.problems(md) == []
    kept, ran = notebooks.code_cells(nbformat.read(md.with_suffix(".ipynb"), as_version=4))
    assert kept.outputs[0].text == "stored\n"
    assert kept.metadata["tags"] == ["needs-gpu"]
    assert ran.outputs[0].data["text/plain"] == "7"
    assert ran.execution_count == ran.outputs[0].execution_count == 2
    before = md.with_suffix(".ipynb").read_bytes()
    md.write_text(text.replace("1 / 0", "2 / 0"), encoding="utf-8")
    with pytest.raises(RuntimeError, match="no stored output, and it needs a device"):
        notebooks.run(md)
    assert md.with_suffix(".ipynb").read_bytes() == before


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([], None),
        (["remove-cell", "nbval-approx-5"], None),
        (["needs-gpu"], "needs a CUDA device"),
        (["needs-mnist"], "needs MNIST"),
        (["needs-mnist-2000"], None),
        (["needs-mnist-2001", "remove-cell"], "needs MNIST"),
    ],
)
def test_unmet_says_what_is_missing(monkeypatch, tags, reason):
    def is_local(name, n):
        return name == "mnist" and n is not None and n <= 2000

    monkeypatch.setattr("ebmlearn.data.is_local", is_local)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = notebooks.unmet(tags)
    assert found is None if reason is None else found.startswith(reason)


@pytest.mark.parametrize("there", [True, False])
def test_unmet_looks_for_the_names(monkeypatch, there):
    monkeypatch.setattr("ebmlearn.data.is_local_text", lambda name: name == "names" and there)
    found = notebooks.unmet(["needs-names"])
    assert found is None if there else found.startswith("needs the names: let EBMLEARN_DATA")


def test_unmet_refuses_a_tag_that_it_does_not_know():
    with pytest.raises(ValueError, match="unknown tag 'needs-mnits'; known: needs-gpu, needs-mnist"):
        notebooks.unmet(["needs-mnits"])


LONG = "Two panels, of which the left one has " + "very " * 20 + "many points."


def test_options_in_another_form_than_jupyterlab_writes_are_a_problem_that_format_mends(tmp_path):
    options = f":tags: [hide-input]\n:mystnb:\n:  image:\n:    alt: {LONG}\n\nx = 1"
    text = TEXT.replace("x = 1", options)
    md = make_pair(tmp_path, text)
    (found,) = notebooks.problems(md)
    assert found == "a save in JupyterLab would change the .md: run `make format notebooks`"
    md.write_text(notebooks.formatted(text), encoding="utf-8")
    assert notebooks.problems(md) == []
    assert LONG in jupytext.read(md).cells[1].metadata.mystnb.image.alt
    assert notebooks.formatted(notebooks.formatted(text)) == notebooks.formatted(text)


def test_format_changes_code_cells_and_the_form_of_options_only():
    messy = TEXT.replace("x = 1", "x=1").replace("print(x)", "print( x )")
    messy += "\n```python\nx=1\n```\n\nx=1\n"
    assert notebooks.formatted(messy) == TEXT + "\n```python\nx=1\n```\n\nx=1\n"
    yaml = TEXT.replace("x = 1", "---\nmystnb:\n  image:\n    alt: b\ntags: [a]\n---\nx=1")
    assert notebooks.formatted(yaml) == yaml.replace("x=1", "x = 1")
    with pytest.raises(ValueError, match="x = = 1"):
        notebooks.formatted(TEXT.replace("x = 1", "x = = 1"))


# tolerance


@pytest.mark.parametrize(
    ("a", "b", "percent", "expected"),
    [
        ("KL = 1.00 nats", "KL = 1.04 nats", 5, True),
        ("KL = 1.00 nats", "KL = 1.10 nats", 5, False),
        ("KL = 1.00 nats", "TV = 1.00 nats", 5, False),
        ("1.00 1.00", "1.00", 5, False),
        ("a  1.00\nb", "a 1.00 b", 5, True),
        ("-1.00", "1.00", 5, False),
        # rounding: a unit of the last printed digit, and no more
        ("0.00", "0.01", 5, True),
        ("0.00", "-0.01", 5, True),
        ("0.00", "0.02", 5, False),
        ("0.3", "0.2", 1, True),
        ("1e-03", "2e-03", 5, True),
        ("1.0e-03", "1.2e-03", 5, False),
        # counts are not rounded
        ("10 classes", "9 classes", 5, False),
        ("1,000 images", "1,040 images", 5, True),
        ("1,000 images", "1,100 images", 5, False),
        ("(1,2)", "(1,2)", 5, True),
        ("inf", "inf", 5, True),
        ("inf", "1.0", 5, False),
        ("nan", "nan", 5, False),
        ("info: banana", "info: banana", 5, True),
    ],
)
def test_close(a, b, percent, expected):
    assert tolerance.close(a, b, percent / 100) is expected
    assert tolerance.close(b, a, percent / 100) is expected


@pytest.mark.parametrize("mime", ["text", "text/plain", "text/markdown"])
def test_what_is_close_is_made_equal_in_every_form_of_text(mime):
    new = {mime: "| KL 1.03 |"}
    conftest._settle(new, {mime: "| KL 1.00 |"}, 0.05)
    assert new == {mime: "| KL 1.00 |"}
    conftest._settle(new, {mime: "| KL 1.10 |"}, 0.05)
    assert new == {mime: "| KL 1.00 |"}


CELLS = {
    "exact": ([], "print(0.501)", "0.501\n"),
    "exact, off": ([], "print(0.502)", "0.501\n"),
    "near": (["nbval-approx-5"], "print('KL', 1.03)", "KL 1.00\n"),
    "far": (["nbval-approx-5"], "print('KL', 1.08)", "KL 1.00\n"),
    "other text": (["nbval-approx-5"], "print('TV', 1.00)", "KL 1.00\n"),
    "one output more": (["nbval-approx-5"], "print('KL', 1.0)\ndisplay(1)", "KL 1.00\n"),
    "skipped": (["needs-gpu"], "assert False", "stored\n"),
    "after": ([], "import os\nprint(os.environ['EBMLEARN_PROGRESS'])", "0\n"),
}


@pytest.mark.slow
def test_nbval_compares_skips_and_goes_on_as_the_tags_say(tmp_path):
    for name in ("conftest.py", "notebooks.py", "tolerance.py"):
        shutil.copy(BOOK / name, tmp_path)
    nb = nbformat.v4.new_notebook()
    for i, (tags, source, output) in enumerate(CELLS.values(), 1):
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": tags}, execution_count=i)
        cell.outputs = [new_output("stream", name="stdout", text=output)]
        nb.cells.append(cell)
    nbformat.write(nb, tmp_path / "x.ipynb")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            "--nbval-current-env",
            "-rA",
            "-p",
            "no:cacheprovider",
            ".",
        ],
        cwd=tmp_path,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "EBMLEARN_PROGRESS": "1"},
        capture_output=True,
        text=True,
    )
    result = dict.fromkeys(CELLS, "SKIPPED")
    names = list(CELLS)
    for outcome, i in re.findall(r"^(PASSED|FAILED) .*x\.ipynb::Cell (\d+)", done.stdout, re.M):
        result[names[int(i)]] = outcome
    assert result == {
        "exact": "PASSED",
        "exact, off": "FAILED",
        "near": "PASSED",
        "far": "FAILED",
        "other text": "FAILED",
        "one output more": "FAILED",
        "skipped": "SKIPPED",
        "after": "PASSED",
    }
    assert "needs a CUDA device" in done.stdout
    assert "4 failed, 3 passed, 1 skipped" in done.stdout.splitlines()[-1]
