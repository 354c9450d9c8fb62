"""Anomaly detection on MNIST: makes anomaly_mnist.json of chapter 14.

    python book/anomaly_mnist.py       everything: 12 minutes of one core
    python book/anomaly_mnist.py 9 0   digit 9, seed 0: printed, not stored

Protocol, that of the code of arXiv:2310.03218, which follows the paper on
latent priors, arXiv:2006.08205: both splits of MNIST are pooled. One digit
is held out. Of the others 80 % train and 20 % test; all images of the
held-out digit are in the test set too. A score orders the test set, high
means anomalous; reported is the average precision with which it finds the
held-out digit.

Ours: 14 x 14 pixels, an MLP as decoder, few updates, one setting for all
digits. It was chosen by reconstructions of training data, before any
average precision was looked at.
"""

import json
import pathlib
import sys
import time
from itertools import product

import torch
from sklearn.metrics import average_precision_score
from torch import Tensor, nn

import ebmlearn as el
from tables import made, write

FILE = pathlib.Path(__file__).with_suffix(".json")
DIGITS, SEEDS = (1, 4, 5, 7, 9), (0, 1, 2)
LATENT, STD, BATCH = 8, 0.3, 128
# updates of each learner: a VAE takes a tenth of the time of the prior
UPDATES = {"LEBM": 400, "VAE": 400, "VAE, equal time": 4000}
STEP_SIZE = 0.15
SETTING = {
    "images": "14 x 14, means of 2 x 2 pixels, in [-1, 1]",
    "decoder": f"MLP {LATENT}-256-196, SiLU, tanh; tau = {STD}",
    "updates": UPDATES,
    "batch": BATCH,
    "optimiser": "Adam 1e-3, falling linearly to 0; prior of LEBM 1e-4",
    "prior": f"MLP {LATENT}-128-128-1, 20 steps of size 0.4",
    "posterior": f"20 steps of size {STEP_SIZE} from N(0, I)",
    "encoder": f"MLP 196-256-{2 * LATENT}",
}


def pooled() -> tuple[Tensor, Tensor]:
    """The 70,000 images, (N, 1, 14, 14), and their digits."""
    splits = "train", "test"
    parts = [el.data.load("mnist", split, size=14) for split in splits]
    return torch.cat([p.x for p in parts]), torch.cat([p.y for p in parts])


def hold_out(x: Tensor, y: Tensor, digit: int, seed: int):
    """Training images; test images; whether a test image is an anomaly."""
    normal, anomaly = x[y != digit], x[y == digit]
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(normal), generator=source)
    train, test = (
        order[: len(order) * 4 // 5],
        order[len(order) * 4 // 5 :],
    )
    found = torch.cat([torch.zeros(len(test)), torch.ones(len(anomaly))])
    return normal[train], torch.cat([normal[test], anomaly]), found.bool()


def learner(name: str) -> el.Method:
    """An untrained learner; all have the same decoder."""
    decoder = el.nets.MLPGenerator(
        LATENT, (1, 14, 14), (256,), std=STD, bounded=True
    )
    rate = el.schedules.linear(1e-3, UPDATES[name])
    if name == "LEBM":
        chain = el.Chain(el.ula, n_steps=20, step_size=STEP_SIZE)
        return el.LatentPrior(
            el.nets.MLPEnergy(LATENT, (128, 128), reference_std=1.0),
            decoder,
            prior_chain=chain.replace(step_size=0.4),
            posterior_chain=chain,
            lr_prior=1e-4,
            lr_generator=rate,
        )
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(196, 256),
        nn.SiLU(),
        nn.Linear(256, 2 * LATENT),
    )
    encoder = el.posteriors.GaussianPosterior(net, LATENT)
    return el.VAE(decoder, encoder, lr=rate)


@torch.no_grad()
def scores(method: el.Method, x: Tensor) -> dict[str, Tensor]:
    """Scores of each image, at one draw of z from its inferred posterior.

    ``joint`` is -log p(x, z): the squared error over 2 tau^2, plus the
    energy of z. ``unit weight`` has the squared error as it is.
    """
    if isinstance(method, el.VAE):
        z = method.posterior.sample(x)[0]
        energy = 0.5 * z.square().sum(1)
    else:
        z = method.infer(x)
        energy = method.prior(z)
    nats = method.generator.reconstruction(x, z)
    out = {
        "joint": nats + energy,
        "unit weight": 2 * STD**2 * nats + energy,
        "reconstruction": nats,
        "energy of z": energy,
    }
    if isinstance(method, el.VAE):
        out["minus ELBO"] = nats + method.posterior.kl(x)
    return out


def run(name: str, x: Tensor, y: Tensor, digit: int, seed: int) -> dict:
    """Average precision by score; reconstruction of the normal test images
    (nats); and the seconds of training."""
    train, test, anomaly = hold_out(x, y, digit, seed)
    el.seed(seed)
    method = learner(name)
    start = time.process_time()
    el.fit(
        method,
        train,
        steps=UPDATES[name],
        batch_size=BATCH,
        progress=False,
    )
    seconds = time.process_time() - start
    found = scores(method, test)
    out = {
        score: round(average_precision_score(anomaly, value), 4)
        for score, value in found.items()
    }
    nats = found["reconstruction"][~anomaly].mean().item()
    return {
        "average precision": out,
        "anomalies": round(anomaly.float().mean().item(), 4),
        "nats": round(nats, 2),
        "seconds": round(seconds, 1),
    }


def stored() -> tuple[dict, dict[tuple[str, str], Tensor]]:
    """The file, and for each learner and score the average precisions,
    (digits, seeds)."""
    table = json.loads(FILE.read_text("utf-8"))
    found: dict[tuple[str, str], Tensor] = {}
    for r in table["runs"]:
        for score, value in r["average precision"].items():
            empty = torch.full((len(DIGITS), len(SEEDS)), torch.nan)
            cell = found.setdefault((r["learner"], score), empty)
            cell[DIGITS.index(r["digit"]), r["seed"]] = value
    return table, found


def main(argv: list[str]) -> None:
    torch.set_num_threads(1)
    x, y = pooled()
    if argv:
        for name in UPDATES:
            print(name, run(name, x, y, int(argv[0]), int(argv[1])))
        return
    table = {
        "made": made(),
        "setting": SETTING,
        "runs": [],
    }
    for name, seed, digit in product(UPDATES, SEEDS, DIGITS):
        who = {"learner": name, "digit": digit, "seed": seed}
        table["runs"].append(who | run(name, x, y, digit, seed))
        print(table["runs"][-1], flush=True)
    write(FILE, table)


if __name__ == "__main__":
    main(sys.argv[1:])
