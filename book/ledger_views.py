"""What the page of the ledger shows: its tables as HTML, and in the plain
Markdown of the copies."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any, NamedTuple

import ledger
import published
import tables
from ebmlearn.evaluate.claims import HERE, VERDICTS, table
from ledger import Row

LETTERS = dict(zip(VERDICTS, "HSPFN", strict=True))
MEANING = {
    "holds": "found true as it is said, in all that we tried",
    "holds at this scale": "found true in a small setting; it means more",
    "holds in part": "found true under the condition that the note names",
    "fails": "our test did not find it, or found the contrary",
    "not tested": "the row says why",
}
# the page of a chapter -> its address, seen from that of the ledger
Address = Callable[[str], str]


class Table(NamedTuple):
    """A table whose cells are text."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def kind(verdict: str) -> str:
    """The class of a verdict in the style sheet."""
    return "verdict-" + verdict.replace(" ", "-")


def named(paper: str) -> str:
    """A paper's authors, year and identifier."""
    number = ledger.arxiv(paper)
    return ledger.paper(paper) + (f", arXiv:{number}" if number else "")


def link(row: Row, address: Address) -> str:
    return f"{address(row.chapter)}#{row.anchor}"


def here(row: Row) -> str:
    """Where the ledger itself has a row."""
    return f"ledger-{row.number}-{row.index}"


def tried(row: Row) -> str:
    """What `make shake` says of a row."""
    if row.said["verdict"] == "not tested":
        return ""
    if ledger.from_stored(row):
        return "from stored runs, not repeated under other seeds"
    if row.shaken is None:
        return "not yet under other seeds"
    return f"held in {row.shaken[0]} of {row.shaken[1]} pairs"


# tables of text


def as_html(made: Table, name: str) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in made.head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-label="{escape(label)}">{escape(text)}</td>'
            for label, text in zip(made.head, row, strict=True)
        )
        + "</tr>"
        for row in made.rows
    )
    return (
        f'<table class="ledger {name}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def as_markdown(made: Table) -> str:
    return tables.markdown(made.head, made.rows)


def verdicts(rows: list[Row]) -> Table:
    found = ledger.by_verdict(rows).items()
    return Table(
        ("Verdict", "Rows", "What it says"),
        [(v, str(n), MEANING[v]) for v, n in found],
    )


def headlines(stored: dict[str, Any]) -> Table:
    """The papers' own figures, by paper."""
    rows, last = [], ""
    for row in stored["figures"]:
        by = stored["sources"][row["source"]]["authors"]
        note = f" ({row['note']})" if row["note"] else ""
        rows.append(
            (
                named(row["paper"]) if row["paper"] != last else "",
                f"{row['data']}: {row['measure']}",
                row["value"] + note,
                f"{by}, {row['place']}; grade {row['grade']}",
            )
        )
        last = row["paper"]
    return Table(("Paper", "What", "Published", "Source"), rows)


def unsourced(stored: dict[str, Any]) -> Table:
    return Table(
        ("Paper", "Figures that we could not read"),
        [(named(r["paper"]), r["what"]) for r in stored["unsourced"]],
    )


def ladder(stored: dict[str, Any]) -> Table:
    """The table beside the figure."""
    rows = []
    for row in published.ladder(stored):
        told = [published.source(stored, s) for s in row["sources"]]
        name = f"{row['name']}, {row['year']}"
        name += f" ({row['note']})" if row["note"] else ""
        score = row["inception score"]
        rows.append(
            (
                name,
                f"{row['fid']:.2f}",
                f"{score:.2f}" if score else "–",
                "; ".join(told) + f"; grade {row['grade']}",
            )
        )
    return Table(("Model", "FID", "Inception score", "Source"), rows)


def sources(stored: dict[str, Any]) -> Table:
    return Table(
        ("Source", "What it is", "What we read"),
        [
            (s["authors"], f"{s['title']}; {s['where']}", s["read"])
            for s in stored["sources"].values()
        ],
    )


def untested(rows: list[Row]) -> Table:
    found = [r for r in rows if r.said["verdict"] == "not tested"]
    return Table(
        ("Chapter", "Claim", "Why it was not tested"),
        [
            (
                str(r.number),
                f"{r.said['claim']} ({r.said['place']})",
                r.said["test"],
            )
            for r in found
        ],
    )


# the two views of all rows


def squares(rows: list[Row]) -> str:
    """A square for each row, in a line for each paper."""
    lines = []
    for name, those in ledger.by_paper(rows).items():
        boxes = "".join(
            f'<a class="square {kind(r.said["verdict"])}"'
            f' href="#{here(r)}"'
            f' title="{escape(r.said["claim"])}: {r.said["verdict"]}">'
            f"{LETTERS[r.said['verdict']]}</a>"
            for r in sorted(
                those, key=lambda r: VERDICTS.index(r.said["verdict"])
            )
        )
        lines.append(
            f'<li data-paper="{escape(name)}" data-rows="{len(those)}">'
            f'<span class="paper">{escape(named(name))}</span>'
            f'<span class="boxes">{boxes}</span></li>'
        )
    return f'<ul class="ledger-squares">{"".join(lines)}</ul>'


def squares_markdown(rows: list[Row]) -> str:
    letters = [
        (
            named(name),
            " ".join(LETTERS[r.said["verdict"]] for r in those),
        )
        for name, those in ledger.by_paper(rows).items()
    ]
    return as_markdown(Table(("Paper", "Rows"), letters))


def full(rows: list[Row], address: Address) -> str:
    """Every row, under its chapter, with what filters it."""
    head = "".join(
        f"<th>{text}</th>"
        for text in ("Claim", "How it was tested", "Measured", "Verdict")
    )
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.chapter, []).append(row)
    body = "".join(
        f'<tbody data-chapter="{name}"><tr class="chapter">'
        f'<th colspan="4"><a href="{address(name)}">'
        f"{escape(those[0].title)}</a></th></tr>"
        + "".join(entry(row, address) for row in those)
        + "</tbody>"
        for name, those in groups.items()
    )
    return (
        f"{filters(rows)}"
        f'<table class="ledger ledger-rows" data-rows="{len(rows)}">'
        f"<thead><tr>{head}</tr></thead>{body}</table>"
    )


