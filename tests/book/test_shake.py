"""Checks under other seeds: counted, resumed, never stale, and each judged by itself."""

import json
from itertools import pairwise
from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat.v4 import new_output
from processes import Child, script
from test_notebooks import BOOK, TEXT, load, notebooks, tolerance

statements = load("statements", BOOK / "statements.py")
shake = load("shake", BOOK / "shake.py")

HEAD = TEXT[: TEXT.index("```{code-cell}")]

# with an offset of 1 the draws differ, and so does what the claims measure
CHAPTER = """
import torch
import ebmlearn as el
from ebmlearn.evaluate.claims import Claims, Measured
g = el.seed(0)
offset = g.initial_seed()
print("offset", offset)
---
assert offset < 1  # shake: 1 of 2
assert offset < 9
for k in range(3):
    assert k * offset < 2
assert absent > 0
missing()
after = 1
---
:tags: [needs-gpu]
assert False
---
:tags: [raises-exception]
raise ValueError("as it should")
assert False
---
claims = Claims("1609.09408")
for name, value in {"first": [offset, 1], "second": [2]}.items():
    m = Measured(name, value, above=0)
    claims.add(name, "abstract", test="so", measured=m, verdict="holds")
claims.show()
---
print("KL", 1 + offset / 100)
assert after == 1
"""


