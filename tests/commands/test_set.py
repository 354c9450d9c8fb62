"""``--set KEY=VALUE``: recorded with the run, replayed by what comes after, refused where it would change it.

Mutants tried, each red: `sample` that forgets the settings; a resumed run that forgets them, or the rate of
the session before; the recipe's ``steps`` where ``--set steps`` was given; the session without its first
step; a resumed run that takes another chain, batch or part of the data.
"""

import json
import re
from functools import partial

import pytest
from command import NAME, TRAIN, call
from PIL import Image
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures

from ebmlearn import runs
from ebmlearn.commands import _results
from ebmlearn.train import checkpoint

SET = ["--set", "lr_prior=1e-4", "--set", "prior_chain.n_steps=2", "--set", "batch_size=8"]


def rates(out, step):
    return {
        name: each["param_groups"][0]["lr"]
        for name, each in saved(out, step)["method"]["_extra_state"]["optimizers"].items()
    }


def saved(out, step):
    return checkpoint.load(out / f"checkpoint-{step:08d}.pt")


def test_settings_reach_the_run_and_are_recorded(out):
    assert call(*TRAIN, *SET, "--set", "n=100", "--out", out) == 0
    run = runs.read(out)
    wanted = {"lr_prior": 1e-4, "prior_chain.n_steps": 2, "batch_size": 8, "n": 100}
    assert run["options"]["set"] == run["sessions"][0]["set"] == wanted
    assert run["sessions"][0]["first_step"] == 1
    assert run["settings"]["batch_size"] == "8" and "n_steps=2" in run["settings"]["prior_chain"]
    assert run["data"]["images"] == 100
    assert (
        rates(out, 4) == {"prior": 1e-4, "generator": 1e-4} and saved(out, 4)["settings"]["batch_size"] == "8"
    )


def test_another_run_is_another_run(out):
    """The settings that were not named stay the recipe's."""
    assert call(*TRAIN, "--out", out) == call(*TRAIN, *SET, "--out", out.with_name("b")) == 0
    a, b = (run["settings"] for run in map(runs.read, (out, out.with_name("b"))))
    assert {key for key in a if a[key] != b[key]} == {"prior_chain", "lr of prior", "batch_size"}


def test_steps_are_a_setting_like_any_other(out, fails):
    command = [a for a in TRAIN if a not in ("--steps", "4")]
    assert call(*command, "--set", "steps=3", "--out", out) == 0
    assert runs.read(out)["steps"] == 3
    assert call(*command, "--set", "steps=5", "--out", out, "--resume") == 0
    assert runs.read(out)["steps"] == 5 and saved(out, 5)["step"] == 5
    assert call(*command, "--out", out, "--resume") == 0  # the steps of the last session
    message = fails(*TRAIN, "--set", "steps=7", "--out", out, "--resume")
    assert "--steps 4 and --set steps=7 say the same; give one of them" in message


def test_samples_and_evaluation_are_those_of_the_changed_method(out, capsys, monkeypatch):
    assert call(*TRAIN, *SET, "--out", out) == 0
    assert call("sample", out) == 0
    assert (out / "sample.png").read_bytes() == (out / "samples/00000004.png").read_bytes()
    short = partial(_results.train_classifier, steps=10)
    monkeypatch.setattr(_results, "train_classifier", lambda *images, steps: short(*images))
    assert call("evaluate", out, "-n", "90") == 0
    run = runs.read(out)
    run["options"]["set"] = {}  # without them the weights belong to another method
    runs.write(out / "run.json", run)
    assert call("sample", out) == 2
    assert "prior_chain: checkpoint Chain(ula, n_steps=2" in capsys.readouterr().err


def test_a_resumed_run_keeps_its_settings(out):
    assert call(*TRAIN, *SET, "--out", out.with_name("whole"), "--steps", "6") == 0
    assert call(*TRAIN, *SET, "--out", out) == 0
    assert call(*TRAIN, "--out", out, "--steps", "6", "--resume") == 0  # not named again
    assert (out / "trace.csv").read_text() == (out.with_name("whole") / "trace.csv").read_text()
    first, second = runs.read(out)["sessions"]
    assert first["set"] == second["set"] and second["first_step"] == 5


def test_a_learning_rate_may_change_when_it_is_said(out, capsys):
    assert call(*TRAIN, *SET, "--out", out) == 0
    assert call(*TRAIN, "--set", "lr_prior=1e-6", "--out", out, "--steps", "6", "--resume") == 0
    assert "note: after step 4 the learning rate of 'prior' is 1e-06 at every step" in capsys.readouterr().err
    run = runs.read(out)
    assert run["options"]["set"] == {"lr_prior": 1e-6, "prior_chain.n_steps": 2, "batch_size": 8}
    assert [(s["first_step"], s["set"]["lr_prior"]) for s in run["sessions"]] == [(1, 1e-4), (5, 1e-6)]
    assert rates(out, 6)["prior"] == 1e-6
    (change,) = saved(out, 6)["lr_changes"]
    assert (change["step"], change["name"]) == (4, "prior")
    assert call(*TRAIN, "--out", out, "--steps", "8", "--resume") == 0  # and stays changed
    assert rates(out, 8)["prior"] == 1e-6 and "note" not in capsys.readouterr().err
    assert call("sample", out) == 0


