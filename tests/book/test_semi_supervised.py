"""The script behind chapter 15's table of few labels: tasks, labels, learners, and what is stored.

Mutants, each seen to fail: labels chosen anew for each number; the test examples in the mean of a table; the
encoder learning behind a VAE.
"""

import importlib
import json

import pytest
import torch

import ebmlearn as el

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def script():
    return importlib.import_module("semi_supervised")


def test_every_class_has_its_labels_and_fewer_are_among_more(script):
    y = torch.randint(3, (500,))
    few, many = script.choose(y, 2, seed=0), script.choose(y, 5, seed=0)
    assert y[few].bincount().tolist() == [2] * 3 and y[many].bincount().tolist() == [5] * 3
    assert len(set(many.tolist())) == 15 and set(few.tolist()) < set(many.tolist())
    assert not torch.equal(many, script.choose(y, 5, seed=1))


@pytest.mark.parametrize("name", ["wine", "cancer"])
def test_a_third_of_each_class_is_the_test_and_the_rest_has_unit_columns(script, name):
    t = script.task(name, seed=0)
    every = t.y.bincount() + t.y_test.bincount()
    assert every.tolist() == {"wine": [59, 71, 48], "cancer": [212, 357]}[name]
    assert torch.equal(t.y_test.bincount(), every // 3)
    torch.testing.assert_close(t.x.mean(0), torch.zeros(t.x.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(t.x.std(0), torch.ones(t.x.shape[1]), atol=1e-4, rtol=0)
    assert t.x_test.mean(0).abs().max() > 0.01  # by the training examples
    assert t.y.bincount().min() >= max(script.LABELS)
    assert not torch.equal(t.x, script.task(name, seed=1).x)


def test_synthetic_tasks_keep_counts_and_binary_columns_as_they_are(script):
    topics, table = script.task("topics", 0), script.task("mixed table", 0)
    assert (topics.x.sum(1) == 40).all() and topics.n_words == 200
    binary = table.x[:, list(table.binary)]
    assert ((binary == 0) | (binary == 1)).all()
    others = [j for j in range(table.x.shape[1]) if j not in table.binary]
    torch.testing.assert_close(table.x[:, others].std(0), torch.ones(len(others)), atol=1e-4, rtol=0)
    p = script.TARGETS["topics"].probabilities(topics.x_test)
    assert abs((p.argmax(1) == topics.y_test).float().mean() - 0.8425) < 0.03  # labels belong to their rows


def test_passages_are_of_one_play_each_and_blocks_on_one_side(script):
    if not el.data.is_local_text("shakespeare"):
        pytest.skip("needs the text")
    words, plays = script.passages()
    assert plays.bincount().min() > 90 and len(plays.unique()) == 8
    texts = {
        k: {w for p, y in zip(words, plays.tolist(), strict=True) if y == k for w in p} for k in range(8)
    }
    assert "coriolanus" in texts[0] and "petruchio" in texts[7] and "prospero" not in texts[7]
    t = script.from_plays()
    assert len(t.x) + len(t.x_test) == len(words) and 0.2 < len(t.x_test) / len(words) < 0.26
    assert (t.y.bincount() >= max(script.LABELS)).all()
    # the words of the test are not looked at: the least frequent word that counts does so in training
    assert (t.x.sum(0) > 0).all() and (t.x == t.x.floor()).all()


@pytest.mark.parametrize("kind", ["images", "table", "topics"])
def test_all_learners_have_the_same_nets_and_learn_an_easy_task(script, kind, monkeypatch):
    """Two classes far apart: whoever sees a label of each must tell them."""
    monkeypatch.setattr(script, "UPDATES", 60)
    y = torch.arange(200) % 2
    x = (2.0 * y[:, None] - 1) * torch.ones(200, 16) + 0.1 * torch.randn(200, 16)
    if kind == "topics":
        x = torch.randint(6, (200, 16)).float()
        x[y == 0, :8], x[y == 1, 8:] = 0.0, 0.0
    x = x.clamp(-1, 1).view(-1, 1, 4, 4) if kind == "images" else x
    t = script.Task(x[:100], y[:100], x[100:], y[100:])
    found = script.cell(t, kind, 2, 0, script.vae(t, kind, 0))
    assert found["accuracy"].keys() == found["seconds"].keys() == set(script.LEARNERS)
    assert min(found["accuracy"].values()) > 0.95
    a, b = script.nets(t, kind), script.nets(t, kind)
    assert repr(a) == repr(b)


def test_behind_a_vae_the_encoder_stays(script, monkeypatch):
    monkeypatch.setattr(script, "UPDATES", 3)
    x, y = torch.randn(20, 4), torch.arange(20) % 2
    t = script.Task(x, y, x, y)
    of = script.nets(t, "table")
    before = [p.clone() for p in of.encoder.parameters()]
    script.supervised(of, x, y, frozen=True)
    assert all(torch.equal(a, b) for a, b in zip(before, of.encoder.parameters(), strict=True))
    script.supervised(of, x, y)
    assert not any(torch.equal(a, b) for a, b in zip(before[:2], of.encoder.parameters(), strict=False))


def test_the_stored_table_is_whole_and_says_how_it_was_made(script):
    table = json.loads(script.FILE.read_text(encoding="utf-8"))
    assert table["setting"] == json.loads(json.dumps(script.SETTING))
    assert {"date", "machine", "torch"} == table["made"].keys()
    cells = {(r["task"], r["labels"], r["seed"]) for r in table["runs"]}
    assert len(cells) == len(table["runs"]) == len(script.KINDS) * len(script.LABELS) * len(script.SEEDS)
    for r in table["runs"]:
        assert r["accuracy"].keys() == set(script.LEARNERS)
        assert all(0 <= value <= 1 for value in r["accuracy"].values())
        place = script.LABELS.index(r["labels"]), r["seed"]
        found = script.accuracies(r["task"], "coupling")[place].item()
        assert found == pytest.approx(r["accuracy"]["coupling"])


def test_nobody_exceeds_the_best_accuracy_and_it_is_the_exact_one(script):
    bayes = script.stored()["bayes"]
    for name, target in script.TARGETS.items():
        value, error = target.bayes_accuracy(20_000, torch.Generator().manual_seed(5))
        assert abs(bayes[name][0] - value) < 5 * error and bayes[name][1] < 0.001
        for learner in script.LEARNERS:
            # 5,000 test examples: the standard error of an accuracy is below .007
            assert script.accuracies(name, learner).max() < bayes[name][0] + 5 * 0.007
