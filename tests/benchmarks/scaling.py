"""How the time of a Langevin chain grows: slopes in log-log, 1 being proportional.

    python tests/benchmarks/scaling.py [--repeats 5]

`MLPEnergy` of 128-128 (2 inputs, 1,000 chains, 10 steps unless they vary), whose weights grow with the square
of its width; `ConvEnergy` for the pixels of an image, and for latents the posterior of a `ConvGenerator` of
28 x 28 (64 chains, 5 steps). A slope is that of a straight line through the medians; below 1 a fixed cost is
seen.
"""

import argparse
import math
import statistics
from collections.abc import Callable
from functools import partial

import torch
from timing import in_turn

from ebmlearn.energy import Energy
from ebmlearn.nets import ConvEnergy, ConvGenerator, MLPEnergy
from ebmlearn.sample import langevin

RANGES = {
    "chains": (1000, 2000, 4000, 8000, 16_000),
    "dimension": (256, 512, 1024, 2048, 4096),
    "steps": (10, 20, 40, 80, 160),
    "width": (64, 128, 256, 512, 1024),
    "pixels": (16**2, 24**2, 32**2, 48**2, 64**2),
    "latents": (16, 32, 64, 128, 256),
}


def chain(quantity: str, value: int) -> Callable[[], object]:
    """A run of Langevin dynamics in which one quantity has a value."""
    sizes = {"chains": 1000, "dimension": 2, "steps": 10, "width": 128} | {quantity: value}
    net: Energy = MLPEnergy(sizes["dimension"], (sizes["width"], sizes["width"]))
    x = torch.randn(sizes["chains"], sizes["dimension"])
    if quantity == "pixels":
        side = math.isqrt(value)
        net, x, sizes["steps"] = ConvEnergy(1, side), torch.rand(64, 1, side, side) * 2 - 1, 5
    if quantity == "latents":
        images, sizes["steps"] = torch.rand(64, 1, 28, 28) * 2 - 1, 5
        net, x = partial(ConvGenerator(value, 1, 28, (64, 32)).joint, images), torch.randn(64, value)
    return partial(langevin, net, x, n_steps=sizes["steps"], step_size=0.1)


def table(repeats: int = 5) -> list[dict]:
    """Rows ``quantity, start, end, slope, ms_start, ms_end``."""
    torch.manual_seed(0)
    rows = []
    for quantity, values in RANGES.items():
        seconds = in_turn({str(value): chain(quantity, value) for value in values}, repeats)
        medians = [statistics.median(times) for times in seconds.values()]
        line = statistics.linear_regression([math.log(v) for v in values], [math.log(m) for m in medians])
        rows.append(
            {
                "quantity": quantity,
                "start": values[0],
                "end": values[-1],
                "slope": line.slope,
                "ms_start": 1e3 * medians[0],
                "ms_end": 1e3 * medians[-1],
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for row in table(parser.parse_args().repeats):
        print(
            "{quantity:10} from {start:5} to {end:5}: slope {slope:.2f}, "
            "{ms_start:.1f} to {ms_end:.1f} ms".format(**row)
        )


if __name__ == "__main__":
    main()
