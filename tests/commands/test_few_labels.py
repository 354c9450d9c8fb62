"""Recipes that learn from a few labels, and what `evaluate` says of classes and outliers.

Mutants tried, each red: labels of other images than their own; the classes of the recipe in place of those of
the data; a choice that does not depend on ``labels.seed``; accuracy of the training images; outliers as the
negatives; the first images of a folder of outliers, which are of one class.
"""

import json
import re
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
import torch
from command import call
from sklearn.metrics import average_precision_score, roc_auc_score
from tiny_hub import hub, png, tiny_data, write  # noqa: F401 fixtures

from ebmlearn import data
from ebmlearn.commands import _results
from ebmlearn.methods import BiDVL
from ebmlearn.recipes import RECIPES
from ebmlearn.train import checkpoint, checksum, load

OPTIONS = ["--smoke", "--criterion", "0", "--every", "2", "--steps", "2"]
SYMBOLS = ["train", "symbol-vector-mnist", *OPTIONS]
BIDVL = ["train", "bidvl-mnist", *OPTIONS]
PIXELS = ["--features", "pixels", "-n", "90"]


@pytest.fixture(autouse=True)
def distances(monkeypatch):
    """They are not what is tested here, and need more images than these tests have."""
    none = namedtuple("None_", "frechet kid kid_error features")(0.0, 0.0, 0.0, "none")
    monkeypatch.setattr(_results, "image_distances", lambda *images: none)


@pytest.fixture
def kinds(tmp_path):
    """Two sub-folders of pictures, dark and light."""
    rng = np.random.default_rng(0)
    for k, kind in enumerate(("dark", "light")):
        (tmp_path / "kinds" / kind).mkdir(parents=True)
        for i in range(20):
            image = rng.integers(100 * k, 100 * k + 100, (16, 16, 1), dtype=np.uint8)
            (tmp_path / "kinds" / kind / f"{i}.png").write_bytes(png(image[..., 0]))
    return tmp_path / "kinds"


def run_json(out):
    return json.loads((out / "run.json").read_text())


def test_a_few_images_keep_their_labels_as_a_second_stream(out, fitted, capsys):
    assert call(*SYMBOLS, "--out", out, "--set", "labels.per_class=3", "--set", "labels.seed=5") == 0
    assert "256 images (1, 16, 16) of mnist, 30 with labels, 2 steps" in capsys.readouterr().out
    images = RECIPES[SYMBOLS[1]](smoke=True).load()
    chosen = data.labelled(images.y, 3, seed=5, n_classes=10)
    x, (x_labelled, y) = fitted["data"]
    assert torch.equal(x, images.x)
    assert torch.equal(x_labelled, images.x[chosen]) and torch.equal(y, images.y[chosen])
    assert fitted["batch_size"] == (16, 8) and fitted["method"].prior.n_symbols == 10
    run = run_json(out)
    assert run["data"] | {"classes": 10, "labelled": 30, "labelled_sha256": checksum(chosen)} == run["data"]
    assert run["settings"]["batch_size"] == "(16, 8)"
    assert run["options"]["set"] == {"labels.per_class": 3, "labels.seed": 5}


def test_a_run_that_goes_on_keeps_its_labels(out, fails):
    assert call(*SYMBOLS, "--out", out, "--set", "labels.per_class=3") == 0
    again = [*SYMBOLS[:-1], "4", "--out", out, "--resume"]
    message = fails(*again, "--set", "labels.seed=1")
    assert "another configuration:\n  labels.seed: checkpoint 0 | this run 1\n" in message
    assert call(*again) == 0 and run_json(out)["data"]["labelled"] == 30


