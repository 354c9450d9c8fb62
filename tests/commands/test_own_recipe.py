"""A recipe in a user's own file: found again by what comes after, and run only by who knows it.

Mutants tried, each red: `sample` that runs any file that ``run.json`` names; a check by path alone, or by
content alone; a run.json without the entry of the file; a changed file that is not said.
"""

import hashlib

import pytest
from command import call
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures

from ebmlearn import runs
from ebmlearn.commands._recipe import named as find_named
from ebmlearn.recipes import Recipe, find

SOURCE = '''
"""Mine."""
from functools import partial

from beside import N_STEPS
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import ConvEnergy
from ebmlearn.recipes import Recipe
from ebmlearn.sample import Chain, NoiseStart, ula


class Mine(MaximumLikelihood):
    """A class of one's own; annotations of its step are looked up in its module."""


def mine(*, smoke=False):
    def setup(shape):
        energy = ConvEnergy(shape[0], shape[1], [4, 8])
        chain = Chain(ula, n_steps=N_STEPS, step_size=0.1)
        return partial(Mine, energy, NoiseStart("uniform", 1.0, shape), chain=chain, lr=1e-4)

    return Recipe("mine on mnist", "nowhere", "mnist", setup, Mine.sample, 16, 4, n=64, size=16)


def fixed():
    return mine()


plain = mine()
number = 3
'''
OPTIONS = ["--criterion", "0", "--every", "2"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The user's file, with a module beside it, and nothing that this user has run before."""
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "beside.py").write_text("N_STEPS = 3\n")
    path = tmp_path / "work" / "my_recipes.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def trained(file, out):
    assert call("train", f"{file}:mine", *OPTIONS, "--out", out) == 0
    return out


def forget(tmp_path):
    """As on another machine, or for another user."""
    for mark in (tmp_path / "cache" / "recipes").iterdir():
        mark.unlink()


def spy(file, line="open(__file__ + '.was-run', 'w').close()"):
    """Have the file leave a trace when it is run."""
    file.write_text(file.read_text() + line + "\n")
    return file.with_name(file.name + ".was-run")


def test_it_trains_and_is_found_again(trained, file, capsys, monkeypatch):
    run = runs.read(trained)
    assert run["options"]["recipe"] == "my_recipes.py:mine"
    assert run["file"]["path"] == str(file) and len(run["file"]["sha256"]) == 64
    assert run["sessions"][0]["file"] == run["file"]
    monkeypatch.chdir(trained.parent)  # from anywhere
    capsys.readouterr()
    assert call("sample", trained) == 0
    assert (trained / "sample.png").read_bytes() == (trained / "samples/00000004.png").read_bytes()
    assert call("show", trained) == 0
    printed = capsys.readouterr()
    assert "my_recipes.py:mine: mine on mnist" in printed.out and "class Mine" in printed.out
    assert printed.err == ""


def test_settings_hold_for_what_comes_after(file, out):
    train = ["train", f"{file}:mine", *OPTIONS, "--out", out]
    assert call(*train, "--set", "chain.n_steps=2", "--set", "lr=1e-3") == 0
    assert call("sample", out) == 0  # with the chain of two steps: without, the run would be refused
    assert (out / "sample.png").read_bytes() == (out / "samples/00000004.png").read_bytes()
    assert call(*train, "--set", "lr=1e-5", "--set", "steps=6", "--resume") == 0
    run = runs.read(out)
    assert run["steps"] == 6 and run["options"]["set"] == {"chain.n_steps": 2, "lr": 1e-5}


