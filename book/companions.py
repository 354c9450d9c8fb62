"""Companion models on four Gaussians at longer budgets: companions.json.

    python book/companions.py            all: about 40 minutes of one core
    python book/companions.py encoder    one learner, likewise stored

Chapters 9 and 10 train for 500 updates while the reader waits. Here the
same nets, chain and batches have up to 8,000, with three seeds. Energy
and generator are judged by their exact divergence from the data. What is
there already is not run again.
"""

import itertools
import json
import pathlib
import sys
import warnings
from collections.abc import Iterable
from functools import partial

import torch

import ebmlearn as el
from ebmlearn import targets
from ebmlearn.evaluate import exact
from ebmlearn.recipes import plane
from tables import made, write

FILE = pathlib.Path(__file__).with_suffix(".json")
BUDGETS, SEEDS, BATCH = (500, 2000, 8000), (0, 1, 2), 200
SETTING = {
    "data": "four_weighted_gaussians",
    "nets": "plane.net(0), plane.generator(), encoder 2-64-4 SiLU",
    "chain": repr(plane.LONG_STEPS),
    "latent chain": "10 steps of ula, 0.1",
    "rates": "2e-3 for all, falling linearly to 0; Adam, beta_1 = 0.5",
    "batch": BATCH,
    "bank of persistent chains": 2000,
    "exact gradient": "60 points a side on (-6, 6)",
}


def dual(rate, weight: float) -> el.DualMCMC:
    return el.DualMCMC(
        plane.net(0),
        plane.generator(),
        plane.encoder(),
        chain=plane.LONG_STEPS,
        latent_chain=el.Chain(el.ula, n_steps=10, step_size=0.1),
        generator_weight=weight,
        lr_energy=rate,
        lr_generator=rate,
        lr_posterior=rate,
        optimizer=plane.ADAM,
    )


def persistent(rate) -> el.MaximumLikelihood:
    bank = el.ReplayBuffer(plane.SPREAD * torch.randn(2000, 2))
    how = {"chain": plane.LONG_STEPS, "lr": rate, "optimizer": plane.ADAM}
    return el.MaximumLikelihood(plane.net(0), bank, **how)


def exactly(rate) -> el.ExactLikelihood:
    log_z = exact.Grid((-6, 6), n=60).log_z
    return el.ExactLikelihood(
        plane.net(0), log_z, lr=rate, optimizer=plane.ADAM
    )


def known(rate) -> el.CoopNets:
    rates = {
        "lr_energy": rate,
        "lr_generator": rate,
        "optimizer": plane.ADAM,
    }
    both = plane.net(0), plane.generator()
    return el.CoopNets(*both, chain=plane.LONG_STEPS, **rates)


def amortised(rate) -> el.VariationalTeaching:
    rates = {"lr_energy": rate, "lr_vae": rate, "optimizer": plane.ADAM}
    three = plane.net(0), plane.generator(), plane.encoder()
    return el.VariationalTeaching(*three, chain=plane.LONG_STEPS, **rates)


LEARNERS = {
    "exact gradient": exactly,
    "persistent": persistent,
    "known z": known,
    "encoder": amortised,
    "dual, 0": partial(dual, weight=0.0),
    "dual, 1": partial(dual, weight=1.0),
    "dual, 50": partial(dual, weight=50.0),
}


def judged(method: el.Method) -> dict[str, float]:
    """Exact divergences from the data, in nats."""
    data = targets.four_weighted_gaussians()
    latents = exact.Grid((-4.5, 4.5), n=60)
    with warnings.catch_warnings():  # some mass may be beyond a box
        warnings.simplefilter("ignore")
        fine, rough = (
            exact.Grid((-10, 10), n=300),
            exact.Grid((-9, 9), n=150),
        )
        out = {"energy": exact.kl(data, method.energy, fine).value}
        if hasattr(method, "generator"):
            law = exact.marginal(method.generator, latents)
            out["generator"] = exact.kl(data, law, rough).value
    return out


def run(learner: str, updates: int, seed: int) -> dict:
    """One learner, trained and judged."""
    el.seed(seed)
    method = LEARNERS[learner](el.schedules.linear(2e-3, updates))
    data = targets.four_weighted_gaussians()
    el.fit(method, data.sample, steps=updates, batch_size=BATCH)
    about = {"learner": learner, "updates": updates, "seed": seed}
    return about | judged(method) | made()


def stored() -> dict:
    """The table, ``setting`` and ``runs``."""
    if not FILE.exists():
        return {"setting": SETTING, "runs": []}
    return json.loads(FILE.read_text(encoding="utf-8"))


def found(learner: str, updates: int, of: str = "energy") -> list[float]:
    """Divergences of energy or generator, by seed."""
    runs = sorted(stored()["runs"], key=lambda r: r["seed"])
    about = learner, updates
    return [r[of] for r in runs if (r["learner"], r["updates"]) == about]


def table(learners: Iterable[str], of: str = "energy") -> str:
    """Divergences of energy or generator: mean (range) of the seeds."""
    lines = ["updates" + "".join(f"{n:>20d}" for n in BUDGETS)]
    for learner in learners:
        line = f"{learner:14s}"
        for updates in BUDGETS:
            nats = found(learner, updates, of)
            mean, low, high = sum(nats) / len(nats), min(nats), max(nats)
            line += f"{f'{mean:.2f} ({low:.2f}-{high:.2f})':>20s}"
        lines.append(line)
    return "\n".join(lines)


def main(names: list[str]) -> None:
    table = stored()
    if table["setting"] != json.loads(json.dumps(SETTING)):
        table = {"setting": SETTING, "runs": []}
    there = {
        (r["learner"], r["updates"], r["seed"]) for r in table["runs"]
    }
    todo = itertools.product(BUDGETS, names or LEARNERS, SEEDS)
    for updates, learner, seed in todo:
        if (learner, updates, seed) not in there:
            table["runs"].append(run(learner, updates, seed))
            print(table["runs"][-1], flush=True)
            write(FILE, table)


if __name__ == "__main__":
    main(sys.argv[1:])
