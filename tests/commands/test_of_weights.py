"""Recipes that sample the weights of classifiers: what they learn from, and what the commands say of them.

Mutants tried, each red: labels of other images than their own; the number of classes of the recipe in place
of that of the data; the accuracy of training images; an ensemble by the mean of the nets' accuracies; a grid
of images drawn all the same.
"""

import json
import re

import numpy as np
import pytest
import torch
from command import call
from tiny_hub import hub, png, tiny_data  # noqa: F401 fixtures

from ebmlearn import random
from ebmlearn.commands import _nets, _results
from ebmlearn.recipes import RECIPES
from ebmlearn.train import load

TRAIN = ["train", "weight-sampler-mnist", "--smoke", "--every", "2", "--steps", "2"]


def test_all_images_are_learned_with_their_classes(out, fitted, capsys):
    assert call(*TRAIN, "--out", out) == 0
    assert "256 images (1, 16, 16) of mnist, of 10 classes, 2 steps" in capsys.readouterr().out
    images = RECIPES[TRAIN[1]](smoke=True).load()
    assert torch.equal(fitted["data"][0], images.x) and torch.equal(fitted["data"][1], images.y)
    assert fitted["batch_size"] == 16 and fitted["criterion"] is None
    about = json.loads((out / "run.json").read_text())["data"]
    assert about["classes"] == 10 and len(about["labels_sha256"]) == 64


def test_classes_are_those_of_the_data(out, fitted, tmp_path, capsys, fails):
    for k, kind in enumerate(("dark", "light")):
        (tmp_path / "kinds" / kind).mkdir(parents=True)
        for i in range(20):
            image = np.random.default_rng(i).integers(100 * k, 100 * k + 100, (16, 16), dtype=np.uint8)
            (tmp_path / "kinds" / kind / f"{i}.png").write_bytes(png(image))
    assert call(*TRAIN, "--out", out, "--data", tmp_path / "kinds") == 0
    assert fitted["method"].energy.target.n_outputs == 2 and fitted["data"][1].tolist() == [0] * 20 + [1] * 20
    assert call("evaluate", out, "--test", tmp_path / "kinds") == 0
    assert "on 40 test images of" in capsys.readouterr().out
    assert "-n is 41; there are 40 test images" in fails(
        "evaluate", out, "--test", tmp_path / "kinds", "-n", "41"
    )


def test_evaluate_says_how_right_single_nets_are_and_all_together(out, capsys, monkeypatch):
    monkeypatch.setattr(_nets, "N_NETS", 7)
    monkeypatch.setattr(_nets, "AT_ONCE", 33)
    seen = []

    def spy(recipe, method, images, *rest, accuracies=_nets.accuracies):
        seen.append(images.x)
        return accuracies(recipe, method, images, *rest)

    monkeypatch.setattr(_results, "accuracies", spy)
    assert call(*TRAIN, "--out", out) == 0
    capsys.readouterr()
    assert call("evaluate", out, "-n", "90", "--seed", "3") == 0
    printed = capsys.readouterr().out
    recipe = RECIPES[TRAIN[1]](smoke=True)
    method = recipe.method(recipe.shape(), 10)
    load(method, out)
    test = recipe.load(split="test", n=90)
    with random.kept(3):
        said = method.energy.predict(method.sample(7), test.x)
    single = (said.argmax(2) == test.y).double().mean(1)
    together = (said.mean(0).argmax(1) == test.y).double().mean().item()
    assert torch.equal(seen[0], test.x)
    (result,) = json.loads((out / "evaluation.json").read_text())
    assert result["nets"] == 7 and result["n"] == 90
    assert result["accuracy"] == pytest.approx(single.mean().item(), abs=1e-6)
    assert result["accuracy_std"] == pytest.approx(single.std().item(), abs=1e-6)
    assert result["ensemble_accuracy"] == pytest.approx(together, abs=1e-9)
    assert "model" not in result
    assert re.search(rf"accuracy of 7 nets: {single.mean():.4f} ± {single.std():.4f} \(over nets\)", printed)
    assert f"accuracy of their ensemble: {together:.4f}" in printed


def test_there_is_no_picture_of_a_net(out, fails):
    assert call(*TRAIN, "--out", out) == 0
    message = fails("sample", out)
    assert "samples the weights of nets, and there is no image of a net to draw" in message
    assert "evaluate RUN" in message and "method.sample(n)" in message
    assert not (out / "samples").exists() and not (out / "sample.png").exists()
    assert call("plot", out) == 0 and (out / "trace.png").exists()
    assert "anomaly(x)" in fails("evaluate", out, "--outliers", "svhn")


def test_a_criterion_of_images_is_refused(out, fails):
    assert "--criterion is 64, but this recipe makes no images" in fails(
        *TRAIN, "--out", out, "--criterion", "64"
    )


def test_images_of_many_attributes_are_refused(out, fails):
    assert "has 40 attributes; this recipe learns one class of each" in fails(
        *TRAIN, "--out", out, "--data", "celeba"
    )


def test_show_says_that_it_learns_from_all_labels(capsys):
    assert call("show", "weight-sampler-cifar10") == 0
    printed = capsys.readouterr().out
    assert "labels    the classes of all images" in printed
    assert "SharedHypernetwork, 15,772,478 parameters" in printed and "WeightEnergy, 0 parameters" in printed
