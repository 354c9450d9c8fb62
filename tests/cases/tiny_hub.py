"""Tiny data sets laid out like the hub; for tests that train on images: import the two fixtures."""

import io
from pathlib import Path

import numpy as np
import pytest

from ebmlearn import data

datasets = pytest.importorskip("datasets")
image_module = pytest.importorskip("PIL.Image")

# What the hub holds, written down apart from the package: id, configuration, column of the images, (C, H, W).
HUB = {
    "mnist": ("ylecun/mnist", "mnist", "image", (1, 28, 28)),
    "fashion_mnist": ("zalando-datasets/fashion_mnist", "fashion_mnist", "image", (1, 28, 28)),
    "cifar10": ("uoft-cs/cifar10", "plain_text", "img", (3, 32, 32)),
    "svhn": ("ufldl-stanford/svhn", "cropped_digits", "image", (3, 32, 32)),
    "celeba": ("flwrlabs/celeba", "img_align+identity+attr", "image", (3, 218, 178)),
}

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "svhn": (32, 32, 3), "celeba": (218, 178, 3)}


def cut_off(monkeypatch, tmp_path):
    """No network, no data and no cache of others: empty folders in their place."""
    monkeypatch.setenv("EBMLEARN_DATA", str(tmp_path / "hub"))
    monkeypatch.setenv("EBMLEARN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    (tmp_path / "hub").mkdir()


def png(levels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    image_module.fromarray(levels).save(buffer, "PNG")
    return buffer.getvalue()


def write(
    folder: Path, name: str, split: str = "train", images=None, n: int = 7, shard=(0, 1), seed: int = 0
):
    """Write a small copy of a set, laid out like the hub; return (images (N, H, W, C), columns, file).

    `images` may hold bytes in place of arrays. The label columns of CelebA are in another order than ours.
    """
    repo, config, image, (channels, height, width) = HUB[name]
    rng = np.random.default_rng(seed)
    if images is None:
        images = list(rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8))
    encoded = [im if isinstance(im, bytes) else png(im[..., 0] if im.shape[2] == 1 else im) for im in images]
    columns = {image: [{"bytes": b, "path": None} for b in encoded]}
    features = {image: datasets.Image()}
    if name == "celeba":
        columns["celeb_id"] = list(range(len(images)))
        features["celeb_id"] = datasets.Value("int64")
    top = 2 if name == "celeba" else 10
    for label in reversed(data.CELEBA_ATTRIBUTES) if name == "celeba" else ["label"]:
        columns[label] = rng.integers(0, top, len(images)).astype(bool if top == 2 else int).tolist()
        features[label] = datasets.Value("bool" if top == 2 else "int64")
    file = folder / repo / config / f"{split}-{shard[0]:05d}-of-{shard[1]:05d}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns, datasets.Features(features)).to_parquet(file)
    return images, columns, file


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A folder with 256 images of each set and 300 test images of MNIST: coarse squares, quickly decoded."""
    folder, rng = tmp_path_factory.mktemp("hub"), np.random.default_rng(0)
    for name, (height, width, channels) in SHAPES.items():
        few = []
        for _ in range(8):
            coarse = rng.integers(0, 256, (8, 8, channels), dtype=np.uint8)
            image = np.kron(coarse, np.ones((28, 28, 1), np.uint8))[:height, :width]
            few.append(png(image[..., 0] if channels == 1 else image))
        write(folder, name, images=[few[i] for i in rng.integers(0, 8, 256)])
        if name == "mnist":
            write(folder, name, "test", images=[few[i] for i in rng.integers(0, 8, 300)])
    return folder


@pytest.fixture(autouse=True)
def tiny_data(hub, monkeypatch):
    """These sets, and no network."""
    monkeypatch.setenv("EBMLEARN_DATA", str(hub))
    monkeypatch.setenv("EBMLEARN_CACHE", str(hub.parent / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(hub.parent / "xdg"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", hub.parent / "hf")
