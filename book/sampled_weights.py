"""Many small nets for the digits, made in several ways: the table of
chapter 20, sampled_weights.json.

    python book/sampled_weights.py          what the file lacks; all of it
                                            takes 9 minutes of one core
    python book/sampled_weights.py SGLD 0   a learner, a seed: not stored

Every learner makes 32 nets of 64-16-10 units for the digits of
scikit-learn, and sees as many images: 1,200 updates of 32 nets with 32
images each, or as many images in larger batches where it trains one net.
Its ensemble is the mean of the probabilities of the 32 nets; draws of the
sampler cost one pass each, and 32 are drawn.

    sampler, lam    a hypernetwork with the inverse temperature lam
    deep ensemble   32 nets, each from its own start (Adam)
    SWAG            one net, a Gaussian around the mean of its iterates:
                    the diagonal and a rank of 20 (SGD, constant rate)
    dropout         one net, hidden units left out with probability 0.05,
                    in training and in 32 passes afterwards
    SGLD            the ends of 32 Langevin chains on minibatches, on the
                    posterior of Bayes
    one net         trained on the labels
    distilled       one net, trained on the probabilities of the sampler's
                    ensemble on the training images, lam = 100

Rates, the share of dropout and the step of SGLD were chosen from a few
values with 300 of the training digits held out, at one seed, and never
with the test digits. A seed decides starts, batches and draws; the split
into training and test digits stays.
"""

import pathlib
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn.functional import cross_entropy, linear, relu

import ebmlearn as el
from tables import made_by_seed, read

FILE = pathlib.Path(__file__).with_suffix(".json")
SEEDS = (0, 1, 2, 3, 4)
LAMS = (10, 30, 100, 300, 1000)
RIVALS = "deep ensemble", "SWAG", "dropout", "SGLD"
SINGLE = "one net", "distilled"
LEARNERS = (*(f"sampler, {lam}" for lam in LAMS), *RIVALS, *SINGLE)
STEPS, NETS, SHARE, LARGE = 1200, 32, 32, 256
LATENT, PRIOR, RATE, DROPPED = 20, 1.0, 1e-2, 0.05
SWAG_RATE, SGLD_STEP = 0.01, 0.02
SETTING = {
    "images": "digits of scikit-learn, 8 x 8, in [-1, 1]",
    "net": "64-16-10, ReLU, 1,210 weights",
    "images seen": f"{STEPS} updates of {NETS} nets, {SHARE} images each;"
    f" one net: batches of {LARGE}",
    "sampler": f"MLP {LATENT}-128-128-1210, prior of standard deviation"
    f" {PRIOR:g}, Adam {RATE:g} falling linearly to 0",
    "nets": f"Adam {RATE:g} falling linearly to 0",
    "SWAG": f"half of the updates Adam, then SGD {SWAG_RATE:g}, momentum"
    " 0.9; an iterate of every 20 updates, rank 20",
    "dropout": f"{DROPPED:g} of the hidden units",
    "SGLD": f"step {SGLD_STEP:g}, prior {PRIOR:g}, lam the number of data",
    "outliers": "test digits with one permutation of pixels; inverted;"
    " uniform noise",
}


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and labels, of training and of test."""
    train, test = el.data.load("digits"), el.data.load("digits", "test")
    return train.x, train.y, test.x, test.y


def target() -> el.nets.ReLUTarget:
    """The net whose weights are sought."""
    return el.nets.ReLUTarget((1, 8, 8), 10, (16,))


def energy(lam: float) -> el.nets.WeightEnergy:
    """The energy of its weights."""
    return el.nets.WeightEnergy(target(), lam=lam, prior_std=PRIOR)


def sampler(
    lam: float, latent: int = LATENT, **changes
) -> el.WeightSampler:
    """An untrained sampler."""
    E = energy(lam)
    h = el.nets.MLPHypernetwork(E.target.n_weights, latent, (128, 128))
    rate = el.schedules.linear(RATE, STEPS)
    return el.WeightSampler(h, E, n_nets=NETS, lr=rate, **changes)


def calibration_error(p: Tensor, y: Tensor, bins: int = 10) -> float:
    """Expected calibration error: in each tenth of confidence, how far the
    mean confidence is from the accuracy, weighed by its share."""
    sure, said = p.max(1)
    right = (said == y).float()
    part = (sure * bins).ceil().clamp(1, bins)
    gaps = [
        (right[part == b].sum() - sure[part == b].sum()).abs()
        for b in range(1, bins + 1)
    ]
    return (sum(gaps) / len(y)).item()


def entropy(p: Tensor) -> Tensor:
    """Of the classes of each image, in nats."""
    return -(p * p.clamp(min=1e-30).log()).sum(1)


def scores(each: Tensor, y: Tensor) -> dict[str, float]:
    """Of the probabilities of nets, (nets, images, classes)."""
    n, mean = len(each), each.mean(0)
    said = each.argmax(2)
    same = torch.stack([(said == one).float().mean(1) for one in said])
    found = {
        "accuracy of a net": (said == y).float().mean().item(),
        "accuracy": (mean.argmax(1) == y).float().mean().item(),
        "calibration error": calibration_error(mean, y),
        "nats": -mean[range(len(y)), y]
        .clamp(min=1e-30)
        .log()
        .mean()
        .item(),
    }
    if n > 1:
        apart = (n**2 - same.sum().item()) / (n**2 - n)
        found["disagreement"] = apart
    return found


def outliers(x: Tensor, seed: int) -> dict[str, Tensor]:
    """Images that are no digits, or digits of another look."""
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(x[0].numel(), generator=source)
    return {
        "permuted": x.flatten(1)[:, order].view_as(x),
        "inverted": -x,
        "noise": 2 * torch.rand(x.shape, generator=source) - 1,
    }


def descend(
    weights: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    n_images: int,
    batch: int,
    steps: int,
) -> Tensor:
    """Adam on the weights of nets, each with batches of its own."""
    weights = weights.clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=RATE)
    for i in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 - i / steps)
        chosen = torch.randint(n_images, (len(weights), batch))
        optimizer.zero_grad()
        loss(weights, chosen).sum().backward()
        optimizer.step()
    return weights.detach()


def swag(weights: Tensor, loss, n_images: int, steps: int) -> Tensor:
    """32 draws around the iterates of SGD with a constant rate."""
    weights = weights.clone().requires_grad_()
    optimizer = torch.optim.SGD([weights], lr=SWAG_RATE, momentum=0.9)
    kept = []
    for i in range(steps):
        chosen = torch.randint(n_images, (1, LARGE))
        optimizer.zero_grad()
        loss(weights, chosen).sum().backward()
        optimizer.step()
        if i % 20 == 19:
            kept.append(weights.detach()[0].clone())
    iterates = torch.stack(kept)
    mean, std = iterates.mean(0), iterates.std(0)
    off = iterates[-20:] - mean
    one, two = torch.randn(NETS, len(mean)), torch.randn(NETS, len(off))
    low = two @ off / (2 * (len(off) - 1)) ** 0.5
    return mean + std * one / 2**0.5 + low


def nets(learner: str, x: Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
    """Trained: a function from images to probabilities of each net."""
    E = energy(len(x))
    many = STEPS * NETS * SHARE // LARGE

    def plain(weights: Tensor, chosen: Tensor) -> Tensor:
        return E.losses(weights, x[chosen], y[chosen]).mean(1)

    def fixed(weights: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda images: E.predict(weights, images)

    if learner.startswith("sampler"):
        method = sampler(float(learner.split()[1]))
        el.fit(method, (x, y), steps=STEPS, batch_size=NETS * SHARE)
        return fixed(method.sample(NETS))
    if learner == "SGLD":
        start = E.target.initial(NETS)
        U = E.on(x, y, batch_size=SHARE)
        return fixed(
            el.langevin(U, start, n_steps=STEPS, step_size=SGLD_STEP)
        )
    if learner == "deep ensemble":
        start = E.target.initial(NETS)
        return fixed(descend(start, plain, len(x), SHARE, STEPS))
    start = E.target.initial(1)
    if learner == "one net":
        return fixed(descend(start, plain, len(x), LARGE, many))
    if learner == "SWAG":
        half = descend(start, plain, len(x), LARGE, many // 2)
        return fixed(swag(half, plain, len(x), many // 2))
    if learner == "distilled":
        return fixed(distilled(start, x, y, many))
    dropped = partial(with_dropout, E.target)

    def noisy(weights: Tensor, chosen: Tensor) -> Tensor:
        return cross_entropy(dropped(weights, x[chosen[0]]), y[chosen[0]])

    end = descend(start, noisy, len(x), LARGE, many)
    return lambda images: torch.stack(
        [dropped(end, images).softmax(1) for _ in range(NETS)]
    )


def with_dropout(net: el.nets.ReLUTarget, weights: Tensor, x: Tensor):
    """Logits of one net, some of its hidden units left out."""
    first, last = (row[0] for row in net.rows(weights))
    h = relu(linear(x.flatten(1), first[:, :-1], first[:, -1]))
    h = torch.nn.functional.dropout(h, DROPPED)
    return linear(h, last[:, :-1], last[:, -1])


def distilled(start: Tensor, x: Tensor, y: Tensor, steps: int) -> Tensor:
    """One net that learns what the sampler's ensemble says."""
    teacher = nets("sampler, 100", x, y)(x).mean(0).detach()
    net = target()

    def loss(weights: Tensor, chosen: Tensor) -> Tensor:
        logits = net(weights, x[chosen])[0]
        return cross_entropy(logits, teacher[chosen[0]])

    return descend(start, loss, len(x), LARGE, steps)


