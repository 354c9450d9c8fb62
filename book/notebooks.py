"""Keep the two halves of each chapter in step.

x.md (MyST) is the source that is edited and reviewed; x.ipynb has the same
cells and their outputs.

    notebooks.py check         report every pair that is out of step
    notebooks.py run           execute the chapters that changed
    notebooks.py run --all     execute every chapter
    notebooks.py run NAME ...  execute these, such as 01_energy
    notebooks.py format        format every .md: cells as ruff does, their
                               options as JupyterLab writes them
    notebooks.py student       copy the chapters to work/, for students
    notebooks.py solutions     the same with solutions, in work/solutions/

File times are never looked at: they mean nothing after a clone.
"""

import hashlib
import os
import pathlib
import re
import subprocess
import sys

import jupytext
import nbformat
from jupytext.combine import combine_inputs_with_outputs
from nbclient import NotebookClient

BOOK = pathlib.Path(__file__).resolve().parent
# No progress bars. Threads that wait sleep: spinning ones take the cores
# from each other, which made a chapter ten times slower on a busy machine.
KERNEL_ENVIRONMENT = {
    "EBMLEARN_PROGRESS": "0",
    "OMP_WAIT_POLICY": "passive",
}
# fence, options as YAML or as :key: lines, code
CELL = re.compile(
    r"^(?P<head>```\{code-cell\}[^\n]*\n"
    r"(?:---\n.*?^---\n|(?::[^\n]*\n)*)\n*)(?P<code>.*?)(?=^```$)",
    re.MULTILINE | re.DOTALL,
)
# columns of a listing that a page shows without a scroll bar
WIDTH = 78
# svg holds dates and random ids; the others need scripts from elsewhere
UNCOMPARABLE = {
    "application/vnd.jupyter.widget-view+json",
    "application/vnd.plotly.v1+json",
    "image/svg+xml",
    "text/html",
}


def sources(book: pathlib.Path = BOOK) -> list[pathlib.Path]:
    """The .md files that are notebooks: they have a jupytext header."""
    return sorted(
        p
        for p in book.glob("*.md")
        if p.read_text(encoding="utf-8").startswith("---\njupytext:")
    )


def tags(cell) -> list[str]:
    return sorted(cell.metadata.get("tags", []))


def unmet(cell_tags: list[str]) -> str | None:
    """Why a cell with these tags cannot run here; None if it can.

    ``needs-gpu`` asks for CUDA. ``needs-mnist`` asks for the training set
    of MNIST on this machine, in ``EBMLEARN_DATA`` or in the cache;
    ``needs-mnist-2000`` for its first 2,000 images; ``needs-names`` for
    the list of names.

    Raises:
        ValueError: For any other tag that starts with ``needs-``.
    """
    for tag in cell_tags:
        if tag == "needs-gpu":
            import torch

            if not torch.cuda.is_available():
                return "needs a CUDA device"
        elif match := re.fullmatch(r"needs-mnist(?:-(\d+))?", tag):
            from ebmlearn.data import is_local

            n = int(match[1]) if match[1] else None
            if not is_local("mnist", n=n):
                return (
                    "needs MNIST: let EBMLEARN_DATA name a folder that has"
                    " it, or run ebmlearn.data.load('mnist') once online"
                )
        elif tag == "needs-names":
            from ebmlearn.data import is_local_text

            if not is_local_text("names"):
                return (
                    "needs the names: let EBMLEARN_DATA name a folder that"
                    " has text/names.txt, or run"
                    " ebmlearn.data.load_text('names') once online"
                )
        elif tag.startswith("needs-"):
            raise ValueError(
                f"unknown tag {tag!r}; known: needs-gpu, needs-mnist,"
                " needs-mnist-N, needs-names"
            )
    return None


def code_cells(nb) -> list:
    return [c for c in nb.cells if c.cell_type == "code"]


def contents(nb) -> list[tuple]:
    return [(c.cell_type, c.source.strip(), tags(c)) for c in nb.cells]


def digest(nb) -> str:
    code = "\0".join(c.source.strip() for c in code_cells(nb))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def saved(nb) -> str:
    """The .md that JupyterLab writes when it saves this notebook."""
    return jupytext.writes(nb, fmt="md:myst")


