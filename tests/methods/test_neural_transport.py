"""A tilted flow: the Jacobian cancels, one partition function in both spaces, and chains that learn the tilt.

Mutants tried, each red: the log-determinant added to U, or log q; U without its Gaussian; the data in the
latent space in line 4; the chain's start not stored; importance weights without the flow's density; a sign of
the gap; a graph kept through g.
"""

import copy
import math

import pytest
import torch
from exact_noise import Draws, exact_gaussian
from flows import check_inverse
from methods import bent_flow
from torch import nn

from ebmlearn import seed
from ebmlearn.evaluate import exact
from ebmlearn.methods import ExactLikelihood, NeuralTransport
from ebmlearn.nets import Flow, LinearEnergy, MLPEnergy
from ebmlearn.sample import Chain, NoiseStart, ReplayBuffer, gibbs, hmc, langevin, ula

SHORT = Chain(ula, n_steps=3, step_size=0.2)


class Scale(Flow):
    """``x = exp(s) z + t``: the flow whose likelihood is that of a Gaussian."""

    def __init__(self, shift=0.0, log_scale=0.0, wrong=0.0):
        super().__init__((1,))
        self.shift, self.log_scale = (nn.Parameter(torch.tensor([v])) for v in (shift, log_scale))
        self.wrong = wrong

    def generate(self, z):
        return z * self.log_scale.exp() + self.shift, self.log_scale.expand(len(z))

    def invert(self, x):
        return (x - self.shift) * (-self.log_scale).exp() + self.wrong, -self.log_scale.expand(len(x))


def tilted(steep=4.0, start=None, chain=SHORT):
    """A model far from its flow, which is far from the identity."""
    flow, tilt = bent_flow((2,)).double(), MLPEnergy(2, (16,)).double()
    with torch.no_grad():
        for p in [*tilt.parameters(), *flow.parameters()]:
            p.mul_(steep)
    check_inverse(flow, torch.randn(8, 2).double())
    return NeuralTransport(tilt, flow, start or NoiseStart("normal"), chain=chain)


