"""The Fisher divergence by a critic: identities of Gaussians, and GRBMs whose scores are in closed form.

Mutants tried, each red: a sign of the score, of the trace or of the square; the square without its half; the
trace left out; unit vectors that are not summed; a descent in place of the ascent.
"""

import pytest
import torch
from torch import nn

from ebmlearn.energy import GRBM, Gaussian, grad
from ebmlearn.evaluate import fisher
from ebmlearn.methods import FisherCritic
from ebmlearn.objectives import vaes
from ebmlearn.posteriors import ExactPosterior
from ebmlearn.schedules import linear
from ebmlearn.train import fit


def gaussian(d):
    root = torch.randn(d, d).double() / d**0.5
    cov = root @ root.T + 0.3 * torch.eye(d).double()
    return Gaussian(torch.randn(d).double(), (cov + cov.T) / 2)


@pytest.mark.statistical
@pytest.mark.parametrize("error", [0.0, 0.5])
def test_a_critic_misses_half_its_squared_error(error):
    """``D - ½ E‖f - f*‖²`` with ``f* = ∇ log q - ∇ log p``: here for ``f = f* + error · x``."""
    p, q = gaussian(4), gaussian(4)
    x = p.sample(50_000)

    def critic(x):
        slopes = [grad(energy, x, create_graph=True)[1] for energy in (p, q)]
        return slopes[0] - slopes[1] + error * x

    found = fisher.lower_bound(q, critic, x)
    second_moment = (p.mean.square().sum() + p.factor.square().sum()).item()
    wanted = fisher.between_gaussians(p, q) - 0.5 * error**2 * second_moment
    assert abs(found.value - wanted) < 5 * found.error
    assert found.error < 0.05 * abs(wanted)


def test_the_stated_error_is_the_spread():
    p, q = gaussian(3), gaussian(3)
    found = [fisher.lower_bound(q, torch.tanh, p.sample(200)) for _ in range(200)]
    values, errors = torch.tensor(found).double().T
    assert errors.mean().item() == pytest.approx(values.std().item(), rel=0.2)


@pytest.mark.statistical
def test_the_trace_is_exact_with_unit_vectors_and_right_on_average_with_signs():
    q, matrix = gaussian(3), torch.randn(3, 3).double()
    x = torch.randn(1, 3).double()
    field, slope = x @ matrix.T, grad(q, x)[1]
    wanted = (-(slope * field).sum() - 0.5 * field.square().sum() + matrix.trace()).item()
    critic = lambda x: x @ matrix.T  # noqa: E731
    exact = fisher.critic_terms(q, critic, x, torch.eye(3))
    assert exact.item() == pytest.approx(wanted)
    signs = fisher.critic_terms(q, critic, x.repeat(20_000, 1)).detach()
    assert abs(signs.mean() - wanted) < 5 * signs.std() / 20_000**0.5
    # off-diagonal elements make the noise: Σ_{i<j} (M_ij + M_ji)²
    both = (matrix + matrix.T).triu(1)
    assert signs.var().item() == pytest.approx(both.square().sum().item(), rel=0.1)


@pytest.mark.statistical
def test_images_are_fine():
    p = Gaussian(torch.zeros(1, 3, 3), torch.eye(9))
    q = Gaussian(torch.ones(1, 3, 3), torch.eye(9))
    found = fisher.lower_bound(q, lambda x: 1 + 0 * x, p.sample(20_000))
    assert abs(found.value - 4.5) < 5 * found.error


def test_bad_arguments_are_refused():
    q = gaussian(3)
    x = torch.randn(5, 3).double()
    with pytest.raises(ValueError, match="got 1 samples; at least 2 are needed"):
        fisher.lower_bound(q, torch.tanh, x[:1])
    with pytest.raises(ValueError, match=r"maps shape \(5, 3\) to \(5, 2\); they must agree"):
        fisher.lower_bound(q, lambda x: x[:, :2], x)


def net(d):
    return nn.Sequential(nn.Linear(d, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, d))


def test_a_step_is_an_ascent_and_leaves_the_model_alone():
    rbm, critic = GRBM(3, 2), nn.Linear(3, 3)
    method = FisherCritic(rbm, critic, lr=0.1, optimizer=torch.optim.SGD)
    assert {id(p) for p in method.parameters()} == {id(p) for p in critic.parameters()}
    x = torch.randn(500, 3)
    before = fisher.lower_bound(rbm, critic, x).value
    for _ in range(5):
        bound = method.step(x)["bound"]
    assert fisher.lower_bound(rbm, critic, x).value > before
    assert bound > before
    assert all(p.grad is None for p in rbm.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [False, True])
@pytest.mark.parametrize(("d", "spread"), [(5, 0.6), (20, 0.2)])
def test_the_trained_critic_is_within_ten_percent_of_the_truth(d, spread, estimate):
    """Data N(0, I) and a GRBM with random parameters, by its exact score or by VaES with one draw."""
    torch.manual_seed(0)
    weight, visible, hidden = spread * torch.randn(d, d), spread * torch.randn(d), spread * torch.randn(d)
    rbm = GRBM.from_parameters(weight, visible, hidden, 1.0)
    data = Gaussian(torch.zeros(d), torch.eye(d))
    truth = fisher.divergence(data, rbm, data.sample(200_000))
    method = FisherCritic(
        vaes(rbm.joint, ExactPosterior(rbm), 1) if estimate else rbm,
        net(d),
        lr=linear(2e-3, 1000),
    )
    train = data.sample(16_000)
    fit(method, train, steps=1000, batch_size=256)
    found = fisher.lower_bound(rbm, method.critic, data.sample(10_000))
    assert truth.error < 0.005 * truth.value
    assert abs(found.value / truth.value - 1) < 0.1
    # a bound: never far above, but for noise
    assert found.value < truth.value + 4 * found.error


@pytest.mark.slow
def test_on_its_own_data_the_critic_is_no_bound():
    """With few data it learns them by heart."""
    torch.manual_seed(0)
    data = Gaussian(torch.zeros(5), torch.eye(5))
    method = FisherCritic(data, net(5))
    train = data.sample(200)
    fit(method, train, steps=1000, batch_size=200)
    own, held_out = (fisher.lower_bound(data, method.critic, x) for x in (train, data.sample(10_000)))
    assert own.value > 1 and held_out.value < 0
