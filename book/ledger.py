"""The ledger: the rows of claims of every chapter, checked and counted.

A chapter stores its rows with the output of its cell of claims. Nothing
is typed here and nothing is run: each row is taken from there, made once
more out of its own numbers, and compared with what is stored. A number
that was changed by hand, a verdict without a bound, a row that its table
does not show: each is a fault, and the book is not built.
"""

import functools
import json
import pathlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pybtex.database

from ebmlearn.evaluate.claims import (
    HERE,
    VERDICTS,
    Claims,
    Measured,
    table,
)
from tolerance import needed, said_often

BOOK = pathlib.Path(__file__).resolve().parent
OWN = "23_ledger"
# who says it, where that is no paper
NO_PAPER = {"folklore": "Said everywhere", "ebmlearn": "Our own claim"}
MARKDOWN = "text/markdown"
SHAKE = "shake.json"
# what `Claims.show` writes first
HEAD = table([]).splitlines()[0]


class LedgerError(ValueError):
    """Rows that say something else than they should."""


@dataclass(frozen=True)
class Row:
    """A row of claims and where it stands.

    Args:
        chapter: The file of the chapter without suffix.
        title: Of the chapter, with its number.
        cell: Which code cell shows it, from 1.
        index: Which of the chapter's rows it is, from 1.
        said: The row as `Claims` stores it.
        shaken: In how many pairs of `make shake` it held, of how many;
            None if that is not known, or if it rests on stored runs.
    """

    chapter: str
    title: str
    cell: int
    index: int
    said: dict[str, Any]
    shaken: tuple[int, int] | None = None

    @property
    def number(self) -> int:
        return int(self.chapter[:2])

    @property
    def anchor(self) -> str:
        """Where the page of the chapter has it."""
        return f"claim-{self.number}-{self.index}"

    @property
    def place(self) -> str:
        return f"{self.chapter}, row {self.index} ({self.said['claim']})"


def read(
    folder: pathlib.Path = BOOK, *, book: pathlib.Path = BOOK
) -> list[Row]:
    """The rows of all chapters, in their order.

    Args:
        folder: Where the notebooks are, and the table of `make shake`.
        book: The folder whose neighbours hold what rows name as their
            proof, and whose bibliography has the papers.

    Raises:
        LedgerError: If a row has a fault; all of them are named.
    """
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    rows, faults = [], []
    for path in paths:
        if path.stem != OWN:
            found, wrong = chapter(path)
            rows += found
            faults += wrong
    if not rows and not faults:
        raise LedgerError(f"no chapter in {folder} has a row of claims")
    if not faults:
        rows = with_shake(rows, folder / SHAKE)
        for row in rows:
            faults += [
                f"{row.place}: {fault}" for fault in problems(row, book)
            ]
        faults += repeated(rows)
    if faults:
        raise LedgerError("\n".join(["the ledger has faults:", *faults]))
    return rows


