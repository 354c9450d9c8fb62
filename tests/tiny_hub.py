"""Tiny data sets laid out like the hub, for tests that train on images: import the two fixtures."""

import numpy as np
import pytest
from test_data import datasets, png, write

SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "celeba": (218, 178, 3)}


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
