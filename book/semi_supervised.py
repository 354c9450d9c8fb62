"""Few labels: makes semi_supervised.json of chapter 15.

    python book/semi_supervised.py           what is not stored yet
    python book/semi_supervised.py digits    one task, likewise stored
    python book/semi_supervised.py digits 2 100    2 labels a class, seed
                                             100: printed, not stored

On each task a few examples of each class have a label, and all training
examples are there without. The learners get the same labels. Neural ones
have the same encoder and classifier, and as many updates. A cell of the
table is a task, a number of labels a class and a seed; the seed chooses
labels, weights and, where there is no fixed test set, the split.

Settings were chosen with seed 100, which is not in the table, by the
test accuracy at 2 to 10 labels a class: the weight of the information
among 0, 5, 20 and 50; the rates of the encoder among 1e-3 and 3e-3, for
the coupling and for the VAE.
"""

import json
import pathlib
import sys
import time
import warnings
from functools import partial
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import torch
from sklearn import datasets
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.semi_supervised import (
    LabelPropagation,
    SelfTrainingClassifier,
)
from torch import Tensor, nn

import ebmlearn as el
from ebmlearn import targets
from tables import made, write

FILE = pathlib.Path(__file__).with_suffix(".json")
LABELS, SEEDS = (1, 2, 5, 10, 20), (0, 1, 2, 3, 4)
LEARNERS = (
    "supervised",
    "VAE, classifier",
    "coupling",
    "self-training",
    "label propagation",
)
WIDTHS, UPDATES, BATCH, BATCH_LABELLED = (128, 128), 300, 64, 32
STD, NEIGHBOURS, ROUNDS = 0.3, 7, 2
ADAM = partial(torch.optim.Adam, fused=True)  # faster, the same steps
RATE = 1e-3  # of classifiers, and of the encoder without a generator
# latents, weight of the information, and rates of the encoder with its
# generator, by kind of data
LATENTS = {"images": 16, "table": 8, "topics": 16, "plays": 16}
INFORMATION = {"images": 20.0, "table": 5.0, "topics": 5.0, "plays": 5.0}
RATES = {
    "coupling": {
        "images": 3e-3,
        "table": 3e-3,
        "topics": 3e-3,
        "plays": 1e-3,
    },
    "VAE": {"images": 1e-3, "table": 3e-3, "topics": 3e-3, "plays": 3e-3},
}
KINDS = {
    "digits": "images",
    "mnist": "images",
    "wine": "table",
    "cancer": "table",
    "mixed table": "table",
    "topics": "topics",
    "plays": "plays",
}
SETTING = {
    "encoder": f"MLP {WIDTHS}, SiLU, to means and log-scales",
    "latents": LATENTS,
    "classifier": "MLP (64, 64) on the means, SiLU",
    "decoder": f"MLP {WIDTHS}; images Gaussian, tau = {STD}",
    "updates": UPDATES,
    "batch": [BATCH, BATCH_LABELLED],
    "coupling": {
        "information weight": INFORMATION,
        "label weight": 50,
        "rate of the prior": 3e-5,
        "prior chain": "10 steps of 0.4",
    },
    "Adam": RATES | {"classifiers": RATE},
    "self-training": f"{ROUNDS} rounds and the last, threshold 0.9",
    "label propagation": f"on the inputs, {NEIGHBOURS} neighbours",
}
# first lines of the plays in the file of Shakespeare, in their order
PLAYS = {
    "Coriolanus": "Before we proceed any further",
    "Richard III": "Now is the winter of our discontent",
    "Richard II": "Old John of Gaunt",
    "Romeo and Juliet": "Gregory, o' my word",
    "Henry VI, part 3": "I wonder how the king escaped",
    "The Winter's Tale": "If you shall chance, Camillo",
    "Measure for Measure": "Of government the properties",
    "The Taming of the Shrew": "I'll pheeze you",
}
LAST = "Boatswain!"  # the ninth play is a fragment, and left out
LINES, VOCABULARY, BLOCK = 12, 500, 8


