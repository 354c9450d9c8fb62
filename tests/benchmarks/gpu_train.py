"""The parts ``train NAME`` of ``make gpu``: a recipe for some minutes, by the command line."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from gpu_rows import ROOT, Rows

from ebmlearn import data, recipes
from ebmlearn.train.checkpoint import load as read_checkpoint

PICTURES = ROOT / "book" / "_static" / "gpu"
RUNS = ROOT / "runs" / "gpu"
MINUTES = {
    "coopnets-cifar10": 6.0,
    "short-run-cifar10": 0.75,
    "dual-mcmc-cifar10": 0.75,
    "latent-prior-cifar10": 0.75,
    "variational-teaching-cifar10": 0.75,
    "fce-cifar10": 0.75,
}
"""Of training; the recipes in the order in which they fill the time. The first may come to its end."""
JUDGED = 1.25
"""Minutes that a recipe takes beside: distances of 10,000 samples, and a picture."""
FAST = ["--precision", "bf16", "--channels-last", "--compile", "5"]


def train(name: str, device: str, tiny: bool) -> Rows:
    recipe = recipes.RECIPES[name](smoke=tiny)
    if not tiny and not data.is_local(recipe.data):
        raise LookupError(f"{recipe.data} is not at hand: set EBMLEARN_DATA, or load it once with a network")
    folder = RUNS / f"{name}{'-tiny' if tiny else ''}"
    options = ["--smoke", "--data", "digits"] if tiny else FAST
    before, begun = updates(folder), time.monotonic()
    run_for(300 if tiny else 60 * MINUTES[name], ["train", name, "--out", str(folder), "--resume", *options])
    seconds, done = time.monotonic() - begun, updates(folder)
    if not done:
        raise RuntimeError(f"no update was made within {seconds:.0f} s")
    extra = ["-n", "100", "--features", "pixels"] if tiny else ["-n", "10000"]
    run_for(600 if tiny else 120, ["evaluate", str(folder), *extra])
    found = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))[-1]
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = folder / "sample.png" if tiny else PICTURES / f"{name}.png"
    run_for(300 if tiny else 60, ["sample", str(folder), "--out", str(picture)])
    with (folder / "trace.csv").open(encoding="utf-8") as file:
        last = list(csv.DictReader(file))[-1]
    yield {
        "name": name,
        "updates": done,
        "of": recipe.steps,
        "seconds": seconds,
        "images/s": (done - before) * recipe.batch_size / seconds,
        "n": found["n"],
        "model": found["model"],
        "training images": found["training images"],
        "last": last,
    }


def updates(folder: Path) -> int:
    """How many the newest checkpoint of a run has behind it; 0 without one."""
    there = sorted(folder.glob("checkpoint-*[0-9].pt"))
    return read_checkpoint(there[-1])["step"] if there else 0


def run_for(seconds: float, argv: list[str]) -> None:
    """A command of the package, which is asked to end after so long, and ended if it does not.

    Raises:
        RuntimeError: If it fails otherwise.
    """
    status, said = ended([sys.executable, "-m", "ebmlearn", *argv], seconds, signal.SIGTERM)
    if status not in (0, 128 + signal.SIGTERM, -signal.SIGTERM):  # the last: before it began to train
        raise RuntimeError(f"{argv[0]} ended with status {status}: {said}")


def ended(
    command: list[str], seconds: float, number: int = signal.SIGKILL, env: dict[str, str] | None = None
) -> tuple[int | None, str]:
    """Exit status and last words of a command, which gets a signal after so long; all that it has started
    ends with it, since what goes on on the card would disturb what is measured next."""
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    ) as process:
        try:
            said = process.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            if number != signal.SIGKILL:
                process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=30)
            kill_all(process)
            said = process.communicate()[1]
        except BaseException:
            kill_all(process)
            raise
    return process.returncode, (said.strip().splitlines() or ["no message"])[-1]


def kill_all(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