def test_a_rate_stays_said_after_a_crash_before_the_next_checkpoint(out, monkeypatch):
    """run.json has the new rate, the checkpoint the old one."""
    assert call(*TRAIN, "--out", out) == 0
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", lambda path, state: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            call(*TRAIN, "--set", "lr_prior=1e-6", "--out", out, "--steps", "6", "--resume")
    assert runs.read(out)["options"]["set"] == {"lr_prior": 1e-6}
    assert not (out / "checkpoint-00000006.pt").exists()
    assert call(*TRAIN, "--out", out, "--steps", "6", "--resume") == 0
    assert rates(out, 6)["prior"] == 1e-6


@pytest.mark.parametrize(
    ("key", "value", "then", "now"),
    [
        ("prior_chain.n_steps", "3", "5", "3"),
        ("batch_size", "8", "16", "8"),
        ("n", "100", "256", "100"),
        ("optimizer.betas", "(0.9,0.999)", r"(0.5, 0.999)", r"(0.9, 0.999)"),
    ],
)
def test_what_is_no_rate_is_refused_on_resume(out, fails, key, value, then, now):
    assert call(*TRAIN, "--out", out) == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    message = fails(*TRAIN, "--set", f"{key}={value}", "--out", out, "--steps", "6", "--resume")
    assert f"{key}: checkpoint {then} | this run {now}\n" in message
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_rate_that_another_recipe_brings_is_refused_with_the_way_to_say_it(out, fails):
    assert call(*TRAIN, "--out", out) == 0
    run = runs.read(out)
    run["settings"]["lr of prior"] = "0: 1"
    runs.write(out / "run.json", run)
    message = fails(*TRAIN, "--out", out, "--steps", "6", "--resume")
    assert "lr of prior: checkpoint 0: 1 |" in message and "--resume with --set of the rate" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr_priors=1", "there is no setting 'lr_priors'; did you mean lr_prior? `python -m ebmlearn show"),
        ("lr_prior=fast", "lr_prior is 'fast'; expected a finite number"),
        ("prior_chain.n_steps=1.5", "prior_chain.n_steps is 1.5; expected a whole number, such as 5"),
        ("prior_chain.step_size=-1", "step_size is -1"),
        ("batch_size=1000", "batch_size is 1000, but there are 256 data; use a smaller batch"),
        ("lr_prior", "--set is 'lr_prior'; expected KEY=VALUE, such as lr=1e-4"),
    ],
)
def test_what_is_off_is_a_sentence(out, fails, text, message):
    printed = fails(*TRAIN, "--set", text, "--out", out)
    assert message in printed
    assert not list(out.glob("checkpoint*"))


def test_run_json_of_before_has_no_settings(out):
    assert call(*TRAIN, "--out", out) == 0
    run = json.loads((out / "run.json").read_text())
    del run["options"]["set"], run["file"]
    run["sessions"][0] = {
        k: v for k, v in run["sessions"][0].items() if k not in ("set", "file", "first_step")
    }
    runs.write(out / "run.json", run)
    assert call(*TRAIN, "--out", out, "--steps", "6", "--resume") == 0 and call("sample", out) == 0


def test_show_lists_settings_and_marks_the_changed(out, capsys):
    assert call("show", NAME, *SET) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    found = {line[0]: line[1] for line in lines if len(line) == 2}
    assert found["prior_chain.n_steps"] == "2   (not 60)" and found["batch_size"] == "8   (not 100)"
    assert found["prior_chain.step_size"] == "0.4" and found["optimizer.betas"] == "(0.5, 0.999)"
    assert found["lr_prior"].startswith(
        "0.0001   (not falling(every=600, factor=0.998, start=2e-05), with the"
    )
    assert "lr_prior.start" not in found and found["lr_generator.start"] == "0.0001"
    assert found["training"].endswith("8 images in a batch")


def test_show_of_a_run_is_its_recipe_with_its_settings(out, capsys):
    assert call(*TRAIN, *SET, "--out", out) == 0
    capsys.readouterr()
    assert call("show", out) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{NAME}: ") and "20 steps, 8 images in a batch" in printed
    assert re.search(r"prior_chain.n_steps +2\n", printed)


def test_a_setting_as_an_option_is_answered_by_the_command_itself(capsys):
    for argv, message in [
        (["--lr-prior", "1e-4"], "a setting of the recipe is changed by --set lr_prior=VALUE"),
        (["--step", "3"], "unknown: --step 3; did you mean --steps?"),
        (["extra"], "unknown: extra"),
    ]:
        with pytest.raises(SystemExit) as end:
            call(*TRAIN, "--out", "a", *argv)
        printed = capsys.readouterr().err
        assert end.value.code == 2 and message in printed
        assert printed.startswith("usage: python -m ebmlearn train ")


def test_a_picture_is_written_as_what_its_name_says(out, fails):
    assert call(*TRAIN, "--out", out) == 0
    message = fails("sample", out, "--out", out / "x.jpg")
    assert "x.jpg; expected a file name that ends in .png" in message and not (out / "x.jpg").exists()
    assert "there is no folder" in fails("sample", out, "--out", out / "none" / "x.png")
    assert call("sample", out, "-n", "4", "--out", out / "x.PNG") == 0
    with Image.open(out / "x.PNG") as picture:
        assert picture.format == "PNG"
