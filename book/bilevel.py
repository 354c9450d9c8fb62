"""Bi-level doubly variational learning in the plane: bilevel.json.

    python book/bilevel.py             all: about 8 minutes of one core
    python book/bilevel.py terms       one of the two tables, likewise

``terms``: the method on eight Gaussians with each of its terms left out,
judged along training. ``learners``: one machine with four hidden units, on
four Gaussians with noise, learned in four ways. Three seeds each; energies
and generators are judged by their exact divergence from the data. What is
there already is not run again.
"""

import json
import pathlib
import sys
import warnings
from functools import partial

import torch
from torch import nn

import ebmlearn as el
from ebmlearn import energy, nets, objectives, posteriors, targets
from ebmlearn.evaluate import exact
from ebmlearn.recipes import plane
from tables import made, write

FILE = pathlib.Path(__file__).with_suffix(".json")
SEEDS, BATCH = (0, 1, 2), 200
ADAM = partial(torch.optim.Adam, betas=(0.0, 0.9), fused=True)
RATES = {"lr_energy": 3e-4, "lr_autoencoder": 1e-3, "optimizer": ADAM}
BASE = {"data_weight": 0.05, "latent_weight": 1.0, "latent_std": 1.0}

TERMS = {
    "all terms": {},
    "no reconstruction of h": {"latent_weight": 0.0},
    "no data": {"data_weight": 0.0},
    "data alone": {"data_weight": 1000.0},
    "scale 0.3": {"latent_std": 0.3},
    "the encoder's scale": {"latent_std": None},
}
BUDGETS = (250, 500, 1000, 2000)
LONG = (4000,)  # of all terms only
LEARNERS = ("exact", "BiSM", "VaGES", "BiDVL, 1", "BiDVL, 0.3")
UPDATES = 1400
SETTING = {
    "terms": {
        "data": "eight_gaussians",
        "nets": "plane.net(0), MLPGenerator 2-64-64-2 with std 0.15, "
        "plane.encoder()",
        "base": BASE,
        "rates": "energy 3e-4, generator and encoder 1e-3, constant; "
        "Adam, betas 0 and 0.9",
        "batch": BATCH,
    },
    "learners": {
        "data": "four_weighted_gaussians with noise of 0.3",
        "model": "GRBM(2, 4), match_moments(std_scale=0.5)",
        "posterior of BiSM and VaGES": "linear, K = 5 steps at 0.05",
        "rates": "0.05 (BiDVL 5e-3, generator and encoder 1e-3), falling "
        "linearly to 0",
        "updates": UPDATES,
        "batch": BATCH,
    },
}


def learner(**settings) -> el.BiDVL:
    """The method on eight Gaussians, untrained."""
    generator = nets.MLPGenerator(2, (2,), (64, 64), std=0.15)
    three = plane.net(0), generator, plane.encoder()
    return el.BiDVL(*three, **(RATES | BASE | settings))


def judged(method: el.BiDVL) -> dict[str, float]:
    """Exact divergences in nats; the share of 4,000 draws within three
    standard deviations of a mode, and the modes with 2 % of them; the
    range of the energy on the grid."""
    data = targets.eight_gaussians()
    grid, rough = exact.Grid((-6, 6), n=150), exact.Grid((-5, 5), n=120)
    law = exact.marginal(method.generator, exact.Grid((-4.5, 4.5), n=60))
    nearest = torch.cdist(method.sample(4000), data.means).min(1)
    inside = nearest.indices[nearest.values < 3 * data.std[0]]
    share = inside.bincount(minlength=8) / 4000
    with torch.no_grad():
        e = method.energy(grid.points)
    with warnings.catch_warnings():  # some mass may be beyond the box
        warnings.simplefilter("ignore")
        return {
            "energy": exact.kl(data, method.energy, grid).value,
            "generator": exact.kl(data, law, rough).value,
            "inside": share.sum().item(),
            "modes": int((share > 0.02).sum()),
            "range": (e.max() - e.min()).item(),
        }


