"""The ledger: a row that says something else than its numbers ends the build; what is counted is there.

Bugs that they are for, each made once and seen to fail: values not held to their bound; the stored words
not compared with the values; `held` not looked at; the page's table not compared with the rows; a table
without rows passed over; a verdict without a bound let through; an unknown paper let through; the file of
a proof not looked for, or not the test in it; a row counted twice; rows of shake matched by chapter alone;
a row that shake found wanting let through; two tests of one claim under one record; stored numbers counted
as held under other seeds; "in part" without the part; a chapter left out of the total; the anchors of rows
one off; a filter without an option; a figure of grade M printed; a source that is not listed.
"""

import copy
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import ledger
import ledger_views as views
import nbformat
import plain
import published
import pytest

from ebmlearn.evaluate.claims import VERDICTS, table
from ebmlearn.recipes import RECIPES

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
ROWS = ledger.read()


# the rows of the book


def lines_of_tables(path: Path) -> int:
    """Rows of claims on a chapter's page, counted in its text and nowhere else."""
    n = 0
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            text = output.get("data", {}).get("text/markdown", "")
            if text.startswith("| Claim |"):
                n += sum(bool(re.match(r"\| \S", line)) for line in text.splitlines()[2:])
    return n


def test_every_row_of_every_chapter_is_counted_once():
    chapters = {p.stem: lines_of_tables(p) for p in sorted(BOOK.glob("[0-9][0-9]_*.ipynb"))}
    assert chapters.pop(ledger.OWN) == 0
    assert Counter(row.chapter for row in ROWS) == chapters
    total = sum(chapters.values())
    assert total > 100
    assert sum(ledger.by_verdict(ROWS).values()) == total
    assert sum(len(rows) for rows in ledger.by_paper(ROWS).values()) == total
    assert ledger.count(ROWS, "rows") == total
    assert ledger.count(ROWS, "tested") + ledger.count(ROWS, "not tested") == total
    parts = ("shaken", "not shaken", "stored")
    assert sum(ledger.count(ROWS, k) for k in parts) == ledger.count(ROWS, "tested")
    assert len({row.anchor for row in ROWS}) == total


def test_every_verdict_but_one_has_a_bound_that_its_numbers_keep():
    for row in ROWS:
        numbers = ledger.bounded(row)
        assert bool(numbers) is (row.said["verdict"] != "not tested"), row.place
        for m in numbers:
            inside = [
                (m["above"] is None or v > m["above"]) and (m["below"] is None or v < m["below"])
                for v in ([sum(m["values"]) / len(m["values"])] if m["holds_for"] == "mean" else m["values"])
            ]
            enough = m["holds_for"] if isinstance(m["holds_for"], int) else len(inside)
            assert sum(inside) >= enough, (row.place, m)


def test_the_sentences_on_the_counts_are_true():
    n = ledger.by_verdict(ROWS)
    assert max(n, key=n.get) == "holds in part"
    assert n["fails"] < 0.15 * len(ROWS)
    bare = [r for r in ROWS if r.said["verdict"] == "holds" and not r.said["note"]]
    assert ledger.count(ROWS, "bare") == len(bare) < len(ROWS) / 3
    assert ledger.count(ROWS, "firm") > 0.9 * ledger.count(ROWS, "shaken")


def test_a_number_that_is_not_counted_is_refused():
    with pytest.raises(ledger.LedgerError, match="no number 'row'; there are rows, papers"):
        ledger.count(ROWS, "row")


# planted faults

CHAPTER = "08_cooperative_learning"
PROVEN = "16_divergence_triangle"  # has rows that a file holds


@pytest.fixture
def copied(tmp_path):
    """Change the first cell of claims of a chapter's copy, and read its rows."""

    def change(do=None, *, name=CHAPTER, shown=False):
        nb = json.loads((BOOK / f"{name}.ipynb").read_text(encoding="utf-8"))
        (output, *_) = [
            o for c in nb["cells"] for o in c.get("outputs", []) if "claims" in o.get("metadata", {})
        ]
        if do is not None:
            do(output)
        if shown:  # the fault is on the page as well: it is in the row alone that it can be seen
            output["data"]["text/markdown"] = table(output["metadata"]["claims"])
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(nb), encoding="utf-8")
        return ledger.read(tmp_path)

    return change


def rows_of(output):
    return output["metadata"]["claims"]


def first(output):
    """The first number with a bound below, and its row."""
    return next((m, r) for r in rows_of(output) for m in r["measured"] if m["below"] is not None)


