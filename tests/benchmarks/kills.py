"""Attack training at random moments, resume it, and compare with the undisturbed run, to the last bit:

    python tests/benchmarks/kills.py --kills 300 --criterion 20 --disk 20 --flips 300

Methods of the tests' table and recipes take turns, these at smoke size through the command line, with data at
hand (``EBMLEARN_DATA``). ``--kills`` counts ``kill -9`` at random times; ``--criterion`` those while a slow
criterion is computed; ``--disk`` writes that fail, because no file may grow beyond a random size, at a random
step, some of them killed as well. ``--flips`` counts checkpoints with one bit turned, which must be refused.
Two attacks fall on each run, which is then resumed to its end. The exit status is 1 if anything was lost.
"""

import argparse
import itertools
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "cases"))

from methods import METHODS
from processes import Child, module

from ebmlearn import fit, seed
from ebmlearn.recipes import RECIPES
from ebmlearn.train import checkpoint
from ebmlearn.train.folder import Folder

EVERY, STEPS = 2, 20  # steps between checkpoints, and in all, of a method
SLOW = 0.4  # seconds that the slow criterion takes
COMPARED = ("step", "method", "index", "history", "rng", "generators", "criterion", "lowest")


def train(name: str, out: Path, slow: float, full: tuple[int, int] | None) -> None:
    """In a process of its own: a run of a method, begun or continued."""

    def criterion(method: Any) -> float:
        time.sleep(slow)
        return float(sum(p.detach().double().sum() for p in method.parameters()))

    def hook(step: int, method: Any, metrics: Any) -> None:
        time.sleep(0.01)  # else there is little time to be killed in
        if full is not None and step >= full[0]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (full[1], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    seed(0)
    case = METHODS[name]
    run = {"steps": STEPS, "batch_size": 8, "every": EVERY, "hooks": [hook]}
    fit(case.make(), case.data, **run, out=out, resume=True, criterion=criterion if slow else None)


def start(name: str, out: Path, slow: float = 0.0, full: tuple[int, int] | None = None) -> Child:
    """A process that begins or continues a run."""
    log = out.with_suffix(".log")
    if name in METHODS:
        return Child(train, name, out, slow, full, log=log)
    options = ["train", name, "--smoke", "--out", str(out), "--every", str(EVERY)]
    return Child(module, "ebmlearn", *options, *(["--resume"] if out.exists() else []), log=log)


def finish(child: Child) -> None:
    """Wait for the end of a process, which must be a good one."""
    if child.wait(600) != 0:
        sys.exit(f"a run ended with status {child.process.exitcode}:\n{child.printed}")


def newest(out: Path) -> int:
    """The step of the newest checkpoint; 0 if there is none."""
    return max(Folder(out).steps(), default=0)


def kill_after(step: int, delay: float, child: Child, out: Path) -> bool:
    """Whether a process was still there to be killed, some seconds after the checkpoint of a step."""
    while newest(out) < step and child.alive:
        time.sleep(0.01)
    time.sleep(delay)
    if child.alive:
        child.kill(signal.SIGKILL)
    return child.wait() == -signal.SIGKILL


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
    """What a run ended with: weights, buffers, optimisers, metrics, random numbers, the best checkpoint."""
    state = Folder(out).newest()
    assert state is not None
    found = {name: state[name] for name in COMPARED}
    best = Folder(out).best
    return {**found, "best": checkpoint.load(best)["method"] if best.exists() else None}


class Attacks:
    """Runs of jobs in turn, attacked and compared.

    Args:
        folder: Where runs go.
        names: Of methods and recipes.
        seed: Of the moments.
    """

    def __init__(self, folder: Path, names: list[str], seed: int) -> None:
        self.folder, self.names, self.chance = folder, names, random.Random(seed)
        self.number = itertools.count()
        self.undisturbed: dict[tuple[str, float], tuple[float, dict[str, Any]]] = {}
        self.counts: Counter[str] = Counter()

    def known(self, name: str, slow: float) -> tuple[float, dict[str, Any]]:
        """Seconds and end of the undisturbed run."""
        if (name, slow) not in self.undisturbed:
            out, began = self.folder / f"whole-{next(self.number)}", time.monotonic()
            finish(start(name, out, slow))
            self.undisturbed[name, slow] = time.monotonic() - began, final(out)
        return self.undisturbed[name, slow]

    def turns(self, kind: str, n: int, names: list[str]) -> Iterator[str]:
        """Names in turn until there have been so many attacks of a kind."""
        for i in itertools.count():
            if self.counts[kind] >= n:
                return
            yield names[i % len(names)]

    def attack(self, kind: str, n: int) -> None:
        """At least ``n`` attacks of a kind, two on each run."""
        slow = SLOW if kind == "criterion" else 0.0
        names = self.names if kind == "kills" else [name for name in self.names if name in METHODS]
        for name in self.turns(kind, n, names):
            duration, wanted = self.known(name, slow)
            out, pace = self.folder / f"run-{next(self.number)}", duration / wanted["step"]
            moments = sorted(self.chance.randrange(0, wanted["step"], EVERY) for _ in range(2))
            after = [newest(out) for step in moments if self.once(kind, name, out, step, pace)]
            finish(start(name, out, slow))
            equal = same(final(out), wanted)
            self.counts[kind] += len(after)
            self.counts["runs"] += 1
            self.counts["lost"] += not equal
            told = f"{'equal' if equal else 'DIFFERS'}, attacked after step {after}"
            print(f"{kind:9s} {self.counts[kind]:4d}  {name:45s} {told}", flush=True)

    def once(self, kind: str, name: str, out: Path, step: int, pace: float) -> bool:
        """Whether an attack hit a run that was going on."""
        if kind == "kills":
            return kill_after(step, self.chance.uniform(0, pace), start(name, out), out)
        if kind == "criterion":
            child = start(name, out, SLOW)
            return kill_after(step + EVERY, self.chance.uniform(0, SLOW), child, out)
        limit = self.chance.randrange(100, 20_000)
        child = start(name, out, full=(step + 1, limit))
        if self.chance.random() < 0.5 and kill_after(step, self.chance.uniform(0, pace), child, out):
            return True
        return child.wait() != 0 and "could not write" in child.printed

    def flip(self, n: int) -> None:
        """Turn a bit of a checkpoint: it must be refused."""
        names = [name for name in self.names if name in METHODS]
        for name in self.turns("flips", n, names):
            out = self.folder / f"flips-{next(self.number)}"
            finish(start(name, out))
            path = Folder(out).path(newest(out))
            content = path.read_bytes()
            for _ in range(min(20, n - self.counts["flips"])):
                damaged = bytearray(content)
                damaged[self.chance.randrange(len(content))] ^= 1 << self.chance.randrange(8)
                path.write_bytes(damaged)
                try:
                    Folder(out).newest()
                except ValueError:
                    self.counts["refused"] += 1
                self.counts["flips"] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="at least so many; 100")
    parser.add_argument("--criterion", type=int, default=0, help="of them during a slow criterion; 0")
    parser.add_argument("--disk", type=int, default=0, help="writes that fail; 0")
    parser.add_argument("--flips", type=int, default=0, help="bits turned; 0")
    choices = [*METHODS, *RECIPES]
    parser.add_argument("--only", nargs="+", choices=choices, default=choices, metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    os.environ.setdefault("EBMLEARN_PROGRESS", "0")
    with tempfile.TemporaryDirectory() as folder:
        attacks = Attacks(Path(folder), args.only, args.seed)
        attacks.attack("kills", args.kills)
        attacks.attack("criterion", args.criterion)
        attacks.attack("disk", args.disk)
        attacks.flip(args.flips)
    counts = attacks.counts
    print(
        f"{counts['kills']} kills, {counts['criterion']} during a criterion, {counts['disk']} failed writes, "
        f"on {counts['runs']} runs, of which {counts['lost']} ended otherwise than undisturbed; "
        f"{counts['refused']} of {counts['flips']} flipped bits refused"
    )
    sys.exit(counts["lost"] > 0 or counts["refused"] < counts["flips"])


if __name__ == "__main__":
    main()
