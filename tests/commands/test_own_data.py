"""The command line with images of one's own, from training to evaluation: a folder, a file, the hub."""

import dataclasses
import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from command import TRAIN, call
from tiny_hub import datasets, hub, png, tiny_data  # noqa: F401 fixtures
from torch.nn import functional

from ebmlearn import data
from ebmlearn.commands import _results
from ebmlearn.data.images import area_average
from ebmlearn.recipes import RECIPES
from ebmlearn.train import checksum

SIDE = 16  # of the recipe's images


@pytest.fixture
def photos(tmp_path):
    """Photographs in colour, of two kinds: 130 to train, 70 to test; the right pixels of the former."""
    rng, squares = np.random.default_rng(0), []
    for split, n in (("train", 65), ("test", 35)):
        for k, kind in enumerate(("dark", "light")):
            folder = tmp_path / "photos" / split / kind
            folder.mkdir(parents=True)
            for i in range(n):
                image = rng.integers(100 * k, 100 * k + 100, (40, 30, 3), dtype=np.uint8)
                (folder / f"{i}.png").write_bytes(png(image))
                squares += [image[5:35]] if split == "train" else []
    grey = np.rint(np.stack(squares).astype(float) @ [0.299, 0.587, 0.114])
    return tmp_path / "photos", torch.from_numpy(grey[:, None] / 127.5 - 1).float()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    def short(*images, steps, train=_results.train_classifier):
        return train(*images, steps=10)

    monkeypatch.setattr(_results, "train_classifier", short)


def about(run):
    return json.loads((run / "run.json").read_text())


def test_a_folder_from_training_to_evaluation(out, photos, capsys, fails, monkeypatch, tmp_path):
    folder, right = photos
    monkeypatch.chdir(folder.parent)
    assert call(*TRAIN, "--out", out, "--data", "photos") == 0
    assert f"130 images (1, 16, 16) of {folder}, 4 steps" in capsys.readouterr().out
    run = about(out)
    x = RECIPES[TRAIN[1]](smoke=True).load(str(folder)).x
    assert (x - area_average(right, SIDE)).abs().max() < 2 / 255  # resized, grey, and not padded
    assert run["options"]["data"] == str(folder) and run["data"]["sha256"] == checksum(x)
    # from another working directory too
    monkeypatch.chdir(tmp_path.parent)
    assert call(*TRAIN, "--out", out, "--data", str(folder), "--resume", "--steps", "5") == 0
    assert call("sample", out, "-n", "4") == 0
    assert call("evaluate", out, "-n", "70") == 0
    (result,) = json.loads((out / "evaluation.json").read_text())
    assert result["data"] == str(folder) and "test" not in result and result["n"] == 70
    # what has changed is no longer what the run was trained on
    shutil.copy(folder / "train/light/0.png", folder / "train/dark/0.png")
    assert "sha256: checkpoint" in fails(*TRAIN, "--out", out, "--data", str(folder), "--resume")
    message = fails("evaluate", out, "--features", "pixels")
    assert (
        f"the images of {folder} are others than those that the run was trained on (130, then 130)" in message
    )
    shutil.rmtree(folder)
    assert f"there is no file or folder '{folder}'" in fails("evaluate", out, "--features", "pixels")


def test_test_images_are_named_where_none_are_set_aside(out, photos, capsys, fails, tmp_path):
    folder, _ = photos
    assert call(*TRAIN, "--out", out, "--data", folder / "train") == 0
    message = fails("evaluate", out, "-n", "70")
    assert (
        "train has no split 'test': nothing of it is set aside. Give other images, --test FOLDER" in message
    )
    assert call("evaluate", out, "-n", "70", "--test", folder / "test") == 0
    (result,) = json.loads((out / "evaluation.json").read_text())
    assert result["data"] == str(folder / "train") and result["test"] == str(folder / "test")
    # the numbers are those of the folder that has both
    assert call(*TRAIN, "--out", out.with_name("b"), "--data", folder) == 0
    assert call("evaluate", out.with_name("b"), "-n", "70") == 0
    assert json.loads((out.with_name("b") / "evaluation.json").read_text())[0]["model"] == result["model"]
    assert "holds splits, not classes" in fails("evaluate", out, "--features", "pixels", "--test", folder)
    assert "--test is mnist; expected a folder of images" in fails("evaluate", out, "--test", "mnist")
    (folder / "test" / "light").rename(folder / "test" / "lit")
    message = fails("evaluate", out, "--features", "pixels", "--test", folder / "test")
    assert "has other classes than" in message and "'light', 'lit'" in message


