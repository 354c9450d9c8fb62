"""Energies that come with the package are what is said of them."""

import json
import shutil

import pytest
import torch

import ebmlearn as el
from ebmlearn import pretrained
from ebmlearn.energy import GRBM
from ebmlearn.pretrained import __main__, _digits

pytest.importorskip("sklearn")  # has the digits, and sets environment variables as it is imported

NUMBERS = ("log_z", "test", "test_standard_error", "train", "test_full_gaussian", "test_diagonal_gaussian")


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_its_numbers_are_those_that_are_written_beside_it(name):
    """Recomputed from the file of weights; they are written to 0.001 nats."""
    found = _digits.measure(pretrained.load(name), *_digits.split())
    written = pretrained.about(name)["numbers"]
    assert found.keys() == written.keys() == set(NUMBERS)
    for key, value in written.items():
        assert found[key] == pytest.approx(value, abs=2e-3), key


def test_log_z_is_that_of_another_computation_and_samples_are_its_own():
    """Summed over the visible units' side of the joint energy, in float64; the samples' energy likewise."""
    net = pretrained.load()
    assert isinstance(net, GRBM) and not net.training and not any(p.requires_grad for p in net.parameters())
    w, b, c, s = (v.double() for v in (net.weight, net.visible_bias, net.hidden_bias, net.std))
    h = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * len(c))
    field = h @ w.T  # sum over x of exp(-E(x, h)) is a Gaussian integral
    terms = h @ c + field @ b + 0.5 * (field * s).square().sum(1)
    log_z = terms.logsumexp(0) + s.log().sum() + 0.5 * len(s) * torch.tensor(2 * torch.pi).log()
    assert net.log_z.item() == pytest.approx(log_z.item(), abs=1e-3)
    mean = h.T @ (terms - terms.logsumexp(0)).exp()  # of the hidden units
    x = net.sample(20_000, torch.Generator().manual_seed(0))
    seen = net.hidden_prob(x).double()
    z = (seen.mean(0) - mean) / (seen.std(0) / len(x) ** 0.5)
    assert z.abs().max() < 5


def test_it_can_be_sampled_by_chains_and_differentiated():
    net = pretrained.load("digits")
    x = el.langevin(net, _digits.split().test[:5], n_steps=3, step_size=0.02)
    assert el.grad(net, x)[1].shape == (5, 64)


def test_what_is_said_of_it_names_command_seed_and_versions():
    about = pretrained.about("digits")
    assert about["command"].startswith("python -m ebmlearn.pretrained make digits") and about["seed"] == 0
    assert {"python", "ebmlearn", "torch"} <= about["session"]["versions"].keys()
    assert about["session"]["started"].startswith("20") and "steps" in about["settings"]
    assert (pretrained.HERE / "digits.pt").stat().st_size < 100_000


def test_the_documentation_has_its_numbers():
    numbers = pretrained.about("digits")["numbers"]
    for key, words in {
        "test": "log-likelihood is {:.1f} nats",
        "test_full_gaussian": "all correlations has {:.1f},",
        "test_diagonal_gaussian": "independent pixels {:.1f}:",
    }.items():
        assert words.format(numbers[key]) in " ".join(pretrained.__doc__.split())


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="no pretrained energy 'digit'; did you mean 'digits'"):
        pretrained.load("digit")
    with pytest.raises(ValueError, match="no pretrained energy 'mnist'; there are digits"):
        pretrained.about("mnist")


def test_another_file_than_the_measured_one_is_refused(tmp_path, monkeypatch):
    for path in pretrained.HERE.glob("digits.*"):
        shutil.copy(path, tmp_path)
    content = bytearray((tmp_path / "digits.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "digits.pt").write_bytes(content)
    monkeypatch.setattr(pretrained, "HERE", tmp_path)
    with pytest.raises(ValueError, match=r"digits\.pt has SHA-256 .*: install the package again"):
        pretrained.load()


@pytest.mark.slow
def test_made_anew_by_its_command_it_is_as_good(tmp_path, capsys):
    """Rounding of another machine makes another path of training: half a nat of 0.9 standard error."""
    __main__.main(["make", "digits", "--out", str(tmp_path)])
    made, ships = json.loads((tmp_path / "digits.json").read_text()), pretrained.about("digits")
    assert made["numbers"]["test"] == pytest.approx(ships["numbers"]["test"], abs=0.5)
    assert made["settings"] == ships["settings"] and made["command"] == ships["command"]
    assert f"{made['numbers']['log_z']:.3f}" in capsys.readouterr().out
