"""The rows of a chapter: added, shown, collected."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ebmlearn.evaluate.claims._measured import HERE, Measured

VERDICTS = ("holds", "holds at this scale", "holds in part", "fails", "not tested")
"""What a row may end with; what the word leaves out is the row's note."""

_KEY = "claims"  # of an output's metadata
_HEAD = ("Claim", "How it was tested", "Measured", "Must be", "Verdict")


class ClaimError(AssertionError):
    """A measured number is outside its bound."""


class Claims:
    """The claims of a chapter's papers, and what was measured.

    Args:
        papers: arXiv identifiers, or keys of ``references.bib`` for papers without one; ``"folklore"`` for
            what is said everywhere and claimed by no paper in particular.

    Raises:
        ValueError: If no paper is named.
    """

    def __init__(self, *papers: str) -> None:
        if not papers or not all(p.strip() for p in papers):
            raise ValueError(f"papers are {papers}; name each by its arXiv identifier or citation key")
        self.papers = papers
        self._rows: list[dict[str, Any]] = []
        self._n_shown = 0

    def add(
        self,
        claim: str,
        place: str,
        *,
        verdict: str,
        test: str = "",
        measured: Measured | Sequence[Measured] = (),
        note: str = "",
        paper: str | None = None,
    ) -> None:
        """Add a row. Its bounds are checked by `show`.

        Args:
            claim: What the paper says, in a sentence.
            place: Where it says so: ``"abstract"``, ``"table 2"``.
            verdict: One of `VERDICTS`.
            test: How it was tested; of what was not tested, why.
            measured: The numbers, at least one of them with a bound; none if it was not tested.
            note: What the word of the verdict leaves out; shown after it.
            paper: Which of the chapter's papers; not needed if there is one.

        Raises:
            ValueError: If a text is empty or breaks the table, the verdict is unknown, a bound is missing,
                what was not tested has numbers, or the paper is not the chapter's.
        """
        numbers = (measured,) if isinstance(measured, Measured) else tuple(measured)
        paper = self.papers[0] if paper is None and len(self.papers) == 1 else paper
        if paper not in self.papers:
            raise ValueError(f"paper is {paper!r}; it must be one of {', '.join(self.papers)}")
        if verdict not in VERDICTS:
            raise ValueError(f"verdict is {verdict!r}; use one of {', '.join(VERDICTS)}, and a note")
        row = {"claim": claim, "place": place, "test": test, "verdict": verdict}
        for name, text in row.items():
            if not text.strip():
                raise ValueError(f"{name} is empty in the row {claim!r} ({place}); say it, or say why not")
        for text in (*row.values(), note, *(t for m in numbers for t in (m.label, m.unit, m.held_by))):
            if "|" in text or "\n" in text:
                raise ValueError(
                    f"{text!r} breaks the table; write one line, and ‖, \\mid or \\vert for a bar"
                )
        if verdict == "not tested" and numbers:
            raise ValueError(f"{claim!r} has numbers and is said not to be tested; give the verdict")
        if verdict != "not tested" and not any(m.bounded for m in numbers):
            raise ValueError(f"{claim!r} is said to be {verdict!r} without a bound; give a Measured one")
        self._rows.append(
            {"papers": list(self.papers), "paper": paper}
            | row
            | {"note": note, "measured": [m.row() for m in numbers], "held": all(m.held for m in numbers)}
        )

    def show(self) -> None:
        """Show the rows that were not shown yet, then check their bounds.

        Rows whose numbers need data that not every machine has are added and shown in a cell of their own,
        which has the tag of those that compute them. In a notebook the table is Markdown, and the rows are
        the output's metadata under ``"claims"``, where `collect` finds them; elsewhere it is printed.

        Raises:
            ClaimError: If a number is outside its bound. It names each; the table is shown all the same.
            ValueError: If there is no new row.
        """
        rows = self._rows[self._n_shown :]
        if not rows:
            raise ValueError("there is no row to show; add one first")
        self._n_shown = len(self._rows)
        ipython = sys.modules.get("IPython")
        if ipython is not None and ipython.get_ipython() is not None:
            ipython.display.publish_display_data({"text/markdown": table(rows)}, {_KEY: rows})
        else:
            print(table(rows))
        out = [
            f"- {row['claim']} ({row['place']}): {m['shown']}; it must be {m['must_be'] or 'finite'}"
            for row in rows
            for m in row["measured"]
            if not m["held"]
        ]
        if out:
            raise ClaimError("\n".join(["outside the bound:", *out]))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A table of claims in Markdown, with a line for each number.

    Args:
        rows: As `collect` returns them.
    """
    several = len({paper for row in rows for paper in row["papers"]}) > 1
    lines = [_HEAD, ("---",) * len(_HEAD)]
    for row in rows:
        source = f"{row['paper']}, {row['place']}" if several else row["place"]
        note = f", {row['note']}" if row["note"] else ""
        first, *others = [_number(m) for m in row["measured"]] or [("", "")]
        lines.append((f"{row['claim']} ({source})", row["test"], *first, row["verdict"] + note))
        lines += [("", "", *number, "") for number in others]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(m: dict[str, Any]) -> tuple[str, str]:
    where = "" if m["held_by"] == HERE else f" (`{m['held_by']}`)"
    return m["shown"] + where, m["must_be"]


def collect(folder: str | Path) -> list[dict[str, Any]]:
    """The rows of every chapter, from the outputs that its notebook has stored.

    Args:
        folder: Where the ``.ipynb`` files are.

    Returns:
        The rows, in the order of the chapters. Each has ``chapter`` (the name of the file without suffix),
        ``papers``, ``paper``, ``claim``, ``place``, ``test``, ``verdict``, ``note``, ``held`` (are all bounds
        kept?) and ``measured``, a list of: ``label``, ``values``, ``unit``, ``above``, ``below``,
        ``holds_for``, ``error``, ``held_by``, ``digits``, ``held``, and in words ``shown`` and ``must_be``.

    Raises:
        FileNotFoundError: If the folder has no notebook.
    """
    paths = sorted(Path(folder).glob("*.ipynb"))
    if not paths:
        raise FileNotFoundError(f"no .ipynb in {folder}; pass the folder of the chapters")
    return [
        {"chapter": path.stem, **row}
        for path in paths
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        for row in output.get("metadata", {}).get(_KEY, [])
    ]