def test_the_energy_of_the_latents_is_the_pulled_back_one():
    """``E(g(z)) - log|det dg/dz|`` through flow and log-determinant, by automatic differentiation."""
    method = tilted()
    z = torch.randn(64, 2).double().requires_grad_()
    x, log_det = method.flow.generate(z)
    whole = method.tilt(x) - method.flow.log_prob(x) - log_det
    apart = whole - method.latent_energy(z)
    torch.testing.assert_close(apart, torch.full_like(apart, math.log(2 * math.pi)))
    (wanted,) = torch.autograd.grad(whole.sum(), z)
    (slope,) = torch.autograd.grad(method.latent_energy(z).sum(), z)
    torch.testing.assert_close(slope, wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(method.energy(x.detach()), (method.tilt(x) - method.flow.log_prob(x)).detach())


@pytest.mark.statistical
def test_one_partition_function_in_both_spaces_and_by_samples_of_the_flow():
    method, n = tilted(), 50_000
    in_x = exact.Grid((-40, 40), n=1200, dtype=torch.float64).log_z(method.energy).detach()
    in_z = exact.Grid((-8, 8), n=300, dtype=torch.float64).log_z(method.latent_energy).detach()
    assert in_x.item() == pytest.approx(in_z.item() - math.log(2 * math.pi), abs=1e-3)
    estimate, n_effective = method.log_z(n)
    with torch.no_grad():
        weight = (-method.tilt(method.flow.sample(n)) - in_x).exp()
    assert abs(estimate - in_x).item() < 5 * weight.std().item() / math.sqrt(n)
    by_moments = n * weight.mean() ** 2 / weight.square().mean()
    assert n_effective.item() == pytest.approx(by_moments.item(), rel=0.1)
    assert 0.05 * n < n_effective < 0.9 * n


def test_a_step_descends_the_gap_and_keeps_its_chains():
    bank = ReplayBuffer(torch.randn(16, 2).double())
    method = tilted(start=bank)
    x_data, twin = torch.randn(16, 2).double(), copy.deepcopy(bank)
    seed(1)
    z = langevin(method.latent_energy, twin.draw(x_data), n_steps=3, step_size=0.2)
    twin.store(z)
    gap = method.tilt(x_data).mean() - method.tilt(method.flow.generate(z)[0].detach()).mean()
    wanted = torch.autograd.grad(gap, method.tilt.parameters())
    seed(1)
    metrics = method.step(x_data)
    for parameter, slope in zip(method.tilt.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope)
    assert metrics["energy_gap"].item() == pytest.approx(gap.item())
    assert torch.equal(bank.x, twin.x)
    assert all(p.grad is None for p in method.flow.parameters())


def test_with_exact_chains_the_tilt_makes_up_for_the_flow():
    """Flow N(0, c²), tilt θ x²/2, data N(0, V): at rest θ = 1/V - 1/c², and E is that of the data."""
    draws, c, v = Draws(8), 1.6, 0.7
    tilt = LinearEnergy(lambda x: 0.5 * x.square(), torch.tensor([0.0])).double()
    method = NeuralTransport(
        tilt,
        Scale(0.0, math.log(c)).double(),
        NoiseStart("normal"),
        chain=exact_gaussian(draws),
        lr=1.0,
        optimizer=torch.optim.SGD,
    )
    for _ in range(200):
        draws.restart()
        method.step(math.sqrt(v) * draws.first)
    assert tilt.theta.item() == pytest.approx(1 / v - 1 / c**2, abs=1e-6)
    x = torch.tensor([[0.0], [1.0]]).double()
    assert method.energy(x).diff().item() == pytest.approx(0.5 / v)
    log_z, _ = method.log_z(200_000)
    assert log_z.item() == pytest.approx(0.5 * math.log(v / c**2), abs=0.01)


@pytest.mark.statistical
def test_samples_are_carried_from_the_latent_space():
    n = 20_000
    tilt = LinearEnergy(lambda x: 0.5 * x.square(), torch.tensor([1.0]))
    chain = Chain(hmc, n_steps=30, step_size=0.3, n_leapfrog=4)
    method = NeuralTransport(
        tilt, Scale(0.5, math.log(2.0)), NoiseStart("normal", event_shape=(1,)), chain=chain
    )
    x = method.sample(n)
    # N(0.5, 4) times exp(-x²/2): precision 1/4 + 1
    assert x.mean().item() == pytest.approx(0.125 / 1.25, abs=5 * math.sqrt(0.8 / n))
    assert x.var().item() == pytest.approx(0.8, abs=5 * 0.8 * math.sqrt(2 / n))
    assert not x.requires_grad


def test_a_warm_up_fits_the_flow_as_its_likelihood_does_and_then_the_tilt_alone_moves():
    x = 1.5 * torch.randn(64, 1).double() + 2
    flow, alone = Scale().double(), Scale().double()
    how = {"optimizer": torch.optim.SGD}
    method = NeuralTransport(
        MLPEnergy(1, (4,)).double(),
        flow,
        NoiseStart("normal"),
        chain=SHORT,
        warmup=5,
        lr_flow=0.1,
        **how,
    )
    fitted = ExactLikelihood(alone, lambda q: q.log_z, lr=0.1, **how)
    tilt = [p.clone() for p in method.tilt.parameters()]
    for _ in range(5):
        assert method.step(x)["nll"].item() == pytest.approx(fitted.step(x)["nll"].item())
    assert flow.shift.item() == pytest.approx(alone.shift.item()) and flow.shift.item() > 0.3
    assert all(torch.equal(a, b) for a, b in zip(method.tilt.parameters(), tilt, strict=True))
    method.step(x)
    assert torch.equal(flow.shift, alone.shift) and method.updates == {"tilt": 1, "flow": 5}


def test_a_flow_that_a_warm_up_has_spoiled_is_refused():
    method = NeuralTransport(
        MLPEnergy(1), flow := Scale(), NoiseStart("normal"), chain=SHORT, warmup=2, lr_flow=1e-9
    )
    method.step(torch.zeros(4, 1))
    flow.wrong = 1.0
    with pytest.raises(ValueError, match=r"misses draws of N\(0, I\) by up to 1; expected at most 1e-4"):
        method.step(torch.zeros(4, 1))


# settings


def test_a_flow_that_its_inverse_does_not_undo_is_refused():
    with pytest.raises(
        ValueError, match=r"the flow's inverse misses draws of N\(0, I\) by up to 0\.001; expec"
    ):
        NeuralTransport(MLPEnergy(1), Scale(wrong=1e-3), NoiseStart("normal"), chain=SHORT)
    with pytest.raises(ValueError, match="by up to nan; expected at most 1e-4"):
        NeuralTransport(MLPEnergy(1), Scale(wrong=math.nan), NoiseStart("normal"), chain=SHORT)


def test_the_check_of_a_flow_draws_nothing_from_the_global_generator():
    seed(0)
    wanted = torch.randn(3)
    seed(0)
    NeuralTransport(LinearEnergy(lambda x: x, torch.ones(1)), Scale(), NoiseStart("normal"), chain=SHORT)
    assert torch.equal(torch.randn(3), wanted)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"chain": Chain(gibbs, n_steps=1)}, TypeError, "no method gibbs_sweep"),
        ({"chain": SHORT, "ema": 2.0}, ValueError, r"decay is 2\.0"),
        (
            {"chain": SHORT, "warmup": -1},
            ValueError,
            r"expected warmup >= 0 and bin_width >= 0; got -1 and 0",
        ),
        ({"chain": SHORT, "bin_width": -1.0}, ValueError, r"got 0 and -1\.0"),
    ],
)
def test_bad_settings_are_refused_before_the_first_step(settings, error, message):
    with pytest.raises(error, match=message):
        NeuralTransport(MLPEnergy(1), Scale(), NoiseStart("normal"), **settings)


def test_latents_of_another_size_are_refused():
    bank = ReplayBuffer(torch.randn(16, 3))
    method = NeuralTransport(MLPEnergy(1), Scale(), bank, chain=SHORT)
    with pytest.raises(ValueError, match=r"chains of event shape \(3,\), but the batch has shape \(4, 1\)"):
        method.step(torch.zeros(4, 1))
