"""The curves of a run, and a ``trace.csv`` that is damaged.

Mutants tried, each red: a panel too few; rows of another step taken as they come; a cut row counted.
"""

import pytest
import torch
from command import TRAIN, call
from PIL import Image
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures

from ebmlearn import runs, viz
from ebmlearn.train import checkpoint


def test_the_trace_is_the_history(trained):
    history = checkpoint.load(trained / "checkpoint-00000004.pt")["history"]
    found = runs.read_trace(trained / "trace.csv")
    assert found.keys() == history.keys() and len(found) >= 2
    assert all(torch.equal(found[name], history[name].float()) for name in history)


def test_a_panel_for_each_curve(trained, capsys, monkeypatch):
    drawn = {}
    curve = viz.training.traces
    monkeypatch.setattr(viz.training, "traces", lambda h, ax, **more: drawn.update(h) or curve(h, ax, **more))
    assert call("plot", trained) == 0
    history = runs.read_trace(trained / "trace.csv")
    assert drawn.keys() == history.keys() and all(torch.equal(drawn[n], history[n]) for n in drawn)
    assert f"{len(history)} curves of 4 steps: {trained / 'trace.png'}" in capsys.readouterr().out
    with Image.open(trained / "trace.png") as picture:
        assert picture.format == "PNG" and picture.size == (900, len(history) * 270)


def test_other_formats_by_the_name(trained, fails):
    assert call("plot", trained, "--out", trained / "a.pdf") == 0
    assert (trained / "a.pdf").read_bytes().startswith(b"%PDF")
    assert "a.jpg; expected a file name that ends in .png or .pdf or .svg" in fails(
        "plot", trained, "--out", trained / "a.jpg"
    )


def test_of_a_run_that_goes_on_the_row_that_is_being_written_is_left_out(trained):
    with open(trained / "trace.csv", "a") as file:
        file.write("5,1")
    assert call("plot", trained) == 0
    assert all(len(values) == 4 for values in runs.read_trace(trained / "trace.csv").values())


def damage(rows):
    return [
        ("", "it begins with ''"),
        ("x,y\n1,2\n", "it begins with 'x,y'"),
        ("".join([rows[0], *rows[2:]]), "row 1 is '2,"),
        ("".join([*rows[:2], rows[1]]), "row 2 is '1,"),
        ("".join([rows[0], "1,x\n"]), "row 1 is '1,x', expected step 1 and"),
        ("".join([rows[0], rows[1].replace("\n", ",9\n")]), "row 1 is '1,"),
        ("".join([*rows[:3], "\0\0\0\n"]), r"row 3 is '\x00\x00\x00'"),
    ]


@pytest.mark.parametrize("case", range(7))
def test_a_damaged_trace_is_a_sentence(trained, fails, case):
    content, message = damage((trained / "trace.csv").read_text().splitlines(keepends=True))[case]
    (trained / "trace.csv").write_text(content)
    for command in (["plot", trained], [*TRAIN, "--out", trained, "--steps", "6", "--resume"]):
        printed = fails(*command)
        assert f"{trained / 'trace.csv'} is damaged: " in printed and message in printed
        assert "Restore it from a copy, or move it away" in printed


def test_what_a_crash_left_after_the_checkpoint_is_no_damage(trained):
    with open(trained / "trace.csv", "ab") as file:
        file.write(b"5,1\xff\0\0\n\0\0\0\n")
    assert call(*TRAIN, "--out", trained, "--steps", "6", "--resume") == 0
    assert all(len(values) == 6 for values in runs.read_trace(trained / "trace.csv").values())


def test_no_trace_and_no_run(trained, fails, tmp_path):
    assert "holds no run" in fails("plot", tmp_path)
    (trained / "trace.csv").write_text((trained / "trace.csv").read_text().splitlines(keepends=True)[0])
    assert "has no step yet" in fails("plot", trained)
    (trained / "trace.csv").unlink()
    assert "there is no" in fails("plot", trained) and "trace.csv; it is written while" in fails(
        "plot", trained
    )
