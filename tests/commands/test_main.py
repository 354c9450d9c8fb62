"""The command line: what it writes, what it says, how it ends."""

import csv
import json
import os
import platform
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

import pytest
import torch
from command import NAME, TRAIN, call
from PIL import Image
from processes import Child, module, ranks
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures

import ebmlearn
from ebmlearn import __main__, runs
from ebmlearn.commands import _results, _show, _train
from ebmlearn.methods import LatentPrior
from ebmlearn.recipes import RECIPES
from ebmlearn.train import checkpoint, checksum

# ---------------------------------------------------------------------------------------- list and show


def test_list_has_a_line_for_each_recipe_and_a_heading_for_each_method(capsys):
    assert call("list") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.split() and line.split()[0] in RECIPES]
    assert [row[0] for row in rows] == list(RECIPES)  # in the order of the book, each once
    for row in rows:
        recipe = RECIPES[row[0]]()
        assert row[1] == recipe.data and row[2:7] == " x ".join(map(str, recipe.shape())).split()
        assert " ".join(row[8:11]) == f"{recipe.steps:,} x {recipe.batch_size}"
    by_name = {row[0]: row for row in rows}
    assert by_name["short-run-cifar10"][7] == "11,031,808"  # as in the test of show
    assert by_name["short-run-cifar10"][11:] == ["100"]
    assert by_name["dual-mcmc-mnist"][11:] == ["30", "+", "10"]
    assert by_name["neural-transport-mnist"][11:] == ["2", "x", "3", "leapfrog"]
    assert by_name["bism-mnist"][11:] == ["none"]
    heading = lines.index("dual-MCMC teaching")
    assert lines[heading - 1] == "" and lines[heading + 1].startswith("  arXiv:2312.02469")
    assert all(len(line) <= 110 for line in lines)


@pytest.mark.parametrize("name", RECIPES)
def test_the_list_counts_the_weights_of_the_nets_without_making_them(name):
    """By shapes alone: of a smoke size it is what the nets have when they are made."""
    recipe = RECIPES[name](smoke=True)
    nets = dict(_show._nets(recipe))
    assert all(value.is_meta for net in nets.values() for value in [*net.parameters(), *net.buffers()])
    made = dict(recipe.method(recipe.shape()).named_children())
    sizes = [[sum(p.numel() for p in each[key].parameters()) for key in nets] for each in (nets, made)]
    assert sizes[0] == sizes[1] and sum(sizes[0]) > 0


def test_of_several_ranks_the_first_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert call("list") == 0 and call("show", "zzz") == 0
    assert capsys.readouterr() == ("", "")


GPU_RUN = {
    "date": "2026-12-01",
    "card": "NVIDIA H200",
    "parts": {
        "train short-run-cifar10": {
            "status": "done",
            "rows": [
                {
                    "updates": 1234,
                    "of": 200_000,
                    "seconds": 90.0,
                    "images/s": 5678.9,
                    "n": 10_000,
                    "model": {"frechet": 12.5, "features": "a classifier"},
                    "training images": {"frechet": 0.25},
                }
            ],
        },
        "train fce-cifar10": {"status": "failed", "error": "RuntimeError: x"},
    },
}


def test_show_prints_the_row_of_the_stored_gpu_run(capsys, monkeypatch, tmp_path):
    """A checkout may have one; an installed wheel has none, and nothing is said."""
    file = tmp_path / "gpu.json"
    monkeypatch.setattr("ebmlearn.commands._gpu.STORED", file)

    def shown(*argv):
        assert call("show", *argv) == 0
        lines = capsys.readouterr().out.splitlines()
        begin = [i for i, line in enumerate(lines) if line.startswith("measured")]
        return [line.strip() for line in lines[begin[0] : begin[0] + 3]] if begin else None

    assert shown("short-run-cifar10") is None
    file.write_text(json.dumps(GPU_RUN))
    assert shown("short-run-cifar10") == [
        "measured  1,234 of 200,000 updates in 1.5 minutes, 5,679 images/s",
        "Fréchet distance 12.5 with n = 10,000; training images 0.25; features: a classifier",
        "on NVIDIA H200, 2026-12-01",
    ]
    assert shown("short-run-cifar10", "--smoke") is None  # it was no run of that size
    assert shown("fce-cifar10") is None and shown("short-run-mnist") is None


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_the_time_limit_of_ranks_is_a_number_of_seconds(out, fails, seconds):
    assert f"--timeout is {seconds}; expected a number of seconds, more than 0" in fails(
        *TRAIN, "--out", out, "--timeout", seconds
    )


