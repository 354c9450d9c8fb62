"""Rows of claims: a bound that holds, one that does not, and what a row may not leave out."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ebmlearn.evaluate.claims import HERE, VERDICTS, ClaimError, Claims, Measured, collect, table
from ebmlearn.evaluate.quadrature import Estimate

NAN, INF = math.nan, math.inf


# a number and its bound


@pytest.mark.parametrize(
    ("value", "settings", "held"),
    [
        (1, {"below": 2}, True),
        (3, {"below": 2}, False),
        (3, {"above": 2}, True),
        (1, {"above": 2}, False),
        (2, {"above": 2}, False),
        (2, {"below": 2}, False),
        (2, {"above": 1, "below": 3}, True),
        (0, {"above": 1, "below": 3}, False),
        (4, {"above": 1, "below": 3}, False),
        (5, {}, True),
        # each of several, whichever is the bad one
        ([1, 1, 1], {"below": 2}, True),
        ([9, 1, 1], {"below": 2}, False),
        ([1, 1, 9], {"below": 2}, False),
        # their mean, or most of them
        ([1, 1, 3], {"below": 2, "holds_for": "mean"}, True),
        ([1, 1, 9], {"below": 2, "holds_for": "mean"}, False),
        ([1, 1, 9], {"below": 2, "holds_for": 2}, True),
        ([1, 9, 9], {"below": 2, "holds_for": 2}, False),
        ([1, 1, 1], {"below": 2, "holds_for": 2}, True),
        # what is not finite is inside no bound, and not even without one
        (NAN, {"below": 2}, False),
        (NAN, {"above": 2}, False),
        (INF, {"above": 2}, False),
        (-INF, {"below": 2}, False),
        (NAN, {}, False),
        (INF, {}, False),
        ([1, NAN, 1], {"below": 2}, False),
        ([1, NAN, 1], {"below": 2, "holds_for": "mean"}, False),
        ([1, NAN, 1], {"below": 2, "holds_for": 2}, True),
    ],
)
def test_a_bound_holds_for_what_it_says(value, settings, held):
    assert Measured("x", value, **settings).held is held


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, (1.5,)),
        (torch.tensor(1.5), (1.5,)),
        (torch.tensor([[1.0, 2.0]], requires_grad=True), (1.0, 2.0)),
        (np.array([1.0, 2.0]), (1.0, 2.0)),
        (np.float64(1.5), (1.5,)),
        ([torch.tensor(1.0), 2], (1.0, 2)),
        ((v for v in (1, 2)), (1, 2)),
        ([Estimate(1.0, 0.1), Estimate(2.0, 0.1)], (1.0, 2.0)),
    ],
)
def test_a_value_comes_in_any_form(value, expected):
    assert Measured("x", value).value == expected


@pytest.mark.parametrize(
    ("measured", "text"),
    [
        (Measured("KL", 0.5623, "nats"), "KL: 0.56 nats"),
        (Measured("", 0.5623), "0.56"),
        (Measured("x", 0.5623, digits=3), "x: 0.562"),
        (Measured("x", 23.08), "x: 23.1"),
        (Measured("x", 123.4), "x: 123"),
        (Measured("x", 12345.6), "x: 12,346"),
        (Measured("x", -0.0412), "x: -0.041"),
        (Measured("x", 3.21e-13), "x: 3.2e-13"),
        (Measured("x", 0.0), "x: 0"),
        (Measured("x", NAN), "x: nan"),
        (Measured("classes", 10), "classes: 10"),
        (Measured("images", 60000), "images: 60,000"),
        (Measured("x", 0.5, error=0.0123), "x: 0.50 ± 0.01"),
        (Measured("x", Estimate(0.5, 0.0123), "nats"), "x: 0.50 ± 0.01 nats"),
        (Measured("x", [0.3, 0.1, 0.5], "nats"), "x: 0.30 nats (mean of 3; 0.10 to 0.50)"),
        (Measured("x", [NAN, 0.3]), "x: nan (mean of 2; 0.30 to nan)"),
    ],
)
def test_the_number_is_shown_with_its_spread(measured, text):
    assert str(measured) == text


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, ""),
        ({"below": 0.7}, "below 0.7"),
        ({"above": 10}, "above 10"),
        ({"above": 0.1, "below": 0.2}, "0.1 to 0.2"),
        ({"below": 0.7, "holds_for": "mean"}, "below 0.7 on average"),
        ({"below": 0.7, "holds_for": 4}, "below 0.7 in 4 of 5"),
    ],
)
def test_the_bound_is_shown_with_what_keeps_it(settings, text):
    assert Measured("x", [0.1] * 5, **settings).must_be == text


@pytest.mark.parametrize(
    ("value", "settings", "error", "message"),
    [
        ([], {}, ValueError, "'x' has no value"),
        (True, {}, TypeError, "pass the number that is compared"),
        (torch.tensor(True), {}, TypeError, "pass the number that is compared"),
        ("0.5", {}, TypeError, "pass the number"),
        (None, {}, TypeError, "pass the number"),
        (1, {"above": 2, "below": 1}, ValueError, "above=2 must be less than below=1"),
        (1, {"above": 1, "below": 1}, ValueError, "must be less"),
        (1, {"below": INF}, ValueError, "must be finite"),
        (1, {"above": NAN}, ValueError, "must be finite"),
        ([1, 2], {"error": 0.1}, ValueError, "drop the error"),
        ([1, 2], {"holds_for": 3}, ValueError, "1 … 2"),
        ([1, 2], {"holds_for": 0}, ValueError, "1 … 2"),
        ([1, 2], {"holds_for": "median"}, ValueError, "'median'"),
        ([1, 2], {"holds_for": True}, ValueError, "True"),
        (1, {"held_by": " "}, ValueError, "must name something"),
        (1, {"digits": 0}, ValueError, ">= 1"),
    ],
)
def test_a_number_that_says_nothing_is_refused(value, settings, error, message):
    with pytest.raises(error, match=message):
        Measured("x", value, **settings)


# rows

GOOD = Measured("KL", 0.5, "nats", below=0.7)
BAD = Measured("MMD", 0.9, below=0.7)


def claims(*rows, papers=("1609.09408",)) -> Claims:
    out = Claims(*papers)
    for row in rows:
        settings = {"test": "so", "measured": GOOD, "verdict": "holds", **row}
        out.add(settings.pop("claim", "It works"), settings.pop("place", "abstract"), **settings)
    return out


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"claim": " "}, "claim is empty"),
        ({"place": ""}, "place is empty"),
        ({"test": ""}, "test is empty"),
        ({"test": "", "verdict": "not tested", "measured": ()}, "test is empty"),
        ({"verdict": "true"}, "verdict is 'true'; use one of holds, "),
        ({"claim": "$|x|$"}, "breaks the table"),
        ({"note": "a\nb"}, "breaks the table"),
        ({"measured": Measured("a|b", 1, below=2)}, "breaks the table"),
        ({"paper": "1904.09770"}, "paper is '1904.09770'; it must be one of 1609.09408"),
        ({"verdict": "not tested"}, "has numbers"),
        *(
            ({"verdict": v, "measured": m}, "without a bound")
            for v in VERDICTS
            if v != "not tested"
            for m in ((), [Measured("x", 1)])
        ),
    ],
)
def test_a_row_that_leaves_something_out_is_refused(row, message):
    with pytest.raises(ValueError, match=message):
        claims(row)


def test_of_several_papers_a_row_names_its_own():
    with pytest.raises(ValueError, match="paper is None"):
        claims({}, papers=("1609.09408", "xie2018"))
    with pytest.raises(ValueError, match="papers are"):
        Claims()
    with pytest.raises(ValueError, match="papers are"):
        Claims(" ")


def test_the_table_has_a_line_for_each_number(capsys):
    claims(
        {"measured": [GOOD, Measured("n", 3, held_by="tests/test_a.py::test_b")], "note": "mostly"},
        {"claim": "Images", "test": "needs a GPU", "verdict": "not tested", "measured": ()},
    ).show()
    assert capsys.readouterr().out.splitlines() == [
        "| Claim | How it was tested | Measured | Must be | Verdict |",
        "| --- | --- | --- | --- | --- |",
        "| It works (abstract) | so | KL: 0.50 nats | below 0.7 | holds, mostly |",
        "|  |  | n: 3 (`tests/test_a.py::test_b`) |  |  |",
        "| Images (abstract) | needs a GPU |  |  | not tested |",
    ]


def test_the_paper_is_shown_where_there_are_several(capsys):
    claims({"paper": "xie2018"}, papers=("1609.09408", "xie2018")).show()
    assert "| It works (xie2018, abstract) |" in capsys.readouterr().out


def test_every_number_outside_its_bound_is_named_after_the_table(capsys):
    rows = claims(
        {"measured": [GOOD, BAD]}, {}, {"claim": "So does it", "measured": [GOOD, Measured("z", NAN)]}
    )
    with pytest.raises(ClaimError) as caught:
        rows.show()
    assert str(caught.value).splitlines() == [
        "outside the bound:",
        "- It works (abstract): MMD: 0.90; it must be below 0.7",
        "- So does it (abstract): z: nan; it must be finite",
    ]
    assert len(capsys.readouterr().out.splitlines()) == 7


@pytest.mark.parametrize("verdict", [v for v in VERDICTS if v != "not tested"])
def test_the_verdict_excuses_no_number(verdict):
    with pytest.raises(ClaimError):
        claims({"measured": BAD, "verdict": verdict}).show()


def test_a_second_table_shows_and_checks_the_rows_added_since(capsys):
    rows = claims({"measured": BAD})
    with pytest.raises(ClaimError):
        rows.show()
    capsys.readouterr()
    rows.add("Later", "abstract", test="so", measured=GOOD, verdict="holds")
    rows.show()
    assert len(capsys.readouterr().out.splitlines()) == 3
    with pytest.raises(ValueError, match="no row to show"):
        rows.show()


# in notebooks

PROGRAM = """
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
import json
shell = InteractiveShell.instance()
with capture_output() as out:
    result = shell.run_cell('''
from ebmlearn.evaluate.claims import Claims, Measured
claims = Claims("1609.09408")
x = Measured("x", [1.0, float("nan")], below=2)
claims.add("It works", "abstract", test="so", measured=x, verdict="fails")
claims.show()
''')
(output,) = out.outputs
error = type(result.error_in_exec).__name__
print(json.dumps({"data": output.data, "metadata": output.metadata, "error": error}, allow_nan=False))
"""


def test_in_a_notebook_the_rows_are_the_metadata_of_a_markdown_table(tmp_path):
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    output = json.loads(done.stdout.splitlines()[-1])
    assert output.pop("error") == "ClaimError"
    assert list(output["data"]) == ["text/markdown"]
    (row,) = output["metadata"]["claims"]
    assert row["measured"][0]["values"] == [1.0, "nan"]
    assert output["data"]["text/markdown"] == table([row])
    assert (row["held"], row["verdict"], row["papers"]) == (False, "fails", ["1609.09408"])

    for name in ("05_b", "04_a"):
        cells = [{"cell_type": "markdown"}, {"outputs": [{"output_type": "stream"}, output]}]
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    assert collect(tmp_path) == [{"chapter": "04_a", **row}, {"chapter": "05_b", **row}]


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no \.ipynb"):
        collect(tmp_path)


# the chapters

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted(p.stem for p in (ROOT / "book").glob("[0-9][0-9]_*.ipynb"))
LEDGER = "23"  # collects the rows of the others
SOURCES = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
ROWS = collect(ROOT / "book")


def missing(held_by: str) -> str | None:
    """Why nothing holds a number; None if something does."""
    if held_by == HERE:
        return None
    name, _, test = held_by.partition("::")
    path = ROOT / name
    if not path.is_file():
        return f"there is no file {name}"
    if name.startswith("tests/") and not re.search(rf"^def {test or 'test_'}\b", path.read_text(), re.M):
        return f"{name} has no test {test}"
    return None


@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if c[:2] != LEDGER])
def test_every_chapter_has_rows(chapter):
    assert [row for row in ROWS if row["chapter"] == chapter]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['chapter']}: {row['claim'][:40]}")
def test_a_stored_row_holds_and_names_what_holds_it(row):
    assert row["verdict"] in VERDICTS
    assert row["held"]
    assert row["verdict"] == "not tested" or any(m["must_be"] for m in row["measured"])
    assert [why for m in row["measured"] if (why := missing(m["held_by"]))] == []
    known = re.findall(r"^@\w+\{(\w+),|arXiv:([\d.]+)", SOURCES, re.M)
    # folklore: what is said everywhere and claimed by no paper in particular
    assert set(row["papers"]) <= {name for pair in known for name in pair} | {"folklore"}


@pytest.mark.parametrize(
    ("held_by", "why"),
    [
        (HERE, None),
        ("book/anomaly_mnist.json", None),
        ("book/anomaly.json", "no file"),
        ("tests/evaluate/test_claims.py::test_a_folder_without_notebooks_is_refused", None),
        ("tests/evaluate/test_claims.py::test_a_folder", "no test"),
        ("tests/evaluate/test_claim.py::test_a_folder", "no file"),
        ("somewhere", "no file"),
    ],
)
def test_what_is_said_to_hold_a_number_is_looked_for(held_by, why):
    found = missing(held_by)
    assert found is None if why is None else why in found
