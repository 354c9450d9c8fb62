"""Maximum likelihood with MCMC: what a step does and reports. Where it ends is the battery's affair
(`tests/cases/objectives.py`)."""

import pytest
import torch
from objectives import Precision

from ebmlearn.diagnostics import acceptance, squared_jump
from ebmlearn.energy import GRBM
from ebmlearn.methods import MaximumLikelihood
from ebmlearn.sample import Chain, DataStart, NoiseStart, ReplayBuffer, gibbs, hmc, mala, ula
from ebmlearn.train import fit


def test_the_ends_of_the_chains_are_handed_back():
    buffer = ReplayBuffer(torch.full((50, 2), 100.0))
    method = MaximumLikelihood(Precision(), buffer, chain=Chain(ula, n_steps=50, step_size=0.9))
    fit(method, torch.randn(50, 2), steps=5, batch_size=50)
    assert buffer.x.abs().max() < 10


def test_metrics_are_what_they_say():
    chain = Chain(ula, n_steps=1, step_size=0.4, noise_scale=0.0)
    method = MaximumLikelihood(Precision(), DataStart(), chain=chain)
    x = torch.randn(100, 2)
    metrics = method.step(x)
    assert metrics["displacement"].item() == pytest.approx(0.08 * x.norm(dim=1).mean().item())
    energy = 0.5 * x.square().sum(1).mean().item()
    assert metrics["energy_gap"].item() == pytest.approx(energy * (1 - 0.92**2), rel=1e-5)


def test_the_recorded_diagnostic_is_a_metric_under_its_name():
    x = torch.randn(100, 2)
    chain = Chain(hmc, n_steps=3, step_size=0.5, n_leapfrog=2)
    metrics = MaximumLikelihood(Precision(), DataStart(), chain=chain, diagnostic=acceptance).step(x)
    assert set(metrics) == {"energy_gap", "acceptance"} and 0.9 < metrics["acceptance"] < 1
    rbm, chain = GRBM(2, 3), Chain(gibbs, n_steps=1)
    metrics = MaximumLikelihood(rbm, DataStart(), chain=chain, diagnostic=squared_jump).step(x)
    assert set(metrics) == {"energy_gap", "squared_jump"} and metrics["squared_jump"] > 1
    with pytest.raises(ValueError, match="use squared_jump"):
        MaximumLikelihood(rbm, DataStart(), chain=chain).step(x)


def test_the_chain_and_the_start_identify_a_run():
    def settings(kernel=mala, start=None, **changed):
        chain = Chain(kernel, **{"n_steps": 1, "step_size": 0.1, **changed})
        return MaximumLikelihood(Precision(), start or DataStart(), chain=chain).settings()

    assert settings() == settings()
    assert settings()["chain"] == "Chain(mala, n_steps=1, step_size=0.1)"
    others = [
        settings(ula),
        settings(n_steps=2),
        settings(step_size=0.2),
        settings(step_size=lambda t: 0.1 + t),
        settings(step_size=lambda t: 0.1 + 2 * t),
        settings(hmc, n_leapfrog=2),
        settings(hmc, n_leapfrog=3),
        settings(start=NoiseStart()),
        settings(start=NoiseStart(scale=2.0)),
    ]
    assert settings() not in others and len({str(other) for other in others}) == len(others)


def test_an_energy_that_the_kernel_cannot_take_is_refused():
    with pytest.raises(TypeError, match="Precision has no method gibbs_sweep"):
        MaximumLikelihood(Precision(), DataStart(), chain=Chain(gibbs, n_steps=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"data_noise": -0.1}, r"data_noise is -0\.1; expected"), ({"ema": 1.5}, r"decay is 1\.5")],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MaximumLikelihood(Precision(), DataStart(), chain=Chain(ula, n_steps=1, step_size=0.1), **settings)


# samples


def after(n_steps, start, s, a=1.0):
    """The variance of ULA on E = a |x|²/2 after ``n_steps`` from the variance ``start``."""
    rho = 1 - s * s * a / 2
    return rho ** (2 * n_steps) * start + s * s * sum(rho ** (2 * k) for k in range(n_steps))


def test_samples_are_the_ends_of_chains_from_the_start():
    """Their variance has a closed form, which is neither that of the start nor that of the energy."""
    chain, n = Chain(ula, n_steps=3, step_size=0.8), 50_000
    start = NoiseStart("normal", 3.0, (2,))
    x = MaximumLikelihood(Precision(), start, chain=chain).sample(n)
    assert x.shape == (n, 2) and not x.requires_grad
    assert abs(x.square().mean() / after(3, 9.0, 0.8) - 1) < 5 * (2 / (2 * n)) ** 0.5


def test_persistent_chains_are_not_moved_by_sampling():
    bank = ReplayBuffer(3.0 * torch.randn(50_000, 2))
    method = MaximumLikelihood(Precision(), bank, chain=Chain(ula, n_steps=3, step_size=0.8))
    before = {name: value.clone() for name, value in bank.state_dict().items()}
    x = method.sample(40_000)
    assert abs(x.square().mean() / after(3, 9.0, 0.8) - 1) < 5 * (2 / 80_000) ** 0.5
    assert all(torch.equal(value, before[name]) for name, value in bank.state_dict().items())
    with pytest.raises(ValueError, match="asked for 50001 chains; the buffer holds 50000"):
        method.sample(50_001)


def test_contrastive_divergence_has_no_samples_without_data():
    method = MaximumLikelihood(Precision(), DataStart(), chain=Chain(ula, n_steps=1, step_size=0.1))
    with pytest.raises(ValueError, match=r"DataStart has no starting points.*method\.chain\(method\.energy"):
        method.sample(3)