@pytest.mark.slow
def test_a_rank_that_does_not_come_is_not_waited_for_for_ever(out, tmp_path):
    """Of two ranks only the first is started."""
    from processes import Child, module

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    environment = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    argv = [*TRAIN, "--out", str(out), "--timeout", "2"]
    child = Child(module, "ebmlearn", *argv, log=tmp_path / "log", **environment)
    assert child.wait(120) != 0
    assert "error: not all of 2 ranks have come within 2 s" in child.printed


def test_show_has_what_a_student_wants_to_see(capsys):
    assert call("show", "short-run-cifar10") == 0
    printed = capsys.readouterr().out
    recipe = RECIPES["short-run-cifar10"]()
    for part in (recipe.source, "the first 40,000 images, each (3, 32, 32)", "200,000 steps, 64 images"):
        assert part in printed
    assert f"reported  {recipe.expect}" in printed
    # 3 x 3 x 3 x 128 + 128, then three times 4 x 4 x in x out + out, then 1024 x 4 x 4
    n = 3456 + 128 + sum(32 * (128 * 2**i) ** 2 + 256 * 2**i for i in range(3)) + 16384
    assert f"ConvEnergy, {n:,} parameters" in printed
    assert (
        "chain                   Chain(ula, n_steps=100, step_size=1.4142135623730951, noise_scale=0.01)"
        in printed
    )
    assert "# K: paper. Code: x + ∇f(x) + 0.01 ε." in printed  # its code, with the comments
    assert call("show", "short-run-cifar10", "--smoke") == 0
    assert "20 steps, 16 images" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ train


