"""The script behind the tables of anomalies: split, scores, and what is stored."""

import importlib
import json

import pytest
import torch

import ebmlearn as el

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("anomaly_mnist")


def test_the_held_out_digit_is_tested_whole_and_never_trained_on(script):
    y = torch.arange(1000) % 10
    x = torch.arange(1000.0).view(-1, 1, 1, 1)
    train, test, anomaly = script.hold_out(x, y, digit=7, seed=0)
    assert len(train) == 720 and len(test) == 280
    assert sorted(torch.cat([train, test]).flatten().tolist()) == list(range(1000))
    assert ((test.flatten().long() % 10 == 7) == anomaly).all() and anomaly.sum() == 100
    same, _, _ = script.hold_out(x, y, digit=7, seed=0)
    other, _, _ = script.hold_out(x, y, digit=7, seed=1)
    assert torch.equal(train, same) and not torch.equal(train, other)


@pytest.mark.parametrize("name", ["LEBM", "VAE"])
def test_scores_are_made_of_both_terms_with_the_stated_weights(script, name):
    el.seed(0)
    method, x = script.learner(name), torch.rand(5, 1, 14, 14) * 2 - 1
    found = script.scores(method, x)
    nats, energy = found["reconstruction"], found["energy of z"]
    torch.testing.assert_close(found["joint"], nats + energy)
    torch.testing.assert_close(found["unit weight"], 2 * 0.3**2 * nats + energy)
    # both draw z first, so the seed gives it again
    el.seed(0)
    method = script.learner(name)
    torch.rand(5, 1, 14, 14)
    z = method.infer(x) if name == "LEBM" else method.posterior.sample(x)[0]
    prior = method.prior(z) if name == "LEBM" else z.square().sum(1) / 2
    error = (x - method.generator(z)).square().flatten(1).sum(1)
    torch.testing.assert_close(found["joint"], (error / (2 * 0.3**2) + prior).detach())
    if name == "VAE":
        torch.testing.assert_close(found["minus ELBO"], nats + method.posterior.kl(x).detach())


def test_a_better_score_of_anomalies_has_a_higher_average_precision(script, monkeypatch):
    """Images of the held-out digit are noise here: whoever learned the others must find them."""
    monkeypatch.setitem(script.UPDATES, "VAE", 60)
    y = torch.arange(2000) % 10
    x = torch.full((2000, 1, 14, 14), -1.0)
    x[y == 4] = 2 * torch.rand(200, 1, 14, 14) - 1
    found = script.run("VAE", x, y, digit=4, seed=0)
    assert found["average precision"]["joint"] > 0.99
    assert found["anomalies"] == pytest.approx(200 / 560, abs=1e-4)


def test_the_stored_table_is_whole_and_says_how_it_was_made(script):
    table = json.loads(script.FILE.read_text(encoding="utf-8"))
    assert table["setting"] == script.SETTING
    assert {"date", "machine", "torch"} == table["made"].keys()
    runs = {(r["learner"], r["digit"], r["seed"]) for r in table["runs"]}
    assert len(runs) == len(table["runs"]) == len(script.UPDATES) * len(script.DIGITS) * len(script.SEEDS)
    _, found = script.stored()
    assert found["LEBM", "joint"].shape == (5, 3)
    for r in table["runs"]:
        place = script.DIGITS.index(r["digit"]), r["seed"]
        for score, value in r["average precision"].items():
            assert found[r["learner"], score][place].item() == pytest.approx(value)


@pytest.mark.parametrize("rest", ["", ", no noise"])
@pytest.mark.parametrize("name", ["divergence triangle", "BiDVL"])
def test_later_learners_have_their_own_energy_beside_the_scores_of_the_vae(script, name, rest):
    el.seed(0)
    method, x = script.learner(name + rest).eval(), torch.rand(5, 1, 14, 14) * 2 - 1
    el.seed(1)
    found = script.scores(method, x)
    el.seed(1)
    with torch.no_grad():
        z, mean = method.posterior.sample(x)[0], method.posterior.mean(x)
        energy = method.energy(x) if name == "BiDVL" else method.energy.joint(x, mean)
        nats = (x - method.generator(z)).square().flatten(1).sum(1) / (2 * 0.3**2)
        torch.testing.assert_close(found["joint"], nats + z.square().sum(1) / 2)
        torch.testing.assert_close(found["minus ELBO"], nats + method.posterior.kl(x))
    torch.testing.assert_close(found["energy"], energy)
    assert method.noise == (not rest)


def test_the_later_table_is_whole_and_leaves_that_of_chapter_14_alone(script):
    table, found = script.stored(later=True)
    assert table["setting"] == json.loads(json.dumps(script.LATER))
    assert {"date", "machine", "torch"} == table["made"].keys()
    expected = [tuple(r.values()) for r in script.rows(script.UPDATES_LATER)]
    assert sorted((r["learner"], r["digit"], r["seed"]) for r in table["runs"]) == sorted(expected)
    assert {learner for learner, _ in found} == set(script.UPDATES_LATER)
    assert not any(v.isnan().any() for v in found.values())
    first, of_first = script.stored()
    assert (
        {r["learner"] for r in first["runs"]} == {learner for learner, _ in of_first} == set(script.UPDATES)
    )
    # the same images are held out: as many anomalies
    shares = {(r["digit"], r["anomalies"]) for r in [*first["runs"], *table["runs"]]}
    assert len(shares) == len(script.DIGITS)


def test_what_a_table_has_is_kept_and_only_the_rest_is_run():
    tables = importlib.import_module("tables")
    rows, ran = [{"learner": name, "seed": seed} for name in "ab" for seed in (0, 1)], []

    def run(learner, seed):
        ran.append((learner, seed))
        return {"value": 1.0}

    old = {"made": {"date": "then"}, "setting": {"n": [1]}, "runs": [rows[1] | {"value": 7.0}]}
    steps = [len(t["runs"]) for t in tables.completed(old, {"n": (1,)}, rows, run)]
    assert steps == [1, 2, 3, 4] and ran == [("a", 0), ("b", 0), ("b", 1)]
    assert old["runs"][0]["value"] == 7.0 and old["made"] == {"date": "then"}
    # under another setting nothing is kept
    ran.clear()
    (*_, new) = tables.completed(old, {"n": (2,)}, rows, run)
    assert len(ran) == len(new["runs"]) == 4 and new["made"] != old["made"]
