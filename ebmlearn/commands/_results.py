"""What comes of a run: samples, and how far they are from data."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import ebmlearn
from ebmlearn import random, runs
from ebmlearn.commands._nets import accuracies
from ebmlearn.commands._recipe import of_run
from ebmlearn.data import Images, own
from ebmlearn.data.images import spread
from ebmlearn.data.sources import SOURCES
from ebmlearn.evaluate.features import inception
from ebmlearn.evaluate.images import image_distances
from ebmlearn.files import write_whole
from ebmlearn.methods.classifier import train_classifier
from ebmlearn.recipes import Recipe
from ebmlearn.sample import evaluation_mode
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
    outliers: str | None = None,
    recipe: str | None = None,
) -> None:
    """Compare samples of a run with test images, and training images with the same. Where it has learned
    classes: the accuracy on the test images. With outliers: how well it tells them from the test images. Of
    a run that samples nets: the accuracy of each and of all together, and nothing else.

    Raises:
        ValueError: If there are fewer than ``n`` images, no test images, or other training images than then;
            if the method cannot tell outliers, or they are of another shape.
        ImportError: If scikit-learn is missing, which outliers need.
    """
    path = run / "evaluation.json"
    results = _earlier(path)
    made, method, step, about = _trained(run, n, best, recipe)
    device, data = next(method.parameters()).device, about["options"]["data"]
    unlike = None if outliers is None else _outliers(made, method, outliers, about)
    known, unseen = _images(made, about, n, test)
    most = min(len(known.x), len(unseen.x))
    n = n or min(len(unseen.x) if made.supervised else most, 10_000)
    settings = {"step": step, "best": best, "n": n, "seed": seed, "data": data}
    settings |= {"test": own.resolve(test)} if test else {}
    if made.supervised:
        with random.kept(seed):
            nets = accuracies(made, method, unseen, n, test or data)
        runs.write(path, [*results, {**settings, **nets, "session": runs.session(argv, None)}])
        print(f"after step {step:,}; added to {path}")
        return
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
    more = _accuracy(made, method, unseen, n, test or data)
    if outliers is not None and unlike is not None:
        unlike = unlike[spread(len(unlike), min(n, len(unlike)))]
        with random.kept(seed):
            more["outliers"] = {"data": own.resolve(outliers), **_told(made, method, unseen.x[:n], unlike)}
    runs.write(path, [*results, {**settings, **found, **more, "session": runs.session(argv, None)}])
    print(f"against {n:,} test images of {test or data}; features: {found['model']['features']}")
    print(f"{'':16}{'Fréchet':>12}{'kernel':>12}")
    for name, row in found.items():
        print(f"{name:16}{row['frechet']:12.4g}{row['kid']:12.4g} ± {row['kid_error']:.2g}")
    if "accuracy" in more:
        print(f"accuracy: {more['accuracy']:.4f} of {n:,} test images")
    if "outliers" in more:
        told = more["outliers"]
        print(
            f"{told['n_outliers']:,} outliers of {outliers} against {n:,} test images: AUROC "
            f"{told['auroc']:.4f}, average precision {told['average_precision']:.4f}"
        )
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


def _outliers(recipe: Recipe, method: Method, name: str, about: dict[str, Any]) -> Tensor:
    """Images to be told from test images, of the shape of a run's."""
    if not callable(getattr(method, "anomaly", None)):
        raise ValueError(
            f"--outliers is {name}, but {type(method).__name__} has no function anomaly(x), high where an "
            "image is unlike the training data; leave --outliers out, or take a recipe whose method has one"
        )
    _metrics()  # before any work is done
    path, shape = own.resolve(name), tuple(about["data"]["shape"])
    x = recipe.load(path, "test" if path in SOURCES else "train").x
    if x.shape[1:] != shape:
        raise ValueError(
            f"--outliers is {name}, images {tuple(x.shape[1:])}, but those of the run are {shape}; expected "
            "a set of the same shape, or a folder or file of images, which get it"
        )
    return x


def _scores(recipe: Recipe, function: Callable[[Tensor], Tensor], x: Tensor, method: Method) -> Tensor:
    """A function of images, a batch at a time, on the CPU."""
    device = next(method.parameters()).device
    with evaluation_mode():
        return torch.cat([function(part.to(device)).cpu() for part in x.split(recipe.batch_size)])


def _metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(f"--outliers needs scikit-learn ({error}): pip install 'ebmlearn[data]'") from error
    return metrics


def _told(recipe: Recipe, method: Any, x: Tensor, unlike: Tensor) -> dict[str, Any]:
    """How well ``method.anomaly`` tells outliers, the positives, from test images."""
    values = _scores(recipe, method.anomaly, torch.cat([x, unlike]), method).double().numpy()
    truth = [0] * len(x) + [1] * len(unlike)
    return {
        "n_outliers": len(unlike),
        "auroc": float(_metrics().roc_auc_score(truth, values)),
        "average_precision": float(_metrics().average_precision_score(truth, values)),
    }


def _accuracy(recipe: Recipe, method: Any, images: Images, n: int, data: str) -> dict[str, Any]:
    """The share of test images whose class the method predicts; nothing where it has learned no classes."""
    if recipe.labels is None or not recipe.labels.per_class or not hasattr(method, "predict"):
        return {}
    if images.y.ndim == 1 and not images.y.any():
        print(f"no accuracy: the test images of {data} have no classes")
        return {}
    y, _ = recipe.classes(images.y[:n], data)
    return {"accuracy": (_scores(recipe, method.predict, images.x[:n], method) == y).double().mean().item()}


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
