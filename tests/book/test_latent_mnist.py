"""The script behind chapter 14's table of images: what is stored, and how images are packed."""

import importlib
import json

import pytest
import torch

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("latent_mnist")


def test_packed_images_come_back_in_order_and_to_half_a_grey_level(script):
    x = torch.rand(3, 1, 14, 14) * 2.2 - 1.1
    back = script.unpack(script.pack(x))
    assert back.shape == x.shape
    assert (back - x.clamp(-1, 1)).abs().max() <= 0.5 / 127.5 + 1e-6


def test_every_way_to_draw_has_a_row_for_each_seed_and_images_of_one_size(script, monkeypatch):
    """With a few updates; then in the stored table, which says how it was made."""
    monkeypatch.setattr(script, "UPDATES", {"decoder": 2, "prior": 1})
    monkeypatch.setattr(script, "BOTH", 3)
    monkeypatch.setattr(script, "JUDGED", 30)
    x = torch.rand(200, 1, 14, 14) * 2 - 1
    ways = ["other test images"]
    for way in script.WAYS:
        for name, images, steps, _ in way(x, x[:30], 0):
            assert images.shape == (30, 1, 14, 14) and images.abs().max() <= 1 and steps >= 2
            ways.append(name)
    monkeypatch.undo()
    table, found = script.stored()
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    assert {"date", "machine", "torch"} == table["made"].keys()
    assert list(found) == ways and len(table["runs"]) == len(ways) * len(script.SEEDS)
    assert all(value.shape == (3, len(script.SEEDS)) for value in found.values())
    assert {r["seed"] for r in table["runs"]} == set(script.SEEDS)
    assert table["shown"].keys() == {"test images", *ways}
    assert all(len(script.unpack(text)) == script.SHOWN for text in table["shown"].values())
