"""VaES and VaGES against exact marginals: enumerated hidden units, and a Gaussian model in closed form.

Mutants tried, each red: L/(L-1) dropped, or kept in the sum over states; the covariance added in place of
subtracted, without its half, or dropped; one set of draws for value and derivative; ``v`` not detached when
``h`` is drawn, or where the weights of states are computed; log q left out of the variance-reduced form, or
with ``v`` detached; the posterior trained on clean data; its update after that of the energy.
"""

from functools import partial

import pytest
import torch
from models import machine
from torch import nn

from ebmlearn.energy import GRBM, grad
from ebmlearn.methods import ScoreMatching, VaGES
from ebmlearn.nets import EBLVM, MLPEnergy, MLPGenerator
from ebmlearn.objectives import (
    denoising_score_matching,
    kernel_stein_discrepancy,
    multiscale_denoising,
    posterior_fisher,
    vaes,
    vages,
    variational_free_energy,
)
from ebmlearn.posteriors import BernoulliPosterior, ExactPosterior, GaussianPosterior
from ebmlearn.schedules import linear
from ebmlearn.train import fit

OBJECTIVES = {
    "denoising": partial(denoising_score_matching, sigma=0.3),
    "denoising, control variate": partial(denoising_score_matching, sigma=0.3, control_variate=True),
    "multi-scale": partial(multiscale_denoising, sigmas=(0.1, 1.0), reference=0.3),
    "kernel Stein": partial(kernel_stein_discrepancy, bandwidth=1.0),
}


def slope_squared(energy, v):
    """½ |∇F|²: the part of every objective where value and derivative of an estimate are multiplied."""
    return 0.5 * grad(energy, v, create_graph=True)[1].square().sum(1).mean()


