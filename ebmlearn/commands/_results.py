"""What comes of a run: samples, and how far they are from data."""

import io
import json
from pathlib import Path
from typing import Any

import torch

import ebmlearn
from ebmlearn import random, runs
from ebmlearn.data import Images, own
from ebmlearn.evaluate.features import inception
from ebmlearn.evaluate.images import image_distances
from ebmlearn.files import write_whole
from ebmlearn.methods.classifier import train_classifier
from ebmlearn.recipes import Recipe, find
from ebmlearn.train import Method, checksum, load

GRID = 64
"""Images in a grid."""


def sample(run: Path, *, n: int = GRID, out: Path | None = None, best: bool = False, seed: int = 0) -> None:
    """Draw a grid of samples of a run."""
    recipe, method, step, _ = _trained(run, n, best)
    picture, path = io.BytesIO(), out or run / "sample.png"
    with random.kept(seed):
        ebmlearn.viz.save_grid(recipe.images(method, n, progress=True), picture)
    write_whole(path, picture.getvalue())
    print(f"{n} samples after step {step:,}: {path}")


def evaluate(
    run: Path,
    *,
    argv: list[str],
    n: int | None = None,
    features: str = "classifier",
    best: bool = False,
    seed: int = 0,
    test: str | None = None,
) -> None:
    """Compare samples of a run with test images, and training images with the same.

    Raises:
        ValueError: If there are fewer than ``n`` images, no test images, or other training images than then.
    """
    recipe, method, step, about = _trained(run, n, best)
    device, data = next(method.parameters()).device, about["options"]["data"]
    known, unseen = _images(recipe, about, n, test)
    most = min(len(known.x), len(unseen.x))
    n = n or min(most, 10_000)
    if n > most:
        raise ValueError(
            f"-n is {n}; there are {len(known.x)} training and {len(unseen.x)} test images of {data}"
        )
    net: Any = None
    if features == "inception":
        net = inception()
    elif features == "classifier":
        if known.y.ndim == 1 and not known.y.any():
            raise ValueError(
                f"all images of {data} are of one class, so there is no classifier of them to train; give"
                " --features pixels or --features inception"
            )
        print("training the classifier whose features are compared", flush=True)
        steps = 100 if about["options"]["smoke"] else 1000
        net = train_classifier(*(values.to(device) for values in (*known, *unseen)), steps=steps)
    with random.kept(seed):
        sets = {"model": recipe.images(method, n, progress=True), "training images": known.x[:n]}
        found = {
            name: image_distances(x.to(device), unseen.x[:n].to(device), net)._asdict()
            for name, x in sets.items()
        }
    path = run / "evaluation.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    settings = {"step": step, "best": best, "n": n, "seed": seed, "data": data}
    settings |= {"test": own.resolve(test)} if test else {}
    runs.write(path, [*results, {**settings, **found, "session": runs.session(argv, None)}])
    print(f"against {n:,} test images of {test or data}; features: {found['model']['features']}")
    print(f"{'':16}{'Fréchet':>12}{'kernel':>12}")
    for name, row in found.items():
        print(f"{name:16}{row['frechet']:12.4g}{row['kid']:12.4g} ± {row['kid_error']:.2g}")
    print(f"after step {step:,}; added to {path}")


def _images(recipe: Recipe, about: dict[str, Any], n: int | None, test: str | None) -> tuple[Images, Images]:
    """Those that a run was trained on, and test images."""
    options = about["options"]
    columns = {"image": options.get("image_column"), "label": options.get("label_column")}
    known = recipe.load(options["data"], **columns)
    if checksum(known.x) != about["data"]["sha256"]:
        raise ValueError(
            f"the images of {options['data']} are others than those that the run was trained on"
            f" ({len(known.x):,}, then {about['data']['images']:,}): bring the old ones back"
        )
    if test is None:
        return known, recipe.load(options["data"], "test", n=n, **columns)
    path = own.resolve(test)
    if not Path(path).is_absolute():
        raise ValueError(f"--test is {test}; expected a folder of images, or a file .npy, .npz or .pt")
    own.same_classes(options["data"], path)
    return known, recipe.load(path, n=n)


def _trained(run: Path, n: int | None, best: bool) -> tuple[Recipe, Method, int, dict[str, Any]]:
    """Recipe, method with the weights of the run, its step, and ``run.json``."""
    if n is not None and n < 1:
        raise ValueError(f"-n is {n}; expected at least 1")
    about = runs.read(run)
    recipe = find(about["options"]["recipe"], smoke=about["options"]["smoke"])
    method = recipe.method(tuple(about["data"]["shape"]))
    method.to("cuda" if torch.cuda.is_available() else "cpu")
    return recipe, method, load(method, run, best=best), about
