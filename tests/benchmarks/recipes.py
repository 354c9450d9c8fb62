"""What the recipes cost: parameters, and floating-point operations of an update. They are counted, not timed.

    python tests/benchmarks/recipes.py [NAME ...]

One step of each recipe at full size runs on a batch of two images on the CPU, while every matrix product and
convolution is counted, forwards and backwards; a multiplication and an addition are two operations. The count
grows with the batch, so it is scaled to the recipe's. Elementwise operations and noise do not count.
Flow contrastive estimation is counted in its warm-up, where the flow alone learns.
"""

import argparse

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ebmlearn.recipes import RECIPES

BATCH = 2


class CountFlops(TorchDispatchMode):
    """Adds up the operations of what runs inside. ``FlopCounterMode`` has hooks that ``autograd.grad``
    refuses."""

    total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def cost(name: str) -> dict:
    """A row: ``name``, trained ``parameters``, ``batch_size``, ``steps``, ``tflop_per_update``."""
    torch.manual_seed(0)
    recipe = RECIPES[name]()
    method = recipe.method(recipe.shape())
    n = recipe.batch_size if recipe.supervised else BATCH  # nets share a batch, and need all of it
    batch = x = torch.rand(n, *recipe.shape()) * 2 - 1
    if recipe.supervised:
        batch = (x, torch.arange(n) % 10)
    if (labels := recipe.labels) is not None:
        few = x[: max(1, BATCH * labels.batch_size // recipe.batch_size)]
        batch = (x, (few, torch.arange(len(few))))
    with CountFlops() as counter:
        method.step(batch)
    groups = [group for o in method.optimizers.values() for group in o.param_groups]
    return {
        "name": name,
        "parameters": sum(p.numel() for p in {p for group in groups for p in group["params"]}),
        "batch_size": recipe.batch_size,
        "steps": recipe.steps,
        "tflop_per_update": counter.total / n * recipe.batch_size / 1e12,
    }


def table(names=tuple(RECIPES)) -> list[dict]:
    """A row for each recipe; all of them take about five minutes."""
    return [cost(name) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*")
    for name in parser.parse_args().names or RECIPES:
        row = cost(name)
        exa = row["tflop_per_update"] * row["steps"] / 1e6
        print("{name:30}{parameters:12,} {tflop_per_update:9.2f} TFLOP an update,".format(**row), end=" ")
        print(f"{exa:.2f} EFLOP in all", flush=True)


if __name__ == "__main__":
    main()
