"""Maximum likelihood with MCMC: what a step does and reports. Where it ends is the battery's affair
(`tests/objectives.py`)."""

from functools import partial

import pytest
import torch
from objectives import Precision

from ebmlearn.diagnostics import acceptance, squared_jump
from ebmlearn.energy import GRBM
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.sample import DataStart, ReplayBuffer, gibbs, hmc, mala
from ebmlearn.train import fit


def test_the_ends_of_the_chains_are_handed_back():
    buffer = ReplayBuffer(torch.full((50, 2), 100.0))
    method = MaximumLikelihood(Precision(), buffer, n_steps=50, step_size=0.9)
    fit(method, torch.randn(50, 2), steps=5, batch_size=50)
    assert buffer.x.abs().max() < 10


def test_metrics_are_what_they_say():
    method = MaximumLikelihood(Precision(), DataStart(), n_steps=1, step_size=0.4, noise_scale=0.0)
    x = torch.randn(100, 2)
    metrics = method.step(x)
    assert metrics["displacement"].item() == pytest.approx(0.08 * x.norm(dim=1).mean().item())
    energy = 0.5 * x.square().sum(1).mean().item()
    assert metrics["energy_gap"].item() == pytest.approx(energy * (1 - 0.92**2), rel=1e-5)


def test_the_recorded_diagnostic_is_a_metric_under_its_name():
    x = torch.randn(100, 2)
    settings = {"n_steps": 3, "kernel": partial(hmc, n_leapfrog=2), "step_size": 0.5, "record": acceptance}
    metrics = MaximumLikelihood(Precision(), DataStart(), **settings).step(x)
    assert set(metrics) == {"energy_gap", "acceptance"} and 0.9 < metrics["acceptance"] < 1
    rbm = GRBM(2, 3)
    metrics = MaximumLikelihood(rbm, DataStart(), n_steps=1, kernel=gibbs, record=squared_jump).step(x)
    assert set(metrics) == {"energy_gap", "squared_jump"} and metrics["squared_jump"] > 1
    with pytest.raises(ValueError, match="use squared_jump"):
        MaximumLikelihood(rbm, DataStart(), n_steps=1, kernel=gibbs).step(x)


def test_the_kernel_and_its_settings_identify_a_run():
    def settings(**changed):
        chosen = {"n_steps": 1, "kernel": mala, "step_size": 0.1, **changed}
        return MaximumLikelihood(Precision(), DataStart(), **chosen).settings()

    assert settings() == settings()
    assert settings() != settings(step_size=0.2)
    assert settings() != settings(step_size=lambda t: 0.1 + t)
    assert settings(kernel=partial(hmc, n_leapfrog=2)) != settings(kernel=partial(hmc, n_leapfrog=3))


def test_a_setting_that_the_kernel_does_not_know_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'noise_scale'"):
        MaximumLikelihood(
            Precision(), DataStart(), n_steps=1, kernel=hmc, step_size=0.1, n_leapfrog=2, noise_scale=0.1
        )
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'step_size'"):
        MaximumLikelihood(Precision(), DataStart(), n_steps=1)
    with pytest.raises(TypeError, match="Precision has no method gibbs_sweep"):
        MaximumLikelihood(Precision(), DataStart(), n_steps=1, kernel=gibbs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_steps": 0}, "n_steps >= 1"),
        ({"data_noise": -0.1}, "data_noise >= 0"),
        ({"step_size": -0.1}, "step_size is -0.1"),
        ({"bounds": (1, 0)}, "low < high"),
        ({"ema": 1.5}, "decay is 1.5"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MaximumLikelihood(Precision(), DataStart(), **{"n_steps": 1, "step_size": 0.1, **settings})
