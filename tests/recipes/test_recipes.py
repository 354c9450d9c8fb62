"""Every recipe: at smoke size through the command line, at full size as far as a laptop can."""

import dataclasses

import pytest
import torch
from PIL import Image
from tiny_hub import hub, tiny_data  # noqa: F401 fixtures
from torch import nn

from ebmlearn.__main__ import main
from ebmlearn.data.sources import SOURCES
from ebmlearn.recipes import RECIPES
from ebmlearn.train import checkpoint

QUICK = "latent-prior-mnist"  # one in the fast suite, all in the slow one
NO_IMAGES = {name for name in RECIPES if name.startswith("weight-sampler")}  # their samples are nets
ALL = [pytest.param(name, marks=[] if name == QUICK else pytest.mark.slow) for name in RECIPES]


@pytest.mark.parametrize("name", ALL)
def test_smoke_size_trains_and_resumes_bit_for_bit(name, tmp_path):
    """Two steps and two resumed ones end where four do: weights, metrics and the pictures on the way."""
    train = ["train", name, "--smoke", "--every", "2", "--criterion", "0"]
    assert main([*train, "--out", str(tmp_path / "a"), "--steps", "4"]) == 0
    assert main([*train, "--out", str(tmp_path / "b"), "--steps", "2"]) == 0
    assert main([*train, "--out", str(tmp_path / "b"), "--steps", "4", "--resume"]) == 0
    whole, resumed = (checkpoint.load(tmp_path / r / "checkpoint-00000004.pt") for r in "ab")
    tensors = {k: v for k, v in whole["method"].items() if isinstance(v, torch.Tensor)}
    assert tensors and all(torch.equal(v, resumed["method"][k]) for k, v in tensors.items())
    pictures = [] if name in NO_IMAGES else ["samples/00000002.png", "samples/00000004.png"]
    for file in ("trace.csv", *pictures):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / "samples").exists() == bool(pictures)
    if not pictures:
        return
    side = RECIPES[name](smoke=True).shape()[1]
    with Image.open(tmp_path / "a/samples/00000004.png") as picture:
        assert picture.size == (8 * (side + 1) + 1,) * 2  # 64 images with a border of one pixel


@pytest.mark.parametrize("name", RECIPES)
def test_a_smoke_run_is_short(name):
    """Its time on a CPU is bounded by numbers, since tests measure none."""
    recipe = RECIPES[name](smoke=True)
    assert recipe.steps <= 30 and recipe.batch_size <= 32 and recipe.n <= 256 and recipe.shape()[1] <= 16
    assert sum(p.numel() for p in recipe.method(recipe.shape()).parameters()) < 200_000


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in NO_IMAGES])
def test_drawing_samples_changes_nothing(name):
    """Weights, banks and modes stay as they are: a grid must not change training."""
    recipe = RECIPES[name](smoke=True)
    method = recipe.method(recipe.shape())
    before = {k: v.clone() for k, v in method.state_dict().items() if isinstance(v, torch.Tensor)}
    modes = [module.training for module in method.modules()]
    x = recipe.images(method, recipe.batch_size + 3)
    assert x.shape == (recipe.batch_size + 3, *recipe.shape()) and x.isfinite().all()
    assert not x.requires_grad and all(p.grad is None for p in method.parameters())
    after = method.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items())
    assert [module.training for module in method.modules()] == modes


@pytest.mark.parametrize("name", ALL)
def test_smoke_and_full_size_are_the_same_kind(name):
    full, smoke = RECIPES[name](), RECIPES[name](smoke=True)
    assert (full.data, full.source, full.expect) == (smoke.data, smoke.source, smoke.expect)
    assert full.data in SOURCES and full.steps > smoke.steps
    assert name.endswith({"celeba": "celeba64"}.get(full.data, full.data))
    assert "arXiv:" in full.source or "github.com/" in full.source
    kinds = [{type(net) for net in recipe.method(recipe.shape()).children()} for recipe in (full, smoke)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_loaded_has_the_shape_that_is_announced(name):
    recipe = RECIPES[name](smoke=True)
    x, y = recipe.load()
    assert x.shape == (256, *recipe.shape()) and len(y) == 256
    assert x.min() >= -1 and x.max() <= 1


def test_images_of_another_set_are_padded_and_reduced_as_far_as_they_need():
    full, smoke = (RECIPES["short-run-mnist"](smoke=smoke) for smoke in (False, True))
    x = full.load(n=4).x
    assert x.shape == (4, *full.shape()) == (4, 1, 32, 32)
    inside = torch.nn.functional.pad(torch.ones(28, 28), (2,) * 4).bool()
    assert (x[..., ~inside] == -1).all() and (x[..., inside] > -1).any()
    assert full.load("cifar10", n=4).x.shape == (4, 3, 32, 32)  # of the right side as it is
    assert smoke.load("cifar10", n=4).x.shape == (4, 3, 16, 16)
    assert smoke.load("digits").x.shape == (256, 1, 8, 8)  # smaller than 16 to begin with
    assert RECIPES["short-run-mnist"]().load("digits").x.shape == (1442, 1, 8, 8)  # fewer than 40,000
    assert smoke.load(split="test", n=3).x.shape == (3, 1, 16, 16)


def test_images_are_drawn_in_evaluation_mode_without_a_graph_in_batches():
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    sizes = []

    def sample(method, n):
        sizes.append(n)
        return method(torch.randn(n, 1, 4, 4))

    recipe = dataclasses.replace(RECIPES["short-run-mnist"](), sample=sample, batch_size=8)
    x = recipe.images(net, 20)
    assert sizes == [8, 8, 4] and x.shape == (20, 1, 4, 4)
    assert not x.requires_grad and net[1].num_batches_tracked == 0 and net[1].training
