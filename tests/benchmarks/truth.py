"""Seconds on one core until a learned density is within 0.1 and 0.05 nats of the true one.

    python tests/benchmarks/truth.py [--out book/truth.json] [--jobs 2] [--cap 15] [--seeds 5] [--only ...]

About 25 minutes on two cores of a machine that does nothing else. Each run is a process of its own on a core
of its own, with one thread: a target, a learner (``learners.py``) and a seed. After updates 10, 11, ... (each
count about 5 % above the last) the clock stands still, and ``KL(target ‖ model)`` is computed by quadrature
on one grid for all. The clock counts training only: batches, updates, schedules and averages. The first
update does not count, because packages load and chains compile in it; its seconds are kept. A bound is
reached at the first evaluation below it after which the next two are below it, too, because one dip of a
noisy curve is no result. A run ends with the lower bound, the end of its schedule, after which nothing moves,
or the cap.

The file is written anew after each run, and a second call goes on with the runs that it lacks. It is one
object:

``date``
    Day of the last run, as 2026-11-21.
``machine``, ``versions``
    As in ``run_all.py``.
``cap``
    Seconds of training after which a run ends.
``clock``
    "wall", or with ``--busy`` "processor", the time that the process had: on a busy machine, to look only.
``rows``
    A row for each run: ``target``, ``package``, ``settings``, ``learner``, ``seed``; ``seconds_010`` and
    ``seconds_005``, when 0.1 and 0.05 nats were reached, and ``updates_010`` and ``updates_005``, after how
    many updates, all four null where they were not; ``best``, the least divergence that was seen, in nats,
    null where none was finite; ``updates`` and ``seconds`` in all; ``first``, the seconds that did not count;
    ``end``, which is "reached", "schedule", "cap" or "diverged".
"""

import argparse
import datetime
import json
import math
import os
import queue
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.util import find_spec
from pathlib import Path

from clock import Enough, Watch
from timing import pin

TARGETS = ("T4", "8 Gaussians")
GRID = {"box": (-10, 10), "n": 150}
MODULES = {"ebmlearn": "ebmlearn", "ebmkit": "ebm", "torchebm": "torchebm"}
"""Package -> the name that it is imported by."""

FIELDS: dict[str, tuple[type, ...]] = {
    "target": (str,),
    "package": (str,),
    "settings": (str,),
    "learner": (str,),
    "seed": (int,),
    "seconds_010": (float, type(None)),
    "seconds_005": (float, type(None)),
    "updates_010": (int, type(None)),
    "updates_005": (int, type(None)),
    "best": (float, type(None)),
    "updates": (int,),
    "seconds": (float,),
    "first": (float,),
    "end": (str,),
}
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
KEY = ("target", "package", "settings", "learner", "seed")
HEAD = {"date": str, "machine": dict, "versions": dict, "cap": float, "clock": str, "rows": list}


def run(key: tuple, cap: float, clock: str = "wall") -> dict:
    """Train one learner on one target with one seed; a row."""
    import torch
    from learners import LEARNERS

    import ebmlearn
    from ebmlearn.evaluate import exact
    from ebmlearn.recipes import plane

    torch.set_num_threads(1)
    target_name, *learner, seed = key
    target, grid = plane.TARGETS[target_name](), exact.Grid(**GRID)

    def divergence(energy: Callable) -> float:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", exact.LeakWarning)  # without a reference, mass is everywhere
            if not energy(grid.points[::23]).isfinite().all():  # NaN in the weights is everywhere
                return math.inf
            return exact.kl(target, energy, grid).value

    ebmlearn.seed(seed)
    watch = Watch(divergence, cap, CLOCKS[clock])
    end = "schedule"
    try:
        LEARNERS[tuple(learner)](target, watch)
        watch.finish()
    except Enough as enough:
        end = str(enough)
    except FloatingPointError:
        end = "diverged"
    return dict(zip(KEY, key, strict=True)) | watch.row() | {"end": end}


def plan(seeds: int, packages: set[str]) -> list[tuple]:
    """The keys of all runs, seed by seed."""
    from learners import LEARNERS

    known = [learner for learner in LEARNERS if learner[0] in packages]
    return [(target, *learner, seed) for seed in range(seeds) for target in TARGETS for learner in known]


def key_of(row: dict) -> tuple:
    return tuple(row[field] for field in KEY)


def faults(record: dict) -> list[str]:
    """In what a record differs from the structure documented above; nothing if it does not."""
    from run_all import FIELDS as TABLES

    found = [
        f"{name} is missing or no {kind.__name__}"
        for name, kind in HEAD.items()
        if not isinstance(record.get(name), kind)
    ]
    found += [f"{name} is not known" for name in record if name not in HEAD]
    if found:
        return found
    if set(record["machine"]) != set(TABLES["machine"]):
        found.append(f"machine: fields {sorted(record['machine'])}, expected {sorted(TABLES['machine'])}")
    for row in record["rows"]:
        if set(row) != set(FIELDS):
            return [*found, f"fields {sorted(row)}, expected {sorted(FIELDS)}"]
        for field, kinds in FIELDS.items():
            value = row[field]
            if not isinstance(value, kinds) or (isinstance(value, float) and not 0 <= value < math.inf):
                found.append(f"{key_of(row)}: {field} is {value!r}")
    keys = [key_of(row) for row in record["rows"]]
    found += [f"{key} is there {keys.count(key)} times" for key in dict.fromkeys(keys) if keys.count(key) > 1]
    seeds, packages = 1 + max((key[-1] for key in keys), default=0), {key[1] for key in keys}
    return found + [f"{key} is missing" for key in plan(seeds, packages | {"ebmlearn"}) if key not in keys]


