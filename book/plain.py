"""A chapter's MyST as plain Markdown, with the numbers of the book.

JupyterLab and other notebook editors know no `{numref}` and no
`{exercise}`. Here cross-references and citations become words and links,
and boxes become headings. Figures, formulas, theorems and exercises are
counted as Sphinx counts them, by chapter and in the order of the text; a
test compares the numbers with those of the built book.
"""

import collections
import functools
import inspect
import os
import pathlib
import pydoc
import re

import nbformat
import pybtex.database
import pybtex.plugin

import ledger
import ledger_views

BOOK = pathlib.Path(__file__).resolve().parent
# a directive with a fence of backticks or colons, which ends it
DIRECTIVE = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{(?P<name>[a-z:-]+)\}(?P<title>[^\n]*)\n"
    r"(?P<options>(?::[a-z-]+:[^\n]*\n)*)(?P<body>.*?)^(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
ROLE = re.compile(r"\{(?P<name>[a-z]+(?::[a-z]+)?)\}`(?P<text>[^`]+)`")
TARGET = re.compile(r"^\((?P<label>[\w-]+)\)=\n+", re.MULTILINE)
# a link to a file beside the chapters
LINK = re.compile(r"\]\((?P<file>[\w/.-]+\.\w+)\)")
KINDS = {
    "exercise": "Exercise",
    "math": "",
    "figure": "Figure",
    "prf:theorem": "Theorem",
    "prf:proposition": "Proposition",
    "prf:lemma": "Lemma",
    "prf:corollary": "Corollary",
    "prf:definition": "Definition",
    "prf:remark": "Remark",
}


def options(text: str) -> dict[str, str]:
    return dict(re.findall(r"^:([a-z-]+):[ \t]*(.*)$", text, re.MULTILINE))


def caption(cell) -> dict[str, str]:
    """Name and caption of a code cell's figure; empty if it has none."""
    return cell.metadata.get("mystnb", {}).get("figure", {})


@functools.cache
def labels() -> dict[str, tuple[str, str]]:
    """Label -> (chapter's file without its suffix, what the book says)."""
    found = {}
    for path in sorted(BOOK.glob("[0-9][0-9]_*.ipynb")):
        number = int(path.stem[:2])
        count: collections.Counter = collections.Counter()

        def add(kind, label, path=path, number=number, count=count):
            count[kind] += 1
            told = f"{number}.{count[kind]}"
            kind = KINDS[kind]
            found[label] = path.stem, f"{kind} {told}" if kind else told

        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                if "caption" in caption(cell):
                    add("figure", caption(cell).get("name", ""))
                continue
            for match in DIRECTIVE.finditer(cell.source):
                how = options(match["options"])
                label = how.get("label") or how.get("name")
                if match["name"] in KINDS and (
                    label or match["name"] != "math"
                ):
                    add(match["name"], label)
            for label, title in re.findall(
                r"^\(([\w-]+)\)=\n+#+ (.*)$", cell.source, re.MULTILINE
            ):
                found[label] = path.stem, title
    return found


@functools.cache
def sources() -> dict:
    parsed = pybtex.database.parse_file(str(BOOK / "references.bib"))
    return parsed.entries


def authors(key: str) -> str:
    names = [
        " ".join(p.prelast_names + p.last_names) for p in _people(key)
    ]
    if len(names) > 2:
        return f"{names[0]} *et al.*"
    return " and ".join(
        name.replace("{", "").replace("}", "") for name in names
    )


def _people(key: str) -> list:
    if key not in sources():
        raise ValueError(f"references.bib has no source {key!r}")
    return sources()[key].persons["author"]


def bibliography(keys: list[str]) -> str:
    """The sources as a list, as at the end of a chapter."""
    find = pybtex.plugin.find_plugin
    style = find("pybtex.style.formatting", "alpha")()
    backend = find("pybtex.backends", "markdown")()
    entries = style.format_entries([sources()[key] for key in keys])
    return "\n".join(
        sorted(f"- {entry.text.render(backend)}" for entry in entries)
    )