def test_a_name_from_the_working_directory(file, out, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert call("train", "my_recipes.py:plain", *OPTIONS, "--out", out) == 0
    assert runs.read(out)["file"]["path"] == str(file)


def test_a_strangers_run_does_not_run_their_file(trained, file, tmp_path, fails):
    """The same folder where its recipe was never run: named and refused, until the user names it."""
    forget(tmp_path)
    trace = spy(file)
    run = runs.read(trained)
    run["file"]["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    runs.write(trained / "run.json", run)
    for command in ("sample", "evaluate", "show"):
        message = fails(command, trained)
        assert f"is in {file}, which you have not run on this machine as it is now" in message
        assert f"--recipe {file}:mine" in message
    assert not trace.exists()
    assert call("sample", trained, "--recipe", f"{file}:mine") == 0
    assert trace.exists()
    assert call("sample", trained) == 0  # known from now on


def test_a_label_alone_runs_nothing(trained, file, fails):
    """A run.json without the entry of the file: its name must not be taken for a command."""
    trace = spy(file)
    run = runs.read(trained)
    del run["file"]
    run["options"]["recipe"] = f"{file}:mine"
    runs.write(trained / "run.json", run)
    assert "which is in no file; leave --recipe out" in fails("sample", trained)
    assert not trace.exists()


def test_a_file_that_is_known_at_another_place_is_not(trained, file, tmp_path, fails):
    """The same content beside other modules is another program."""
    other = tmp_path / "other" / "my_recipes.py"
    other.parent.mkdir()
    other.write_text(file.read_text())
    run = runs.read(trained)
    run["file"]["path"] = str(other)
    runs.write(trained / "run.json", run)
    assert "you have not run on this machine" in fails("sample", trained)


def test_a_changed_file_is_said_and_must_be_named(trained, file, fails, capsys):
    file.write_text(file.read_text() + "# changed\n")
    assert "which you have not run on this machine as it is now" in fails("sample", trained)
    capsys.readouterr()
    assert call("sample", trained, "--recipe", f"{file}:mine") == 0
    assert f"note: {file} has changed since the run began" in capsys.readouterr().err
    assert call("train", f"{file}:mine", *OPTIONS, "--steps", "6", "--out", trained, "--resume") == 0
    assert "has changed since the run began" in capsys.readouterr().err


def test_a_changed_model_is_refused_by_its_settings(trained, file, capsys):
    file.write_text(file.read_text().replace("[4, 8]", "[4, 12]"))
    assert call("sample", trained, "--recipe", f"{file}:mine") == 2
    assert "is of another configuration:\n  energy: checkpoint" in capsys.readouterr().err


def test_a_file_that_moved_is_named_anew(trained, file, fails):
    moved = file.rename(file.with_name("better.py"))
    message = fails("sample", trained)
    assert f"the recipe of {trained} was in {file}, which is not there; say where" in message
    assert call("sample", trained, "--recipe", f"{moved}:mine") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_recipes.py:mime", "my_recipes.py has no recipe 'mime'; did you mean 'mine'?"),
        ("my_recipes.py:zzz", "has no recipe 'zzz'; it defines Mine, mine, fixed, plain"),
        ("my_recipes.py", "name the recipe as well: my_recipes.py:NAME"),
        ("my_recipes.py:number", "number of my_recipes.py gives a int; expected an ebmlearn.recipes.Recipe"),
        ("none.py:mine", "none.py; expected FILE.py:NAME, a recipe in a file of yours"),
        ("broken.py:mine", "broken.py is no Python: "),
    ],
)
def test_what_is_no_recipe_is_a_sentence(file, out, fails, monkeypatch, name, message):
    monkeypatch.chdir(file.parent)
    (file.parent / "broken.py").write_text("def mine(:\n")
    assert message in fails("train", name, "--out", out)
    assert not out.exists()


@pytest.mark.parametrize("name", ["fixed", "plain"])
def test_a_recipe_of_one_size(file, out, fails, name):
    assert isinstance(find(f"{file}:{name}"), Recipe)
    message = fails("train", f"{file}:{name}", "--smoke", "--out", out)
    assert f"{name} of my_recipes.py" in message and "it has one size; leave --smoke out" in message


def test_what_the_file_raises_keeps_its_traceback(file, out):
    """It is a bug of its author, who wants to see where."""
    spy(file, "raise ValueError('mine')")
    with pytest.raises(ValueError, match="mine"):
        call("train", f"{file}:mine", "--out", out)


def test_a_cache_that_cannot_be_written_is_said(file, monkeypatch):
    (file.parent / "cache").write_text("a file")
    monkeypatch.setenv("EBMLEARN_CACHE", str(file.parent / "cache"))
    with pytest.warns(UserWarning, match="cannot note in .*cache.*will ask for --recipe"):
        assert find_named(f"{file}:mine", smoke=False).label == "my_recipes.py:mine"