class Factor(nn.Module):
    """One-factor analysis, ``h ~ N(0, 1)`` and ``v = a h + ε``: marginal and posterior are Gaussian."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([1.0, -0.5, 2.0]).double())

    def joint(self, v, h):
        return 0.5 * (v - h * self.a).square().sum(1) + 0.5 * h.square().sum(1)

    def forward(self, v):
        return 0.5 * (v.square().sum(1) - (v @ self.a).square() / (1 + self.a @ self.a))

    def posterior(self):
        net = nn.Linear(3, 2).double()
        scale = 1 + self.a @ self.a
        with torch.no_grad():
            net.weight.copy_(torch.stack([self.a / scale, 0 * self.a]))
            net.bias.copy_(torch.stack([0 * scale, -0.5 * scale.log()]))
        return GaussianPosterior(net, 1)


def deep(shape, m=2):
    return EBLVM(MLPEnergy(torch.Size(shape).numel(), (8,)), MLPGenerator(m, shape, (8,)))


def gradient(loss, energy):
    parts = torch.autograd.grad(loss, list(energy.parameters()), allow_unused=True, materialize_grads=True)
    return torch.cat([part.flatten() for part in parts])


def relative(got, wanted):
    return ((got - wanted).norm() / wanted.norm()).item()


# every state


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_with_every_state_of_the_true_posterior_all_is_exact(objective):
    """Loss and gradient are those of the marginal energy, to rounding."""
    rbm, v = machine(), torch.randn(50, 3).double()
    wanted, got = (
        (torch.manual_seed(1), objective(energy, v))[1]
        for energy in (rbm, vages(rbm.joint, ExactPosterior(rbm), None))
    )
    torch.testing.assert_close(got, wanted)
    assert relative(gradient(got, rbm), gradient(wanted, rbm)) < 1e-12


def test_without_the_covariance_couplings_are_wrong_and_hidden_biases_see_nothing():
    """``∇_v E(v, h)`` has no ``c`` in it, so that all that ``c`` learns it learns by the covariance."""
    rbm, v = machine(), torch.randn(200, 3).double()
    found = []
    for energy in (rbm, vages(rbm.joint, ExactPosterior(rbm), None, covariance=False)):
        torch.manual_seed(1)
        loss = denoising_score_matching(energy, v, 0.3)
        found.append([*torch.autograd.grad(loss, [rbm.weight, rbm.hidden_bias], allow_unused=True), loss])
    (weight, bias, loss), (rough, nothing, same) = found
    assert relative(rough, weight) > 0.1 and bias.norm() > 0.1 * weight.norm()
    assert nothing is None
    torch.testing.assert_close(same, loss)
    for covariance in (True, False):
        method = VaGES(rbm, ExactPosterior(rbm), OBJECTIVES["denoising"], n_steps=0, covariance=covariance)
        method.step(v)
        assert (rbm.hidden_bias.grad is not None) == covariance


@pytest.mark.statistical
def test_the_sum_over_states_of_any_binary_posterior_is_the_mean_of_many_draws():
    rbm, v = machine(), torch.randn(5, 3).double()
    q = BernoulliPosterior(nn.Linear(3, 4).double(), 4)
    exact = grad(vaes(rbm.joint, q, None), v)[1]
    rows = v.repeat(200, 1)
    draws = grad(vaes(rbm.joint, q, 20), rows)[1].view(200, 5, 3)
    assert ((draws.mean(0) - exact) / (draws.std(0) / 200**0.5)).abs().max() < 5
    with pytest.raises(ValueError, match="the states of binary h, which a GaussianPosterior has not"):
        vaes(rbm.joint, GaussianPosterior(nn.Linear(3, 8).double(), 4), None)(v)


# draws


def models():
    rbm, factor = machine(), Factor()
    return {"binary": (rbm, ExactPosterior(rbm)), "Gaussian": (factor, factor.posterior())}


@pytest.mark.statistical
@pytest.mark.parametrize("kind", ["binary", "Gaussian"])
@pytest.mark.parametrize("n_samples", [2, 5])
def test_with_draws_of_the_true_posterior_the_gradient_is_unbiased(kind, n_samples):
    """Value and derivative of the slope are multiplied: independent draws and L/(L-1) make the mean right."""
    model, q = models()[kind]
    v = torch.randn(20, 3).double()
    wanted = gradient(slope_squared(model, v), model)
    energy = vages(model.joint, q, n_samples)
    found = torch.stack([gradient(slope_squared(energy, v.repeat(100, 1)), model) for _ in range(100)])
    z = (found.mean(0) - wanted) / (found.std(0) / len(found) ** 0.5)
    assert z.abs().max() < 5
    # it is a sharp test: the error is small against the gradient
    assert (found.std(0) / len(found) ** 0.5).norm() < 0.03 * wanted.norm()


@pytest.mark.statistical
def test_pairs_of_data_have_draws_of_their_own():
    """The kernel Stein discrepancy multiplies the slopes of *two* data."""
    rbm, v = machine(), torch.randn(30, 3).double()
    objective, energy = OBJECTIVES["kernel Stein"], vages(rbm.joint, ExactPosterior(rbm), 2)
    wanted = gradient(objective(rbm, v), rbm)
    found = torch.stack([gradient(objective(energy, v), rbm) for _ in range(400)])
    assert ((found.mean(0) - wanted) / (found.std(0) / 20)).abs().max() < 5


@pytest.mark.parametrize("kind", ["binary", "Gaussian"])
def test_the_variance_reduced_score_has_no_noise_at_the_true_posterior(kind):
    """``E(v, h) + log p(h | v) = F(v) + const`` for every ``h``."""
    model, q = models()[kind]
    v = torch.randn(50, 3).double()
    slope = grad(vaes(model.joint, q, 1, variance_reduced=True), v)[1]
    torch.testing.assert_close(slope, grad(model, v)[1])
    # and the derivative by the parameters stays that of the estimate
    energy = vages(model.joint, q, 2, variance_reduced=True)
    torch.testing.assert_close(grad(energy, v)[1], grad(model, v)[1])


@pytest.mark.statistical
@pytest.mark.parametrize("n_samples", [1, 4])
def test_the_plain_score_has_the_variance_of_the_posterior(n_samples):
    """``∇_v E = (v - b)/σ² - W h``: the total variance is ``Σ_j p_j (1 - p_j) ‖W_j‖² / L``."""
    rbm, v, n = machine(), torch.randn(4, 3).double(), 20_000
    p = rbm.hidden_prob(v).detach()
    wanted = (p * (1 - p)) @ rbm.weight.detach().square().sum(0) / n_samples
    slope = grad(vaes(rbm.joint, ExactPosterior(rbm), n_samples), v.repeat(n, 1))[1].view(n, 4, 3)
    square = (slope + rbm.score(v).detach()).square().sum(2)
    assert ((square.mean(0) - wanted) / (square.std(0) / n**0.5)).abs().max() < 5


# what is constant


@pytest.mark.parametrize("make", [vaes, vages])
def test_h_is_fixed_while_v_is_differentiated(make):
    """The slope is the mean of ``∇_v E(v, h)`` at given ``h``: nothing flows through ``h(v)``."""
    net = deep((3,)).double()
    q = GaussianPosterior(nn.Linear(3, 4).double(), 2)
    v = torch.randn(10, 3).double()
    kept = q.sample(v, 6)

    class Kept(GaussianPosterior):
        rsample = None  # a draw with a graph is never asked for

        def sample(self, v, n=1, generator=None):
            return kept

    got = grad(make(net.joint, Kept(q.net, 2), 6), v)[1]
    wanted = torch.stack([grad(lambda v, h=h: net.joint(v, h), v)[1] for h in kept]).mean(0)
    torch.testing.assert_close(got, wanted)
    # with draws of its own: a graph from h to v would change this slope
    torch.manual_seed(3)
    own = grad(vaes(net.joint, q, 6), v)[1]
    torch.manual_seed(3)
    h = q.sample(v, 6)
    torch.testing.assert_close(
        own, torch.stack([grad(lambda v, h=h: net.joint(v, h), v)[1] for h in h]).mean(0)
    )


def test_the_posterior_gets_no_gradient_and_the_data_neither():
    net, q = deep((3,)), GaussianPosterior(nn.Linear(3, 4), 2)
    v = torch.randn(10, 3, requires_grad=True)
    energy = vages(net.joint, q, 2, variance_reduced=True)
    grad(energy, v)
    assert all(p.grad is None for p in [*net.parameters(), *q.parameters(), v])
    denoising_score_matching(energy, v, 0.3).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad is None for p in [*q.parameters(), v])


def test_images_and_vectors_agree():
    torch.manual_seed(1)
    flat = deep((4,))
    image = deep((1, 2, 2))
    image.load_state_dict(flat.state_dict())
    q = GaussianPosterior(nn.Sequential(nn.Flatten(), nn.Linear(4, 4)), 2)
    x = torch.randn(6, 4)
    found = []
    for net, v in ((flat, x), (image, x.view(6, 1, 2, 2))):
        torch.manual_seed(2)
        found.append(gradient(denoising_score_matching(vages(net.joint, q, 3), v, 0.3), net))
    torch.testing.assert_close(*found)


def test_one_draw_is_refused_where_there_is_a_covariance():
    rbm = machine()
    q = ExactPosterior(rbm)
    with pytest.raises(ValueError, match=r"n_samples is 1; expected at least 2.* L/\(L-1\) divides by zero"):
        vages(rbm.joint, q, 1)
    with pytest.raises(ValueError, match="n_samples is 1; expected at least 2"):
        VaGES(rbm, q, denoising_score_matching, n_samples=1, n_steps=0)
    vages(rbm.joint, q, 1, covariance=False)
    with pytest.raises(ValueError, match=r"n_samples is 0; expected at least 1, or None for all states$"):
        vaes(rbm.joint, q, 0)


# the method


def test_with_every_state_training_is_exact_score_matching():
    """The same weights after twenty updates, to rounding."""
    objective = partial(denoising_score_matching, sigma=0.3)
    rbm, twin = machine(), machine()
    twin.load_state_dict(rbm.state_dict())
    x = torch.randn(20, 16, 3).double()
    for method in (
        ScoreMatching(rbm, objective, lr=0.02),
        VaGES(twin, ExactPosterior(twin), objective, n_samples=None, n_steps=0, lr=0.02),
    ):
        torch.manual_seed(1)
        for batch in x:
            method.step(batch)
    for a, b in zip(rbm.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_the_posterior_learns_that_of_noisy_data_before_the_energy_moves():
    """K steps on the lower objective at noisy points, against steps written out anew; then the energy."""
    rbm, q = machine(), BernoulliPosterior(nn.Linear(3, 4).double(), 4)
    lower = partial(variational_free_energy, n_samples=None)
    objective = partial(denoising_score_matching, sigma=0.3)
    method = VaGES(rbm, q, objective, lower=lower, n_steps=3, lr_posterior=0.1, optimizer=torch.optim.SGD)
    twin, x = BernoulliPosterior(nn.Linear(3, 4).double(), 4), torch.randn(16, 3).double()
    twin.load_state_dict(q.state_dict())
    own = list(twin.parameters())
    before = [p.clone() for p in rbm.parameters()]
    torch.manual_seed(1)
    for _ in range(3):
        noisy = x + 0.3 * torch.empty_like(x).normal_()
        for p, g in zip(own, torch.autograd.grad(lower(rbm.joint, twin, noisy), own), strict=True):
            p.data -= 0.1 * g
    loss = objective(vages(rbm.joint, twin, 2), x)
    wanted = torch.autograd.grad(loss, list(rbm.parameters()))
    torch.manual_seed(1)
    metrics = method.step(x)
    for a, b in zip(q.parameters(), own, strict=True):
        torch.testing.assert_close(a, b)
    for p, b, g in zip(rbm.parameters(), before, wanted, strict=True):
        torch.testing.assert_close(p, b - 1e-3 * g)
    assert metrics["loss"].item() == pytest.approx(loss.item())
    assert method.updates == {"energy": 1, "posterior": 3}


@pytest.mark.slow
def test_it_fits_a_machine_with_a_learned_posterior():
    """Exact log-likelihood lost against the truth that drew the data: little, and far more without the
    covariance. The best Gaussian loses 0.4 nats."""
    torch.manual_seed(103)
    weight = 1.25 * torch.randn(6, 4)
    truth = GRBM.from_parameters(weight, torch.zeros(6), -0.5 * weight.square().sum(0), 1.0)
    x = truth.sample(10_000)
    lost = {}
    for covariance in (True, False):
        torch.manual_seed(0)
        rbm = GRBM(6, 4).match_moments(x, std_scale=0.6)
        method = VaGES(
            rbm,
            BernoulliPosterior(nn.Linear(6, 4), 4),
            partial(denoising_score_matching, sigma=0.3),
            n_samples=10,
            n_steps=2,
            covariance=covariance,
            lr=linear(0.05, 600),
            lr_posterior=linear(0.05, 1200),
        )
        fit(method, x, steps=600, batch_size=200)
        lost[covariance] = (truth.log_prob(x) - rbm.log_prob(x)).mean().item()
    assert lost[True] < 0.08
    assert lost[False] > 2 * lost[True]


@pytest.mark.parametrize("n_steps", [-1, 2])
def test_steps_of_a_posterior_that_has_no_parameters_are_refused(n_steps):
    rbm = machine()
    with pytest.raises(ValueError, match=f"n_steps is {n_steps}; expected a number >= 0, and 0 for"):
        VaGES(rbm, ExactPosterior(rbm), denoising_score_matching, n_steps=n_steps)


def test_continuous_latents_and_the_other_lower_objective_train():
    net, q = deep((2,)), GaussianPosterior(nn.Linear(2, 4), 2)
    method = VaGES(net, q, OBJECTIVES["denoising"], lower=posterior_fisher, n_steps=1)
    assert set(method.step(torch.randn(8, 2))) == {"loss", "lower"}
