"""Every method on the same targets under one budget: the table of chapter
21, bakeoff.json.

    make bakeoff                            what the file lacks
    python book/bakeoff.py --only T4 NCE    only these, by words
    python book/bakeoff.py --seeds 1        fewer seeds, to look

The whole table takes about two hours on two slow cores, and less where a
second of training brings more updates. It is made in three parts; what is
stored is not made again.

1. Speed: the milliseconds of an update of each contestant, on one thread.
   Only this needs a machine that does nothing else.
2. Search: each contestant whose rates are not documented by others
   learns "two moons" with seed 100 five times, with the rates of its
   recipe times 0.32, 1, 3.2, 10 and 32. The factor that ends nearest to
   the truth, in KL, is kept for all targets. What diverges ends nowhere.
3. Runs: every contestant, target and seed, in two contests. "gradients"
   gives each as many gradients of the net of its density, "seconds" as
   many updates as fit into the same time. Updates are fixed before a run
   begins, so that a row can be made again to the last digits.

A row has ``budget``, ``target``, ``contestant``, ``seed``; ``updates`` and
``scale``, the factor of the search; ``end``, "done" or "diverged"; what
the judge of the arena says (`plane_arena.py` and its like), null for
infinity; and for "seconds" in the plane ``curve``, pairs of updates and
KL along the run.
"""

import argparse
import json
import pathlib
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from multiprocessing import get_context

import torch
from tqdm import tqdm

import annealed_arena
import ebmlearn as el
import linear_arena
import machine_arena
import plane_arena
from arena import Arena, Contestant
from ebmlearn.files import write_whole
from ebmlearn.progress import progress_enabled
from shake import machine
from tables import read

FILE = pathlib.Path(__file__).with_suffix(".json")
SEEDS = 0, 1, 2, 3, 4
SEARCH_SEED = 100
FACTORS = 0.32, 1.0, 3.2, 10.0, 32.0
GRADIENTS, SECONDS = 1_500_000, 4.0
SHARES = 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2
"""Where along a run its KL is noted, besides its end."""

OTHERS = {"zuko": "zuko", "ebmkit": "ebm", "torchebm": "torchebm"}
"""Package -> the name that it is imported by."""

TIMED = "T4", "8 Gaussians", "banana"
"""Targets of the contest of seconds, in which all take part."""

BEYOND = {
    "GRBM, 20-d": machine_arena.grbm,
    "linear-Gaussian, digits": linear_arena.linear_gaussian,
    "digits, AIS": annealed_arena.annealed,
}
"""Arenas of more than two dimensions, by name."""

KEY = "budget", "target", "contestant", "seed"
SEARCH = "two moons"
TARGETS = (
    *(name for name in plane_arena.PLANE_TARGETS if name != SEARCH),
    *BEYOND,
)
SETTING = {
    "gradients": GRADIENTS,
    "seconds": SECONDS,
    "factors": list(FACTORS),
    "search": [SEARCH, SEARCH_SEED],
    "chain of the judge": repr(plane_arena.CHAIN),
    "samples": plane_arena.N_SAMPLES,
}


STOPS = FloatingPointError, ValueError
"""How a training says that it can go no further: a loss or a chain is not
finite, or a flow cannot be inverted any more."""


@cache
def arena(target: str) -> Arena:
    """By the name of its target."""
    if target in BEYOND:
        return BEYOND[target]()
    return plane_arena.arena(target)


def trained(
    who: Contestant, target, updates: int, scale: float, watch=None
):
    """What was learned, or what was said when it ended before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return who.train(target, updates, scale, watch)
        except STOPS as stop:
            return str(stop)


class Curve:
    """Notes the KL of a run at some of its updates."""

    def __init__(self, target, updates: int) -> None:
        self.target, self.n, self.points = target, 0, []
        self.due = {max(1, round(share * updates)) for share in SHARES}

    def __call__(self, energy: Callable) -> None:
        self.n += 1
        if self.n in self.due:
            grid = plane_arena.COARSE
            value = plane_arena.nats(self.target, energy(), grid)
            self.points.append([self.n, plane_arena.finite(value)])


def updates_of(who: Contestant, budget: str, ms: float) -> int:
    """How many updates a budget allows."""
    if who.gradients == 0:
        return 0
    if budget == "gradients":
        return max(1, round(GRADIENTS / who.gradients))
    return max(1, round(1000 * SECONDS / ms))


def row(
    budget: str,
    target: str,
    contestant: str,
    seed: int,
    *,
    updates: int | None = None,
    scale: float | None = None,
) -> dict:
    """Train, and ask the judge.

    ``updates`` and ``scale`` are by default what the stored table says of
    the contestant.
    """
    torch.set_num_threads(1)
    there, table = arena(target), read(FILE)
    who = there.contestants[contestant]
    if updates is None:
        ms = table["speed"].get(contestant, 0)
        updates = updates_of(who, budget, ms)
    if scale is None:
        scale = factor(table, target, contestant)
    flat = target in plane_arena.PLANE_TARGETS
    watch = None
    if flat and budget == "seconds" and updates:
        watch = Curve(there.target, updates)
    found = {"updates": updates, "scale": scale, "end": "done"}
    el.seed(seed)
    learned = trained(who, there.target, updates, scale, watch)
    if isinstance(learned, str):
        end = {"end": "diverged", "kl": None, "said": learned}
        return found | end
    judged = there.judge(learned)
    if watch:
        watch.points.append([updates, judged["kl"]])
        found["curve"] = watch.points
    return found | judged


def factor(table: dict, target: str, contestant: str) -> float:
    """What the search found; 1 where nothing was searched."""
    if target in BEYOND:
        return 1.0
    return table.get("search", {}).get(contestant, {}).get("chosen", 1.0)


def speed(target: str, contestant: str, most: int = 60) -> float:
    """Milliseconds of an update, in a whole training of 60 updates."""
    torch.set_num_threads(1)
    there = arena(target)
    who = there.contestants[contestant]
    el.seed(0)
    trained(who, there.target, 8, 1.0)
    began = time.perf_counter()
    trained(who, there.target, most, 1.0)
    return 1000 * (time.perf_counter() - began) / most


def rounded(value):
    """Five digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return (
        [rounded(v) for v in value] if isinstance(value, list) else value
    )


