"""Every benchmark, in one process, into one file: the tables of chapter 22.

    python tests/benchmarks/run_all.py [--out book/benchmarks.json] [--threads 1] [--quick]

About ten minutes on one core of a machine that does nothing else. ``--quick`` takes each time once, to see
that everything runs. A C++ compiler is needed. The file is one object:

``date``
    Day of the run, as 2026-11-21.
``machine``
    ``cpu`` (its name), ``cores`` (logical ones that the process may use), ``threads`` and ``ram_gb``.
``versions``
    Of Python and of each package that took part: torchebm, ebmkit, blackjax and jax where installed.
``minutes``
    What the run took.

and these tables, each a list of rows with the same fields (times are medians; a ratio is the median over
rounds of the ratio within a round, never a ratio of medians):

``langevin``
    ``chains``, ``name``, ``us_per_step``, ``ratio`` to the plain loop, ``by_products``, the ratio to the two
    products of matrices alone, ``cpu_share``, processor seconds over clock seconds: the samplers, what
    bounds them, and other packages (langevin.py).
``conv``
    ``side`` of the image, ``name``, ``ms_per_step``, ``ratio`` to the plain step, ``error``: a Langevin step
    of a convolutional energy (conv.py).
``training``
    ``name``, ``chain_steps``, ``ms``, ``ratio`` to one forward and backward pass: a training step of each
    method (training.py).
``updates``
    ``scale``, ``name``, ``threads``, ``us`` an update, ``ratio`` to that with one thread, and the shares of
    ``chain``, ``loss``, ``update``, ``data`` and ``fit``, which add up to one (updates.py).
``memory``
    ``name``, ``mib``, ``ratio`` to one forward and backward pass: the peak (memory.py).
``scaling``
    ``quantity``, ``start``, ``end``, ``slope`` in log-log, ``ms_start``, ``ms_end`` (scaling.py).
``loading``
    ``name``, ``load`` (first or later), ``images``, ``seconds``, ``mib`` at the most, ``ratio`` to the size
    of the images, ``batches_per_second`` (loading.py). Empty where ``EBMLEARN_DATA`` holds none of the sets:
    the one table that may be.
``recipes``
    ``name``, ``parameters``, ``batch_size``, ``steps``, ``tflop_per_update``, which is counted (recipes.py).
``ranks``
    ``name`` of a recipe, ``ranks``, ``cores``, ``updates_per_s``, ``images_per_s``, ``reduction_us``, the
    time of one reduction, and the ``bytes`` of it: processes on the CPU that talk by gloo (ranks.py).
"""

import argparse
import datetime
import json
import math
import os
import platform
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import timing
import torch

FIELDS: dict[str, dict[str, type]] = {
    "machine": {"cpu": str, "cores": int, "threads": int, "ram_gb": float},
    "langevin": {
        "chains": int,
        "name": str,
        "us_per_step": float,
        "ratio": float,
        "by_products": float,
        "cpu_share": float,
    },
    "conv": {"side": int, "name": str, "ms_per_step": float, "ratio": float, "error": float},
    "training": {"name": str, "chain_steps": int, "ms": float, "ratio": float},
    "updates": {
        "scale": str,
        "name": str,
        "threads": int,
        "us": float,
        "ratio": float,
        "chain": float,
        "loss": float,
        "update": float,
        "data": float,
        "fit": float,
    },
    "memory": {"name": str, "mib": float, "ratio": float},
    "scaling": {
        "quantity": str,
        "start": int,
        "end": int,
        "slope": float,
        "ms_start": float,
        "ms_end": float,
    },
    "loading": {
        "name": str,
        "load": str,
        "images": int,
        "seconds": float,
        "mib": float,
        "ratio": float,
        "batches_per_second": float,
    },
    "recipes": {
        "name": str,
        "parameters": int,
        "batch_size": int,
        "steps": int,
        "tflop_per_update": float,
    },
    "ranks": {
        "name": str,
        "ranks": int,
        "cores": int,
        "updates_per_s": float,
        "images_per_s": float,
        "reduction_us": float,
        "bytes": int,
    },
}
TABLES = [name for name in FIELDS if name != "machine"]
MAY_BE_EMPTY = ("loading",)
"""Tables of what not everybody has."""
PACKAGES = ("ebmlearn", "torch", "numpy", "torchebm", "ebmkit", "blackjax", "jax")


def machine() -> dict:
    """What the times depend on; neither host nor user."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else math.nan
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "ram_gb": round(ram / 1e9, 1),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def faults(record: dict) -> list[str]:
    """In what a record differs from the structure documented above; nothing if it does not."""
    found = [key for key in ("date", "machine", "versions", "minutes", *TABLES) if key not in record]
    found += [key for key in record if key not in ("date", "machine", "versions", "minutes", *TABLES)]
    rows = [("machine", record.get("machine", {}))]
    for table in TABLES:
        if not record.get(table) and table not in MAY_BE_EMPTY:
            found.append(f"{table} is empty")
        rows += [(table, row) for row in record.get(table, ())]
    for table, row in rows:
        fields = FIELDS[table]
        if set(row) != set(fields):
            found.append(f"{table}: fields {sorted(row)}, expected {sorted(fields)}")
            continue
        for field, kind in fields.items():
            good = isinstance(row[field], kind) and (kind is str or math.isfinite(row[field]))
            if not good:
                found.append(f"{table}: {field} is {row[field]!r}, expected {kind.__name__}")
    return found


def rounded(value: object) -> object:
    """Four significant digits: more is noise."""
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list) else value


def on_all_cores(table: Callable[[], list[dict]]) -> list[dict]:
    """A table of several processes, after others have bound this one to a core."""
    with timing.threads(max(1, len(timing.CORES))):
        return table()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "book" / "benchmarks.json")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="each time once; the numbers mean nothing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    import conv
    import langevin
    import loading
    import memory
    import ranks
    import recipes
    import scaling
    import training
    import updates

    tables = {
        "langevin": lambda: langevin.table(1 if args.quick else 7, n_steps=44),
        "conv": lambda: conv.table(1 if args.quick else 7),
        "training": lambda: training.table(1 if args.quick else 3),
        "updates": lambda: updates.table(1 if args.quick else 5),
        "memory": memory.table,
        "scaling": lambda: scaling.table(1 if args.quick else 5),
        "loading": lambda: loading.table(["mnist"] if args.quick else loading.NAMES),
        "recipes": lambda: recipes.table(["coopnets-mnist"]) if args.quick else recipes.table(),
        "ranks": lambda: on_all_cores(partial(ranks.table, 1 if args.quick else 7)),
    }
    begin = time.perf_counter()
    record: dict = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }
    for name, table in tables.items():
        print(f"{name} ...", end=" ", flush=True)
        start = time.perf_counter()
        record[name] = table()
        print(f"{time.perf_counter() - start:.0f} s", flush=True)
    record["minutes"] = (time.perf_counter() - begin) / 60
    record = rounded(record)
    if found := faults(record):
        raise SystemExit("nothing was written:\n" + "\n".join(found))
    args.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{args.out.name} written; {record['minutes']:.1f} minutes")


if __name__ == "__main__":
    main()