def opened(path: Path, cap: float, clock: str = "wall") -> dict:
    """The record to go on with, or a new one."""
    import run_all
    import torch

    torch.set_num_threads(1)  # as in every run
    new = {"machine": run_all.machine(), "versions": run_all.versions(), "cap": cap, "clock": clock}
    new = run_all.rounded(new)
    rows = []
    if path.exists():
        old = json.loads(path.read_text(encoding="utf-8"))
        for name, value in new.items():
            if old.get(name) != value:
                raise SystemExit(
                    f"{path} was begun with {name} {old.get(name)}, and this is {value}: their times do not "
                    "belong in one table. Give another --out, or move that file away"
                )
        rows = old["rows"]
    return {"date": datetime.date.today().isoformat(), **new, "rows": rows}


def in_process(key: tuple, cap: float, clock: str, core: int) -> dict:
    """`run`, in a process of its own on one core; its last line is the row."""
    command = [sys.executable, __file__, "--run", json.dumps(key), "--cap", str(cap), "--core", str(core)]
    command += ["--busy"] if clock == "processor" else []
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "EBMLEARN_PROGRESS": "0"}
    done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError("\n".join(done.stderr.splitlines()[-5:]) or f"exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def told(row: dict) -> str:
    times = (row["seconds_010"], row["seconds_005"])
    texts = ["not reached" if seconds is None else f"{seconds:.2f} s" for seconds in times]
    best = "none" if row["best"] is None else f"{row['best']:.3f}"
    return f"0.1 {texts[0]}, 0.05 {texts[1]}, best {best} nats, {row['updates']} updates, {row['end']}"


def measure(todo: list[tuple], record: dict, path: Path, jobs: int) -> list[str]:
    """Make the runs, add their rows and write the file after each; what failed."""
    from run_all import rounded

    from ebmlearn.files import write_whole

    cores: queue.SimpleQueue[int] = queue.SimpleQueue()
    for core in range(jobs):
        cores.put(core)

    def on_a_core(key: tuple) -> dict:
        core = cores.get()
        try:
            return in_process(key, record["cap"], record["clock"], core)
        finally:
            cores.put(core)

    failed, begin = [], time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        runs = {pool.submit(on_a_core, key): key for key in todo}
        for n, future in enumerate(as_completed(runs), 1):
            name = " ".join(map(str, runs[future]))
            try:
                row = rounded(future.result())
            except RuntimeError as error:
                failed.append(f"{name}: {error}")
                print(f"[{n}/{len(todo)}] {failed[-1]}", flush=True)
                continue
            record["rows"].append(row)
            text = json.dumps(record, indent=None, ensure_ascii=False).replace('{"target"', '\n {"target"')
            write_whole(path, (text + "\n").encode())
            left = (time.monotonic() - begin) / n * (len(todo) - n) / 60
            print(f"[{n}/{len(todo)}, {left:.0f} min left] {name}: {told(row)}", flush=True)
    return failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "book" / "truth.json")
    parser.add_argument(
        "--jobs", type=int, default=2, help="processes at a time, each with a core of its own; 2"
    )
    parser.add_argument("--cap", type=float, default=15.0, help="seconds of training in a run; 15")
    parser.add_argument("--busy", action="store_true", help="count the time of the processor, to look only")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="+", metavar="WORD", help="runs whose names hold all of these")
    parser.add_argument("--run", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    clock = "processor" if args.busy else "wall"
    if args.run is not None:
        pin(args.core)
        print(json.dumps(run(tuple(args.run), args.cap, clock)))
        return
    packages = {name for name, module in MODULES.items() if find_spec(module)}
    if missing := sorted(set(MODULES) - packages):
        print(f"not installed, and left out: {', '.join(missing)}")
    record = opened(args.out, args.cap, clock)
    done = {key_of(row) for row in record["rows"]}
    todo = [key for key in plan(args.seeds, packages) if key not in done]
    if args.only:
        todo = [key for key in todo if all(word in " ".join(map(str, key)) for word in args.only)]
    print(f"{len(todo)} runs to make, {len(done)} are there", flush=True)
    failed = measure(todo, record, args.out, args.jobs)
    if failed:
        raise SystemExit(f"{len(failed)} runs failed; a second call tries them again")
    left = faults(record)
    print(f"{args.out.name} is whole" if not left else f"{len(left)} rows are missing or off: {left[0]}")


if __name__ == "__main__":
    main()