def problems(md: pathlib.Path) -> list[str]:
    """What is wrong with a pair; an empty list if it is in step."""
    ipynb = md.with_suffix(".ipynb")
    if not ipynb.exists():
        return ["there is no .ipynb: run `make notebooks`"]
    source, nb = jupytext.read(md), nbformat.read(ipynb, as_version=4)
    code = code_cells(nb)
    out = []
    if contents(source) != contents(nb):
        out.append(".md and .ipynb differ: run `make notebooks`")
    if nb.metadata.get("executed_code") != digest(source):
        out.append("code changed since it was run: run `make notebooks`")
    counts = [c.execution_count for c in code]
    if counts != list(range(1, len(code) + 1)):
        # nbval does not compare a cell that was never run
        out.append("not run from top to bottom")
    for i, cell in enumerate(code, 1):
        out += [f"cell {i}: {problem}" for problem in cell_problems(cell)]
    if not out and saved(nb) != md.read_text(encoding="utf-8"):
        out.append(
            "a save in JupyterLab would change the .md: run `make format"
            " notebooks`"
        )
    if any("{code-cell}" in c.source for c in nb.cells):
        out.append("a code-cell inside another directive is never run")
    if sum("nbval-ignore-output" in tags(c) for c in code) > 1:
        out.append("more than one cell is tagged nbval-ignore-output")
    return out


FOLDED, REMOVED = (
    {"hide-input", "hide-cell"},
    {"remove-cell", "remove-input"},
)
# 8 points are 9 pixels on a phone, if a figure is 4.2 inches wide
SMALL_PRINT = re.compile(
    r"(?:font|label|title)size=(?:[0-7](?:\.\d+)?|\"(?:xx?-)?small\")(?![\d.])"
)
SOLUTION = re.compile(r"\{solution-start\}.*?\{solution-end\}", re.DOTALL)
DISPLAYED = re.compile(
    r"^\$\$.*?^\$\$|^(`{3,}|:{3,})\{math\}.*?^\1$",
    re.MULTILINE | re.DOTALL,
)


def shape_problems(md: pathlib.Path) -> list[str]:
    """Where a chapter is longer or shorter than a reader can take.

    Words are those of the text without displayed formulas. Solutions are
    folded as a whole, so that neither their words nor their cells count.
    """
    nb, out = nbformat.read(md.with_suffix(".ipynb"), as_version=4), []
    text, lines, folded = "", 0, 0
    in_solution = False
    for i, cell in enumerate(nb.cells):
        if cell.cell_type == "markdown":
            text += f"{cell.source}\n\n"
            ends = "{solution-start}", "{solution-end}"
            start, end = (cell.source.rfind(e) for e in ends)
            in_solution = (
                start > end if max(start, end) >= 0 else in_solution
            )
            continue
        if cell.cell_type != "code":
            continue
        out += [
            f"cell {i}: {small}; expected 8 points or more"
            for small in SMALL_PRINT.findall(cell.source)
        ]
        images = [
            o for o in cell.outputs if "image/png" in o.get("data", {})
        ]
        how = cell.metadata.get("mystnb", {})
        if (
            images
            and not in_solution
            and not how.get("figure", {}).get("caption")
        ):
            out.append(f"cell {i}: a figure without a caption")
        if images and not how.get("image", {}).get("alt"):
            out.append(f"cell {i}: a figure without an alt text")
        if in_solution or REMOVED & set(tags(cell)):
            continue
        if FOLDED & set(tags(cell)):
            folded += 1
        else:
            lines += sum(bool(s.strip()) for s in cell.source.splitlines())
    words = len(DISPLAYED.sub("", SOLUTION.sub("", text)).split())
    if not 1500 <= words <= 3500:
        out.append(f"{words} words; expected 1,500 to 3,500")
    if lines > 120:
        out.append(f"{lines} visible lines of code; expected at most 120")
    if folded > 8:
        out.append(f"{folded} folded cells; expected at most 8")
    return out


