"""Nothing lost: what stays in a run's folder when the disk, a signal or a second process gets in the way."""

import os
import resource
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from methods import METHODS
from processes import SERVER, Child

from ebmlearn import fit
from ebmlearn.train import checkpoint, load
from ebmlearn.train.folder import Folder
from ebmlearn.train.signals import Stopped

CASE = METHODS["persistent chains, averaged"]
RUN = {"data": CASE.data, "steps": 12, "batch_size": 8, "every": 3}


def make():
    torch.manual_seed(0)
    return CASE.make()


def at(wanted, action):
    """A hook that does something after one step."""
    return lambda step, method, metrics: action() if step == wanted else None


def flat(method):
    tensors = [value for value in method.state_dict().values() if isinstance(value, torch.Tensor)]
    return torch.cat([value.flatten().double() for value in tensors])


@pytest.fixture
def undisturbed():
    fit(method := make(), **RUN)
    return flat(method)


def resumes(out, undisturbed):
    """Whether a new process would end at the weights of the undisturbed run."""
    torch.manual_seed(99)
    method = CASE.make()
    fit(method, **RUN, out=out, resume=True)
    return torch.equal(flat(method), undisturbed)


def files(out):
    return sorted(path.name for path in out.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("keep", [1, 3])
def test_the_last_checkpoints_stay(tmp_path, keep, undisturbed):
    fit(make(), **RUN, out=tmp_path, n_checkpoints=keep)
    assert files(tmp_path) == [f"checkpoint-{step:08d}.pt" for step in (3, 6, 9, 12)][-keep:]
    for step in Folder(tmp_path).steps():
        assert checkpoint.load(Folder(tmp_path).path(step))["step"] == step
    for step in Folder(tmp_path).steps()[1:]:
        Folder(tmp_path).path(step).unlink()
    assert resumes(tmp_path, undisturbed)


def test_an_older_checkpoint_goes_only_when_the_new_one_is_whole(tmp_path, monkeypatch):
    seen = []

    def spy(path, state, save=checkpoint.save):
        seen.append(files(tmp_path))
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", spy)
    fit(make(), **RUN, out=tmp_path, n_checkpoints=1)
    assert seen == [[], *[[f"checkpoint-{step:08d}.pt"] for step in (3, 6, 9)]]


def test_only_its_own_litter_is_removed(tmp_path):
    litter = {"checkpoint-00000009.pt.123.tmp", "best.pt.7.tmp", "checkpoint-00000002-rank1.pt"}
    mine = {"run.json", "checkpoint-of-mine.pt", "samples.png.tmp", "checkpoint.pt"}
    for name in litter | mine:
        (tmp_path / name).touch()
    fit(make(), **RUN, out=tmp_path)
    assert {*files(tmp_path)} == mine | {"checkpoint-00000009.pt", "checkpoint-00000012.pt"}


def test_the_best_stays_and_scoring_leaves_the_run_alone(tmp_path, undisturbed):
    values = iter([3.0, 1.0, 2.0, 1.5])

    def criterion(method):
        torch.randn(7)
        return next(values)

    fit(method := make(), **RUN, out=tmp_path, n_checkpoints=1, criterion=criterion)
    assert torch.equal(flat(method), undisturbed)
    assert files(tmp_path) == ["best.pt", "checkpoint-00000012.pt"]
    other = CASE.make()
    assert load(other, tmp_path, best=True) == 6
    fit(six := make(), **{**RUN, "steps": 6})
    assert torch.equal(flat(other), flat(six))
    assert load(other, tmp_path) == 12 and torch.equal(flat(other), undisturbed)


def test_the_lowest_criterion_is_remembered_by_a_resumed_run(tmp_path):
    fit(make(), **{**RUN, "steps": 6}, out=tmp_path, criterion=lambda method: 1.0)
    fit(make(), **RUN, out=tmp_path, resume=True, criterion=lambda method: 2.0)
    assert load(CASE.make(), tmp_path, best=True) == 3  # of equal values the first


def test_a_criterion_that_fails_loses_nothing(tmp_path, undisturbed):
    """It comes after the checkpoint; the resumed run begins with it."""
    calls = []

    def criterion(method):
        calls.append(method.updates["energy"])
        torch.randn(5)
        if len(calls) == 2:
            raise ZeroDivisionError("1 / 0")
        return -float(method.updates["energy"])

    with pytest.raises(ZeroDivisionError) as error:
        fit(make(), **RUN, out=tmp_path, criterion=criterion)
    (note,) = error.value.__notes__
    assert note.startswith("This was the criterion after step 6. The last checkpoint is") and "06.pt" in note
    assert checkpoint.load(Folder(tmp_path).path(6))["due"] and load(CASE.make(), tmp_path, best=True) == 3
    torch.manual_seed(99)
    fit(method := CASE.make(), **RUN, out=tmp_path, resume=True, criterion=criterion)
    assert calls == [3, 6, 6, 9, 12] and torch.equal(flat(method), undisturbed)
    assert load(CASE.make(), tmp_path, best=True) == 12
    last = checkpoint.load(Folder(tmp_path).path(12))
    assert (last["criterion"], last["lowest"], last["due"]) == (-12.0, -12.0, False)
    fit(CASE.make(), **RUN, out=tmp_path, resume=True, criterion=criterion)  # nothing is left to do
    assert len(calls) == 5


def test_the_checkpoint_is_there_while_the_criterion_is_computed(tmp_path):
    seen = []

    def criterion(method):
        seen.append(files(tmp_path))
        return 0.0

    fit(make(), **{**RUN, "steps": 6}, out=tmp_path, criterion=criterion)
    assert seen == [
        ["checkpoint-00000003.pt"],
        ["best.pt", "checkpoint-00000003.pt", "checkpoint-00000006.pt"],
    ]


@pytest.mark.parametrize("step", [5, 6])
def test_who_is_stopped_does_not_wait_for_the_criterion(tmp_path, step):
    """A scheduler kills soon after its signal. The resumed run computes what the undisturbed one would."""
    found = []

    def criterion(method):
        found.append(method.updates["energy"])
        return 1.0

    stop = [at(step, lambda: os.kill(os.getpid(), signal.SIGTERM))]
    with pytest.raises(Stopped):
        fit(make(), **RUN, out=tmp_path, criterion=criterion, hooks=stop)
    assert found == [3] and files(tmp_path)[-1] == f"checkpoint-{step:08d}.pt"
    fit(CASE.make(), **RUN, out=tmp_path, resume=True, criterion=criterion)
    assert found == [3, 6, 9, 12]


def test_a_criterion_of_another_kind_is_told(tmp_path):
    with pytest.raises(TypeError, match="the criterion returned a NoneType; expected a number to minimise"):
        fit(make(), **RUN, out=tmp_path, criterion=lambda method: None)
    assert files(tmp_path) == ["checkpoint-00000003.pt"]


def test_a_lock_that_was_removed_is_taken_again_or_the_run_stops(tmp_path, undisturbed):
    lock = tmp_path / "a" / ".lock"
    fit(method := make(), **RUN, out=tmp_path / "a", hooks=[at(4, lock.unlink)])
    assert lock.exists() and torch.equal(flat(method), undisturbed)
    lock = tmp_path / "b" / ".lock"

    def second():
        lock.unlink()
        state = torch.get_rng_state()
        fit(CASE.make(), **RUN, out=tmp_path / "b", resume=True)
        torch.set_rng_state(state)

    with pytest.raises(BlockingIOError, match=r"\.lock was removed while this .* wrote nothing over it"):
        fit(make(), **RUN, out=tmp_path / "b", hooks=[at(5, second)])
    assert resumes(tmp_path / "b", undisturbed)
    held = FileLock(tmp_path / "c" / ".lock")

    def hold():
        (tmp_path / "c" / ".lock").unlink()
        held.acquire(blocking=False)

    with pytest.raises(BlockingIOError, match="was removed"):
        fit(make(), **RUN, out=tmp_path / "c", hooks=[at(5, hold)])
    held.release()
    assert files(tmp_path / "c") == ["checkpoint-00000003.pt"] and resumes(tmp_path / "c", undisturbed)


def test_a_criterion_that_is_no_number_is_told(tmp_path):
    with pytest.raises(
        FloatingPointError, match=r"the criterion is nan after step 3; expected .*00000003\.pt"
    ):
        fit(make(), **RUN, out=tmp_path, criterion=lambda method: float("nan"))
    assert files(tmp_path) == ["checkpoint-00000003.pt"]
    with pytest.raises(ValueError, match="chooses the best checkpoint, but there is no out"):
        fit(make(), **RUN, criterion=lambda method: 0.0)


def test_load_says_what_is_not_there_or_not_of_this_method(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*is it the folder"):
        load(make(), tmp_path / "nowhere")
    fit(make(), **RUN, out=tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"there is no .*best\.pt; fit writes it if it is given a criterion"
    ):
        load(make(), tmp_path, best=True)
    other = METHODS["contrastive divergence"].make()
    before = flat(other)
    with pytest.raises(ValueError, match=r"another configuration:\n(.*\n)*  start: checkpoint ReplayBuffer"):
        load(other, tmp_path)
    assert torch.equal(flat(other), before)


def test_too_few_steps_for_the_checkpoint_are_told(tmp_path):
    fit(make(), **RUN, out=tmp_path)
    with pytest.raises(ValueError, match=r"is of step 12, but steps is 5; ask for more steps in all"):
        fit(make(), **{**RUN, "steps": 5}, out=tmp_path, resume=True)


def test_a_damaged_newest_checkpoint_names_the_whole_one_before_it(tmp_path, undisturbed):
    fit(make(), **{**RUN, "steps": 10}, out=tmp_path, n_checkpoints=3)  # 6, 9, 10
    for step in (9, 10):
        path = Folder(tmp_path).path(step)
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 4
        path.write_bytes(content)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for attempt in (lambda: resumes(tmp_path, undisturbed), lambda: load(CASE.make(), tmp_path)):
        with pytest.raises(ValueError, match=r"00000010.pt is damaged") as error:
            attempt()
        advice = f"move {tmp_path}/checkpoint-00000010*.pt away, and resume=True will go on from "
        assert f"{advice}{tmp_path}/checkpoint-00000006.pt, which is whole." in str(error.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    for step in (9, 10):
        Folder(tmp_path).path(step).rename(tmp_path / f"damaged{step}")
    assert resumes(tmp_path, undisturbed)


def test_without_a_whole_checkpoint_the_advice_is_to_begin_anew(tmp_path):
    fit(make(), **RUN, out=tmp_path, n_checkpoints=1)
    Folder(tmp_path).path(12).write_bytes(b"")
    with pytest.raises(ValueError, match=r"and resume=True will start from the beginning"):
        fit(make(), **RUN, out=tmp_path, resume=True)


def test_a_full_disk_ends_the_run_with_a_usable_checkpoint(tmp_path, undisturbed):
    """The limit of the system on the size of a file: the write fails half way, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    shrink = at(5, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1])))
    try:
        with pytest.raises(OSError, match=r"could not write .*-00000006\.pt: File too large\.") as error:
            fit(make(), **RUN, out=tmp_path, hooks=[shrink])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    whole = tmp_path / "checkpoint-00000003.pt"
    assert f"The last checkpoint is {whole}; resume=True goes on from there." in str(error.value)
    assert files(tmp_path) == [whole.name]
    assert resumes(tmp_path, undisturbed)


@contextmanager
def powerless():
    """Without the rights of an administrator, who may write everywhere; those who test as one are demoted."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_read_only_folder_is_told_at_once_or_when_it_becomes_one(undisturbed):
    with powerless(), tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to other users
        closed, out = Path(folder, "closed"), Path(folder, "run")
        closed.mkdir(mode=0o555)
        with pytest.raises(
            PermissionError, match=r"cannot write in .*closed: Permission denied. Choose another"
        ):
            fit(make(), **RUN, out=closed)
        with pytest.raises(PermissionError, match=r"cannot write in .*closed/run: Permission denied"):
            fit(make(), **RUN, out=closed / "run")
        with pytest.raises(
            PermissionError, match=r"could not write .*06\.pt: Permission denied.*03\.pt; res"
        ):
            fit(make(), **RUN, out=out, hooks=[at(4, lambda: out.chmod(0o555))])
        assert load(CASE.make(), out) == 3  # reading needs no lock
        out.chmod(0o755)
        assert files(out) == ["checkpoint-00000003.pt"] and resumes(out, undisturbed)


def test_a_folder_below_a_file_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"cannot write in .*file/run: Not a directory"):
        fit(make(), **RUN, out=tmp_path / "file" / "run")


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture
def not_ignored():
    """Under nohup a process ignores SIGHUP, and so would `fit`."""
    ignored = {n: signal.SIG_IGN for n in SIGNALS if signal.getsignal(n) is signal.SIG_IGN}
    for n in ignored:
        signal.signal(n, signal.SIG_DFL)
    yield
    for n, action in ignored.items():
        signal.signal(n, action)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_the_step_saves_and_resumes_exactly(tmp_path, number, undisturbed, not_ignored):
    before = [signal.getsignal(n) for n in SIGNALS]
    with pytest.raises(Stopped, match=r"after step 5 of 12; saved in .*05\.pt.*resume=True") as stop:
        fit(make(), **RUN, out=tmp_path, hooks=[at(5, lambda: os.kill(os.getpid(), number))])
    assert stop.value.signal == number and isinstance(stop.value, KeyboardInterrupt)
    assert [signal.getsignal(n) for n in SIGNALS] == before
    assert [len(values) for values in stop.value.history.values()] == [5] * len(stop.value.history)
    assert resumes(tmp_path, undisturbed)


def test_what_nohup_ignores_is_ignored(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        fit(make(), **RUN, out=tmp_path, hooks=[at(5, lambda: os.kill(os.getpid(), signal.SIGHUP))])
    finally:
        signal.signal(signal.SIGHUP, before)
    assert Folder(tmp_path).steps() == [9, 12]


def test_a_repeated_sigterm_waits_and_a_second_ctrl_c_does_not(tmp_path):
    def twice(number):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)

    with pytest.raises(Stopped, match=r"after step 5"):
        fit(make(), **RUN, out=tmp_path / "a", hooks=[at(5, lambda: twice(signal.SIGTERM))])
    with pytest.raises(KeyboardInterrupt) as stop:
        fit(make(), **RUN, out=tmp_path / "b", hooks=[at(5, lambda: twice(signal.SIGINT))])
    assert not isinstance(stop.value, Stopped) and files(tmp_path / "b") == ["checkpoint-00000003.pt"]


def test_a_second_run_in_the_same_folder_is_refused_while_the_first_goes_on(tmp_path, undisturbed):
    def second():
        with pytest.raises(BlockingIOError, match=r"another process is training in .*; wait for its end, or"):
            fit(CASE.make(), **RUN, out=tmp_path, resume=True)

    state = torch.get_rng_state()
    fit(method := make(), **RUN, out=tmp_path, hooks=[at(5, lambda: (second(), torch.set_rng_state(state)))])
    del method
    fit(make(), **RUN, out=tmp_path, resume=True)  # the lock is gone


def train(out, pipe=None):
    """A run; with a pipe it says when it has come to step 5, and waits there."""

    def wait():
        pipe.send("ready")
        pipe.recv()

    fit(make(), **RUN, out=out, hooks=[at(5, wait)] if pipe else [], resume=True)


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_two_processes_and_a_signal_from_outside(tmp_path, number, undisturbed):
    """The second is refused; the first is stopped or killed, and its lock goes with it."""
    out, (here, there) = tmp_path / "run", SERVER.Pipe()
    first = Child(train, out, there, log=tmp_path / "first.log")
    assert here.recv() == "ready"
    second = Child(train, out, log=tmp_path / "second.log")
    assert second.wait() == 1 and "BlockingIOError: another process is training in" in second.printed
    first.kill(number)
    here.send("go on")
    if number == signal.SIGTERM:
        assert first.wait() == 1 and "Stopped: stopped after step 5 of 12; saved in" in first.printed
        assert files(out) == ["checkpoint-00000003.pt", "checkpoint-00000005.pt"]
    else:
        assert first.wait() == -number and files(out) == ["checkpoint-00000003.pt"]
    assert resumes(out, undisturbed)
