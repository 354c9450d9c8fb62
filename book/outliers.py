"""Images from elsewhere, found by models of digits: outliers.json.

    python book/outliers.py            what the file lacks; all of it
                                       takes 7 minutes of one core
    python book/outliers.py BiDVL 0    a learner, a seed: not stored

Models learn the digits of scikit-learn, 8 x 8 pixels. Each scores the
test digits, and outliers of several kinds. Reported is the area under the
ROC curve: the probability that a random outlier has a higher score than a
random test digit. One half is a coin, 0 the worst order. Training digits
are no outliers; below one half the learner knows them by heart.

All learners with nets have the same decoder, updates, batch and rate. The
rates and weights are those of `anomaly_mnist`, chosen by reconstructions
of training data. Areas of VAE and triangle at 2,000 updates, the energy's
rate falling from 3e-4, had been seen before; the updates were halved to
save time. A seed decides weights, batches, draws and outliers; the
split into training and test digits stays. Energies learn to tell data
from draws, which have the noise of the decoder; those called "no noise"
leave it out, as the authors' code does.
"""

import pathlib
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

import ebmlearn as el
from anomaly_mnist import latent_prior
from tables import made_by_seed, read

FILE = pathlib.Path(__file__).with_suffix(".json")
SEEDS, N = (0, 1, 2, 3, 4), 1000
LATENT, STD, BATCH, SHAPE, UPDATES = 8, 0.3, 100, (1, 8, 8), 1000
LEARNERS = (
    "BiDVL",
    "BiDVL, hinge",
    "BiDVL, no noise",
    "divergence triangle",
    "divergence triangle, no noise",
    "latent prior",
    "VAE",
)
CLASSIC = "Gaussian of pixels", "PCA", "nearest neighbour"
OUTLIERS = (
    "MNIST",
    "MNIST, as bright",
    "uniform noise",
    "constant images",
    "pixels permuted",
    "inverted",
    "training digits",
)
SETTING = {
    "images": "digits of scikit-learn, 8 x 8, in [-1, 1]",
    "decoder": f"MLP {LATENT}-128-128-64, SiLU, tanh; tau = {STD}",
    "encoder": f"MLP 64-128-128-{2 * LATENT}",
    "updates": UPDATES,
    "batch": BATCH,
    "optimiser": "Adam 1e-3, falling linearly to 0; energies 1e-4; betas 0"
    " and 0.9 for BiDVL and triangle",
    "energy, triangle": f"MLP of 64-128 and {LATENT}-128, joined, 128-1;"
    " SiLU, spectral norms; weight 1, the paper's sign",
    "energy, BiDVL": "MLP 64-128-128-1, SiLU; both weights 1, the"
    " difference as loss, or the hinge",
    "latent prior": f"MLP {LATENT}-128-128-1 and the normal term, 20 steps"
    " of 0.4; posterior 20 of 0.15; from N(0, I)",
    "outliers": f"{N} of MNIST, of noise and of constant images; all test"
    " digits with one permutation of pixels, and inverted",
    "MNIST": "test images, 8 x 8 by means of areas",
    "as bright": "a power of (x + 1) / 2, with the test digits' mean",
}


def digits() -> tuple[Tensor, Tensor]:
    """Training and test images."""
    return el.data.load("digits").x, el.data.load("digits", "test").x


def as_bright(x: Tensor, mean: float) -> Tensor:
    """Images to a power that gives them this mean, in [-1, 1] as they."""
    low, high = 0.01, 100.0
    for _ in range(60):
        power = (low * high) ** 0.5
        bright = 2 * ((x + 1) / 2) ** power - 1
        low, high = (power, high) if bright.mean() > mean else (low, power)
    return bright


def outliers(test: Tensor, mnist: Tensor, seed: int) -> dict[str, Tensor]:
    """Images of each kind, in [-1, 1]."""
    source = torch.Generator().manual_seed(seed)
    some = mnist[torch.randperm(len(mnist), generator=source)[:N]]
    order = torch.randperm(test[0].numel(), generator=source)
    grey = torch.rand(N, 1, 1, 1, generator=source)
    noise = torch.rand(N, *test.shape[1:], generator=source)
    images = (
        some,
        as_bright(some, test.mean().item()),
        2 * noise - 1,
        (2 * grey - 1).expand(N, *test.shape[1:]),
        test.flatten(1)[:, order].view_as(test),
        -test,
    )
    return dict(zip(OUTLIERS[:-1], images, strict=True))