def chapter(path: pathlib.Path) -> tuple[list[Row], list[str]]:
    """A chapter's rows, and what is wrong with how they are stored."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    title = re.search(r"^# (.*)$", text, re.M)
    rows, faults, name = [], [], path.stem
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    for i, cell in enumerate(code, 1):
        for output in cell["outputs"]:
            said = output.get("metadata", {}).get("claims", [])
            shown = "".join(output.get("data", {}).get(MARKDOWN, ""))
            if not said and not shown.startswith(HEAD):
                continue
            try:
                same = shown == table(said)
            except (KeyError, TypeError) as error:
                faults.append(f"{name} [{i}]: a row is not whole: {error}")
                continue
            if not same:
                faults.append(
                    f"{name} [{i}]: the table on the page is not that of"
                    " the rows; run the chapter again"
                )
            for row in said:
                at = len(rows) + 1
                rows.append(
                    Row(name, title[1] if title else name, i, at, row)
                )
    if not rows and not faults:
        faults.append(f"{name}: no row of claims")
    return rows, faults


def problems(row: Row, book: pathlib.Path = BOOK) -> list[str]:
    """What is wrong with one row."""
    said, out = row.said, []
    try:
        numbers = [number(m) for m in said["measured"]]
        # refuses what a chapter could not have added: no bound, no verdict
        Claims(*said["papers"]).add(
            said["claim"],
            said["place"],
            verdict=said["verdict"],
            test=said["test"],
            measured=numbers,
            note=said["note"],
            paper=said["paper"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"{type(error).__name__}: {error}"]
    for m, stored in zip(numbers, said["measured"], strict=True):
        if not m.held:
            must = m.must_be or "finite"
            out.append(f"{m} is outside its bound; it must be {must}")
        new = json.loads(json.dumps(m.row()))
        out += [
            f"{m.label or 'its number'}: {key} is stored as"
            f" {stored.get(key)!r}, and its values give {new[key]!r}"
            for key in new
            if new[key] != stored.get(key)
        ]
        out += proof(m.held_by, book)
    if said["held"] is not True:
        out.append("it is stored as not held")
    if said["verdict"] == "holds in part" and not said["note"]:
        out.append("it holds in part; let the note say in which")
    if row.shaken and row.shaken[0] < needed(
        row.shaken[1], said_often(said)
    ):
        out.append("`make shake` found it to hold less often than it says")
    try:
        paper(said["paper"], book)
    except LedgerError as error:
        out.append(str(error))
    return out


def number(m: dict[str, Any]) -> Measured:
    """A measured number from what is stored of it."""
    values = [float(v) if isinstance(v, str) else v for v in m["values"]]
    kept = ("unit", "above", "below", "holds_for", "held_by", "digits")
    settings = {key: m[key] for key in kept}
    single = values if len(values) > 1 else values[0]
    return Measured(m["label"], single, error=m["error"], **settings)


def proof(held_by: str, book: pathlib.Path) -> list[str]:
    """Is what holds a number there?"""
    if held_by == HERE:
        return []
    name, _, test = held_by.partition("::")
    file = book.parent / name
    if not file.is_file():
        return [f"it is held by {name}, which is not there"]
    text = file.read_text(encoding="utf-8")
    if test and f"def {test}(" not in text:
        return [f"it is held by {held_by}, but the file has no such test"]
    return []


def repeated(rows: list[Row]) -> list[str]:
    """Rows that would be counted twice."""
    texts = Counter(
        (r.chapter, json.dumps(r.said, sort_keys=True)) for r in rows
    )
    return [
        f"{chapter}: {json.loads(said)['claim']} stands there {n} times"
        for (chapter, said), n in texts.items()
        if n > 1
    ]


# other seeds, other arithmetic


def with_shake(rows: list[Row], file: pathlib.Path) -> list[Row]:
    """The rows with what the table of `make shake` says of each.

    A row counts as shaken if the table has its words and its numbers by
    name: a row that was written anew since then has neither. Nor does one
    that rests on stored runs, since these are the same in every pair.
    """
    found: dict[tuple[str, str], list[dict]] = {}
    stored = json.loads(file.read_text("utf-8")) if file.exists() else {}
    for check in stored.get("rows", []):
        if check["kind"] == "claim":
            key = check["chapter"], check["text"]
            found.setdefault(key, []).append(check)
    out = []
    for row in rows:
        said = row.said
        text = f"{said.get('claim')} ({said.get('place')})"
        # a claim that is tested twice has a check for each of the tests
        for check in found.get((row.chapter, text), []):
            names = [*map(labels, check["values"].values())]
            if labels(shown(said)) in names and not from_stored(row):
                pair = (check["held"], check["of"])
                row = replace(row, shaken=pair)
        out.append(row)
    return out


def shown(said: dict[str, Any]) -> list[str]:
    return [m["shown"] for m in said["measured"]]


def labels(numbers: Iterable[str]) -> list[str]:
    return [n.rpartition(": ")[0] for n in numbers]


# papers


@functools.cache
def sources(book: pathlib.Path = BOOK) -> dict[str, Any]:
    """The bibliography, by key and by arXiv identifier."""
    entries = pybtex.database.parse_file(
        str(book / "references.bib")
    ).entries
    found = dict(entries.items())
    for entry in entries.values():
        told = (
            f"{entry.fields.get('note', '')} {entry.fields.get('url', '')}"
        )
        arxiv = re.search(r"\d{4}\.\d{4,5}", told)
        name = entry.fields.get("eprint") or (arxiv[0] if arxiv else None)
        if name:
            found.setdefault(name, entry)
    return found


def paper(name: str, book: pathlib.Path = BOOK) -> str:
    """Authors and year of a paper that a row names.

    Raises:
        LedgerError: If the bibliography does not have it.
    """
    if name in NO_PAPER:
        return NO_PAPER[name]
    if name not in sources(book):
        raise LedgerError(f"references.bib has no paper {name!r}")
    entry = sources(book)[name]
    people = [
        " ".join(map(str, p.rich_prelast_names + p.rich_last_names))
        for p in entry.persons["author"]
    ]
    if len(people) > 2:
        people = [f"{people[0]} et al."]
    return f"{' and '.join(people)} {entry.fields['year']}"


def arxiv(name: str) -> str:
    """The identifier of a paper that a row names by it; else nothing."""
    return name if re.fullmatch(r"\d{4}\.\d{4,5}", name) else ""


# counts


def by_verdict(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows have each verdict; those that none has, too."""
    found = Counter(row.said["verdict"] for row in rows)
    return {verdict: found[verdict] for verdict in VERDICTS}


