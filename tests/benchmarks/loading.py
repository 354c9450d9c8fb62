"""MNIST and CIFAR-10 from parquet files: time and memory of the first load, of later ones, and batches.

    EBMLEARN_DATA=<folder> python tests/benchmarks/loading.py [NAME ...]

The folder is laid out like the hub, see `ebmlearn.data`; a set that is not there is left out, and the script
says so. The first load decodes every image of the training split and fills a cache, in a temporary folder;
the second reads the cache. Each is a process of its own: its peak memory is the most that it held, less what
it held once the libraries were imported, beside the size of the images in float32. Batches of 64 are drawn
as `fit` draws them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NAMES, BATCH = ("mnist", "cifar10"), 64


def held() -> float:
    """MiB that this process has held at once, at the most."""
    import resource

    # Linux counts in ru_maxrss what the parent held before this program began, in VmHWM it does not.
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 2 ** (20 if sys.platform == "darwin" else 10)


def once(name: str, n_batches: int = 2000) -> dict[str, float]:
    """Load a set in this process, and draw batches of it."""
    import datasets  # noqa: F401
    import PIL.Image  # noqa: F401

    from ebmlearn import data
    from ebmlearn.train.data import source
    from ebmlearn.train.ranks import Ranks

    before, begin = held(), time.perf_counter()
    images = data.load(name)
    seconds, mib = time.perf_counter() - begin, held() - before
    batches = source(images.x, min(BATCH, len(images.x)), Ranks())
    begin = time.perf_counter()
    for _ in range(n_batches):
        batches.draw()
    return {
        "images": len(images.x),
        "seconds": seconds,
        "mib": mib,
        "ratio": mib / (images.x.nbytes / 2**20),
        "batches_per_second": n_batches / (time.perf_counter() - begin),
    }


def child(name: str, cache: str) -> dict[str, float]:
    """What `once` returns in a process of its own, with its cache in a folder."""
    command = [sys.executable, __file__, "--once", name]
    environment = {**os.environ, "EBMLEARN_CACHE": cache}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def table(names=NAMES) -> list[dict]:
    """Rows ``name, load, images, seconds, mib, ratio, batches_per_second`` of the sets that are there."""
    from ebmlearn import data

    root, rows = os.environ.get("EBMLEARN_DATA"), []
    for name in names:
        if not root or not data.is_local(name) or not list(Path(root).glob(f"*/{name}/*/train-*.parquet")):
            print(f"no {name} in EBMLEARN_DATA ({root or 'not set'}): left out", flush=True)
            continue
        with tempfile.TemporaryDirectory() as cache:
            rows += [{"name": name, "load": load, **child(name, cache)} for load in ("first", "later")]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--once", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once:
        print(json.dumps(once(args.once)))
        return
    for row in table(args.names):
        print(
            "{name:10} {load:6} {images:7,} images {seconds:7.1f} s, {mib:6.0f} MiB at the most, "
            "{ratio:.2f} times their size; {batches_per_second:,.0f} batches a second".format(**row)
        )


if __name__ == "__main__":
    main()