def test_a_file_without_classes(out, photos, fails, capsys, tmp_path):
    folder, right = photos
    levels = ((right + 1) * 127.5).round().to(torch.uint8)
    np.save(tmp_path / "x.npy", levels.numpy()[:, 0])
    torch.save(levels, tmp_path / "x.pt")
    for name in ("x.npy", "x.pt"):
        run = out.with_name(name)
        assert call(*TRAIN, "--out", run, "--data", tmp_path / name) == 0
        assert about(run)["data"]["sha256"] == checksum(area_average(data.to_unit(levels), SIDE))
    message = fails("evaluate", run, "-n", "70", "--test", folder / "test")
    assert "are of one class, so there is no classifier of them to train; give --features pixels" in message


def test_more_images_than_the_recipe_takes(out, capsys, tmp_path):
    x = np.arange(512, dtype=np.int64).repeat(SIDE * SIDE).reshape(512, SIDE, SIDE) % 250
    np.save(tmp_path / "x.npy", x.astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call(*TRAIN, "--out", out, "--data", tmp_path / "x.npy") == 0
    assert "warning: 256 of the 512 images of" in capsys.readouterr().err
    assert about(out)["data"]["images"] == 256


def test_a_set_of_the_hub(out, fails, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EBMLEARN_DATA", str(tmp_path / "hub"))
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20, 24), dtype=np.uint8) for _ in range(130)]
    columns = {
        "picture": [{"bytes": png(im), "path": None} for im in images],
        "kind": [i % 2 for i in range(130)],
    }
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.Value("int64")})
    for split in ("train", "test"):
        file = tmp_path / f"hub/someone/flowers/data/{split}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_dict(columns, features).to_parquet(file)
    train = [*TRAIN, "--out", out, "--data", "someone/flowers"]
    assert "--image-column" in fails(*train)
    assert "lacks the columns ['pictures']; it has ['picture', 'kind']" in fails(
        *train, "--image-column", "pictures"
    )
    assert call(*train, "--image-column", "picture", "--label-column", "kind") == 0
    assert {"image_column": "picture", "label_column": "kind"}.items() <= about(out)["options"].items()
    square = functional.pad(data.to_unit(torch.from_numpy(np.stack(images))[:, None]), (-2, -2))
    assert about(out)["data"]["sha256"] == checksum(area_average(square, SIDE))
    assert call("evaluate", out, "-n", "70") == 0
    assert "label_column: checkpoint kind | this run (absent)" in fails(
        *train, "--image-column", "picture", "--resume"
    )
    assert "named for sets on the hub; mnist is none" in fails(
        *TRAIN, "--out", out.with_name("b"), "--image-column", "a"
    )


def test_a_recipe_of_data_of_its_own(photos):
    folder, right = photos
    recipe = dataclasses.replace(RECIPES[TRAIN[1]](), data=str(folder), size=8, pad=0, channels=1, n=None)
    assert recipe.shape() == (1, 8, 8)
    x, y = recipe.load()
    assert (x - area_average(right, 8)).abs().max() < 2 / 255 and y.tolist() == [0] * 65 + [1] * 65
    for missing in ("size", "channels"):
        with pytest.raises(
            ValueError, match=r"photos', which is no set of ebmlearn.data; then give it size="
        ):
            dataclasses.replace(recipe, **{missing: None}).shape()


def test_what_is_no_data(out, fails, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    message = fails(*TRAIN, "--out", out, "--data", tmp_path / "photos")
    assert "notes.txt': it is no PNG or JPEG image" in message
    assert "there is no file or folder" in fails(*TRAIN, "--out", out, "--data", tmp_path / "none.npy")
    assert not out.exists()
