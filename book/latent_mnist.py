"""A learned prior on MNIST, at a frozen decoder: latent_mnist.json.

    python book/latent_mnist.py      everything: 5 minutes of one core
    python book/latent_mnist.py 0    seed 0: printed, not stored

Five ways to draw images. A decoder is learned by short chains under
N(0, I), then frozen while an energy of its latents is learned; one is
learned together with its prior; a VAE has the same net, data, batch and
rate, once with as many updates and once with ten times as many. What
differs between "N(0, I)" and "learned prior" is the prior alone.

Distances are those of features of a classifier that was trained on MNIST
at this size; they are no FID.
"""

import json
import pathlib
import sys
import time
from functools import cache

import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor, nn

import ebmlearn as el
from ebmlearn.evaluate import twosample
from ebmlearn.evaluate.images import image_distances
from ebmlearn.methods.classifier import train_classifier
from tables import made, write

FILE = pathlib.Path(__file__).with_suffix(".json")
SEEDS, SHOWN, JUDGED = (0, 1, 2), 25, 2000
LATENT, STD, BATCH, RATE = 10, 0.3, 100, 2e-3
UPDATES = {"decoder": 600, "prior": 200}
BOTH = sum(UPDATES.values())
SETTING = {
    "images": "14 x 14, means of 2 x 2 pixels, in [-1, 1]; 60,000",
    "decoder": f"MLP {LATENT}-256-196, SiLU, tanh; tau = {STD}",
    "prior": f"MLP {LATENT}-64-64-1 and the normal term, 0 at first",
    "chains": "prior 40 steps of 0.4, posterior 20 of 0.15, from N(0, I)",
    "updates": UPDATES,
    "batch": BATCH,
    "optimiser": f"Adam {RATE}, falling linearly to 0; a tenth of it for"
    " a prior that is learned together with its decoder",
    "judged by": f"{JUDGED} draws and as many test images",
}


def decoder() -> nn.Module:
    return el.nets.MLPGenerator(
        LATENT, (1, 14, 14), (256,), std=STD, bounded=True
    )


def prior() -> nn.Module:
    """It starts as N(0, I)."""
    net = el.nets.MLPEnergy(LATENT, (64, 64), reference_std=1.0)
    nn.init.zeros_(net.net[-1].weight)
    return net


def learn(method: el.Method, x: Tensor, steps: int) -> float:
    """Seconds of training."""
    start = time.process_time()
    el.fit(method, x, steps=steps, batch_size=BATCH, progress=False)
    return time.process_time() - start


CHAIN = el.Chain(el.ula, n_steps=20, step_size=0.15)
CHAINS = {
    "prior_chain": CHAIN.replace(n_steps=40, step_size=0.4),
    "posterior_chain": CHAIN,
}


def falling(steps: int, start: float = RATE):
    return el.schedules.linear(start, steps)


def at_a_frozen_decoder(x: Tensor, x_test: Tensor, seed: int):
    """Images, the updates and the seconds of training, for each way."""
    first, second = UPDATES.values()
    el.seed(seed)
    plain = el.ShortRunInference(decoder(), chain=CHAIN, lr=falling(first))
    seconds = learn(plain, x, first)
    g = plain.generator
    yield "N(0, I)", g(g.latent(JUDGED)).detach(), first, seconds
    el.seed(seed)
    frozen = el.LatentPrior(
        prior(), g, lr_prior=falling(second), lr_generator=0.0, **CHAINS
    )
    seconds += learn(frozen, x, second)
    images = g(frozen.sample_prior(JUDGED)).detach()
    yield "learned prior", images, BOTH, seconds
    images = g(frozen.infer(x_test)).detach()
    yield "codes of test images", images, BOTH, seconds


def both_at_once(x: Tensor, x_test: Tensor, seed: int):
    el.seed(seed)
    both = el.LatentPrior(
        prior(),
        decoder(),
        lr_prior=falling(BOTH, RATE / 10),
        lr_generator=falling(BOTH),
        **CHAINS,
    )
    seconds = learn(both, x, BOTH)
    images = both.generator(both.sample_prior(JUDGED)).detach()
    yield "both at once", images, BOTH, seconds


