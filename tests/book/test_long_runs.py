"""The script behind the pictures of MNIST at 28 x 28: what a run makes, and what is stored."""

import importlib
import json

import pytest
import torch

pytest.importorskip("sklearn")


@pytest.fixture
def script():
    return importlib.import_module("long_runs")


def test_the_stored_table_says_how_each_run_was_made_and_has_its_picture(script):
    table = script.stored()
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    assert table["runs"].keys() == script.RUNS.keys()
    for name, found in table["runs"].items():
        assert {"date", "machine", "torch"} == found["made"].keys()
        assert found["rows"][0]["images"] == "other test images" and len(found["rows"]) >= 3
        judged = [row for row in found["rows"] if row["n"] == script.JUDGED and "frechet" in row]
        assert all(row["frechet"] > 0 and 0.4 < row["forest"] <= 1 for row in judged)
        assert (script.PICTURES / f"{name}.png").stat().st_size < 200_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "short-run",
        "coopnets",
        "variational-teaching",
        "dual-mcmc",
        "neural-transport",
        "inference",
        "symbols",
        "triangle",
        "bidvl",
    ],
)
def test_a_run_makes_as_many_images_as_its_stored_table_says_under_the_same_names(script, monkeypatch, name):
    """With two updates and few draws."""
    monkeypatch.setattr(script, "UPDATES", dict.fromkeys(script.UPDATES, 2))
    monkeypatch.setattr(script, "JUDGED", 20)
    monkeypatch.setattr(script, "LONG", 3)
    monkeypatch.setattr(script, "answers", lambda *n: [torch.arange(k) % 10 for k in n])
    x = torch.rand(200, 1, 28, 28) * 2 - 1
    made = list(script.RUNS[name](x, x[:20]))
    assert all(torch.isfinite(one.images).all() and one.images.shape[1:] == x.shape[1:] for one in made)
    rows = script.stored()["runs"][name]["rows"][1:]
    assert [one.title for one in made] == [row["images"] for row in rows]
    assert [one.error is None for one in made] == ["squared error" not in row for row in rows]
    assert [one.asked is None for one in made] == ["as asked" not in row for row in rows]
    assert [one.accuracy is None for one in made] == ["accuracy" not in row for row in rows]


def test_lower_halves_are_filled_in_from_the_upper_ones_and_judged_alone(script):
    """The decoder knows grey levels only, so an image of one level is filled in by it."""
    grey = torch.nn.Linear(1, 784, bias=False)
    torch.nn.init.ones_(grey.weight)

    class Level(script.el.nets.GaussianGenerator):
        def __init__(self):
            super().__init__(1, script.PIXELS, 0.1)
            self.level = grey

        def forward(self, z):
            return self.level(z).view(-1, *script.PIXELS)

    x = torch.linspace(-0.5, 0.5, 6).view(-1, 1, 1, 1).expand(-1, *script.PIXELS).clone()
    chain = script.el.Chain(script.el.ula, n_steps=200, step_size=0.004)
    found = script.fill(Level(), chain, x, "filled", 0.0)
    assert torch.equal(found.images[:, :, :14], x[:, :, :14])
    assert (found.images - x).abs().max() < 0.05
    below = (found.images - x)[:, :, 14:]
    assert found.error == pytest.approx(below.square().mean().item(), rel=1e-5)