def test_a_folder_has_the_classes_of_its_sub_folders(out, kinds, fitted, capsys, tmp_path):
    few = ["--set", "labels.per_class=5"]
    assert call(*SYMBOLS, "--out", out, "--data", kinds, *few) == 0
    assert fitted["method"].prior.n_symbols == 2 and run_json(out)["data"]["classes"] == 2
    _, (x_labelled, y) = fitted["data"]
    assert y.tolist() == [0] * 5 + [1] * 5 and torch.equal(x_labelled.mean((1, 2, 3)) > -0.2, y == 1)
    assert call("sample", out, "-n", "4") == 0
    capsys.readouterr()
    assert call("evaluate", out, "--test", kinds, "--features", "pixels") == 0
    method = fitted["method"].eval()
    images = RECIPES[SYMBOLS[1]](smoke=True).load(str(kinds))
    right = (method.predict(images.x) == images.y).double().mean().item()
    (result,) = json.loads((out / "evaluation.json").read_text())
    assert result["accuracy"] == pytest.approx(right, abs=1e-9)
    assert f"accuracy: {right:.4f} of 40 test images" in capsys.readouterr().out
    np.save(tmp_path / "x.npy", images.x.numpy())
    assert call("evaluate", out, "--test", tmp_path / "x.npy", "--features", "pixels") == 0
    assert "no accuracy: the test images of" in capsys.readouterr().out
    assert "accuracy" not in json.loads((out / "evaluation.json").read_text())[1]


def test_an_attribute_of_celeba_is_a_class(out, fitted):
    assert call(*["train", "symbol-vector-celeba64", *OPTIONS], "--out", out) == 0
    images = RECIPES["symbol-vector-celeba64"](smoke=True).load()
    smiling = images.y[:, data.CELEBA_ATTRIBUTES.index("Smiling")]
    chosen = data.labelled(smiling, 4, n_classes=2)
    assert torch.equal(fitted["data"][1][1], smiling[chosen]) and fitted["method"].prior.n_symbols == 2


def test_without_labels_symbols_are_clusters(out, fitted, fails):
    without = [*SYMBOLS, "--out", out, "--set", "labels.per_class=0"]
    assert "label_weight is 200.0, but the batch has no labels" in fails(*without)
    out = out.with_name("b")
    assert call(*without[:-3], out, "--set", "labels.per_class=0", "--set", "label_weight=0") == 0
    assert isinstance(fitted["data"], torch.Tensor) and fitted["batch_size"] == 16
    assert "labelled" not in run_json(out)["data"]
    assert call("evaluate", out, "-n", "90", "--features", "pixels") == 0
    assert "accuracy" not in json.loads((out / "evaluation.json").read_text())[0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["labels.per_class=300"], r"per_class is 300, but class 0 has \d+ of the 256 examples of y"),
        (["labels.per_class=-1"], "labels.per_class is -1; expected a whole number of at least 0"),
        (["labels.per_class=None"], "labels.per_class is None; expected a whole number"),
        (["labels.batch_size=41"], "labels.batch_size is 41, but 4 of each of 10 classes are 40 labelled"),
        (["labels.batch_size=0"], "labels.batch_size is 0; expected a whole number of at least 1"),
        (["labels.attribute=Smilin"], "labels.attribute is 'Smilin'; expected one of '5_o_Clock_Shadow'"),
        (["labels.attribute=Male"], "labels.attribute is Male, but each image of mnist has one class"),
        (["labels.n_classes=3"], "there is no setting 'labels.n_classes'"),
    ],
)
def test_labels_that_cannot_be_had(out, fails, more, message):
    assert re.search(message, fails(*SYMBOLS, "--out", out, "--set", *more))
    assert not out.exists()


def test_data_without_classes_are_refused(out, fails, kinds, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((40, 1, 16, 16), np.uint8))
    for name in (kinds / "dark", tmp_path / "x.npy"):
        message = fails(*SYMBOLS, "--out", out, "--data", name)
        assert f"all images of {name} are of one class, so there are no labels to learn; give" in message
    message = fails(*SYMBOLS, "--out", out, "--data", "celeba")
    assert "labels.attribute is None, but each image of celeba has 40 attributes" in message
    assert "no setting 'labels.per_class'" in fails(*BIDVL, "--out", out, "--set", "labels.per_class=3")