def write(table: dict) -> None:
    """A row on a line."""
    text = json.dumps(table, ensure_ascii=False)
    for start in ('{"budget"', '"maps"', '"runs"', '"search"'):
        text = text.replace(start, "\n" + start)
    write_whole(FILE, (text + "\n").encode())


def measure_speeds(table: dict) -> None:
    """One after the other, since a second process would slow the first."""
    for name, who in arena("T4").contestants.items():
        known = table["speed"]
        if name not in known and who.gradients != 0:
            known[name] = rounded(speed("T4", name))
            print(f"{name}: {known[name]} ms", flush=True)
            write(table)


def in_processes(
    tasks: list[tuple], jobs: int, name: str
) -> Iterator[tuple[tuple, dict]]:
    """Tasks and what `row` gives for them, as they end."""
    bar = tqdm(total=len(tasks), desc=name, disable=not progress_enabled())
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool, bar:
        runs = {pool.submit(of, *task): task for task in tasks}
        for run in as_completed(runs):
            bar.update()
            yield runs[run], rounded(run.result())


def of(budget: str, target: str, name: str, seed: int, scale=None) -> dict:
    """`row`, with a scale by position."""
    return row(budget, target, name, seed, scale=scale)


def search(table: dict, jobs: int, only: list[str]) -> None:
    """The rates of everybody, by the one search."""
    tasks = [
        (who.budgets[0], SEARCH, name, SEARCH_SEED, scale)
        for name, who in arena(SEARCH).contestants.items()
        for scale in FACTORS
        if who.tuned
        and f"{scale:g}" not in table["search"].get(name, {})
        and (not only or any(word in name for word in only))
    ]
    for (*_, name, _, scale), got in in_processes(tasks, jobs, "search"):
        mine = table["search"].setdefault(name, {})
        mine[f"{scale:g}"] = got["kl"]
        tried = [(mine.get(f"{f:g}"), f) for f in FACTORS]
        ended = [pair for pair in tried if pair[0] is not None]
        mine["chosen"] = min(ended)[1] if ended else 1.0
        write(table)


def plan(seeds: int, only: list[str]) -> list[tuple]:
    """The keys of all rows, seed by seed."""
    found = [
        (budget, target, name, seed)
        for seed in SEEDS[:seeds]
        for target in TARGETS
        for name, who in arena(target).contestants.items()
        for budget in who.budgets
        if budget == "gradients" or target in TIMED
    ]
    words = [
        [w for w in only if w in TARGETS],
        [w for w in only if w not in TARGETS],
    ]
    return [
        key
        for key in found
        if (not words[0] or key[1] in words[0])
        and (not words[1] or any(word in key[2] for word in words[1]))
    ]


def run(table: dict, jobs: int, keys: list[tuple]) -> None:
    """The rows that a table lacks."""
    there = {tuple(r[k] for k in KEY) for r in table["runs"]}
    tasks = [key for key in keys if key not in there]
    for key, got in in_processes(tasks, jobs, "runs"):
        shown = got.pop("map", None)
        _, target, name, seed = key
        if shown and seed == SEEDS[0]:
            table["maps"].setdefault(target, {}).setdefault(name, shown)
        table["runs"].append(dict(zip(KEY, key, strict=True)) | got)
        write(table)


def made() -> dict[str, str | int]:
    """When, on what and with which packages of others."""
    others = [name for name in OTHERS if find_spec(OTHERS[name])]
    versions = {name: metadata.version(name) for name in others}
    return {"date": str(date.today())} | machine() | kind() | versions


def kind() -> dict[str, str]:
    """Family, model and stepping of the processor, where Linux says them:
    processors of one name may round differently."""
    file, found = pathlib.Path("/proc/cpuinfo"), {}
    for line in file.read_text().splitlines() if file.exists() else []:
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    names = "cpu family", "model", "stepping"
    return {"kind": " ".join(found.get(name, "?") for name in names)}


def opened() -> dict:
    """The table to go on with, or a new one."""
    old = read(FILE)
    if not old:
        parts = {"speed": {}, "search": {}, "maps": {}, "runs": []}
        return {"made": made(), "setting": SETTING} | parts
    if old["setting"] != json.loads(json.dumps(SETTING)):
        raise SystemExit(
            f"{FILE.name} was begun with {old['setting']}, and this is "
            f"{SETTING}: their rows do not belong in one table. Move the "
            "file away to begin anew"
        )
    return old


def main() -> None:
    parser = argparse.ArgumentParser(description="make bakeoff.json")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    args = parser.parse_args()
    table = opened()
    measure_speeds(table)
    names = [word for word in args.only if word not in TARGETS]
    search(table, args.jobs, names)
    run(table, args.jobs, plan(args.seeds, args.only))
    print(f"{len(table['runs'])} of {len(plan(len(SEEDS), []))} rows")


if __name__ == "__main__":
    main()
