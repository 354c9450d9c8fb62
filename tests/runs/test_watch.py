"""TensorBoard and the plot in a notebook show the history, and training does not notice them."""

import os
import signal
import sys

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from processes import Child

from ebmlearn import Chain, ReplayBuffer, fit, runs, ula
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.nets import MLPEnergy

DATA = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))


def train(steps, *hooks, **settings):
    torch.manual_seed(0)
    chain = Chain(ula, n_steps=2, step_size=0.1)
    method = MaximumLikelihood(MLPEnergy(2, (4,)), ReplayBuffer(torch.randn(20, 2)), chain=chain)
    return method, fit(method, DATA, steps=steps, batch_size=8, hooks=hooks, progress=False, **settings)


def read(folder):
    """All that TensorBoard would draw: ``(steps, values)`` by name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    scalars = {name: events.Scalars(name) for name in events.Tags()["scalars"]}
    return {name: ([e.step for e in found], [e.value for e in found]) for name, found in scalars.items()}


def assert_is(found, history, steps):
    assert found.keys() == history.keys()
    for name, values in history.items():
        assert found[name] == (list(steps), [values[step - 1].item() for step in steps]), name


def train_and_die(folder):
    """Three steps with the hook, and the end without a farewell, as by kill -9."""
    board = runs.TensorBoard(folder)
    for step in (1, 2, 3):
        board(step, None, {"loss": torch.tensor(float(step))})
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_loses_no_event(tmp_path):
    assert Child(train_and_die, tmp_path / "events", log=tmp_path / "log").wait() == -signal.SIGKILL
    assert read(tmp_path / "events") == {"loss": ([1, 2, 3], [1.0, 2.0, 3.0])}


def test_tensorboard_has_the_history_without_being_closed(tmp_path):
    board = runs.TensorBoard(tmp_path)
    _, history = train(7, board)
    assert_is(read(tmp_path), history, range(1, 8))


def test_tensorboard_may_have_every_third_step_only(tmp_path):
    _, history = train(7, runs.TensorBoard(tmp_path, every=3))
    assert_is(read(tmp_path), history, (3, 6))


def test_a_resumed_run_has_each_step_once_in_tensorboard(tmp_path):
    """Stopped at step 7, two steps after the checkpoint that it goes on from."""

    def die(step, method, metrics):
        if step == 7:
            raise RuntimeError("killed")

    run = {"out": tmp_path / "run", "every": 5}
    with pytest.raises(RuntimeError, match="killed"):
        train(10, runs.TensorBoard(tmp_path / "log"), die, **run)
    _, history = train(10, runs.TensorBoard(tmp_path / "log"), resume=True, **run)
    assert_is(read(tmp_path / "log"), history, range(1, 11))


def test_a_new_run_in_an_old_folder_begins_anew(tmp_path):
    train(9, runs.TensorBoard(tmp_path))
    _, history = train(4, runs.TensorBoard(tmp_path))
    assert_is(read(tmp_path), history, range(1, 5))


def test_a_missing_tensorboard_is_said_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ImportError, match=r"needs the package tensorboard .*pip install 'ebmlearn\[log\]'"):
        runs.TensorBoard(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make", [lambda: runs.TensorBoard("x", every=0), lambda: runs.LivePlot(every=0)])
def test_steps_between_are_at_least_one(make):
    with pytest.raises(ValueError, match="every is 0; expected a whole number >= 1"):
        make()


# in a notebook


class Handle:
    def __init__(self):
        self.pictures = []

    def update(self, picture):
        self.pictures.append(picture)


@pytest.fixture
def notebook(monkeypatch):
    """A kernel that notes what it is to show."""
    handle = Handle()

    def display(picture, *, display_id):
        assert display_id is True and not handle.pictures
        handle.update(picture)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: type("Shell", (), {"kernel": 1})())
    return handle


def test_a_live_plot_updates_one_figure_and_training_does_not_notice(notebook, monkeypatch):
    plain, history = train(7)
    plot, drawn = runs.LivePlot(every=3), []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda ax, *xy, **_: drawn.append(xy))
    method, same = train(7, plot)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), method.parameters(), strict=True))
    assert same.keys() == history.keys() and all(torch.equal(same[name], history[name]) for name in same)
    assert len(notebook.pictures) == 2 and all(p.data.startswith(b"\x89PNG") for p in notebook.pictures)
    means = [[values[i : i + 3].double().mean().item() for i in (0, 3)] for values in history.values()]
    last = drawn[-len(history) :]
    assert [x for x, _ in last] == [(3, 6)] * len(history)
    torch.testing.assert_close([list(y) for _, y in last], means)


@pytest.mark.parametrize("shell", [None, type("Terminal", (), {})()])
def test_a_live_plot_is_silent_elsewhere(shell, notebook, monkeypatch):
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    train(4, runs.LivePlot(every=1))
    assert notebook.pictures == []


CELL = """
import torch
from ebmlearn import ScoreMatching, fit, runs
from ebmlearn.nets import MLPEnergy
torch.manual_seed(0)
fit(ScoreMatching(MLPEnergy(2, (4,))), torch.randn(16, 2), steps=6, batch_size=8, progress=False,
    hooks=[runs.LivePlot(every=2)])
print("done")
"""


@pytest.mark.slow
def test_a_live_plot_is_one_output_of_a_real_notebook():
    """Six steps, three drawings, one picture."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(book, timeout=300, kernel_name="python3").execute()
    kinds = [output.output_type for output in book.cells[0].outputs]
    assert sorted(kinds) == ["display_data", "stream"]
    (picture,) = (o for o in book.cells[0].outputs if o.output_type == "display_data")
    assert set(picture.data) == {"image/png", "text/plain"}