def test_outliers_are_the_positives(out, capsys):
    """By scikit-learn on the method's own numbers; the batches are those of images, not of all."""
    assert call(*BIDVL, "--out", out) == 0
    capsys.readouterr()
    assert call("evaluate", out, *PIXELS, "--outliers", "mnist") == 0
    recipe = RECIPES["bidvl-mnist"](smoke=True)
    method = recipe.method(recipe.shape())
    load(method, out)
    method.eval()
    x = recipe.load(split="test").x
    unlike = x[np.arange(90) * len(x) // 90]
    # in the same batches, since another one rounds otherwise and energies are nearly ties after two steps
    batches = torch.cat([x[:90], unlike]).split(recipe.batch_size)
    values = torch.cat([method.anomaly(batch) for batch in batches])
    truth = [0] * 90 + [1] * 90
    (result,) = json.loads((out / "evaluation.json").read_text())
    told = result["outliers"]
    assert told["data"] == "mnist" and told["n_outliers"] == 90
    assert told["auroc"] == pytest.approx(roc_auc_score(truth, values), abs=1e-6)
    assert told["average_precision"] == pytest.approx(average_precision_score(truth, values), abs=1e-6)
    printed = f"90 outliers of mnist against 90 test images: AUROC {told['auroc']:.4f}, average precision"
    assert printed in capsys.readouterr().out


def test_high_is_unlike_the_data_and_a_folder_is_taken_evenly(out, kinds, tmp_path, monkeypatch):
    """With the brightness as anomaly: white pictures are told without an error, and half of the pictures that
    are dark or light as light."""
    assert call(*BIDVL, "--out", out) == 0
    monkeypatch.setattr(BiDVL, "anomaly", lambda self, x: x.flatten(1).mean(1))
    np.save(tmp_path / "white.npy", np.full((30, 1, 16, 16), 255, np.uint8))
    assert call("evaluate", out, *PIXELS, "--outliers", tmp_path / "white.npy") == 0
    monkeypatch.setattr(BiDVL, "anomaly", lambda self, x: (x.flatten(1).mean(1) > 0.1).double())
    np.save(tmp_path / "dark.npy", np.zeros((60, 1, 16, 16), np.uint8))
    few = ["--features", "pixels", "-n", "10", "--test", tmp_path / "dark.npy"]
    assert call("evaluate", out, *few, "--outliers", kinds) == 0
    white, both = (each["outliers"] for each in json.loads((out / "evaluation.json").read_text()))
    assert white["auroc"] == white["average_precision"] == 1.0 and white["n_outliers"] == 30
    assert both["n_outliers"] == 10 and both["auroc"] == pytest.approx(0.75)


def test_what_cannot_tell_outliers_says_so(out, fails, monkeypatch):
    assert call(*["train", "short-run-mnist", *OPTIONS], "--out", out) == 0
    message = fails("evaluate", out, "--outliers", "mnist")
    assert "--outliers is mnist, but MaximumLikelihood has no function anomaly(x), high where an" in message
    out = out.with_name("b")
    assert call(*BIDVL, "--out", out) == 0
    message = fails("evaluate", out, "--outliers", "digits")
    assert "--outliers is digits, images (1, 8, 8), but those of the run are (1, 16, 16); exp" in message
    assert "unknown data set 'minst'" in fails("evaluate", out, "--outliers", "minst")
    monkeypatch.setitem(sys.modules, "sklearn", None)
    message = fails("evaluate", out, *PIXELS, "--outliers", "mnist")
    assert "--outliers needs scikit-learn" in message and "pip install 'ebmlearn[data]'" in message
    assert not (out / "evaluation.json").exists()


def test_show_says_how_many_labels(capsys):
    assert call("show", "symbol-vector-celeba64", "--set", "labels.per_class=30") == 0
    printed = capsys.readouterr().out
    assert "labels    30 of each class by Smiling, 200 in a batch\n" in printed
    assert re.search(r"  labels.per_class +30   \(not 100\)\n  labels.batch_size +200\n", printed)
    assert call("show", "bidvl-mnist") == 0
    assert "\nlabels " not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_two_ranks_share_both_streams(out):
    """Each has half of either batch, and a second session goes on from what both saved."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "ebmlearn"]
    for steps, more in (("2", []), ("4", ["--resume"])):
        command = [*torchrun, *SYMBOLS[:-1], steps, "--out", str(out), *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("256 images (1, 16, 16) of mnist, 40 with labels") == 1
    first, second = (checkpoint.load(out / f"checkpoint-00000004{rank}.pt") for rank in ("", "-rank1"))
    weights = [{k: v for k, v in c["method"].items() if isinstance(v, torch.Tensor)} for c in (first, second)]
    assert weights[0] and all(torch.equal(v, weights[1][k]) for k, v in weights[0].items())
