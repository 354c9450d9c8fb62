"""Several processes on the CPU, which talk by gloo: updates per second, and what averaging gradients adds.

    python tests/benchmarks/ranks.py [--quick]

The energy of ``short-run-cifar10`` at full size, each rank with a share of 4 images and chains of 2 steps,
one thread a rank. Where there are fewer cores than ranks, these share them, and the figures say how a
processor is shared and nothing about ranks: ``cores`` is part of each row. The reduction is timed alone,
after the ranks have met, on a tensor of the size that an update sends: all gradients and the loss.

What 8 or 64 GPUs would add is an estimate and not measured: see `estimate`.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from ebmlearn import recipes
from ebmlearn.train.ranks import Ranks

RANKS = (1, 2, 4)
NAME, SHARE, CHAIN_STEPS = "short-run-cifar10", 4, 2
BANDWIDTH = 25e9
"""Bytes a second that each GPU can send, assumed: a network of 200 Gbit/s for each of them."""


def estimate(n: int, size: int, bandwidth: float = BANDWIDTH) -> float:
    """Seconds in which a ring of n ranks averages so many bytes, if nothing but the bandwidth matters: each
    sends its parts around twice, ``2 (n - 1) / n`` times the size. An estimate, not a measurement."""
    return 2 * (n - 1) / n * size / bandwidth


def rank(repeats: int, smoke: bool = False) -> dict:
    """What one of the processes does; the row, but for the number of cores."""
    from accelerate import Accelerator

    torch.set_num_threads(1)
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    recipe = recipes.RECIPES[NAME](smoke=smoke).with_settings({"chain.n_steps": CHAIN_STEPS})
    method = recipe.method(recipe.shape())
    Ranks(accelerator).place(method)
    x = torch.rand(SHARE, *recipe.shape()) * 2 - 1
    gradients = torch.zeros(sum(p.numel() for p in method.parameters()) + 1)
    seconds: dict[str, list[float]] = {"update": [], "reduction": []}
    for _ in range(repeats + 1):
        for name, run in (("update", method.step), ("reduction", method.mean_over_ranks)):
            accelerator.wait_for_everyone()
            begin = time.perf_counter()
            run(x if name == "update" else gradients)
            seconds[name].append(time.perf_counter() - begin)
    update, reduction = (statistics.median(times[1:]) for times in seconds.values())
    return {
        "name": NAME,
        "ranks": accelerator.num_processes,
        "updates_per_s": 1 / update,
        "images_per_s": accelerator.num_processes * SHARE / update,
        "reduction_us": 1e6 * reduction,
        "bytes": gradients.nbytes,
    }


def together(n: int, repeats: int, smoke: bool = False) -> dict:
    """The row of so many processes."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [sys.executable, __file__, "--rank", str(repeats), *(["--smoke"] if smoke else [])]
    common = {"WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1"}
    source = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *sys.path[1:]])}
    everywhere = {**os.environ, **source, **common, "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            command,
            env={**everywhere, "RANK": str(i), "LOCAL_RANK": str(i)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(n)
    ]
    try:
        said = [process.communicate(timeout=600)[0] for process in ranks]
    finally:
        for process in ranks:
            process.kill()
    if any(process.returncode for process in ranks):
        raise RuntimeError(f"{n} ranks ended with {[process.returncode for process in ranks]}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {**json.loads(said[0].splitlines()[-1]), "cores": cores}


def table(repeats: int = 7) -> list[dict]:
    """Rows ``name, ranks, cores, updates_per_s, images_per_s, reduction_us, bytes``."""
    return [together(n, repeats) for n in RANKS]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="each time once; the numbers mean nothing")
    parser.add_argument("--rank", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank is not None:
        print(json.dumps(rank(args.rank, args.smoke)))
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        return
    rows = table(1 if args.quick else 7)
    for row in rows:
        shared = ", which share the cores" if row["ranks"] > row["cores"] else ""
        print(
            "{ranks} ranks on {cores} cores: {updates_per_s:.2f} updates/s, {images_per_s:.1f} images/s, "
            "reduction {reduction_us:,.0f} us for {bytes:,} bytes".format(**row)
            + shared
        )
    for n in (8, 64):
        seconds = estimate(n, rows[0]["bytes"])
        print(f"{n} GPUs, estimated: {1e3 * seconds:.2f} ms an update at {BANDWIDTH / 1e9:g} GB/s each")


if __name__ == "__main__":
    main()