def wrong_value(output):
    m, _ = first(output)
    m["values"][0] = m["values"][0] * 1.01 + 0.1


def wrong_words(output):
    m, _ = first(output)
    m["shown"] = re.sub(r"\d", lambda d: str((int(d[0]) + 1) % 10), m["shown"], count=1)


def wrong_on_the_page(output):
    old = "".join(output["data"]["text/markdown"])
    head, numbers = old.rsplit("nats", 1)[0], old.rsplit("nats", 1)[1]
    at = max(i for i, c in enumerate(head) if c.isdigit())
    output["data"]["text/markdown"] = (
        head[:at] + str((int(head[at]) + 1) % 10) + head[at + 1 :] + "nats" + numbers
    )


def outside(output):
    """A number that is wrong everywhere, as if a cell had been edited with care, but for its bound."""
    m, _ = first(output)
    m["values"] = [v + m["below"] for v in m["values"]]
    new = ledger.number(m)
    m["shown"] = str(new)


def held_is_a_lie(output):
    m, _ = first(output)
    m["values"] = [v + m["below"] for v in m["values"]]
    m["shown"] = str(ledger.number(m))
    m["held"] = True


def narrower(output):
    m, _ = first(output)
    m["below"] = m["below"] / 1.5
    m["must_be"] = ledger.number({**m, "below": m["below"]}).must_be + " nats"


def no_bound(output):
    _, row = first(output)
    for m in row["measured"]:
        m.update(above=None, below=None, must_be="")


def set_row(key, value):
    def do(output):
        first(output)[1][key] = value

    return do


def lost(output):
    rows_of(output).pop()


def all_lost(output):
    output["metadata"].clear()


def twice(output):
    rows_of(output).append(copy.deepcopy(rows_of(output)[0]))


def without(key):
    def do(output):
        del first(output)[1][key]

    return do


def proof(name):
    def do(output):
        m, _ = first(output)
        m["held_by"] = name

    return do


@pytest.mark.parametrize(
    ("do", "shown", "match"),
    [
        (wrong_value, False, "08_cooperative_learning, row 1 .*is stored as .*, and its values give"),
        (wrong_words, True, "shown is stored as '.*', and its values give"),
        (wrong_words, False, "the table on the page is not that of the rows"),
        (wrong_on_the_page, False, r"08_cooperative_learning \[\d+\]: the table on the page is not"),
        (outside, True, "is outside its bound; it must be"),
        (held_is_a_lie, True, "is outside its bound"),
        (narrower, True, "must_be is stored as"),
        (no_bound, True, "without a bound; give a Measured one"),
        (set_row("verdict", "proved"), True, "verdict is 'proved'; use one of holds"),
        (set_row("verdict", ""), True, "verdict is ''; use one of holds"),
        (set_row("verdict", "not tested"), True, "is said not to be tested"),
        (without("verdict"), False, "a row is not whole: 'verdict'"),
        (set_row("paper", "9999.99999"), True, "paper is '9999.99999'; it must be one of"),
        (set_row("held", False), True, "stored as not held"),
        (set_row("note", ""), True, "holds in part; let the note say in which"),
        (set_row("place", " "), True, "place is empty"),
        (lost, False, "the table on the page is not"),
        (all_lost, False, "the table on the page is not"),
        (twice, True, "stands there 2 times"),
        (proof("book/nothing.json"), True, "held by book/nothing.json, which is not there"),
        (proof("tests/test_random.py::test_nothing"), True, "but the file has no such test"),
    ],
)
def test_a_planted_fault_is_named(copied, do, shown, match):
    with pytest.raises(ledger.LedgerError, match=match):
        copied(do, shown=shown)


def test_without_a_fault_a_copy_is_read(copied):
    for name in (CHAPTER, PROVEN):
        rows = [row for row in copied(name=name, shown=True) if row.chapter == name]
        assert [row.said for row in rows] == [row.said for row in ROWS if row.chapter == name]
    assert any(m["held_by"] != ledger.HERE for row in rows for m in row.said["measured"])
    assert {row.shaken for row in rows} == {None}  # no table beside the copies


def test_a_paper_that_the_bibliography_lacks_is_a_fault(copied):
    def do(output):
        for row in rows_of(output):
            row["papers"], row["paper"] = ["9999.99999"], "9999.99999"

    with pytest.raises(ledger.LedgerError, match=r"references.bib has no paper '9999.99999'"):
        copied(do, shown=True)


