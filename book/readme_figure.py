"""Draw book/_static/readme.png: good samples do not mean a good energy.

    make figure

Two energies are learned on the same four Gaussians of unequal weight. They
differ in where the chains start: in place (persistent), or in noise.
"""

import pathlib

import matplotlib
import torch

import ebmlearn as el
from ebmlearn import viz
from ebmlearn.evaluate import exact, twosample
from ebmlearn.recipes.plane import PLANE, TARGETS


def learn(name: str, target) -> el.MaximumLikelihood:
    el.seed(0)
    method, _ = PLANE[name].train(target)
    return method


def main() -> None:
    matplotlib.use("agg")
    torch.set_num_threads(1)
    el.seed(0)
    viz.style()
    import matplotlib.pyplot as plt

    target = TARGETS["T4"]()
    grid = exact.Grid(target.box)
    persistent = learn("persistent chains", target)
    short = learn("short run", target)
    samples = short.sample(1000)
    test = twosample.mmd(target.sample(1000), samples)

    kl = [
        exact.kl(target, m.energy, grid).value for m in (persistent, short)
    ]
    panels = {
        "exact density": target,
        f"persistent chains:\nKL = {kl[0]:.2f} nats": persistent.energy,
        f"20 steps from noise:\nKL = {kl[1]:.1f} nats": short.energy,
    }
    size = {"figsize": (9.6, 2.9), "layout": "compressed"}
    _, axes = plt.subplots(1, 4, **size)
    for ax, (title, energy) in zip(axes, panels.items(), strict=False):
        viz.energy_map(energy, ax, box=target.box, colorbar=False)
        ax.set_title(title)
    viz.samples(samples, axes[3], box=target.box, color=viz.MODEL, size=3)
    n, p = len(samples), test.p_value
    axes[3].set_title(f"{n:,} short-run samples:\nMMD p = {p:.2f}")
    for ax in axes:
        ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    path = pathlib.Path(__file__).parent / "_static" / "readme.png"
    plt.savefig(path, metadata={"Software": None})
    print(*panels, test, sep="\n")


if __name__ == "__main__":
    main()
