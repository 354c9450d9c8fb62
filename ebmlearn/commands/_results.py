"""What comes of a run: samples, and how far they are from data."""

import io
import json
from pathlib import Path
from typing import Any

import torch

import ebmlearn
from ebmlearn import random, runs
from ebmlearn.commands._recipe import of_run
from ebmlearn.data import Images, own
from ebmlearn.evaluate.features import inception
from ebmlearn.evaluate.images import image_distances
from ebmlearn.files import write_whole
from ebmlearn.methods.classifier import train_classifier
from ebmlearn.recipes import Recipe
from ebmlearn.train import Method, checksum, load

GRID = 64
"""Images in a grid."""


def sample(
    run: Path,
    *,
    n: int = GRID,
    out: Path | None = None,
    best: bool = False,
    seed: int = 0,
    recipe: str | None = None,
) -> None:
    """Draw a grid of samples of a run.

    Raises:
        ValueError: If ``out`` is no file name of a picture, or an argument is out of its range.
        FileNotFoundError: If the folder of ``out`` is absent.
    """
    path = run / "sample.png" if out is None else file_to_write(out, (".png",))
    made, method, step, _ = _trained(run, n, best, recipe)
    picture = io.BytesIO()
    with random.kept(seed):
        ebmlearn.viz.save_grid(made.images(method, n, progress=True), picture)
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
    recipe: str | None = None,
) -> None:
    """Compare samples of a run with test images, and training images with the same.

    Raises:
        ValueError: If there are fewer than ``n`` images, no test images, or other training images than then.
    """
    path = run / "evaluation.json"
    results = _earlier(path)
    made, method, step, about = _trained(run, n, best, recipe)
    device, data = next(method.parameters()).device, about["options"]["data"]
    known, unseen = _images(made, about, n, test)
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
        sets = {"model": made.images(method, n, progress=True), "training images": known.x[:n]}
        found = {
            name: image_distances(x.to(device), unseen.x[:n].to(device), net)._asdict()
            for name, x in sets.items()
        }
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


def _earlier(path: Path) -> list[Any]:
    """The results that are there already, to which one is added."""
    try:
        results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); move it away, and it begins anew") from error
    if not isinstance(results, list):
        raise ValueError(f"{path} holds no list of results; move it away, and it begins anew")
    return results


def file_to_write(path: Path, suffixes: tuple[str, ...]) -> Path:
    """The path of a picture, refused before any work is done if nothing of the kind can be written there."""
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"--out is {path}; expected a file name that ends in {' or '.join(suffixes)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for --out {path}; make it first")
    return path


def _trained(
    run: Path, n: int | None, best: bool, recipe: str | None
) -> tuple[Recipe, Method, int, dict[str, Any]]:
    """Recipe, method with the weights of the run, its step, and ``run.json``."""
    if n is not None and n < 1:
        raise ValueError(f"-n is {n}; expected at least 1")
    about = runs.read(run)
    made = of_run(run, about, recipe)
    method = made.method(tuple(about["data"]["shape"]), about["data"].get("classes"))
    method.to("cuda" if torch.cuda.is_available() else "cpu")
    return made, method, load(method, run, best=best), about