def test_a_chapter_without_rows_is_a_fault_and_no_chapter_too(tmp_path):
    with pytest.raises(ledger.LedgerError, match="no chapter in"):
        ledger.read(tmp_path)
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "90_empty.ipynb")
    with pytest.raises(ledger.LedgerError, match="90_empty: no row of claims"):
        ledger.read(tmp_path)


# other seeds


@pytest.mark.parametrize(
    ("change", "shaken"),
    [
        ({}, (8, 8)),
        ({"held": 7}, (7, 8)),
        ({"chapter": "09_vae_sampler"}, None),
        ({"kind": "assert"}, None),
        ({"text": "Something else (abstract)"}, None),
        ({"values": {"seed-1000": ["another number: 1.0"]}}, None),
    ],
)
def test_a_row_has_the_record_of_its_own_words_and_numbers(tmp_path, change, shaken):
    row = next(r for r in ROWS if r.chapter == CHAPTER and r.shaken == (8, 8))
    text = f"{row.said['claim']} ({row.said['place']})"
    check = next(
        c
        for c in json.loads((BOOK / "shake.json").read_text())["rows"]
        if (c["chapter"], c["text"]) == (CHAPTER, text)
    )
    (tmp_path / "shake.json").write_text(json.dumps({"rows": [check | change]}))
    (found,) = ledger.with_shake([ledger.Row(**{**vars(row), "shaken": None})], tmp_path / "shake.json")
    assert found.shaken == shaken
    assert ("not yet" in views.tried(found)) is (shaken is None)


def test_a_claim_that_is_tested_twice_has_the_record_of_each_test(tmp_path):
    row = next(r for r in ROWS if r.chapter == CHAPTER and r.shaken == (8, 8))
    other = json.loads(json.dumps(row.said))
    for m in other["measured"]:
        m["shown"] = f"another {m['shown']}"
    checks = [
        {"chapter": CHAPTER, "kind": "claim", "text": f"{row.said['claim']} ({row.said['place']})"}
        | {"values": {"seed-1": ledger.shown(said)}, "held": held, "of": 8}
        for said, held in ((row.said, 8), (other, 7))
    ]
    (tmp_path / "shake.json").write_text(json.dumps({"rows": checks}))
    rows = [ledger.Row(**{**vars(row), "said": said, "shaken": None}) for said in (row.said, other)]
    found = ledger.with_shake(rows, tmp_path / "shake.json")
    assert [r.shaken for r in found] == [(8, 8), (7, 8)]


def test_a_row_of_stored_runs_alone_has_no_record_of_other_seeds(tmp_path):
    row = next(r for r in ROWS if r.shaken)
    said = json.loads(json.dumps(row.said))
    for m in ledger.bounded(row):
        said["measured"][row.said["measured"].index(m)]["held_by"] = "book/long_runs.json"
    check = {"chapter": row.chapter, "kind": "claim", "text": f"{said['claim']} ({said['place']})"}
    check |= {"values": {"seed-1": ledger.shown(said)}, "held": 8, "of": 8}
    (tmp_path / "shake.json").write_text(json.dumps({"rows": [check]}))
    bare = ledger.Row(**{**vars(row), "said": said, "shaken": None})
    (found,) = ledger.with_shake([bare], tmp_path / "shake.json")
    assert found.shaken is None and "stored runs" in views.tried(found)
    assert ledger.count([found], "stored") == 1 and ledger.count([found], "not shaken") == 0
    said["measured"][0]["held_by"] = ledger.HERE
    said["measured"][0].update(below=1e9, must_be="below 1e+09")
    (found,) = ledger.with_shake([bare], tmp_path / "shake.json")
    assert found.shaken == (8, 8)  # one number of its own is enough


def test_a_row_that_held_less_often_than_it_says_is_a_fault():
    row = next(r for r in ROWS if r.shaken)
    said = row.said | {"note": "in 6 of 8 seeds"}
    wanting = "held? `make shake` found it to hold less often than it says"[6:]
    for shaken, stored, fault in (
        ((6, 8), row.said, True),
        ((7, 8), row.said, False),
        ((6, 8), said, False),
        ((5, 8), said, True),
    ):
        tried = ledger.Row(**{**vars(row), "said": stored, "shaken": shaken})
        assert (wanting in ledger.problems(tried)) is fault


# the page


def address(chapter: str) -> str:
    return f"{chapter}.html"


