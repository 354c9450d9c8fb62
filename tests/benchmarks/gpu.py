"""Everything that needs a GPU, in one command that goes on where it was: ``make gpu``.

    python tests/benchmarks/gpu.py [--minutes 28] [--out book/gpu.json] [PART ...]

Each part is a process of its own, of less than nine minutes; all of them take 28 at most. Rows are stored as
they come. What is done is not done again, unless code, card or versions are others; what has failed is, once
all other parts have had their turn. No part begins that might not end within ``--minutes``, so the command
may be given several times. ``--device cpu --tiny`` rehearses it.

The file has ``date``, ``card``, ``driver``, ``versions``, ``code`` (a checksum of the package) and ``parts``:
for each its ``status`` (``done``, ``failed``, ``skipped``), ``seconds``, its ``rows``, and an ``error`` where
it is not done. A row has a ``name``, and an ``error`` where it failed; then its part has failed, too.

``tests``
    The tests marked ``gpu``: how many passed, failed, were skipped.
``kernels``, ``methods``
    The same random numbers on CPU and GPU: how far apart a chain of each sampler ends, and a step of each
    method, relative to the way gone; in ``float64`` and ``float32``.
``synchronisation``
    How often a chain waits for the GPU: torch is told to refuse that.
``resume``
    Each recipe at smoke size: interrupted and resumed with deterministic algorithms, weights that differ.
``graphs``
    Compiled chains with and without CUDA graphs: time of a step, and how far apart the ends are.
``images``
    Images per second through a chain step of the recipes' energies, for each setting of `Speed`: over the
    plain loop that published code has, and as a share of the measured rate of a large product in bfloat16.
``train NAME``
    A recipe for some minutes: updates, images per second, distances of ``n`` samples from test images beside
    those of training images, and a picture in ``book/_static/gpu``. The first has the time to end.
"""

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gpu_same
import gpu_speed
import torch
from gpu_rows import ROOT, Rows
from gpu_train import JUDGED, MINUTES, ended, train
from run_all import rounded, versions

import ebmlearn
from ebmlearn.files import write_whole

OUT = ROOT / "book" / "gpu.json"
PARTS: dict[str, tuple[Callable[[str, bool], Rows], float]] = {
    "tests": (gpu_same.tests, 1),
    "kernels": (gpu_same.kernels, 0.75),
    "methods": (gpu_same.methods, 1.5),
    "synchronisation": (gpu_same.synchronisation, 0.5),
    "resume": (gpu_same.resume, 2.5),
    "graphs": (gpu_speed.graphs, 1.5),
    "images": (gpu_speed.images, 3),
    **{f"train {name}": (partial(train, name), minutes + JUDGED) for name, minutes in MINUTES.items()},
}
"""Name -> (what makes its rows, minutes that it may take)."""


def about(device: str) -> dict[str, Any]:
    """What results belong to; another one begins anew."""
    total = hashlib.sha256()
    for path in sorted(Path(ebmlearn.__file__).parent.rglob("*.py")):
        total.update(path.read_bytes())
    card, driver = "none", "none"
    if device == "cuda":
        card = torch.cuda.get_device_name()
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    cuda = {"cuda": torch.version.cuda} if device == "cuda" else {}
    return {"card": card, "driver": driver, "versions": versions() | cuda, "code": total.hexdigest()[:16]}


def one(name: str, device: str, tiny: bool, minutes: float) -> dict[str, Any]:
    """A part in a process of its own: what it found, or how it failed."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        command = [sys.executable, __file__, "--only", name, "--rows", str(file), "--device", device]
        environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8", "EBMLEARN_PROGRESS": "0"}
        status, error = ended([*command, *(["--tiny"] if tiny else [])], 60 * minutes, env=environment)
        rows = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    seconds = time.monotonic() - begun
    if status == 0:
        wrong = [f"{row['name']}: {row['error']}" for row in rows if "error" in row]
        if not wrong:
            return {"status": "done", "seconds": seconds, "rows": rows}
        error = f"{len(wrong)} of {len(rows)} rows, the first is {wrong[0]}"
    elif seconds >= 60 * minutes:
        error = f"not done after {minutes:g} minutes"
    skipped = error.startswith("LookupError: ")
    found = {"status": "skipped" if skipped else "failed", "seconds": seconds, "error": error}
    return {**found, **({"rows": rows} if rows else {})}


def everything(out: Path, names: list[str], device: str, tiny: bool, minutes: float) -> dict[str, Any]:
    """Do what is missing and fits into the time; the record, which is stored after each part."""
    now, begun = about(device), time.monotonic()
    record = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    if {key: record.get(key) for key in now} != now:
        record = {"date": datetime.date.today().isoformat(), **now, "parts": {}}
    for name in sorted(names, key=lambda name: name in record["parts"]):  # what has failed comes last
        limit, left = PARTS[name][1], minutes - (time.monotonic() - begun) / 60
        if record["parts"].get(name, {}).get("status") == "done":
            print(f"{name}: is there", flush=True)
        elif limit > left:
            again = "give the command again"
            print(f"{name}: may take {limit:g} minutes, {left:.1f} are left; {again}", flush=True)
        else:
            record["parts"][name] = one(name, device, tiny, limit)
            print(f"{name}: {record['parts'][name]['status']}", flush=True)
            write_whole(out, (json.dumps(rounded(record), indent=1, ensure_ascii=False) + "\n").encode())
    return record


def only(name: str, device: str, tiny: bool, file: Path) -> None:
    """The process of a part: its rows go to the file as they come."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    rows: list[Any] = []
    for row in PARTS[name][0](device, tiny):
        rows.append(rounded(row))
        write_whole(file, json.dumps(rows).encode())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--minutes", type=float, default=28)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal: the numbers mean nothing")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device here; --device cpu --tiny rehearses the command")
    if args.only:
        return only(args.only, args.device, args.tiny, args.rows)
    if args.device == "cpu" and args.out == OUT:
        raise SystemExit("a rehearsal is no GPU run: give it another file, such as --out rehearsal.json")
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        raise SystemExit(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    record = everything(args.out, args.parts or list(PARTS), args.device, args.tiny, args.minutes)
    failed = [name for name, part in record["parts"].items() if part["status"] == "failed"]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; see {args.out.name}")


if __name__ == "__main__":
    main()