def by_paper(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The rows of each paper, most rows first."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.said["paper"], []).append(row)
    return dict(sorted(found.items(), key=lambda p: -len(p[1])))


def count(rows: list[Row], what: str) -> int:
    """A number that the text of the chapter has.

    Args:
        what: A verdict; rows; papers that claim something; chapters;
            tested rows; those with and without a record of `make shake`,
            and "stored" ones, which can have none; "firm" ones, which
            held in all its pairs; "single" ones, of whose bounded
            numbers none has several values; "on average", where a bound
            is one of a mean; and "bare" ones, which hold without a note.

    Raises:
        LedgerError: If there is no such number.
    """
    tested = [r for r in rows if r.said["verdict"] != "not tested"]
    shaken = [r.shaken for r in tested if r.shaken]
    numbers = {
        "rows": len(rows),
        "papers": len({r.said["paper"] for r in rows} - {*NO_PAPER}),
        "chapters": len({r.chapter for r in rows}),
        "tested": len(tested),
        "bare": sum(
            (r.said["verdict"], r.said["note"]) == ("holds", "")
            for r in rows
        ),
        "shaken": len(shaken),
        "stored": sum(map(from_stored, tested)),
        "not shaken": sum(
            r.shaken is None and not from_stored(r) for r in tested
        ),
        "firm": sum(held == of for held, of in shaken),
        "single": sum(
            all(len(m["values"]) == 1 for m in bounded(r)) for r in tested
        ),
        "on average": sum(
            any(m["holds_for"] == "mean" for m in bounded(r))
            for r in tested
        ),
        **by_verdict(rows),
    }
    if what not in numbers:
        raise LedgerError(
            f"no number {what!r}; there are {', '.join(numbers)}"
        )
    return numbers[what]


def from_stored(row: Row) -> bool:
    """Is each of its bounded numbers out of a file or a test?"""
    return all(m["held_by"] != HERE for m in bounded(row))


def bounded(row: Row) -> list[dict[str, Any]]:
    """The numbers of a row that have a bound."""
    return [m for m in row.said["measured"] if m["must_be"]]