def chapter(folder: Path, text: str = CHAPTER, out: str = "KL 1.0\n") -> Path:
    cells = [f"```{{code-cell}} ipython3\n{cell.strip()}\n```\n" for cell in text.split("---\n")]
    md = folder / "90_small.md"
    md.write_text(HEAD + "\n".join(cells), encoding="utf-8")
    nb = jupytext.read(md)
    code = notebooks.code_cells(nb)
    code[0].outputs = [new_output("stream", name="stdout", text="offset 0\n")]
    code[-1].outputs = [new_output("stream", name="stdout", text=out)]
    nb.metadata["executed_code"] = notebooks.digest(nb)
    nbformat.write(nb, md.with_suffix(".ipynb"))
    return md


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.setattr(shake, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(shake, "sources", lambda: [tmp_path / "90_small.md"])
    monkeypatch.setattr(shake, "TESTS", tmp_path / "tests")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return tmp_path


@pytest.mark.slow
def test_every_check_is_judged_by_itself_under_every_pair(here, capsys):
    md = chapter(here)
    table = shake.shake([md], ["seed-1", "stored"], 2)
    held = {(r["cell"], r["text"]): (r["held"], r["of"], r["needed"], r["fails"]) for r in table["rows"]}
    loop = "for k in range(3):\n    assert k * offset < 2"
    assert held == {
        (2, "assert offset < 1"): (1, 2, 1, ["seed-1"]),  # says so
        (2, "assert offset < 9"): (2, 2, 2, []),  # goes on after a failure
        (2, loop): (1, 2, 2, ["seed-1"]),
        (2, "assert absent > 0"): (0, 2, 2, ["seed-1", "stored"]),
        (5, "first (abstract)"): (1, 2, 2, ["stored"]),
        (5, "second (abstract)"): (2, 2, 2, []),
        (6, "assert after == 1"): (2, 2, 2, []),
    }
    worst = table["rows"][0]
    assert worst["values"]["stored"] == ["NameError: name 'absent' is not defined"]
    by_text = {r["text"]: r["values"] for r in table["rows"]}
    assert by_text[loop] == {"seed-1": ["k * offset: 0 to 2"], "stored": ["k * offset: 0"]}
    assert by_text["first (abstract)"]["seed-1"] == ["first: 1.0 (mean of 2; 1 to 1)"]
    (error,) = table["errors"]
    assert (error["cell"], error["text"], error["pairs"]) == (2, "missing()", ["seed-1", "stored"])
    assert [r["cell"] for r in table["printed"]] == [5]  # stored without its table
    assert not shake.report(table)
    said = capsys.readouterr().out
    assert "LOW 0 of 2  90_small [2] assert absent > 0" in said
    assert "\n1 of 2  90_small [2] assert offset < 1" in said
    assert "7 checks, 3 hold less often than they say; 1 cells print" in said

    shake.store(table, here / "table.json")
    assert json.loads((here / "table.json").read_text()) == table


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_what_is_current_is_used_again_and_nothing_else(here, monkeypatch, capsys):
    md = chapter(here)
    shake.code()  # which asks the machine what it is, in processes of its own
    started = []

    def forked(command, *, env, **settings):
        started.append(command)
        child = Child(script, *command[1:], log=here / f"{len(started)}.log", **env)
        return shake.subprocess.CompletedProcess(command, child.wait(), "", child.printed)

    monkeypatch.setattr(shake.subprocess, "run", forked)
    first = shake.result(md, "stored")
    assert shake.result(md, "stored") == first
    assert len(started) == 1
    text = CHAPTER.replace("offset < 9", "offset < 0")
    changed = shake.result(chapter(here, text), "stored")
    assert len(started) == 2
    assert [c["held"] for c in changed["checks"]][1] is False
    md.write_text(md.read_text().replace("[needs-gpu]", "[remove-cell]"))
    assert 3 not in shake.result(md, "stored")["skipped"]
    assert len(started) == 3
    monkeypatch.setattr(shake, "code", lambda: b"another package")
    shake.result(md, "stored")
    assert len(started) == 4
    # one that was cut off leaves nothing that looks like a result
    monkeypatch.setattr(
        shake.subprocess, "run", lambda *a, **k: shake.subprocess.CompletedProcess(a, 1, "", "killed")
    )
    assert "killed" in shake.tried(md, "seed-5")["errors"][0]["error"]
    assert not list(shake.RESULTS.glob("*seed-5*"))


def test_the_key_changes_with_the_environment_and_the_data_that_is_here(here, monkeypatch):
    md = chapter(here)
    keys = {shake.key(md, pair) for pair in ("seed-1", "seed-2", "stored", "default", "avx2", "threads-2")}
    assert len(keys) == 6
    before = shake.key(md, "stored")
    monkeypatch.setattr(shake, "unmet", lambda tags: None)
    assert shake.key(md, "stored") != before


def test_the_key_changes_with_the_stored_runs_that_a_chapter_reads_and_with_no_others(here, monkeypatch):
    monkeypatch.setattr(shake, "BOOK", here)
    monkeypatch.setattr(shake, "code", lambda: b"")
    md = chapter(here, CHAPTER.replace("offset < 9", "offset < 9  # of long.json"))
    keys = [shake.key(md, "stored")]
    for name in ("other.json", "longer.json", "shake.json", "long.json", "long.py", "other.py"):
        (here / name).write_text("1")
        keys.append(shake.key(md, "stored"))
    assert [a != b for a, b in pairwise(keys)] == [False, False, False, True, True, False]


def printed(md: Path, *texts: str) -> dict:
    new = [{"printed": [{"cell": 6, "texts": {"stdout": text}}]} for text in texts]
    return {f"pair {i}": r for i, r in enumerate(new)}


@pytest.mark.parametrize(
    ("tag", "text", "apart", "over"),
    [
        ("", "KL 1.0\n", None, None),
        ("", "KL 1.1\n", 0.0, True),  # exact where there is no tag
        ("", "KL 1.6\n", 0.375, True),
        (":tags: [nbval-approx-40]\n", "KL 1.6\n", 0.375, False),
        (":tags: [nbval-approx-30]\n", "KL 1.6\n", 0.375, True),
        (":tags: [nbval-approx-30]\n", "TV 1.0\n", float("inf"), True),
        (":tags: [nbval-approx-30]\n", "", float("inf"), True),
        (":tags: [nbval-ignore-output]\n", "KL 9.0\n", None, None),
    ],
)
def test_what_a_cell_prints_is_held_against_its_tag(here, tag, text, apart, over):
    md = chapter(here, CHAPTER.replace('print("KL"', f'{tag}print("KL"'))
    found = shake.printed(md, printed(md, "KL 1.0\n", text))
    if apart is None:
        assert found == []
    else:
        (row,) = found
        assert row["over"] is over
        assert row["apart"] == {"pair 1": pytest.approx(apart)}


def test_outputs_of_other_code_are_not_compared(here):
    md = chapter(here)
    md.write_text(md.read_text().replace("offset / 100", "offset / 10"))
    with pytest.raises(ValueError, match="make notebooks"):
        shake.printed(md, printed(md, "KL 1.0\n"))


def check(text="assert x", held=True, **more):
    return {"cell": 1, "text": text, "held": held, **more}


@pytest.mark.parametrize(
    ("n", "often", "needed"),
    [
        (8, None, 7),
        (2, None, 2),
        (1, None, 1),
        (16, None, 14),
        (8, [6, 8], 6),
        (2, [6, 8], 1),
        (8, [3, 5], 4),
    ],
)
def test_how_often_a_check_must_hold(n, often, needed):
    assert shake.needed(n, often) == needed


def test_a_row_of_claims_says_in_its_words_how_often_it_holds():
    row = {"claim": "it works", "test": "KL, 6 of 8 seeds", "note": ""}
    assert shake.often(row) == [6, 8]
    assert shake.often(row | {"test": "so", "note": "in 6 of 8 seeds"}) == [6, 8]
    assert shake.often(row | {"test": "6 of 8 digits"}) is None


def test_a_row_that_a_pair_has_lost_is_not_held_and_a_call_that_fails_once_is():
    claim = {"cell": 2, "claim": "a", "place": "b", "held": True, "measured": [], "test": "", "note": ""}
    whole = {"checks": [], "claims": [claim]}
    lost = {"checks": [check("call()", held=False)], "claims": []}
    found = {"one": whole, "two": lost, "three": {"errors": []}}
    rows = {r["text"]: (r["held"], r["of"], r["fails"]) for r in shake.rows("90", found)}
    assert rows == {"a (b)": (1, 2, ["two"]), "call()": (1, 2, ["two"])}


def test_two_tests_of_one_claim_are_two_checks():
    claim = {"cell": 2, "claim": "a", "place": "b", "test": "", "note": ""}

    def row(name, held):
        return claim | {"held": held, "measured": [{"label": name, "shown": f"{name}: 1"}]}

    def run(first):
        return {"checks": [], "claims": [row("kept", first), row("lost", True)]}

    rows = shake.rows("90", {"one": run(True), "two": run(False)})
    assert [(r["text"], r["held"], r["values"]["two"]) for r in rows] == [
        ("a (b)", 1, ["kept: 1"]),
        ("a (b)", 2, ["lost: 1"]),
    ]


def run_of(chapter, held, date="2026-01-02"):
    row = {"chapter": chapter, "text": "x", "held": held, "needed": 7}
    about = {"date": date, "machine": {"cores": 2}, "pairs": ["seed-1"]}
    return about | {"rows": [row], "printed": [{"chapter": chapter}], "errors": [{"chapter": chapter}]}


def test_a_chapter_goes_into_a_stored_table_with_a_date_of_its_own(here, monkeypatch):
    whole = run_of("03_b", 8, "2026-01-01") | {"machine": {"cores": 4}}
    whole["rows"].append(run_of("90_small", 7)["rows"][0])
    file = here / "table.json"
    shake.store(whole, file)
    monkeypatch.setattr(shake, "report", lambda table: True)
    monkeypatch.setattr(shake, "shake", lambda chosen, pairs, jobs: run_of("90_small", 6))
    for _ in range(2):  # a second time it takes the place of the first
        assert shake.main(["--chapters", "90", "--into", str(file)]) == 0
        table = json.loads(file.read_text())
        assert [(r["chapter"], r["held"]) for r in table["rows"]] == [("90_small", 6), ("03_b", 8)]
        for part in ("printed", "errors"):
            assert [r["chapter"] for r in table[part]] == ["03_b", "90_small"]
        assert (table["date"], table["machine"]) == ("2026-01-01", {"cores": 4})
        about = {"date": "2026-01-02", "machine": {"cores": 2}, "pairs": ["seed-1"]}
        assert table["later"] == {"90_small": about}


@pytest.mark.parametrize("options", [["--into", "no.json"], ["--into", "a.json", "--out", "b.json"]])
def test_a_table_that_is_not_there_takes_no_chapter(here, monkeypatch, options):
    monkeypatch.setattr(shake, "shake", lambda *args: pytest.fail("two hours for nothing"))
    with pytest.raises(SystemExit):
        shake.main(["--chapters", "90", *options])


JUNIT = """<?xml version="1.0"?><testsuites><testsuite time="12.5">
<testcase classname="tests.test_a" name="test_good" time="1"/>
<testcase classname="tests.test_a" name="test_bad[1]" time="1"><failure message="z"/></testcase>
<testcase classname="tests.test_a" name="test_broken" time="1"><error message="z"/></testcase>
<testcase classname="tests.test_a" name="test_out" time="1"><skipped message="z"/></testcase>
</testsuite></testsuites>"""


def test_tests_are_checks_too():
    found = shake.tests(JUNIT)
    assert {c["text"]: c["held"] for c in found["checks"]} == {
        "test_good": True,
        "test_bad[1]": False,
        "test_broken": False,
    }
    assert found["checks"][0]["cell"] == "test_a"
    assert found["seconds"] == 12.5


def test_the_full_form_takes_eight_pairs_and_the_short_one_two_chapters(here, monkeypatch):
    seen = []
    monkeypatch.setattr(shake, "shake", lambda chosen, pairs, jobs: seen.append((chosen, pairs)) or {})
    monkeypatch.setattr(shake, "report", lambda table: True)
    assert shake.main([]) == 0
    assert len(seen[0][1]) == 8
    assert [s.stem for s in seen[0][0]] == ["tests", "90_small"]
    shake.main(["--chapters", "90", "--seeds", "7"])
    assert seen[1] == ([here / "90_small.md"], ["seed-7"])
    with pytest.raises(SystemExit):
        shake.main(["--chapters", "91"])
    monkeypatch.setattr(shake, "sources", notebooks.sources)
    shake.main(["--short"])
    assert (len(seen[2][0]), len(seen[2][1])) == (2, 2)


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        ("KL 1.00", "KL 1.50", 1 / 3),
        ("KL 1.00", "KL 1.01", 0),
        ("1 2", "1 4", 0.5),
        ("a 1", "b 1", float("inf")),
    ],
)
def test_how_far_two_texts_are_apart(a, b, apart):
    assert tolerance.difference(a, b) == pytest.approx(apart)
