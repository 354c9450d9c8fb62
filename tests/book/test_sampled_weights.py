"""The script behind chapter 20's table of ensembles: its scores, its learners, and what is stored.

Broken on purpose and seen to fail: confidence for accuracy in the calibration error; a net that is compared
with itself in the disagreement; members in place of their mean; SWAG without its deviations.
"""

import importlib
import json
from itertools import product

import pytest
import torch
from torch.nn.functional import one_hot

import ebmlearn as el

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("sampled_weights")


def test_calibration_error_is_the_gap_of_confidence_and_accuracy_in_each_tenth(script):
    y = torch.zeros(10, dtype=torch.int64)
    sure = torch.full((10, 1), 0.75)
    p = torch.cat([sure, 1 - sure], 1)
    assert script.calibration_error(p, y) == pytest.approx(0.25, abs=1e-6)
    y[:5] = 1
    assert script.calibration_error(p, y) == pytest.approx(0.25, abs=1e-6)
    # two tenths, too sure in one and not sure enough in the other: gaps do not cancel
    p = torch.cat([p, torch.tensor([[0.55, 0.45]]).expand(10, 2)])
    y = torch.cat([y, torch.zeros(10, dtype=torch.int64)])
    assert script.calibration_error(p, y) == pytest.approx((0.25 + 0.45) / 2, abs=1e-6)


def test_scores_are_of_nets_and_of_their_mean(script):
    y = torch.tensor([0, 0, 0, 0])
    said = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1], [0, 2, 0, 1]])
    each = 0.7 * one_hot(said, 3) + 0.1
    found = script.scores(each, y)
    assert found["accuracy of a net"] == pytest.approx(7 / 12)
    assert found["accuracy"] == pytest.approx(3 / 4)
    # pairs: 1 and 2 differ in one, 2 and 3 in one, 1 and 3 in two images
    assert found["disagreement"] == pytest.approx((1 + 1 + 2) / 12)
    assert "disagreement" not in script.scores(each[:1], y)


def test_outliers_keep_what_their_names_say(script):
    _, _, x, _ = script.digits()
    found = script.outliers(x, 0)
    assert torch.equal(found["permuted"].flatten(1).sort(1).values, x.flatten(1).sort(1).values)
    assert not torch.equal(found["permuted"], x)
    assert torch.equal(found["inverted"], -x)
    assert abs(found["noise"].mean()) < 5 * (1 / 3 / x.numel()) ** 0.5


def test_entropy_of_a_coin_and_of_certainty(script):
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
    torch.testing.assert_close(script.entropy(p), torch.tensor([2.0, 1.0]).log())


def test_dropout_leaves_out_units_and_keeps_the_mean(script):
    el.seed(0)
    net = script.target()
    theta, x = net.initial(1), torch.randn(3, 1, 8, 8)
    draws = torch.stack([script.with_dropout(net, theta, x) for _ in range(4000)])
    off = (draws.mean(0) - net(theta, x)[0]) / (draws.std(0) / 4000**0.5)
    assert off.abs().max() < 5
    assert draws.std(0).min() > 0.01


def test_swag_draws_as_much_as_its_iterates_differ(script, monkeypatch):
    """Iterates of SGD on noise alone: a random walk, whose variance the draws have."""
    el.seed(0)
    noise = torch.randn(1000, 6)
    monkeypatch.setattr(script, "NETS", 4000)
    kept = []

    def loss(weights, chosen):
        kept.append(weights.detach()[0].clone())
        return (weights * noise[chosen[0, 0]]).sum(1)

    draws = script.swag(torch.zeros(1, 6), loss, 1000, 800)
    iterates = torch.stack([*kept[20::20]])
    ratio = draws.std(0) / iterates.std(0)
    assert 0.7 < ratio.min() < ratio.max() < 1.5
    assert ((draws.mean(0) - iterates.mean(0)) / iterates.std(0)).abs().max() < 0.2


@pytest.mark.slow
def test_a_cell_of_the_stored_table_is_reproduced(script):
    """The net trained on the labels, seed 0: another processor may move an image or two of 355."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = script.run("one net", 0)
    finally:
        torch.set_num_threads(threads)
    (stored,) = [r for r in script.stored()[0]["runs"] if (r["learner"], r["seed"]) == ("one net", 0)]
    assert {"learner", "seed"} | found.keys() == stored.keys()
    assert found["accuracy"] == pytest.approx(stored["accuracy"], abs=4 / 355)
    assert found["nats"] == pytest.approx(stored["nats"], rel=0.15)
    assert found["area"]["noise"] == pytest.approx(stored["area"]["noise"], abs=0.03)


def test_the_stored_table_is_whole_and_says_how_it_was_made(script):
    table, found = script.stored()
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    assert {"date", "machine", "torch"} == table["made"].keys()
    runs = [(r["learner"], r["seed"]) for r in table["runs"]]
    assert sorted(runs) == sorted(product(script.LEARNERS, script.SEEDS))
    for name in script.LEARNERS:
        assert all(v.shape == (5,) for v in found[name].values())
        assert found[name]["accuracy"].min() > 0.9
        assert ("disagreement" in found[name]) == (name not in script.SINGLE)
    row = next(r for r in table["runs"] if r["learner"] == "SGLD" and r["seed"] == 3)
    assert found["SGLD"]["accuracy"][3].item() == pytest.approx(row["accuracy"])
    assert found["SGLD"]["permuted"][3].item() == pytest.approx(row["area"]["permuted"])