def cell_problems(cell) -> list[str]:
    """What is wrong with a code cell and its stored outputs."""
    out, may_raise = [], "raises-exception" in tags(cell)
    for o in cell.outputs:
        data = o.get("data", {})
        text = str(o.get("text", "")) + str(data.get("text/plain", ""))
        if o.output_type == "error" and not may_raise:
            out.append(f"stored error {o.ename}")
        if o.output_type == "stream" and o.name == "stderr":
            out.append("stored stderr")
        if re.search(r"\bat 0x[0-9a-f]+", text):
            out.append("output holds a memory address")
        widest = max(map(len, text.splitlines()), default=0)
        if widest > WIDTH and "image/png" not in data:
            out.append(f"output of {widest} columns; a page shows {WIDTH}")
        if o.output_type == "execute_result" and text.count("\n") >= 20:
            out.append("shows a value of over 20 lines: assign it")
        out += [f"output {k}" for k in sorted(UNCOMPARABLE & set(data))]
    code = cell.source.strip()
    if not code:
        out.append("empty")
    if code.endswith(";"):
        out.append("ends in ';' (nbval still sees the output)")
    if "nbval-ignore-output" in tags(cell) and not code.startswith("#"):
        out.append("nbval-ignore-output without a first comment: why?")
    return out


def run(md: pathlib.Path) -> None:
    """Execute a chapter and store it with its outputs.

    A cell whose ``needs-`` tag is unmet here keeps its stored output.

    Raises:
        RuntimeError: If such a cell has none, or its code has changed.
    """
    ipynb = md.with_suffix(".ipynb")
    nb, stored = jupytext.read(md), set()
    if ipynb.exists():
        old = nbformat.read(ipynb, as_version=4)
        stored = {c.source for c in code_cells(old)}
        # takes the ids of cells, so that an unchanged cell stays the same
        nb = combine_inputs_with_outputs(nb, old, fmt="md:myst")
    nb.metadata["jupytext"].pop("text_representation", None)
    for cell in code_cells(nb):
        if reason := unmet(tags(cell)):
            if cell.source not in stored:
                raise RuntimeError(
                    f"a cell of {md.name} has no stored output, and it"
                    f" {reason}\n{cell.source}"
                )
            cell.metadata["tags"].append("kept")
    NotebookClient(
        nb,
        timeout=1200,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        skip_cells_with_tag="kept",
        resources={"metadata": {"path": str(md.parent)}},
    ).execute()
    for i, cell in enumerate(code_cells(nb), 1):
        if "kept" in tags(cell):
            cell.metadata["tags"].remove("kept")
        cell.execution_count = i  # the kernel did not count the kept ones
        for o in cell.outputs:
            if o.output_type == "execute_result":
                o.execution_count = i
    nb.metadata["executed_code"] = digest(nb)
    nb.nbformat, nb.nbformat_minor = 4, 5
    nbformat.write(nb, ipynb)


def formatted(text: str) -> str:
    """The text of a .md with its code cells formatted by ruff.

    Options of cells are written as JupyterLab does when it saves: a
    chapter that is opened, run and saved there is not changed.
    """
    ruff_format = "-m", "ruff", "format", "--stdin-filename"

    def ruff(match: re.Match) -> str:
        done = subprocess.run(
            [sys.executable, *ruff_format, str(BOOK / "cell.py"), "-"],
            input=match["code"],
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise ValueError(f"{done.stderr}in\n{match['code']}")
        return match["head"] + done.stdout

    nb = jupytext.reads(CELL.sub(ruff, text), fmt="md:myst")
    # by way of an .ipynb, which sorts the names of the options
    return saved(nbformat.reads(nbformat.writes(nb), as_version=4))


def main(argv: list[str]) -> int:
    command, names = argv[0] if argv else "", argv[1:]
    unknown = set(names) - {"--all", *(md.stem for md in sources())}
    known = "check", "run", "format", "student", "solutions"
    if command not in known or unknown:
        print(__doc__, *unknown, sep="\n")
        return 2
    if command in ("student", "solutions"):
        import student  # it needs the package

        chosen = names or [md.stem for md in sources()]
        return student.copies(chosen, solutions=command == "solutions")
    bad = 0
    for md in sources():
        if command == "format":
            old = md.read_text(encoding="utf-8")
            new = formatted(old)
            if new != old:
                md.write_text(new, encoding="utf-8")
                print(f"formatted book/{md.name}; now `make notebooks`")
            continue
        found = problems(md)
        if command == "check":
            for problem in found:
                print(f"book/{md.name}: {problem}")
            bad += bool(found)
        elif "--all" in names or md.stem in names or (not names and found):
            print(f"run book/{md.name}", flush=True)
            run(md)
    return int(bad > 0)


if __name__ == "__main__":
    os.environ.update(KERNEL_ENVIRONMENT)  # the kernels inherit it
    sys.exit(main(sys.argv[1:]))
