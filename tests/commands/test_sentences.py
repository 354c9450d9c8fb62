"""What a user or an accident can do to the command line, answered by a sentence and no traceback.

Mutants tried, each red: a run.json taken as it comes; a variable of the launcher that decides who speaks
before it is looked at; a finished run that says nothing; data loaded before an option is refused.
"""

import json
import os
import pickle
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from command import NAME, TRAIN, call
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures

import ebmlearn
from ebmlearn import runs
from ebmlearn.recipes import Recipe
from ebmlearn.train import checkpoint

ROOT = Path(__file__).resolve().parents[2]


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        call("--version")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"ebmlearn {ebmlearn.__version__}, torch ")


def test_the_command_of_an_installed_package_is_the_same_function():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, name = project["scripts"]["ebmlearn"].split(":")
    assert getattr(import_module(module), name) is import_module("ebmlearn.__main__").main


def test_its_usage_has_the_name_that_it_was_called_by(monkeypatch, capsys):
    for program, name in [("/usr/bin/ebmlearn", "ebmlearn"), ("x/__main__.py", "python -m ebmlearn")]:
        monkeypatch.setattr(sys, "argv", [program])
        with pytest.raises(SystemExit):
            call("--help")
        assert capsys.readouterr().out.startswith(f"usage: {name} [-h]")


def test_options_are_refused_before_any_data_are_loaded(out, fails, monkeypatch):
    monkeypatch.setattr(Recipe, "load", lambda *args, **more: pytest.fail("loaded"))
    for option, value in [("--steps", 0), ("--every", 0), ("--n-checkpoints", 0), ("--seed", 2**32)]:
        assert f"{option} is {value}; expected" in fails(*TRAIN, "--out", out, option, value)


def test_a_finished_run_says_so(trained, capsys):
    capsys.readouterr()
    assert call(*TRAIN, "--out", trained, "--resume") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{trained} is at step 4 of 4: nothing to do; --steps N goes on to step N"
    assert call(*TRAIN, "--out", trained, "--resume", "--steps", "6") == 0
    assert "nothing to do" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_seeds_of_samples(trained, fails, command):
    assert "--seed is -1; expected 0 to 2**32 - 1" in fails(command, trained, "--seed", "-1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: "{", "Expecting property name"),
        (lambda run: "[" * 100_000, "recursion"),
        (lambda run: "[]", "it is no object"),
        (lambda run: run.pop("options"), "there is no options"),
        (lambda run: run["options"].pop("seed"), "there is no options.seed"),
        (lambda run: run["options"].update(recipe=3), "options.recipe is 3"),
        (lambda run: run["options"].update(set=[]), "options.set is []"),
        (lambda run: run["data"].update(shape=[1, 16]), "data.shape is [1, 16]"),
        (lambda run: run["data"].update(shape=[1, 16, "16"]), "data.shape is [1, 16, '16']"),
        (lambda run: run["data"].update(shape=[1, 16, -16]), "data.shape is [1, 16, -16]"),
        (lambda run: run.update(file="x.py"), "file. is no object"),
        (lambda run: run.update(steps="many"), "steps is 'many'"),
        (lambda run: run.update(sessions=[3]), "a session is no object"),
    ],
)
def test_a_damaged_run_json_is_a_sentence(trained, fails, change, message):
    run = runs.read(trained)
    text = change(run)
    (trained / "run.json").write_text(text if isinstance(text, str) else json.dumps(run))
    for command in (["sample", trained], ["evaluate", trained], [*TRAIN, "--out", trained, "--resume"]):
        printed = fails(*command)
        assert f"{trained / 'run.json'} is damaged (" in printed and message in printed
        assert "the checkpoints beside it may be whole" in printed


def test_a_run_json_that_is_no_text(trained, fails):
    (trained / "run.json").write_bytes(b"\xff\xfe\x00")
    assert "run.json is damaged (" in fails("sample", trained)


def test_settings_of_a_run_that_no_recipe_has(trained, fails):
    run = runs.read(trained)
    run["options"]["set"] = {"magic": 1}
    runs.write(trained / "run.json", run)
    assert "there is no setting 'magic'" in fails("sample", trained)


@pytest.mark.parametrize("content", ["{", "{}", "3"])
def test_a_damaged_evaluation_is_refused_before_the_work(trained, fails, content):
    (trained / "evaluation.json").write_text(content)
    message = fails("evaluate", trained)
    assert f"{trained / 'evaluation.json'}" in message and "move it away, and it begins anew" in message
    assert (trained / "evaluation.json").read_text() == content


@pytest.mark.parametrize("name", ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"])
@pytest.mark.parametrize("value", ["abc", "-1", "1.5", "", "²"])
def test_variables_of_a_launcher_that_are_no_numbers(fails, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    message = fails("list")
    assert f"the environment variable {name} is {value!r}; expected a number, as torchrun sets it" in message


def test_a_launcher_that_is_half_there(out, fails, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    message = fails(*TRAIN, "--out", out)
    assert "WORLD_SIZE is 2, but there is no RANK, MASTER_ADDR, MASTER_PORT: start several" in message


class Evil:
    def __reduce__(self):
        return os.system, ("touch was-run",)


def test_a_malicious_checkpoint_runs_nothing_and_nobody_is_told_to_let_it(
    trained, fails, monkeypatch, tmp_path
):
    """Its checksum is right: whoever makes it can compute that."""
    monkeypatch.chdir(tmp_path)
    checkpoint.save(trained / "checkpoint-00000004.pt", {"step": 4, "evil": Evil()})
    for command in (["sample", trained], [*TRAIN, "--out", trained, "--resume", "--steps", "6"]):
        message = fails(*command)
        assert "checkpoint-00000004.pt" in message and "weights_only" not in message
    assert not Path("was-run").exists()
    assert pickle.dumps(Evil())  # it is one


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m ebmlearn show {NAME} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout.startswith(f"{NAME}: ") and done.stderr == ""