def vaes(x: Tensor, x_test: Tensor, seed: int):
    for name, steps in (("VAE", BOTH), ("VAE, equal time", 10 * BOTH)):
        el.seed(seed)
        net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(196, 256),
            nn.SiLU(),
            nn.Linear(256, 2 * LATENT),
        )
        encoder = el.posteriors.GaussianPosterior(net, LATENT)
        vae = el.VAE(decoder(), encoder, lr=falling(steps))
        seconds = learn(vae, x, steps)
        g = vae.generator
        yield name, g(g.latent(JUDGED)).detach(), steps, seconds


WAYS = (at_a_frozen_decoder, both_at_once, vaes)


@cache
def images_and_judge(size: int = 14):
    """Training images; two sets of test images; a classifier."""
    train, test = (
        el.data.load("mnist", split, size=size)
        for split in ("train", "test")
    )
    net = train_classifier(
        train.x, train.y, test.x, test.y, progress=False
    )
    mixed = torch.randperm(
        len(test.x), generator=torch.Generator().manual_seed(0)
    )
    x_test, other = test.x[mixed[: 2 * JUDGED]].split(JUDGED)
    return train.x, x_test, other, net


def run(seed: int, ways=WAYS) -> tuple[list[dict], dict[str, Tensor]]:
    """The rows of a seed, and images to show."""
    x, x_test, other, net = images_and_judge()
    shown, rows = {"test images": x_test[:SHOWN]}, []
    # what the measures say of images that are real
    found = [("other test images", other, 0, 0.0)]
    found += [row for way in ways for row in way(x, x_test, seed)]
    for name, images, steps, seconds in found:
        shown[name] = images[:SHOWN]
        rows.append(
            {"images": name, "seed": seed}
            | judge(x_test, images, net, seed)
            | {"updates": steps, "seconds": round(seconds, 1)}
        )
        print(rows[-1], flush=True)
    return rows, shown


def judge(x_test: Tensor, images: Tensor, net, seed: int) -> dict:
    """Fréchet distance; accuracies of a forest and of neighbours that
    are to tell the images from test images."""
    source = torch.Generator().manual_seed(seed)
    forest = RandomForestClassifier(random_state=seed)
    found = image_distances(x_test, images, net, generator=source)
    tests = {"forest": forest, "neighbours": None}
    return {"frechet": round(found.frechet, 2)} | {
        name: round(
            twosample.c2st(
                x_test, images, classifier=one, generator=source
            ).accuracy,
            4,
        )
        for name, one in tests.items()
    }


def pack(x: Tensor) -> str:
    """Images as hexadecimal grey values, two digits a pixel."""
    grey = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return bytes(grey.flatten().tolist()).hex()


def unpack(text: str) -> Tensor:
    """What `pack` packed, shape (n, 1, 14, 14)."""
    grey = torch.tensor(list(bytes.fromhex(text))) / 127.5 - 1
    return grey.view(-1, 1, 14, 14)


def stored() -> tuple[dict, dict[str, Tensor]]:
    """The file, and for each way to draw the Fréchet distances, forest's
    and neighbours' accuracies, (3, seeds)."""
    table = json.loads(FILE.read_text("utf-8"))
    found: dict[str, list] = {}
    for r in table["runs"]:
        row = [r["frechet"], r["forest"], r["neighbours"]]
        found.setdefault(r["images"], []).append(row)
    return table, {k: torch.tensor(v).T for k, v in found.items()}


def main(argv: list[str]) -> None:
    torch.set_num_threads(1)
    if argv:
        run(int(argv[0]))
        return
    table = {
        "made": made(),
        "setting": SETTING,
        "runs": [],
        "shown": {},
    }
    for seed in SEEDS:
        rows, shown = run(seed)
        table["runs"] += rows
        if seed == SEEDS[0]:
            table["shown"] = {k: pack(v) for k, v in shown.items()}
    write(FILE, table)


if __name__ == "__main__":
    main(sys.argv[1:])
