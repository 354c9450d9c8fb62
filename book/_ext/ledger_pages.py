"""Sphinx extension: the ledger of claims, made when the book is built.

- The directive `ledger` shows a view of the rows of all chapters, and the
  role `ledger` a number of them. A fault of a row ends the build.
- Each row of a chapter's own table gets an anchor, to which the ledger
  links.
"""

import pathlib
import sys

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole

BOOK = pathlib.Path(__file__).resolve().parents[1]
sys.path.append(str(BOOK))

import ledger  # noqa: E402
import ledger_views  # noqa: E402

SCRIPT = "ledger.js"


class view(nodes.General, nodes.Element):
    """Where a view goes, once it is known how pages link to each other."""


def rows(env):
    """The rows of all chapters, read once in a build."""
    if not hasattr(env, "ledger_rows"):
        try:
            env.ledger_rows = ledger.read(pathlib.Path(env.srcdir, "book"))
        except (ledger.LedgerError, ValueError) as error:
            raise ExtensionError(str(error)) from error
    return env.ledger_rows


def depends(env):
    """The page is made anew when one of these changes."""
    for file in [*BOOK.glob("[0-9][0-9]_*.ipynb"), *BOOK.glob("*.json")]:
        env.note_dependency(str(file))


class Ledger(SphinxDirective):
    required_arguments = 1

    def run(self):
        depends(self.env)
        rows(self.env)
        return [view(name=ledger_views.known(self.arguments[0]))]


class Count(SphinxRole):
    def run(self):
        depends(self.env)
        n = ledger.count(rows(self.env), self.text)
        return [nodes.Text(f"{n:,}")], []


def fill(app, doctree, docname):
    """Put the views where they go: on a page each chapter has its own."""
    for place in list(doctree.findall(view)):

        def address(chapter: str) -> str:
            if app.builder.name == "singlehtml":  # all on one page
                return ""
            there = f"book/{chapter}"
            return app.builder.get_relative_uri(docname, there)

        made = ledger_views.html(place["name"], rows(app.env), address)
        place.replace_self(nodes.raw("", made, format="html"))
        app.env.metadata.setdefault(docname, {})["ledger"] = True


def anchors(app, doctree):
    """Name the rows of a chapter's tables of claims."""
    path = pathlib.Path(app.srcdir, f"{app.env.docname}.ipynb")
    if not path.exists():
        return
    # what is wrong with them is said by the page of the ledger
    those, _ = ledger.chapter(path)
    found = [
        line
        for cell in doctree.findall(nodes.container)
        if cell.get("nb_element") == "cell_code_output"
        for made in cell.findall(nodes.table)
        for line in claims(made)
    ]
    if len(found) != len(those):
        raise ExtensionError(
            f"{path.stem}: {len(found)} rows of claims on the page,"
            f" {len(those)} in the ledger"
        )
    for line, row in zip(found, those, strict=True):
        line["ids"].append(row.anchor)


def claims(made):
    """The lines of a table that begin a row, if it is one of claims."""
    head, *lines = made.findall(nodes.row)
    if [e.astext() for e in head][:1] != ["Claim"]:
        return []
    return [line for line in lines if line.children[0].astext().strip()]


def script(app, page, template, context, doctree):
    if doctree is not None and app.env.metadata.get(page, {}).get(
        "ledger"
    ):
        app.add_js_file(SCRIPT)


def forget(app, env, docnames):
    """What an earlier build has read may have changed."""
    if hasattr(env, "ledger_rows"):
        del env.ledger_rows


def setup(app):
    app.add_node(view)
    app.add_directive("ledger", Ledger)
    app.add_role("ledger", Count())
    app.connect("env-before-read-docs", forget)
    app.connect("doctree-read", anchors)
    app.connect("doctree-resolved", fill)
    # before book_pages copies the list of scripts
    app.connect("html-page-context", script, priority=400)
    return {"parallel_read_safe": True}