def test_the_page_shows_every_row_with_what_filters_it():
    page = views.html("rows", ROWS, address)
    found = re.findall(
        r'<tr id="([\w-]+)" data-paper="([^"]*)" data-verdict="([^"]*)" data-chapter="([^"]*)"', page
    )
    assert [(p, v, c) for _, p, v, c in found] == [
        (r.said["paper"], r.said["verdict"], r.chapter) for r in ROWS
    ]
    ids = [i for i, *_ in found]
    assert len({*ids}) == len(ROWS)
    for name, value in (("paper", 1), ("verdict", 2), ("chapter", 3)):
        (select,) = re.findall(rf'<select name="{name}">(.*?)</select>', page)
        options = re.findall(r'<option value="([^"]*)">', select)
        assert options[0] == "" and len({*options}) == len(options)
        assert {row[value] for row in found} <= {*options}
        assert name == "verdict" or len(options) == 1 + len({row[value] for row in found})
    assert "hidden" in re.search(r"<form[^>]*>", page)[0]  # a script shows it
    assert not re.search(r"<tr[^>]* hidden", page)
    links = re.findall(r'href="([\w.]+)#(claim-[\d-]+)"', page)
    assert links == [(f"{r.chapter}.html", r.anchor) for r in ROWS]
    squares = re.findall(r'href="#([\w-]+)"', views.html("squares", ROWS, address))
    assert sorted(squares) == sorted(ids)
    assert "http" not in page + (BOOK / "_static" / "ledger.js").read_text()


def test_what_a_row_says_stands_on_the_page_escaped():
    row = ledger.Row(CHAPTER, "8 X", 1, 1, {**ROWS[0].said, "claim": "a < b & c", "note": "<b>"})
    page = views.html("rows", [row], address)
    assert "a &lt; b &amp; c" in page and "&lt;b&gt;" in page and "<b>" not in page


def test_every_verdict_has_a_letter_a_look_and_a_meaning():
    style = (BOOK / "_static" / "book.css").read_text()
    assert len({*views.LETTERS.values()}) == len(VERDICTS) == len(views.MEANING)
    for verdict in VERDICTS:
        assert f".{views.kind(verdict)} {{" in style
    text = (BOOK / "23_ledger.md").read_text(encoding="utf-8")
    for verdict, letter in views.LETTERS.items():
        assert re.search(rf"\*\*{letter}\*\* (was )?{verdict}", text)


@pytest.mark.parametrize("name", [*views.VIEWS])
def test_every_view_is_in_the_chapter_and_has_a_plain_form(name):
    text = (BOOK / "23_ledger.md").read_text(encoding="utf-8")
    assert f"```{{ledger}} {name}\n```" in text
    made = plain.Plain(ledger.OWN, "..")(f"```{{ledger}} {name}\n```\n")
    assert made.count("\n|") >= 2 and "{" not in re.sub(r"`[^`]*`", "", made)


def test_a_view_that_is_not_there_is_refused_and_a_number_is_plain_text():
    with pytest.raises(ledger.LedgerError, match="no view 'row'; there are verdicts"):
        views.html("row", ROWS, address)
    assert plain.Plain(ledger.OWN, "..")("{ledger}`rows` rows") == f"{len(ROWS)} rows"


# what the papers publish

STORED = published.load()


def changed(tmp_path, part, **fields):
    stored = copy.deepcopy(STORED)
    stored[part][0].update(fields)
    file = tmp_path / "published.json"
    file.write_text(json.dumps(stored))
    return file


@pytest.mark.parametrize(
    ("part", "fields", "match"),
    [
        ("figures", {"grade": "M"}, "has the grade 'M'; expected one of A, B, C, D"),
        ("figures", {"source": None}, "has no source; do not print it"),
        ("figures", {"source": "MEMORY"}, "has no source"),
        ("figures", {"place": ""}, r"lacks \['place'\]"),
        ("cifar10", {"sources": ["MEMORY table 1"]}, "has no source"),
        ("cifar10", {"sources": []}, r"lacks \['sources'\]"),
        ("cifar10", {"grade": None}, "has the grade None"),
        ("unsourced", {"what": ""}, r"lacks \['what'\]"),
    ],
)
def test_a_figure_without_a_source_is_refused(tmp_path, part, fields, match):
    with pytest.raises(ValueError, match=match):
        published.load(changed(tmp_path, part, **fields))