def test_train_writes_a_run(out, capsys):
    assert call(*TRAIN, "--out", out) == 0
    names = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert names - {".lock"} == {
        "run.json",
        "trace.csv",
        "samples/00000002.png",
        "samples/00000004.png",
        "checkpoint-00000002.pt",
        "checkpoint-00000004.pt",
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{NAME}: 256 images (1, 16, 16) of mnist, 4 steps"
    assert re.match(r"step 4 of 4: .*images/s, 00:00 left$", lines[-1])
    with open(out / "trace.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    history = checkpoint.load(out / "checkpoint-00000004.pt")["history"]
    assert [int(row.pop("step")) for row in rows] == [1, 2, 3, 4]
    assert rows and rows[0].keys() == history.keys()
    for name, values in history.items():
        assert torch.equal(torch.tensor([float(row[name]) for row in rows]), values)


def test_run_json_says_what_was_run(out):
    assert call(*TRAIN, "--out", out, "--seed", "3") == 0
    run = json.loads((out / "run.json").read_text())
    assert run["options"] == {
        "recipe": NAME,
        "smoke": True,
        "data": "mnist",
        "seed": 3,
        "compile": 0,
        "precision": "float32",
        "channels_last": False,
        "cuda_graphs": False,
        "set": {},
    }
    recipe = RECIPES[NAME](smoke=True)
    settings = recipe.method(recipe.shape()).settings()
    assert run["settings"] == {**settings, "batch_size": str(recipe.batch_size)}
    x = recipe.load().x
    assert run["data"] == {"images": 256, "shape": [1, 16, 16], "sha256": checksum(x)}
    x[7, 0, 3, 3] += 1e-6
    assert run["data"]["sha256"] != checksum(x)
    (session,) = run["sessions"]
    assert session["argv"] == [*TRAIN, "--out", str(out), "--seed", "3"]
    assert session["ranks"] == 1 and run["steps"] == 4
    versions = session["versions"]
    assert versions["torch"] == torch.__version__ and versions["ebmlearn"] == ebmlearn.__version__
    assert versions["python"] == platform.python_version() and "accelerate" in versions
    assert time.strptime(session["started"], "%Y-%m-%dT%H:%M:%S+00:00")


def test_run_json_is_written_before_the_first_step(out, monkeypatch):
    seen = []
    step = LatentPrior.step
    monkeypatch.setattr(LatentPrior, "step", lambda self, x: seen.append(runs.read(out)) or step(self, x))
    assert call(*TRAIN, "--out", out) == 0
    assert seen[0]["options"]["recipe"] == NAME


def test_the_revision_is_that_of_the_package_and_sees_changes(tmp_path, monkeypatch):
    package = tmp_path / "repository" / "ebmlearn"
    package.mkdir(parents=True)
    monkeypatch.setattr(ebmlearn, "__file__", str(package / "__init__.py"))
    (package / "__init__.py").write_text("")
    for name in ("NAME", "EMAIL"):
        monkeypatch.setenv(f"GIT_AUTHOR_{name}", "a@b")
        monkeypatch.setenv(f"GIT_COMMITTER_{name}", "a@b")

    def git(*arguments):
        command = ["git", "-C", str(package.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def revision():
        return runs.session([], None)["git"]

    assert revision() is None
    git("init", "-q")
    git("commit", "-q", "-m", "of something else", "--allow-empty")
    assert revision() is None  # a package that lies in a repository and is not kept by it
    git("add", ".")
    git("commit", "-q", "-m", "of the package")
    assert revision() == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package.parent / "notes").write_text("outside of the package")
    assert not revision()["dirty"]
    (package / "new.py").write_text("")
    assert revision()["dirty"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert revision() is None


def test_the_seed_decides_the_result(out):
    weights = []
    for run, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert call(*TRAIN, "--out", out.with_name(run), "--seed", seed) == 0
        weights.append((out.with_name(run) / "trace.csv").read_text())
    assert weights[0] == weights[1] != weights[2]


def test_grids_do_not_change_training(out):
    """Their noise is their own: with pictures at each step training ends where it ends without."""
    assert call(*TRAIN, "--out", out) == 0
    assert call(*TRAIN, "--out", out.with_name("b"), "--every", "1", "--criterion", "20") == 0
    for name in ("trace.csv", "samples/00000004.png"):
        assert (out / name).read_bytes() == (out.with_name("b") / name).read_bytes()


def test_another_data_set(out, capsys):
    assert call(*TRAIN, "--out", out, "--data", "cifar10") == 0
    assert "256 images (3, 16, 16) of cifar10" in capsys.readouterr().out
    assert call("sample", out, "-n", "4", "--out", out / "four.png") == 0
    with Image.open(out / "four.png") as picture:
        assert picture.mode == "RGB" and picture.size == (2 * 17 + 1,) * 2


def test_speed_reaches_fit(out):
    """Options of speed change no result beyond rounding, and are part of what a checkpoint belongs to."""
    assert call(*TRAIN, "--out", out, "--channels-last", "--precision", "bf16", "--compile", "0") == 0
    saved = checkpoint.load(out / "checkpoint-00000004.pt")["settings"]["speed"]
    assert "bf16" in saved and "channels_last=True" in saved


def test_compile_takes_a_number_or_ten():
    given = [
        __main__._parse([*TRAIN, "--out", "a", *more]).compile
        for more in ([], ["--compile"], ["--compile", "5"])
    ]
    assert given == [0, 10, 5]


# ----------------------------------------------------------------------------------------------- resume


def test_resume_continues_the_trace_after_what_a_crash_left(out):
    """Rows after the checkpoint are written anew, a row cut short is dropped, none is missing."""
    assert call(*TRAIN, "--out", out.with_name("whole"), "--steps", "6") == 0
    assert call(*TRAIN, "--out", out) == 0
    with open(out / "trace.csv", "a") as file:
        file.write("5,1,2,3\n12")  # step 5 was done but not saved, and then "12..." was cut
    assert call(*TRAIN, "--out", out, "--steps", "6", "--resume") == 0
    assert (out / "trace.csv").read_text() == (out.with_name("whole") / "trace.csv").read_text()


def test_resume_notes_the_session_and_takes_the_steps_of_the_last(out, capsys):
    resume = [arg for arg in TRAIN if arg not in ("--steps", "4")]
    assert call(*TRAIN, "--out", out, "--resume") == 0  # nothing there yet: it begins
    assert call(*resume, "--out", out, "--resume") == 0
    assert call(*TRAIN, "--out", out, "--resume", "--steps", "6") == 0
    assert call(*resume, "--out", out, "--resume") == 0
    run = json.loads((out / "run.json").read_text())
    assert run["steps"] == 6
    # a session is noted when it makes a step: the second and the last had nothing to do
    assert [session["argv"][-2:] for session in run["sessions"]] == [[str(out), "--resume"], ["--steps", "6"]]


def test_resume_warns_of_other_versions(out, capsys, monkeypatch):
    assert call(*TRAIN, "--out", out) == 0
    monkeypatch.setattr(ebmlearn, "__version__", "9.9")
    assert call(*TRAIN, "--out", out, "--steps", "5", "--resume") == 0
    assert "note: other versions than in the last session" in capsys.readouterr().err


def test_other_settings_are_refused_by_name(out, fails, monkeypatch):
    assert call(*TRAIN, "--out", out) == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    resume = [*TRAIN, "--out", out, "--resume"]
    assert re.search(
        r"another configuration:\n  seed: checkpoint 0 \| this run 1\n", fails(*resume, "--seed", "1")
    )
    assert "data: checkpoint mnist | this run cifar10\n" in fails(*resume, "--data", "cifar10")
    assert "precision: checkpoint float32 | this run bf16\n" in fails(*resume, "--precision", "bf16")
    assert "smoke: checkpoint True | this run False\n" in fails(*(a for a in resume if a != "--smoke"))
    other = [a if a != NAME else "short-run-mnist" for a in resume]
    assert f"recipe: checkpoint {NAME} | this run short-run-mnist\n" in fails(*other)
    monkeypatch.setattr(_train, "checksum", lambda x: "another")
    assert re.search(r"sha256: checkpoint [0-9a-f]{64} \| this run another\n", fails(*resume))
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_fewer_steps_than_done_are_refused(out, fails):
    assert call(*TRAIN, "--out", out) == 0
    assert re.search(r"of step 4, but steps is 3", fails(*TRAIN, "--out", out, "--resume", "--steps", "3"))


# ----------------------------------------------------------------------------------------------- errors


def test_a_run_is_never_overwritten(out, fails):
    assert call(*TRAIN, "--out", out) == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    message = fails(*TRAIN, "--out", out)
    assert f"{out} holds a run: continue it with --resume, or give another --out" in message
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("resume", [[], ["--resume"]])
def test_a_folder_of_something_else_is_left_alone(out, fails, resume):
    out.mkdir(parents=True)
    (out / "thesis.tex").touch()
    assert "is no run, but holds thesis.tex: give --out a new or empty folder" in fails(
        *TRAIN, "--out", out, *resume
    )
    assert len(list(out.iterdir())) == 1


def test_what_a_run_killed_at_its_start_leaves_is_no_obstacle(out):
    out.mkdir(parents=True)
    (out / ".lock").touch()
    (out / "run.json.123.tmp").write_text("{")
    assert call(*TRAIN, "--out", out, "--resume") == 0


def test_unknown_names(out, fails):
    assert "there is no recipe 'short-run-cifar'; did you mean short-run-cifar10?" in fails(
        "show", "short-run-cifar"
    )
    assert "there is no recipe 'zzz'; `python -m ebmlearn list` shows them" in fails("show", "zzz")
    message = fails(*TRAIN, "--out", out, "--data", "cifar-10")
    assert re.search("unknown data set 'cifar-10': known are .*; did you mean 'cifar10'", message)
    assert not out.exists()


def test_no_data_says_how_to_get_it(out, fails, monkeypatch):
    monkeypatch.delenv("EBMLEARN_DATA")
    monkeypatch.setenv("EBMLEARN_CACHE", str(out.parent / "empty"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    message = fails(*TRAIN, "--out", out)
    assert "cannot load split 'train' of ylecun/mnist" in message
    assert "copy ylecun/mnist/mnist/train-00000-of-*.parquet from the hub into a folder" in message
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--steps", "0"], "--steps is 0; expected at least 1"),
        (["--every", "0"], "--every is 0; expected at least 1"),
        (["--n-checkpoints", "0"], "--n-checkpoints is 0; expected at least 1"),
        (["--seed", "-1"], "--seed is -1; expected 0 to 2**32 - 1"),
        (["--compile", "-1"], "compile is -1; expected the number of steps in a block"),
        (["--cuda-graphs"], "cuda_graphs replays compiled blocks: it needs compile > 0"),
        (["--criterion", "19"], "--criterion is 19; expected 0, for none, or at least 20 samples"),
    ],
)
def test_numbers_out_of_range(out, fails, more, message):
    assert message in fails(*TRAIN, "--out", out, *more)
    assert call(*TRAIN, "--out", out, "--steps", "1") == 0  # what never began is in nobody's way


def test_a_missing_package_is_named(out, fails, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "accelerate" in (message := fails(*TRAIN, "--out", out)) and "'ebmlearn[devices]'" in message
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setenv("EBMLEARN_CACHE", str(out.parent / "empty"))
    assert "needs datasets" in (message := fails(*TRAIN, "--out", out)) and "'ebmlearn[data]'" in message


def test_divergence_says_what_to_do(out, fails, monkeypatch):
    monkeypatch.setattr(LatentPrior, "step", lambda self, x: {"loss": torch.tensor(float("nan"))})
    message = fails(*TRAIN, "--out", out)
    assert "training stopped at step 1: loss not finite" in message and "Lower the learning rate" in message


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
def test_a_bug_keeps_its_traceback(out, monkeypatch, error):
    """A ValueError from outside of the package is no message to users."""

    def broken(self, x):
        raise error("a bug")

    monkeypatch.setattr(LatentPrior, "step", broken)
    with pytest.raises(error, match="a bug"):
        call(*TRAIN, "--out", out)


def test_wrong_arguments_end_with_status_2(capsys):
    for argv in ([], ["trian"], ["train", NAME], ["train", NAME, "--out", "a", "--precision", "int8"]):
        with pytest.raises(SystemExit) as end:
            call(*argv)
        assert end.value.code == 2
    assert "usage: python -m ebmlearn" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------- interrupts


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on(out, capsys, monkeypatch, number, status):
    out, step = out.with_name("with space"), LatentPrior.step

    def stopping(self, x):
        if not list(out.glob("checkpoint-*")) and (out / "trace.csv").exists():
            os.kill(os.getpid(), number)
        return step(self, x)

    monkeypatch.setattr(LatentPrior, "step", stopping)
    assert call(*TRAIN, "--every", "3", "--out", out) == status
    printed = capsys.readouterr().err
    assert f"stopped after step 2, saved in {out}. To go on:" in printed
    command = shlex.split(printed.splitlines()[-1])
    assert command[:3] == ["python", "-m", "ebmlearn"]
    assert call(*command[3:]) == 0
    assert call(*TRAIN, "--every", "3", "--out", out.with_name("whole")) == 0
    assert (out / "trace.csv").read_text() == (out.with_name("whole") / "trace.csv").read_text()


def test_the_command_that_goes_on_under_torchrun(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert __main__._again(["train", "x"]) == "torchrun --nproc_per_node 2 -m ebmlearn train x --resume"
    assert __main__._again(["train", "--resume"]) == "torchrun --nproc_per_node 2 -m ebmlearn train --resume"
    monkeypatch.setenv("WORLD_SIZE", "16")
    assert __main__._again([]).startswith("torchrun --nproc_per_node 2 --nnodes 8 ... -m ebmlearn")


def test_ctrl_c_before_the_first_step(out, capsys, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "_earlier", interrupted)
    assert call(*TRAIN, "--out", out) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_second_ctrl_c_says_how_to_go_on(out, capsys, monkeypatch):
    def impatient(self, x):
        raise KeyboardInterrupt

    monkeypatch.setattr(LatentPrior, "step", impatient)
    assert call(*TRAIN, "--out", out) == 130
    printed = capsys.readouterr().err
    assert "interrupted. To go on from what is saved:" in printed
    assert shlex.split(printed.splitlines()[-1])[3:] == [*TRAIN, "--out", str(out), "--resume"]


def test_a_disk_that_is_full_says_how_to_go_on(out, fails, monkeypatch):
    save = checkpoint.save

    def full(path, state):
        if "00000004" in path.name:
            raise OSError(28, "No space left on device")
        save(path, state)

    monkeypatch.setattr(checkpoint, "save", full)
    message = fails(*TRAIN, "--out", out)
    assert "No space left on device" in message and "checkpoint-00000002.pt" in message
    assert message.endswith(f"--out {out} --resume\n")


def test_a_damaged_checkpoint_is_named(out, fails):
    assert call(*TRAIN, "--out", out) == 0
    (out / "checkpoint-00000004.pt").write_bytes(b"damaged")
    message = fails(*TRAIN, "--out", out, "--steps", "6", "--resume")
    assert "checkpoint-00000004.pt is damaged" in message and "00000002" in message


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_process_that_is_stopped(out, tmp_path, number, status):
    """Another process, its exit status, and the command that it printed, as a new interpreter reads it."""
    process = Child(module, "ebmlearn", *TRAIN, "--steps", "100000", "--out", str(out), log=tmp_path / "log")
    while not list(out.glob("checkpoint-*.pt")) and process.alive:
        time.sleep(0.01)
    process.kill(number)
    assert process.wait() == status, process.printed
    done = int(re.search(r"stopped after step ([\d,]+), saved", process.printed)[1].replace(",", ""))
    again = shlex.split(process.printed.splitlines()[-1])
    again[again.index("100000")] = str(done + 2)
    if number == signal.SIGINT:
        subprocess.run([sys.executable, *again[1:]], check=True)
    else:
        assert again[1] == "-m" and Child(module, *again[2:], log=tmp_path / "again").wait() == 0
    rows = (out / "trace.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[0]) for row in rows] == list(range(1, done + 3))


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_ranks_write_one_run_and_one_message(out, tmp_path):
    """Only rank 0 prints and writes; a refusal reaches both, and neither waits for the other."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    command = [*torchrun, "-m", "ebmlearn", *TRAIN, "--criterion", "20", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("256 images (1, 16, 16) of mnist, 4 steps") == 1
    assert len((out / "trace.csv").read_text().splitlines()) == 5
    assert (out / "checkpoint-00000004-rank1.pt").exists() and (out / "best.pt").exists()
    assert json.loads((out / "run.json").read_text())["sessions"][0]["ranks"] == 2
    refused = ranks(module, "ebmlearn", *TRAIN, "--criterion", "20", "--out", str(out), log=tmp_path)
    assert all(rank.wait() not in (0, 1) for rank in refused)
    assert "holds a run: continue it with --resume" in refused[0].printed
    assert refused[1].printed == ""


# ----------------------------------------------------------------------------------- sample and evaluate


def test_sample_draws_the_trained_model(out, capsys):
    assert call(*TRAIN, "--out", out, "--criterion", "20") == 0
    assert call("sample", out) == 0
    assert f"64 samples after step 4: {out / 'sample.png'}" in capsys.readouterr().out
    # with the seed of the grids: the same picture
    assert (out / "sample.png").read_bytes() == (out / "samples/00000004.png").read_bytes()
    assert call("sample", out, "-n", "6", "--best", "--seed", "1", "--out", out / "six.png") == 0
    step = int(re.search(r"6 samples after step (\d+)", capsys.readouterr().out)[1])
    assert step == checkpoint.load(out / "best.pt")["step"]
    with Image.open(out / "six.png") as picture:
        assert picture.size == (3 * 17 + 1, 2 * 17 + 1)


def test_evaluate_writes_distances_with_their_settings(out, capsys, monkeypatch):
    def short(*images, steps, train=_results.train_classifier):
        assert steps == 100
        return train(*images, steps=10)

    monkeypatch.setattr(_results, "train_classifier", short)
    assert call(*TRAIN, "--out", out) == 0
    assert call("evaluate", out, "-n", "90") == 0
    assert "against 90 test images of mnist; features: 64 of a classifier" in capsys.readouterr().out
    assert call("evaluate", out, "-n", "90") == 0
    first, second = json.loads((out / "evaluation.json").read_text())  # a second result is added to the first
    assert {k: first[k] for k in ("step", "best", "n", "seed", "data")} == {
        "step": 4,
        "best": False,
        "n": 90,
        "seed": 0,
        "data": "mnist",
    }
    assert first["model"] == second["model"] and first["model"]["n_x"] == first["model"]["n_y"] == 90
    # An untrained model is far from the test images; the training images are of their kind.
    assert first["model"]["frechet"] > 10 * first["training images"]["frechet"]


def test_sample_and_evaluate_of_what_is_not_there(out, fails):
    assert re.search(r"holds no run: there is no .*run.json.*train NAME --out FOLDER", fails("sample", out))
    assert call(*TRAIN, "--out", out) == 0
    assert "there is no" in fails("sample", out, "--best") and "best.pt" in fails("sample", out, "--best")
    assert "-n is 0; expected at least 1" in fails("sample", out, "-n", "0")
    message = fails("evaluate", out, "-n", "300")
    assert "-n is 300; there are 256 training and 300 test images of mnist" in message
    (out / "run.json").write_text("{")
    assert re.search(r"run.json is damaged \(.*\); the checkpoints", fails("sample", out))