def entry(row: Row, address: Address) -> str:
    said = row.said
    numbers = "".join(
        f"<li>{escape(m['shown'])}"
        + (
            f'; <span class="must">must be {escape(m["must_be"])}</span>'
            if m["must_be"]
            else ""
        )
        + (
            f" <code>{escape(m['held_by'])}</code>"
            if m["held_by"] != HERE
            else ""
        )
        + "</li>"
        for m in said["measured"]
    )
    note = f", {said['note']}" if said["note"] else ""
    shaken = tried(row)
    return (
        f'<tr id="{here(row)}" data-paper="{escape(said["paper"])}"'
        f' data-verdict="{said["verdict"]}" data-chapter="{row.chapter}">'
        f'<td data-label="Claim"><a href="{link(row, address)}">'
        f"{escape(said['claim'])}</a>"
        f' <span class="where">{escape(named(said["paper"]))},'
        f" {escape(said['place'])}</span></td>"
        f'<td data-label="Tested">{escape(said["test"])}</td>'
        f'<td data-label="Measured"><ul>{numbers}</ul></td>'
        f'<td data-label="Verdict">'
        f'<span class="square {kind(said["verdict"])}" aria-hidden="true">'
        f"{LETTERS[said['verdict']]}</span> "
        f"<strong>{said['verdict']}</strong>{escape(note)}"
        + (f' <span class="shaken">{shaken}</span>' if shaken else "")
        + "</td></tr>"
    )


def filters(rows: list[Row]) -> str:
    """What a script shows, since it does nothing without one."""
    papers = {name: named(name) for name in ledger.by_paper(rows)}
    papers = dict(sorted(papers.items(), key=lambda p: p[1].casefold()))
    chapters = {r.chapter: r.title for r in rows}
    choices = "".join(
        choice(label, name, options)
        for label, name, options in (
            ("Verdict", "verdict", {v: v for v in VERDICTS}),
            ("Method", "chapter", chapters),
            ("Paper", "paper", papers),
        )
    )
    return (
        f'<form class="ledger-filter" hidden>{choices}'
        '<button type="reset">Show all</button>'
        '<output aria-live="polite"></output></form>'
    )


def choice(label: str, name: str, options: dict[str, str]) -> str:
    listed = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>'
        for value, text in options.items()
    )
    return (
        f'<label>{label} <select name="{name}">'
        f'<option value="">all</option>{listed}</select></label>'
    )


def full_markdown(rows: list[Row]) -> str:
    parts, chapters = [], dict.fromkeys(r.chapter for r in rows)
    for name in chapters:
        those = [r for r in rows if r.chapter == name]
        parts.append(f"**[{those[0].title}]({name}.ipynb)**")
        parts.append(table([r.said for r in those]))
    return "\n\n".join(parts)


# all views, by the names that the text of the chapter uses

OF_ROWS: dict[str, Callable[[list[Row]], Table]] = {
    "verdicts": verdicts,
    "untested": untested,
}
OF_PAPERS: dict[str, Callable[[dict[str, Any]], Table]] = {
    "headlines": headlines,
    "unsourced": unsourced,
    "ladder": ladder,
    "sources": sources,
}
VIEWS: Iterable[str] = (*OF_ROWS, *OF_PAPERS, "squares", "rows")


def text_table(view: str, rows: list[Row]) -> Table:
    if view in OF_ROWS:
        return OF_ROWS[view](rows)
    return OF_PAPERS[view](published.load())


def html(view: str, rows: list[Row], address: Address) -> str:
    """A view as a part of a page.

    Raises:
        LedgerError: If there is no such view.
    """
    if view == "rows":
        return full(rows, address)
    if view == "squares":
        return squares(rows)
    return as_html(text_table(known(view), rows), f"ledger-{view}")


def markdown(view: str, rows: list[Row]) -> str:
    """A view as plain Markdown."""
    if view == "rows":
        return full_markdown(rows)
    if view == "squares":
        return squares_markdown(rows)
    return as_markdown(text_table(known(view), rows))


def known(view: str) -> str:
    if view not in VIEWS:
        raise ledger.LedgerError(
            f"no view {view!r}; there are {', '.join(VIEWS)}"
        )
    return view
