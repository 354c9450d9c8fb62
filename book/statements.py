"""Run a chapter statement by statement, so that no check hides the next.

    statements.py CHAPTER.md RESULT.json

A check is a statement with an `assert` in it, or one that fails as an
`assert` does; a row of claims is judged by itself. After a failure the
next statement runs all the same. shake.py starts this in other
environments.
"""

import ast
import contextlib
import json
import pathlib
import re
import sys
import time

import jupytext
import matplotlib.pyplot as plt
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from ebmlearn.evaluate.claims import ClaimError
from notebooks import code_cells, tags, unmet
from tolerance import MIMES

OFTEN = re.compile(r"# shake: (\d+) of (\d+)")
RECORD = "_record_"


class Watch(ast.NodeTransformer):
    """Hands what an assert compares to a function, and on."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        sides = [node.left, *node.comparators]
        texts = [ast.unparse(side) for side in sides]
        self.generic_visit(node)
        node.left, *node.comparators = [
            side
            if isinstance(side, ast.Constant)
            else ast.Call(
                ast.Name(RECORD, ast.Load()),
                [ast.Constant(text), side],
                [],
            )
            for text, side in zip(
                texts, [node.left, *node.comparators], strict=True
            )
        ]
        return node


def watched(node: ast.stmt) -> bool:
    """Does a statement check something? Then watch its comparisons."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return False
    found = [n for n in ast.walk(node) if isinstance(n, ast.Assert)]
    for check in found:
        check.test = Watch().visit(check.test)
    ast.fix_missing_locations(node)
    return bool(found)


class Chapter:
    """A chapter in one shell; `result` is what there is to know of it."""

    def __init__(self) -> None:
        config = Config()
        config.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=config)
        self.shell.user_ns[RECORD] = self.record
        self.compared: dict[str, list[float]] = {}
        kinds = "checks", "claims", "errors", "printed", "skipped"
        self.result: dict[str, list] = {kind: [] for kind in kinds}

    def record(self, text: str, value):
        """Keep the range of the numbers that an assert compares."""
        numbers = value.detach() if hasattr(value, "detach") else value
        with contextlib.suppress(Exception):  # not all is an array
            numbers = np.asarray(numbers)
            if numbers.dtype.kind in "iuf" and numbers.size:
                low, high = self.compared.get(text, (np.inf, -np.inf))
                low = np.minimum(low, numbers.min())
                high = np.maximum(high, numbers.max())
                self.compared[text] = [float(low), float(high)]
        return value

    def run(self, i: int, cell) -> None:
        """Execute cell i, counted from 1 as the notebook does."""
        if unmet(tags(cell)):
            self.result["skipped"].append(i)
            return
        with self.shell.builtin_trap, capture_output() as out:
            self.statements(i, cell)
        plt.close("all")
        texts = texts_of([vars(o) for o in out.outputs], out.stdout)
        self.result["printed"].append({"cell": i, "texts": texts})
        for output in out.outputs:
            for row in output.metadata.get("claims", []):
                self.result["claims"].append({"cell": i, **row})

    def statements(self, i: int, cell) -> None:
        code = self.shell.transform_cell(cell.source)
        name = self.shell.compile.cache(code, i)
        body, lines = ast.parse(code).body, code.splitlines()
        for node in body:
            source = ast.get_source_segment(code, node)
            places = lines[node.lineno - 1 : node.end_lineno]
            often = OFTEN.search("\n".join(places))
            is_check = watched(node)
            self.compared = {}
            single = node is body[-1] and isinstance(node, ast.Expr)
            error = self.execute(node, name, single)
            if error and "raises-exception" in tags(cell):
                return
            if isinstance(error, ClaimError):
                continue  # its rows say which
            said = f"{type(error).__name__}: {error}" if error else ""
            if is_check or isinstance(error, AssertionError):
                check = {
                    "cell": i,
                    "text": source,
                    "often": [int(k) for k in often.groups()]
                    if often
                    else None,
                    "held": error is None,
                    "error": "" if type(error) is AssertionError else said,
                    "compared": self.compared,
                }
                self.result["checks"].append(check)
            elif error:
                self.result["errors"].append(
                    {"cell": i, "text": source, "error": said}
                )

    def execute(self, node, name: str, single: bool) -> Exception | None:
        """A last expression shows its value, as in a notebook."""
        tree = (
            ast.Interactive([node]) if single else ast.Module([node], [])
        )
        code = compile(tree, name, "single" if single else "exec")
        try:
            exec(code, self.shell.user_ns)
        except Exception as error:
            return error
        return None


def texts_of(outputs, stdout: str = "") -> dict[str, str]:
    """What nbval compares of outputs, figures left out."""
    texts = {"stdout": stdout}
    for output in outputs:
        data = output.get("data", {})
        if output.get("name") == "stdout":
            texts["stdout"] += output["text"]
        for mime in MIMES:
            if mime in data and "image/png" not in data:
                texts[mime] = f"{texts.get(mime, '')}{data[mime]}\n"
    return texts


def main(md: str, out: str) -> None:
    chapter = Chapter()
    for i, cell in enumerate(code_cells(jupytext.read(md)), 1):
        chapter.run(i, cell)
    seconds = {"seconds": round(time.process_time(), 1)}
    pathlib.Path(out).write_text(json.dumps(chapter.result | seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
