"""The page for instructors says what the chapters say.

Broken on purpose and seen to fail: an exercise left out; a level; a label that no checker has; a chapter that
refers back to another one; an exercise in the wrong week.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ebmlearn.exercises import names

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGE = (BOOK / "instructors.md").read_text(encoding="utf-8")
TEXT = {int(p.name[:2]): p.read_text(encoding="utf-8") for p in sorted(BOOK.glob("[0-9][0-9]_*.md"))}
CHECKED = {label for labels in names().values() for label in labels}


def table(section: str) -> list[list[str]]:
    """The rows of the table of a section, without its head."""
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def exercises() -> dict[str, tuple[int, str, str]]:
    """Label to chapter, title and level, of every exercise of the book."""
    found = {}
    for chapter, text in TEXT.items():
        blocks = re.findall(r"^`{3,}\{exercise\} (.*) \((easy|medium|hard)\)\n:label: (\S+)$", text, re.M)
        assert len(blocks) == text.count("{exercise} ")
        found |= {label: (chapter, title, level) for title, level, label in blocks}
    return found


EXERCISES = exercises()


def labels(cell: str) -> list[str]:
    return re.findall(r"<(ex-[\w-]+)>", cell)


def chapters(cell: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", cell.replace("`", " ").partition("<")[0])]


def test_every_exercise_of_the_book_is_listed_with_its_level_and_its_checker():
    rows = table("All exercises")
    listed = [(chapter, link, level, mark) for chapter, link, level, _, mark in rows]
    assert listed == [
        (str(chapter), f"{{ref}}`{title} <{label}>`", level, f"`{label}`" if label in CHECKED else "")
        for label, (chapter, title, level) in EXERCISES.items()
    ]
    assert all(re.fullmatch(r"\d?[05]|\d{2}[05]", minutes) and minutes != "0" for *_, minutes, _ in rows)
    assert f"They are {len(CHECKED)} of {len(EXERCISES)}." in PAGE and len(EXERCISES) > 90


def test_every_label_has_the_number_of_its_chapter():
    assert [
        label for label, (chapter, *_) in EXERCISES.items() if not label.startswith(f"ex-{chapter:02d}-")
    ] == []


def refers_back(chapter: int) -> list[int]:
    """Earlier chapters that a chapter names, by a link to them or to what is in them, or by their number."""
    text = TEXT[chapter]
    anchors = {re.search(r"^\((chapter-[\w-]+)\)=", t, re.M)[1]: n for n, t in TEXT.items()}
    found = {anchors[a] for a in re.findall(r"<(chapter-[\w-]+)>", text)}
    found |= {int(n) for n in re.findall(r"`[^`]*\b(?:eq|fig|thm|ex)-(\d\d)-", text)}
    words = re.findall(r"[Cc]hapters? (\d+(?:(?:, | and | or | to )\d+(?!,?\d))*)", text)
    found |= {int(n) for several in words for n in re.findall(r"\d+", several)}
    return sorted(n for n in found if n in TEXT and n < chapter)


def test_what_builds_on_what_is_what_the_chapters_refer_to():
    rows = {chapters(a)[0]: chapters(b) for a, b in table("What builds on what")}
    assert rows == {n: refers_back(n) for n in TEXT}


@pytest.mark.parametrize("plan", ["One week", "Four weeks", "Twelve weeks"])
def test_a_plan_has_exercises_of_its_chapters(plan):
    for _, which, cell in table(plan):
        found = labels(cell)
        assert found and {EXERCISES[label][0] for label in found} <= {*chapters(which)}
        if plan == "Twelve weeks":
            assert {EXERCISES[label][2] for label in found} == {"hard"}


def test_twelve_weeks_have_every_chapter_once_and_so_have_the_mistakes():
    assert [n for _, which, _ in table("Twelve weeks") for n in chapters(which)] == [*TEXT]
    assert [int(row[0]) for row in table("Where students trip")] == [*TEXT]
    assert all(re.search("^## What goes wrong", text, re.M) for text in TEXT.values())


def test_the_lines_for_grading_run(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    answers = 'ANSWERS = {"ex-08-floor": 35, "ex-01-edit": (2, 1), "ex-11-noise": lambda loss: loss / 2}\n'
    (tmp_path / "answers.py").write_text(answers, encoding="utf-8")
    (tmp_path / "grade.py").write_text(block, encoding="utf-8")
    command = [sys.executable, "-W", "error", "grade.py"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    first, second, third, last = done.stdout.splitlines()
    assert first == "ex-08-floor: right" and last == "1 of 3 right"
    assert second.startswith("ex-01-edit: temperature: ") and third.startswith("ex-11-noise: a larger loss")
