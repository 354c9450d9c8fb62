"""Flows of zuko behind the interface of ours."""

import pytest
import torch

from ebmlearn import targets
from ebmlearn.evaluate import exact
from ebmlearn.methods import ExactLikelihood, NeuralTransport
from ebmlearn.nets import MLPEnergy, RealNVP, ZukoFlow
from ebmlearn.sample import Chain, ReplayBuffer, hmc
from ebmlearn.schedules import linear
from ebmlearn.train import fit

zuko = pytest.importorskip("zuko", reason="needs zuko: pip install 'ebmlearn[flows]'")


def splines(n_layers: int = 2, **settings) -> ZukoFlow:
    return ZukoFlow(zuko.flows.NSF(2, transforms=n_layers, hidden_features=(32, 32), **settings))


@pytest.mark.parametrize("passes", [None, 2])
def test_density_samples_and_inverse_are_those_of_zuko(passes):
    flow = splines(passes=passes)
    x = torch.randn(50, 2)
    torch.testing.assert_close(flow.log_prob(x), flow.flow().log_prob(x))
    x, log_q = flow.rsample_with_log_prob(500)
    torch.testing.assert_close(log_q, flow.flow().log_prob(x), atol=1e-4, rtol=1e-4)
    z, log_det = flow.generate(x)
    back, minus = flow.invert(z)
    torch.testing.assert_close(back, x, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(minus, -log_det, atol=1e-4, rtol=1e-4)
    grid = exact.Grid((-8, 8), n=240)
    assert exact.log_z(flow, grid).value == pytest.approx(0.0, abs=1e-3)


def test_a_flow_with_another_base_is_refused():
    with pytest.raises(ValueError, match=r"base is .*expected N\(0, I\) over vectors"):
        ZukoFlow(zuko.flows.NCSF(2, transforms=1))
    with pytest.raises(ValueError, match=r"x has shape \(4, 3\); this flow was built for events of shape"):
        splines()(torch.zeros(4, 3))


@pytest.mark.slow
@pytest.mark.statistical
def test_splines_fit_separated_modes_five_times_better_and_can_be_tilted():
    """About as many weights, the same updates and batches; then the method of chapter 12 on top."""
    t4, found = targets.four_weighted_gaussians(), {}
    for name, make in {"RealNVP": lambda: RealNVP((2,), 4, 32), "splines": splines}.items():
        torch.manual_seed(0)
        flow = make()
        method = ExactLikelihood(flow, lambda q: q.log_z, lr=linear(1e-2, 300))
        fit(method, t4.sample, steps=300, batch_size=500)
        found[name] = exact.kl(t4, flow, exact.Grid((-9, 9), n=240)).value
    assert found["splines"] < 0.05 and found["RealNVP"] > 5 * found["splines"]
    start = ReplayBuffer(torch.randn(500, 2))
    chain = Chain(hmc, n_steps=2, step_size=0.25, n_leapfrog=3)
    tilted = NeuralTransport(MLPEnergy(2, (32,)), flow, start, chain=chain, lr=linear(1e-3, 50))
    fit(tilted, t4.sample, steps=50, batch_size=200)
    assert exact.kl(t4, tilted.energy, exact.Grid((-9, 9), n=240)).value < 0.05