@torch.no_grad()
def measured(predict, seed: int, x: Tensor, y: Tensor) -> dict:
    """Scores on test digits, and the area under the ROC curve of the
    entropy of what the ensemble says, for each kind of outlier."""
    each = predict(x)
    normal, areas = entropy(each.mean(0)), {}
    for kind, images in outliers(x, seed).items():
        both = torch.cat([normal, entropy(predict(images).mean(0))])
        new = torch.arange(len(both)) >= len(x)
        areas[kind] = round(float(roc_auc_score(new, both)), 4)
    found = {k: round(v, 4) for k, v in scores(each, y).items()}
    return found | {"area": areas}


def run(learner: str, seed: int) -> dict:
    """Train and measure."""
    x, y, x_test, y_test = digits()
    el.seed(seed)
    start = time.process_time()
    predict = nets(learner, x, y)
    seconds = time.process_time() - start
    found = measured(predict, seed, x_test, y_test)
    return found | {"seconds": round(seconds, 1)}


def stored() -> tuple[dict, dict[str, dict[str, Tensor]]]:
    """The file; and by learner and score the numbers of the seeds, those
    of outliers by their kind."""
    table = read(FILE)
    found: dict[str, dict[str, Tensor]] = {}
    for r in sorted(table["runs"], key=lambda r: r["seed"]):
        row = {k: v for k, v in r.items() if isinstance(v, float)}
        mine = found.setdefault(r["learner"], {})
        for key, value in (row | r["area"]).items():
            old = mine.get(key, torch.empty(0))
            mine[key] = torch.cat([old, torch.tensor([float(value)])])
    return table, found


def main(argv: list[str]) -> None:
    made_by_seed(argv, FILE, SETTING, run, LEARNERS, SEEDS)


if __name__ == "__main__":
    main(sys.argv[1:])
