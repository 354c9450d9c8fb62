"""A Langevin step of a convolutional energy, as fast as `Speed` makes it: ratios to the plain step.

    python tests/benchmarks/conv.py [--repeats 9]

`ConvEnergy` with its default widths, 64 chains, 5 steps, ``run(ula(...), speed=...)``. A fast answer must be
the same answer: ``error`` is the distance from the ends of the plain chains, with the same random numbers,
relative to the way that those went, which is nearly all by slope. The script stops if it is above the
tolerance. Compiled chains need a C++ compiler.
"""

import argparse
import copy
import statistics
from functools import partial

import torch
from timing import in_turn, ratio

from ebmlearn.nets import ConvEnergy
from ebmlearn.sample import run, ula
from ebmlearn.speed import Speed

SHAPES = ((1, 28), (3, 32))
N_CHAINS, N_STEPS = 64, 5
CHAIN = {"step_size": 10.0, "noise_scale": 0.003}
SPEEDS = {
    "plain": (Speed(), 0.0),
    "channels_last": (Speed(channels_last=True), 1e-4),
    "bf16": (Speed(precision="bf16"), 0.05),
    "bf16, channels_last": (Speed(precision="bf16", channels_last=True), 0.05),
    "compiled": (Speed(compile=N_STEPS), 1e-4),
    "compiled, bf16, channels_last": (Speed(compile=N_STEPS, precision="bf16", channels_last=True), 0.05),
}
"""Name -> (settings, tolerance of the error)."""


def table(repeats: int = 9) -> list[dict]:
    """Rows ``side, name, ms_per_step, ratio, error``; the plain step of the same side is the unit."""
    rows = []
    for channels, side in SHAPES:
        torch.manual_seed(0)
        net = ConvEnergy(channels, side)
        x = torch.rand(N_CHAINS, channels, side, side) * 2 - 1
        entries, ends = {}, {}
        for name, (speed, _) in SPEEDS.items():
            energy = copy.deepcopy(net)
            speed.prepare(energy)
            entries[name] = partial(run, ula(energy, **CHAIN), x, N_STEPS, speed=speed)
            torch.manual_seed(1)
            ends[name] = entries[name]()
        seconds = in_turn(entries, repeats)
        for name, times in seconds.items():
            error = ((ends[name] - ends["plain"]).norm() / (ends["plain"] - x).norm()).item()
            tolerance = SPEEDS[name][1]
            if not error <= tolerance:
                raise SystemExit(f"{name} at side {side}: error {error:.2g}, expected at most {tolerance}")
            rows.append(
                {
                    "side": side,
                    "name": name,
                    "ms_per_step": 1e3 * statistics.median(times) / N_STEPS,
                    "ratio": ratio(times, seconds["plain"]),
                    "error": error,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for row in table(parser.parse_args().repeats):
        print("{side:3} {name:30} {ms_per_step:8.2f} ms {ratio:6.2f}  error {error:.1e}".format(**row))


if __name__ == "__main__":
    main()