class Task(NamedTuple):
    """Training and test examples with their classes."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor
    binary: tuple[int, ...] = ()
    n_words: int = 0

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1


def images(name: str, size: int | None, n: int, n_test: int) -> Task:
    parts = [
        el.data.load(name, s, size=size) if size else el.data.load(name, s)
        for s in ("train", "test")
    ]
    train, test = parts
    return Task(train.x[:n], train.y[:n], test.x[:n_test], test.y[:n_test])


def split(x: Tensor, y: Tensor, source: torch.Generator) -> Task:
    """A third of each class for the test; standardised by the rest."""
    test = torch.zeros(len(y), dtype=torch.bool)
    for k in range(int(y.max()) + 1):
        rows = (y == k).nonzero().flatten()
        order = torch.randperm(len(rows), generator=source)
        test[rows[order[: len(rows) // 3]]] = True
    return standardised(Task(x[~test], y[~test], x[test], y[test]))


def standardised(task: Task) -> Task:
    """Columns that are not binary, by the training examples."""
    mean, std = task.x.mean(0), task.x.std(0)
    for j in task.binary:
        mean[j], std[j] = 0, 1
    return task._replace(
        x=(task.x - mean) / std, x_test=(task.x_test - mean) / std
    )


def passages() -> tuple[list[list[str]], Tensor]:
    """Passages of LINES lines, as words, and the play of each.

    The two splits of the text are put together again. Lines that name a
    speaker are left out.
    """
    parts = [
        el.data.load_text("shakespeare", s) for s in ("train", "test")
    ]
    train, test = (iter(part.strings(part.x)) for part in parts)
    n = sum(len(part.x) for part in parts)
    lines = [next(test if i % 10 == 9 else train) for i in range(n)]
    firsts = [*PLAYS.values(), LAST]
    starts = [
        next(i for i, line in enumerate(lines) if line.startswith(first))
        for first in firsts
    ]
    found, plays = [], []
    for play, start in enumerate(starts[:-1]):
        mine = lines[start : starts[play + 1]]
        mine = [line for line in mine if not line.endswith(":")]
        for i in range(0, len(mine) - LINES + 1, LINES):
            text = " ".join(mine[i : i + LINES]).lower()
            found.append(
                "".join(c if c.isalpha() else " " for c in text).split()
            )
            plays.append(play)
    return found, torch.tensor(plays)


def from_plays() -> Task:
    """Every fourth block of BLOCK passages is for the test. The words are
    the most frequent ones of the other blocks; the rest is left out."""
    words, y = passages()
    place = torch.cat(
        [torch.arange(int((y == k).sum())) for k in range(8)]
    )
    test = place // BLOCK % 4 == 3
    count: dict[str, int] = {}
    for passage, held_out in zip(words, test.tolist(), strict=True):
        for word in passage if not held_out else ():
            count[word] = count.get(word, 0) + 1
    kept = sorted(count, key=lambda w: (-count[w], w))[:VOCABULARY]
    index = {word: i for i, word in enumerate(kept)}
    x = torch.zeros(len(words), VOCABULARY)
    for row, passage in zip(x, words, strict=True):
        for word in passage:
            if word in index:
                row[index[word]] += 1
    return Task(x[~test], y[~test], x[test], y[test], n_words=VOCABULARY)


def task(name: str, seed: int) -> Task:
    """The examples of a task; the seed draws or splits them, if it can."""
    source = torch.Generator().manual_seed(1000 + seed)
    if name == "digits":
        return images("digits", None, 1442, 355)
    if name == "mnist":
        return images("mnist", 14, 5000, 5000)
    if name in ("wine", "cancer"):
        load = {"wine": "load_wine", "cancer": "load_breast_cancer"}[name]
        x, y = getattr(datasets, load)(return_X_y=True)
        return split(
            torch.tensor(x).float(), torch.tensor(y).long(), source
        )
    if name == "plays":
        return from_plays()
    target = TARGETS[name]
    whole = Task(
        *target.labelled(2000, source), *target.labelled(5000, source)
    )
    if name == "topics":
        return whole._replace(n_words=whole.x.shape[1])
    return standardised(whole._replace(binary=target.binary))


TARGETS = {
    "topics": targets.topic_corpus(),
    "mixed table": targets.mixed_table(),
}


def choose(y: Tensor, n: int, seed: int) -> Tensor:
    """Indices of ``n`` examples of each class, those of a smaller ``n``
    among them."""
    source = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=source)
    return torch.cat(
        [order[y[order] == k][:n] for k in range(int(y.max()) + 1)]
    )


class Nets(NamedTuple):
    """The nets that the learners have in common, and their kind."""

    encoder: el.posteriors.GaussianPosterior
    prior: el.nets.SymbolEnergy
    decoder: el.nets.Generator


def nets(t: Task, kind: str) -> Nets:
    """Untrained nets for a task."""
    n, m = t.x[0].numel(), LATENTS[kind]
    sizes = [n, *WIDTHS]
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.SiLU()]
    net = nn.Sequential(*layers, nn.Linear(sizes[-1], 2 * m))
    decoder: el.nets.Generator
    if kind == "images":
        decoder = el.nets.MLPGenerator(
            m, t.x.shape[1:], WIDTHS, std=STD, bounded=True
        )
    elif kind in ("topics", "plays"):
        words = el.nets.BagOfWordsGenerator
        decoder = words(
            m,
            n,
            WIDTHS,
            length=int(t.x[0].sum()),
            background=words.background(t.x),
        )
    else:
        decoder = el.nets.TabularGenerator(m, n, WIDTHS, binary=t.binary)
    encoder = el.posteriors.GaussianPosterior(net, m)
    return Nets(encoder, el.nets.SymbolEnergy(m, t.n_classes), decoder)


class Supervised(el.Method):
    """The classifier on the encoder's means, by cross-entropy alone; with
    ``frozen``, the encoder stays."""

    def __init__(self, of: Nets, *, frozen: bool = False) -> None:
        super().__init__()
        self.encoder, self.prior = of.encoder, of.prior
        learned = [*of.prior.parameters()]
        if not frozen:
            learned += of.encoder.parameters()
        self.add_optimizer("classifier", learned, RATE, ADAM)

    def logits(self, x: Tensor) -> Tensor:
        return self.prior.logits(self.encoder.mean(x))

    def step(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = batch
        loss = nn.functional.cross_entropy(self.logits(x), y)
        self.update("classifier", loss)
        return {"loss": loss.detach()}

    @torch.no_grad()
    def predict(self, x: Tensor) -> Tensor:
        return self.logits(x).argmax(1)


def train(method: el.Method, data, batch_size) -> el.Method:
    el.fit(
        method, data, steps=UPDATES, batch_size=batch_size, progress=False
    )
    return method


def supervised(of: Nets, x: Tensor, y: Tensor, frozen: bool = False):
    method = Supervised(of, frozen=frozen)
    return train(method, (x, y), min(BATCH_LABELLED, len(y)))


def vae(t: Task, kind: str, seed: int) -> tuple[Nets, float]:
    """Nets after a VAE on all examples, without labels; its seconds."""
    start = time.process_time()
    el.seed(seed)
    of = nets(t, kind)
    rate = RATES["VAE"][kind]
    method = el.VAE(of.decoder, of.encoder, lr=rate, optimizer=ADAM)
    train(method, t.x, min(BATCH, len(t.x)))
    return of, time.process_time() - start


def coupling(
    t: Task, kind: str, rows: Tensor, **changed
) -> el.SymbolVectorCoupling:
    """The method of the chapter; keywords replace its settings."""
    of = nets(t, kind)
    settings = {
        "prior_chain": el.Chain(el.ula, n_steps=10, step_size=0.4),
        "label_weight": 50.0,
        "information_weight": INFORMATION[kind],
        "lr_prior": 3e-5,
        "lr_classifier": RATE,
        "lr_autoencoder": RATES["coupling"][kind],
        "optimizer": ADAM,
    }
    method = el.SymbolVectorCoupling(
        of.prior, of.decoder, of.encoder, **settings | changed
    )
    few = t.x[rows], t.y[rows]
    sizes = min(BATCH, len(t.x)), min(BATCH_LABELLED, len(rows))
    return train(method, (t.x, few), sizes)


class Estimator(ClassifierMixin, BaseEstimator):
    """`supervised` as an estimator of scikit-learn."""

    def __init__(self, t: Task | None = None, kind: str = "") -> None:
        self.t, self.kind = t, kind

    def fit(self, x: np.ndarray, y: np.ndarray) -> "Estimator":
        self.classes_ = np.unique(y)
        self.of_ = supervised(
            nets(self.t, self.kind),
            torch.tensor(x).float(),
            torch.tensor(y),
        )
        return self

    @torch.no_grad()
    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        logits = self.of_.logits(torch.tensor(x).float())
        return logits.double().softmax(1).numpy()

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.predict_proba(x).argmax(1)


def by_sklearn(model, t: Task, rows: Tensor) -> Tensor:
    """Predictions for the test of a model that takes -1 for no label."""
    y = np.full(len(t.y), -1)
    y[rows.numpy()] = t.y[rows].numpy()
    with warnings.catch_warnings():  # no end before max_iter; parts of
        warnings.simplefilter("ignore")  # the graph without any label
        model.fit(t.x.flatten(1).numpy(), y)
        return torch.tensor(model.predict(t.x_test.flatten(1).numpy()))


def cell(t: Task, kind: str, n: int, seed: int, pretrained) -> dict:
    """Accuracies and seconds of all learners at ``n`` labels a class."""
    rows = choose(t.y, n, seed)
    x, y = t.x[rows], t.y[rows]
    found, seconds = {}, {}
    for name in LEARNERS:
        start = time.process_time()
        el.seed(seed)
        if name == "supervised":
            guess = supervised(nets(t, kind), x, y).predict(t.x_test)
        elif name == "VAE, classifier":
            of, before = pretrained
            fresh = of._replace(prior=nets(t, kind).prior)
            method = supervised(fresh, x, y, frozen=True)
            guess, start = method.predict(t.x_test), start - before
        elif name == "coupling":
            guess = coupling(t, kind, rows).predict(t.x_test)
        elif name == "self-training":
            base = Estimator(t, kind)
            model = SelfTrainingClassifier(
                base, threshold=0.9, max_iter=ROUNDS
            )
            guess = by_sklearn(model, t, rows)
        else:
            model = LabelPropagation(
                kernel="knn", n_neighbors=NEIGHBOURS, max_iter=1000
            )
            guess = by_sklearn(model, t, rows)
        right = (guess == t.y_test).double().mean().item()
        found[name] = round(right, 4)
        seconds[name] = round(time.process_time() - start, 2)
    return {"accuracy": found, "seconds": seconds}


def stored() -> dict:
    """The table: ``setting``, ``bayes`` and ``runs``."""
    if not FILE.exists():
        return {"setting": json.loads(json.dumps(SETTING)), "runs": []}
    return json.loads(FILE.read_text("utf-8"))


def accuracies(task_name: str, learner: str) -> Tensor:
    """Test accuracies, (labels a class, seeds)."""
    found = torch.full((len(LABELS), len(SEEDS)), torch.nan)
    for r in stored()["runs"]:
        if r["task"] == task_name:
            place = LABELS.index(r["labels"]), SEEDS.index(r["seed"])
            found[place] = r["accuracy"][learner]
    return found


def table(task_name: str) -> str:
    """Accuracies in percent: mean ± standard deviation of the seeds."""
    lines = [f"{task_name:18s}" + "".join(f"{n:>12d}" for n in LABELS)]
    for learner in LEARNERS:
        part = 100 * accuracies(task_name, learner)
        cells = [
            f"{f'{row.mean():.1f} ± {row.std():.1f}':>12s}" for row in part
        ]
        lines.append(f"{learner:18s}" + "".join(cells))
    if task_name in stored()["bayes"]:
        best = 100 * stored()["bayes"][task_name][0]
        lines.append(f"{'Bayes accuracy':18s}" + f"{best:12.1f}" * 5)
    return "\n".join(lines)


def bayes() -> dict[str, list[float]]:
    """Accuracy of the exact p(y|x) and its error, where it is known."""
    found = {}
    for name, target in TARGETS.items():
        source = torch.Generator().manual_seed(0)
        value, error = target.bayes_accuracy(200_000, source)
        found[name] = [round(value, 4), round(error, 4)]
    return found


def main(argv: list[str]) -> None:
    torch.set_num_threads(1)
    if len(argv) == 3:
        name, n, seed = argv[0], int(argv[1]), int(argv[2])
        t, kind = task(name, seed), KINDS[name]
        print(cell(t, kind, n, seed, vae(t, kind, seed)))
        return
    whole = stored()
    if whole["setting"] != json.loads(json.dumps(SETTING)):
        whole = {"setting": SETTING, "runs": []}
    whole["made"] = made()
    whole.setdefault("bayes", bayes())
    there = {(r["task"], r["labels"], r["seed"]) for r in whole["runs"]}
    for seed, name in product(SEEDS, argv or KINDS):
        todo = [n for n in LABELS if (name, n, seed) not in there]
        if not todo:
            continue
        t, kind = task(name, seed), KINDS[name]
        pretrained = vae(t, kind, seed)
        for n in todo:
            who = {"task": name, "labels": n, "seed": seed}
            whole["runs"].append(who | cell(t, kind, n, seed, pretrained))
            print(whole["runs"][-1], flush=True)
            write(FILE, whole)


if __name__ == "__main__":
    main(sys.argv[1:])