def untrained(name: str) -> el.Method:
    """An untrained learner; all have the same decoder."""
    decoder = el.nets.MLPGenerator(
        LATENT, SHAPE, (128, 128), std=STD, bounded=True
    )
    rate = el.schedules.linear(1e-3, UPDATES)
    if name == "latent prior":
        return latent_prior(decoder, rate)
    net = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 128),
        nn.SiLU(),
        nn.Linear(128, 128),
        nn.SiLU(),
        nn.Linear(128, 2 * LATENT),
    )
    encoder = el.posteriors.GaussianPosterior(net, LATENT)
    if name == "VAE":
        return el.VAE(decoder, encoder, lr=rate)
    noise = not name.endswith("no noise")
    if name.startswith("BiDVL"):
        return el.BiDVL(
            el.nets.MLPEnergy(64, (128, 128)),
            decoder,
            encoder,
            loss="hinge" if name.endswith("hinge") else "difference",
            noise=noise,
            lr_autoencoder=rate,
        )
    return el.DivergenceTriangle(
        el.nets.JointMLPEnergy(SHAPE, LATENT, (128,), spectral_norm=True),
        decoder,
        encoder,
        noise=noise,
        lr_generator=rate,
        lr_posterior=rate,
    )


@torch.no_grad()
def scores(method: el.Method, x: Tensor) -> dict[str, Tensor]:
    """Scores of each image, high for an outlier.

    ``own`` is what the learner itself has: E(x), E(x, mu(x)),
    -log p(x, z) at the end of a chain, minus the ELBO. ``reconstruction``
    is -log p(x|z) at mu(x), or at the end of the chain.
    """
    if isinstance(method, el.LatentPrior):
        z = method.infer(x)
        nats = method.generator.reconstruction(x, z)
        return {"own": nats + method.prior(z), "reconstruction": nats}
    nats = method.generator.reconstruction(x, method.posterior.mean(x))
    return {"own": method.anomaly(x), "reconstruction": nats}


def classic(name: str, train: Tensor) -> Callable[[Tensor], dict]:
    """Scores by scikit-learn: the Mahalanobis distance; the error of a
    projection to as many dimensions as the others have latents; the
    distance to the nearest training digit."""

    def flat(x: Tensor) -> np.ndarray:
        return x.flatten(1).double().numpy()

    if name == "Gaussian of pixels":
        gaussian = LedoitWolf().fit(flat(train))
        return lambda x: {"own": gaussian.mahalanobis(flat(x))}
    if name == "PCA":
        pca = PCA(LATENT, svd_solver="full").fit(flat(train))

        def error(x: Tensor) -> dict:
            back = pca.inverse_transform(pca.transform(flat(x)))
            return {"own": ((flat(x) - back) ** 2).sum(1)}

        return error
    near = NearestNeighbors(n_neighbors=1).fit(flat(train))
    return lambda x: {"own": near.kneighbors(flat(x))[0][:, 0]}


def run(learner: str, seed: int) -> dict:
    """Area by score and kind of outlier; mean squared error of a pixel in
    training digits, where there is a decoder; seconds of training."""
    train, test = digits()
    mnist = el.data.load("mnist", "test", size=8).x
    el.seed(seed)
    start = time.process_time()
    out: dict = {}
    if learner in CLASSIC:
        score = classic(learner, train)
    else:
        method = untrained(learner)
        el.fit(method, train, steps=UPDATES, batch_size=BATCH)
        # spectral norms stay as they are
        score = partial(scores, method.eval())
        nats = score(train)["reconstruction"].mean().item()
        error = nats * 2 * STD**2 / train[0].numel()
        out["error"] = round(error, 4)
    seconds = time.process_time() - start
    normal = score(test)
    areas: dict[str, dict] = {kind: {} for kind in normal}
    kinds = outliers(test, mnist, seed) | {"training digits": train}
    for what, images in kinds.items():
        for kind, high in score(images).items():
            both = np.concatenate([normal[kind], high])
            anomaly = np.arange(len(both)) >= len(test)
            area = roc_auc_score(anomaly, both)
            areas[kind][what] = round(float(area), 4)
    return {"area": areas} | out | {"seconds": round(seconds, 1)}


def stored() -> tuple[dict, dict[tuple[str, str], Tensor]]:
    """The file, and for each learner and score ("own", "reconstruction")
    the areas, (outliers, seeds)."""
    table = read(FILE)
    found: dict[tuple[str, str], Tensor] = {}
    for r in table["runs"]:
        for kind, areas in r["area"].items():
            empty = torch.full((len(OUTLIERS), len(SEEDS)), torch.nan)
            cell = found.setdefault((r["learner"], kind), empty)
            for what, area in areas.items():
                cell[OUTLIERS.index(what), r["seed"]] = area
    return table, found


def main(argv: list[str]) -> None:
    made_by_seed(argv, FILE, SETTING, run, (*LEARNERS, *CLASSIC), SEEDS)


if __name__ == "__main__":
    main(sys.argv[1:])