def terms(name: str, seed: int) -> list[dict]:
    """One variant, judged along training."""
    el.seed(seed)
    method, rows, done = learner(**TERMS[name]), [], 0
    data = targets.eight_gaussians()
    for updates in BUDGETS + (LONG if name == "all terms" else ()):
        try:
            steps = updates - done
            el.fit(method, data.sample, steps=steps, batch_size=BATCH)
        except FloatingPointError as stop:
            rows.append({"updates": updates, "stopped": str(stop)})
            break
        done = updates
        rows.append({"updates": updates} | judged(method))
    return rows


def noisy() -> energy.GaussianMixture:
    """Four Gaussians with noise: what denoising learns."""
    data = targets.four_weighted_gaussians()
    wider = (data.std.square() + 0.3**2).sqrt()
    return energy.GaussianMixture(data.means, wider, data.weights)


def machine(name: str, seed: int) -> list[dict]:
    """The machine, learned in one of the ways."""
    el.seed(99)
    clean = targets.four_weighted_gaussians().sample(10_000)
    el.seed(seed)
    rbm = energy.GRBM(2, 4).match_moments(clean, std_scale=0.5)
    x, law = clean + 0.3 * torch.randn_like(clean), noisy()
    rate = el.schedules.linear(0.05, UPDATES)
    denoise = partial(objectives.denoising_score_matching, sigma=0.3)
    q = posteriors.BernoulliPosterior(nn.Linear(2, 4), 4)
    inner = {"n_steps": 5, "lr_posterior": 0.05, "lr": rate}
    if name == "exact":
        method = el.ExactLikelihood(rbm, lambda e: e.log_z, lr=rate)
    elif name == "BiSM":
        method, x = el.BiSM(rbm, q, denoise, **inner), clean
    elif name == "VaGES":
        method, x = el.VaGES(rbm, q, denoise, **inner), clean
    else:
        rates = {
            "lr_energy": el.schedules.linear(5e-3, UPDATES),
            "lr_autoencoder": el.schedules.linear(1e-3, UPDATES),
        }
        own = BASE | {"latent_std": float(name.split()[1])} | rates
        three = rbm, plane.generator(), plane.encoder()
        method = el.BiDVL(*three, optimizer=ADAM, **own)
    el.fit(method, x, steps=UPDATES, batch_size=BATCH)
    grid = exact.Grid((-10, 10), n=150)
    row = {"updates": UPDATES, "energy": exact.kl(law, rbm, grid).value}
    if hasattr(method, "generator"):
        latents = exact.Grid((-4.5, 4.5), n=60)
        g = exact.marginal(method.generator, latents)
        row["generator"] = exact.kl(law, g, grid).value
    return [row]


def stored() -> dict:
    """The table, ``setting`` and ``runs``."""
    if not FILE.exists():
        return {"setting": SETTING, "runs": []}
    return json.loads(FILE.read_text(encoding="utf-8"))


def found(name: str, updates: int, of: str = "energy") -> list[float]:
    """A number of each seed."""
    runs = sorted(stored()["runs"], key=lambda r: r["seed"])
    rows = [row for r in runs if r["name"] == name for row in r["rows"]]
    return [r[of] for r in rows if r["updates"] == updates and of in r]


def main(tables: list[str]) -> None:
    table = stored()
    if table["setting"] != json.loads(json.dumps(SETTING)):
        table = {"setting": SETTING, "runs": []}
    there = {(r["name"], r["seed"]) for r in table["runs"]}
    todo = [(terms, n) for n in TERMS if "terms" in tables]
    todo += [(machine, n) for n in LEARNERS if "learners" in tables]
    for seed in SEEDS:
        for rows, name in todo:
            if (name, seed) in there:
                continue
            run = {"name": name, "seed": seed, "rows": rows(name, seed)}
            table["runs"].append(run | made())
            print(run, flush=True)
            write(FILE, table)


if __name__ == "__main__":
    main(sys.argv[1:] or ["terms", "learners"])