def test_the_papers_of_the_figures_are_in_the_bibliography():
    papers = {r["paper"] for r in (*STORED["figures"], *STORED["unsourced"])}
    papers |= {r["paper"] for r in STORED["cifar10"] if r["paper"]}
    assert len({ledger.paper(p) + p for p in papers}) == len(papers) > 10
    used = {r["source"] for r in STORED["figures"]}
    used |= {s.partition(" ")[0] for r in STORED["cifar10"] for s in r["sources"]}
    assert used == {*STORED["sources"]}


def test_the_recipes_expect_what_is_published():
    """The same figures, typed twice: where a recipe says what its paper reports, and here."""
    fid = {r["paper"]: r["fid"] for r in STORED["cifar10"] if r["paper"]}
    for recipe, paper in (
        ("dual-mcmc-cifar10", "2312.02469"),
        ("neural-transport-cifar10", "2006.06897"),
        ("fce-cifar10", "1912.00589"),
    ):
        assert f"{fid[paper]:g}" in RECIPES[recipe]().expect


def test_runs_of_ours_are_drawn_if_their_features_are_those_of_the_papers():
    def part(features):
        return {"rows": [{"model": {"frechet": 50.0, "features": features}}]}

    record = {
        "parts": {
            "train short-run-cifar10": part("Inception"),
            "train bidvl-cifar10": part("a classifier"),
            "train short-run-mnist": part("Inception"),
            "speed": {"rows": [{"ratio": 1.0}]},
        }
    }
    assert published.ours(record) == [("short-run-cifar10", 50.0)]
    assert published.ours({}) == []


# the build


@pytest.fixture
def build(tmp_path):
    """Build a book of the ledger and one chapter's claims, and return what came of it."""

    def run(do=None):
        book = tmp_path / "book"
        book.mkdir()
        for name in ("_ext", "_inv", "_static", "references.bib"):
            (book / name).symlink_to(BOOK / name)
        shutil.copy(ROOT / "_config.yml", tmp_path)
        (tmp_path / "_toc.yml").write_text(
            "format: jb-book\nroot: book/intro\nchapters:\n"
            f"- file: book/{CHAPTER}.ipynb\n- file: book/{ledger.OWN}.ipynb\n"
        )
        (book / "intro.md").write_text("# A book\n\nText.\n")
        nb = nbformat.read(BOOK / f"{CHAPTER}.ipynb", as_version=4)
        cells = [
            c
            for c in nb.cells
            if c.cell_type == "code" and any("claims" in o.metadata for o in c.outputs if "metadata" in o)
        ]
        if do is not None:
            do(cells[0].outputs[0])
        nb.cells = [nbformat.v4.new_markdown_cell("# 8 Cooperative learning"), *cells]
        nbformat.write(nb, book / f"{CHAPTER}.ipynb")
        text = "# 23 The ledger\n\nThere are {ledger}`rows` rows.\n\n" + "\n\n".join(
            f"```{{ledger}} {view}\n```" for view in ("verdicts", "squares", "rows")
        )
        own = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)], metadata=nb.metadata)
        nbformat.write(own, book / f"{ledger.OWN}.ipynb")
        done = subprocess.run(
            [str(Path(sys.executable).with_name("jupyter-book")), "build", "-W", "-q", str(tmp_path)],
            capture_output=True,
            text=True,
        )
        return done, tmp_path / "_build" / "html" / "book"

    return run


@pytest.mark.slow
def test_links_of_the_built_ledger_lead_to_the_rows(build):
    done, html = build()
    assert done.returncode == 0, done.stdout + done.stderr
    page = (html / f"{ledger.OWN}.html").read_text(encoding="utf-8")
    chapter = (html / f"{CHAPTER}.html").read_text(encoding="utf-8")
    mine = [r for r in ROWS if r.chapter == CHAPTER]
    assert f"There are {len(mine)} rows." in page
    assert "ledger.js" in page and "ledger.js" not in chapter
    links = re.findall(rf'href="{CHAPTER}\.html#([\w-]+)"', page)
    assert links == [r.anchor for r in mine]
    for row in mine:
        (line,) = re.findall(rf'<tr[^>]* id="{row.anchor}">(.*?)</tr>', chapter, re.S)
        assert row.said["test"][:20] in re.sub(r"<[^>]*>", "", line).replace("&gt;", ">")
    assert {*re.findall(r'href="#(ledger-[\d-]+)"', page)} == {*re.findall(r'id="(ledger-[\d-]+)"', page)}


@pytest.mark.slow
def test_a_planted_wrong_number_ends_the_build(build):
    done, _ = build(wrong_value)
    assert done.returncode != 0
    assert f"{CHAPTER}, row" in done.stdout + done.stderr
