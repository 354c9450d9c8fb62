"""Kill training at random moments, resume it, and compare with the undisturbed run, to the last bit:

    python tests/benchmarks/kills.py --kills 100

Recipes take turns, at smoke size, through the command line. Each run gets ``kill -9`` twice, at random times
after a random checkpoint (or the first moment of the process), and is then resumed to its end. The data must
be at hand (``EBMLEARN_DATA``). The exit status is 1 if a run ended otherwise than undisturbed.
"""

import argparse
import itertools
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from ebmlearn.recipes import RECIPES
from ebmlearn.train.folder import Folder

EVERY = 2  # steps between checkpoints


def start(name: str, out: Path) -> subprocess.Popen:
    """A process that begins or continues the training of a recipe."""
    command = [sys.executable, "-m", "ebmlearn", "train", name, "--smoke", "--out", str(out)]
    command += ["--every", str(EVERY), *(["--resume"] if out.exists() else [])]
    with out.with_suffix(".log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen, out: Path) -> None:
    """Wait for the end of a process, which must be a good one."""
    if process.wait() != 0:
        sys.exit(f"a run ended with status {process.returncode}:\n{out.with_suffix('.log').read_text()}")


def newest(out: Path) -> int:
    """The step of the newest checkpoint; 0 if there is none."""
    return max(Folder(out).steps(), default=0)


def kill_after(step: int, delay: float, process: subprocess.Popen, out: Path) -> bool:
    """Whether a process was still there to be killed, some seconds after the checkpoint of a step."""
    while newest(out) < step and process.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    return process.wait() == -signal.SIGKILL


def same(a: Any, b: Any) -> bool:
    """Whether two states are equal, tensors to the last bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return a == b


def final(out: Path) -> dict[str, Any]:
    """What a run ended with: weights, buffers, optimisers, metrics, random numbers."""
    state = Folder(out).newest()
    assert state is not None
    return {
        name: state[name] for name in ("step", "method", "index", "history", "rng", "criterion", "lowest")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="at least so many; 100")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    chance, kills, wrong = random.Random(args.seed), 0, 0
    undisturbed: dict[str, tuple[float, dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in itertools.count():
            if kills >= args.kills:
                break
            name = args.recipes[number % len(args.recipes)]
            if name not in undisturbed:
                out, began = Path(folder, name), time.monotonic()
                finish(start(name, out), out)
                undisturbed[name] = time.monotonic() - began, final(out)
            duration, wanted = undisturbed[name]
            out, after = Path(folder, f"{name}-{number}"), []
            for step in sorted(chance.randrange(0, wanted["step"], EVERY) for _ in range(2)):
                delay = chance.uniform(0, duration / wanted["step"])
                if kill_after(step, delay, start(name, out), out):
                    after += [newest(out)]
            finish(start(name, out), out)
            kills += len(after)
            equal = same(final(out), wanted)
            wrong += not equal
            print(
                f"{kills:4d}  {name:32s} {'equal' if equal else 'DIFFERS'}, killed after step {after}",
                flush=True,
            )
    print(f"{kills} kills, {wrong} runs that ended otherwise than undisturbed")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