class Plain:
    """Turns the text of one chapter into plain Markdown.

    Args:
        chapter: Its file's name without suffix, such as ``01_energy``.
        up: From the copy's folder to the repository's, such as ``..``.
    """

    def __init__(self, chapter: str, up: str) -> None:
        self.chapter, self.up = chapter, up
        self.cited: dict[str, None] = {}

    def __call__(self, text: str) -> str:
        text = LINK.sub(self.link, text)
        text = DIRECTIVE.sub(self.directive, text)
        text = TARGET.sub("", text)
        return ROLE.sub(self.role, text)

    def link(self, match: re.Match) -> str:
        file = BOOK / match["file"]
        if not file.is_file():
            return match[0]
        if file.with_suffix(".ipynb").is_file():  # another chapter's copy
            return f"]({file.stem}.ipynb)"
        return f"]({self.up}/book/{match['file']})"

    def directive(self, match: re.Match) -> str:
        name, body = match["name"], match["body"].strip("\n")
        how = options(match["options"])
        title = match["title"].strip()
        label = how.get("label") or how.get("name", "")
        number = self.number(label) if label else ""
        if name == "math":
            tag = rf" \tag{{{number}}}" if label else ""
            return f"$$\n{body}{tag}\n$$"
        if name == "exercise":
            return f"### {number}: {title}\n\n{body}"
        if name == "figure":
            where = f"{self.up}/book/{title}"
            image = f"![{how.get('alt', '')}]({where})"
            return f"{image}\n\n**{number}.** {body}"
        if name == "prf:proof":
            return f"*Proof.* {self(body)} ∎"
        if name in KINDS:
            head = f"**{number}**" + (f" ({title})" if title else "")
            return f"{head}**.**\n\n{self(body)}"
        if name in ("note", "warning", "tip", "important"):
            return f"**{name.capitalize()}.** {self(body)}"
        if name == "ledger":
            return ledger_views.markdown(title, ledger.read())
        if name == "bibliography":
            return "{bibliography}"  # known once the whole text is read
        raise ValueError(
            f"{self.chapter}: no plain form for the directive {name!r};"
            f" add it to `Plain.directive` in book/plain.py"
        )

    def number(self, label: str) -> str:
        if label not in labels():
            raise ValueError(
                f"{self.chapter}: no label {label!r} in the book"
            )
        return labels()[label][1]

    def role(self, match: re.Match) -> str:
        name, text = match["name"], " ".join(match["text"].split())
        parts = re.fullmatch(r"(?P<text>.*?) *<(?P<target>[^<>]+)>", text)
        words = parts["text"] if parts else ""
        target = parts["target"] if parts else text
        if name == "term":
            return words or target
        if name == "ledger":
            return f"{ledger.count(ledger.read(), target):,}"
        if name.startswith("cite"):
            return self.citation(name, target)
        if name.startswith("py:"):
            return self.code(words, target)
        if name == "doc":
            return self.page(words, target)
        if name in ("ref", "numref", "eq", "prf:ref"):
            return self.reference(name, words, target)
        raise ValueError(
            f"{self.chapter}: no plain form for the role {name!r}; add it"
            " to `Plain.role` in book/plain.py"
        )

    def citation(self, role: str, keys: str) -> str:
        told = []
        for key in re.split(r",\s*", keys):
            self.cited[key] = None
            who, year = authors(key), sources()[key].fields["year"]
            told.append(
                f"{who} [{year}]" if role == "cite:t" else f"{who}, {year}"
            )
        joined = ", ".join(told)
        return joined if role == "cite:t" else f"[{joined}]"

    def code(self, words: str, target: str) -> str:
        """A name of the package: a link to its file, where it has one."""
        name = target.lstrip("~!")
        short = name.rpartition(".")[2] if target[0] == "~" else name
        shown = f"`{words or short}`"
        found = pydoc.locate(name) if name.startswith("ebmlearn") else None
        try:
            file = pathlib.Path(inspect.getsourcefile(found)).resolve()
        except TypeError:  # an instance, or nothing: no file is its own
            return shown
        if not file.is_relative_to(BOOK.parent):
            return shown
        inside = file.relative_to(BOOK.parent).as_posix()
        return f"[{shown}]({self.up}/{inside})"

    def page(self, words: str, target: str) -> str:
        """A page that is not a chapter: its text in the repository."""
        file = BOOK / f"{target}.md"
        title = re.search(
            r"^# (.*)", file.read_text(encoding="utf-8"), re.M
        )
        shown = words or (title[1] if title else target)
        return f"[{shown}]({self.up}/book/{file.name})"

    def reference(self, role: str, words: str, label: str) -> str:
        if label not in labels():
            return self.outside(words, label)
        file, told = labels()[label]
        shown = words or (f"({told})" if role == "eq" else told)
        if file == self.chapter:
            return shown
        return f"[{shown}]({file}.ipynb)"

    def outside(self, words: str, label: str) -> str:
        """A label of a page that is not a chapter."""
        for file in sorted(BOOK.glob("[a-z]*.md")):
            text = file.read_text(encoding="utf-8")
            found = re.search(
                rf"^\({re.escape(label)}\)=\n+#+ (.*)$", text, re.MULTILINE
            )
            if found:
                shown = words or found[1]
                return f"[{shown}]({self.up}/book/{file.name})"
        raise ValueError(f"{self.chapter}: no label {label!r} in the book")


def from_folder(folder: pathlib.Path) -> str:
    """The way from a folder to the repository's, for links."""
    return pathlib.Path(os.path.relpath(BOOK.parent, folder)).as_posix()
