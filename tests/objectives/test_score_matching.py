"""Score matching: sign, gradients in float64, closed forms. `tests/cases/objectives.py` has the optima.

Mutants tried: noise of denoising with the other sign; control variate with the other sign; curvature added in
place of subtracted, in the explicit and in the sliced form; a first term of the sliced form without its half;
``create_graph`` left out of the Hessian; slope detached; ``σ`` in place of ``1/σ`` in the multi-scale weight.
"""

import math
from functools import partial

import pytest
import torch
from models import machine
from objectives import Precision
from torch import nn
from torch.nn.functional import softplus

from ebmlearn.energy import GRBM
from ebmlearn.evaluate import fisher
from ebmlearn.nets import MLPEnergy
from ebmlearn.objectives import (
    conditional_nce,
    denoising_score_matching,
    kernel_stein_discrepancy,
    multiscale_denoising,
    score_matching,
    sliced_score_matching,
)

PLAIN = partial(sliced_score_matching, variance_reduced=False)
DATA_ONLY = {
    "explicit": score_matching,
    "sliced": PLAIN,
    "sliced, variance-reduced": sliced_score_matching,
    "denoising": partial(denoising_score_matching, sigma=0.5),
    "denoising, control variate": partial(denoising_score_matching, sigma=0.5, control_variate=True),
    "multi-scale": partial(multiscale_denoising, sigmas=(0.3, 1.0), reference=0.5),
    "conditional NCE": partial(conditional_nce, sigma=0.5, n_noise=2),
    "kernel Stein": kernel_stein_discrepancy,
}


@pytest.fixture(params=DATA_ONLY)
def objective(request):
    return DATA_ONLY[request.param]


def draws(objective, energy, x, n):
    """``n`` values of an objective with independent noise."""
    return torch.stack([objective(energy, x).detach() for _ in range(n)])


@pytest.mark.parametrize("shape", [(2,), (10,), (1, 3, 3)])
def test_sign_a_flat_energy_becomes_confining(objective, shape):
    """From a = 0 descent must raise a, for every objective and event shape."""
    energy = Precision(0.0)
    objective(energy, torch.randn(300, *shape)).backward()
    assert energy.a.grad < 0


def test_gradient_by_the_parameters_is_that_of_finite_differences(objective):
    """In float64: no part of the graph is missing, in the first derivative by x or in the second."""
    x = torch.randn(6, 3).double()
    weight = torch.randn(3, 5).double().requires_grad_()

    def loss(weight):
        torch.manual_seed(1)  # the same noise each time
        return objective(lambda x: (softplus(x @ weight) + (x @ weight).square()).sum(1), x)

    assert torch.autograd.gradcheck(loss, weight)


def closed_form(rbm, x):
    """``½|s|² + tr ∇s`` of a GRBM: ``∇²E = diag(1/σ²) - W diag(p(1-p)) Wᵀ``."""
    p = rbm.hidden_prob(x)
    curvature = rbm.std.pow(-2).sum() - (p * (1 - p)) @ rbm.weight.square().sum(0)
    return (0.5 * rbm.score(x).square().sum(1) - curvature).mean()


@pytest.mark.parametrize("d", [1, 3])
def test_explicit_score_matching_is_the_closed_form_of_a_grbm(d):
    rbm, x = machine(d), torch.randn(50, d).double()
    value, wanted = score_matching(rbm, x), closed_form(rbm, x)
    torch.testing.assert_close(value, wanted)
    parameters = list(rbm.parameters())
    for got, right in zip(
        torch.autograd.grad(value, parameters), torch.autograd.grad(wanted, parameters), strict=True
    ):
        torch.testing.assert_close(got, right)


@pytest.mark.parametrize("reduced", [False, True])
def test_in_one_dimension_a_slice_with_signs_is_everything(reduced):
    rbm, x = machine(1), torch.randn(50, 1).double()
    value = sliced_score_matching(rbm, x, variance_reduced=reduced)
    torch.testing.assert_close(value, score_matching(rbm, x))


@pytest.mark.statistical
@pytest.mark.parametrize("projection", ["rademacher", "normal"])
@pytest.mark.parametrize("reduced", [False, True])
def test_the_mean_of_slices_is_the_explicit_objective(reduced, projection):
    rbm, x = machine(), torch.randn(50, 3).double()
    sliced = partial(sliced_score_matching, variance_reduced=reduced, projection=projection)
    values = draws(sliced, rbm, x, 500)
    z = (values.mean() - score_matching(rbm, x).detach()) / (values.std() / 500**0.5)
    assert abs(z) < 5


def test_variance_reduction_reduces_the_variance():
    rbm, x = machine(), torch.randn(50, 3).double()
    spread = {f: draws(f, rbm, x, 200).std() for f in (PLAIN, sliced_score_matching)}
    assert spread[sliced_score_matching] < 0.6 * spread[PLAIN]
    more = draws(partial(PLAIN, n_projections=16), rbm, x, 100).std().item()
    assert more == pytest.approx(spread[PLAIN].item() / 4, rel=0.3)


def test_the_minimum_over_full_precision_matrices_is_the_second_moment_of_the_sample():
    """The gradient of explicit score matching vanishes at ``P = (mean xxᵀ)⁻¹``, to rounding."""
    x = torch.randn(40, 3).double() @ torch.randn(3, 3).double()
    precision = (x.T @ x / len(x)).inverse().requires_grad_()
    score_matching(lambda x: 0.5 * (x @ precision * x).sum(1), x).backward()
    assert (precision.grad + precision.grad.T).abs().max() < 1e-10


@pytest.mark.statistical
def test_score_matching_is_the_fisher_divergence_up_to_a_constant():
    """Hyvärinen's theorem on two GRBMs: J(q) - J(p) = ½ E_p |∇log p - ∇log q|²."""
    p, q = machine(), machine()
    x = p.sample(20_000)
    parts = torch.stack([closed_form(q, part) - closed_form(p, part) for part in x.split(100)]).detach()
    wanted = fisher.divergence(p, q, x)
    z = (parts.mean() - wanted.value) / (parts.var() / len(parts) + wanted.error**2).sqrt()
    assert abs(z) < 5 and wanted.value > 10 * wanted.error


# noise


def noise_of(x, seed):
    return torch.empty_like(x).normal_(generator=torch.Generator().manual_seed(seed))


def test_denoising_is_its_formula():
    rbm, x, sigma = machine(), torch.randn(20, 3).double(), 0.3
    noise = noise_of(x, 5)
    wanted = 0.5 * (rbm.score(x + sigma * noise) + noise / sigma).square().sum(1).mean()
    got = denoising_score_matching(rbm, x, sigma, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(got, wanted)


@pytest.mark.statistical
def test_denoising_learns_the_density_of_noisy_data():
    """A GRBM with one unit stays one when noise is added: same means and weights, variance σ² + τ². The
    gradient by its parameters vanishes there."""
    tau, rbm = 0.5, machine(3, 1)
    with torch.no_grad():
        std = (rbm.std.square() + tau**2).sqrt()
        weight = (rbm.std / std).square()[:, None] * rbm.weight
        # the log-odds of h = 1 are c + b·w + ½ Σ (σ w)²
        bias = rbm.hidden_bias + rbm.visible_bias @ (rbm.weight - weight)
        bias += 0.5 * ((rbm.std[:, None] * rbm.weight).square() - (std[:, None] * weight).square()).sum()
    truth = GRBM.from_parameters(weight, rbm.visible_bias, bias, std)
    x = rbm.sample(100_000)
    slopes = []
    for part in x.split(1000):
        loss = denoising_score_matching(truth, part, tau, control_variate=True)
        slopes.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(truth.parameters()))]))
    slopes = torch.stack(slopes)
    z = slopes.mean(0) / (slopes.std(0) / len(slopes) ** 0.5)
    assert z.abs().max() < 5


def gradients(objective, rbm, x, n):
    return torch.stack([torch.autograd.grad(objective(rbm, x), rbm.weight)[0].flatten() for _ in range(n)])


@pytest.mark.statistical
def test_the_control_variate_keeps_the_mean_and_removes_the_variance():
    """At σ = 0.02 the variance of the gradient falls at least five-hundredfold; the mean stays."""
    rbm, x = machine(), torch.randn(200, 3).double()
    plain, reduced = (
        gradients(partial(denoising_score_matching, sigma=0.02, control_variate=c), rbm, x, 400)
        for c in (False, True)
    )
    z = (plain.mean(0) - reduced.mean(0)) / ((plain.var(0) + reduced.var(0)) / 400).sqrt()
    assert z.abs().max() < 5
    assert plain.var(0).sum() > 500 * reduced.var(0).sum()


@pytest.mark.statistical
def test_the_control_variate_keeps_the_value():
    rbm, x = machine(), torch.randn(200, 3).double()
    plain, reduced = (
        draws(partial(denoising_score_matching, sigma=0.1, control_variate=c), rbm, x, 400)
        for c in (False, True)
    )
    assert abs(plain.mean() - reduced.mean()) < 5 * ((plain.var() + reduced.var()) / 400).sqrt()
    assert reduced.std() < 0.1 * plain.std()


@pytest.mark.parametrize(
    ("high", "geometric", "levels"),
    [(1.0, False, [0.2, 0.4, 0.6, 0.8, 1.0]), (3.2, True, [0.2, 0.4, 0.8, 1.6, 3.2])],
)
def test_multi_scale_denoising_is_its_formula(high, geometric, levels):
    """The paper's ``(1/σ²) ½ |x - x̃ + σ₀² ∇E(x̃)|²``, with σ or its logarithm evenly spaced over the rows."""
    rbm, x = machine(), torch.randn(5, 3).double()
    noise = noise_of(x, 5)
    sigma = torch.tensor(levels).double()[:, None]
    noisy = x + sigma * noise
    residual = x - noisy - 0.3**2 * rbm.score(noisy)
    wanted = (0.5 * (residual / sigma).square().sum(1)).mean()
    source = torch.Generator().manual_seed(5)
    got = multiscale_denoising(rbm, x, (0.2, high), 0.3, geometric=geometric, generator=source)
    torch.testing.assert_close(got, wanted)


@pytest.mark.statistical
def test_conditional_nce_with_small_noise_is_score_matching():
    """2 log 2 + (σ²/2) J: compared by their gradients, in float64."""
    rbm, x, sigma = machine(), torch.randn(100, 3).double(), 0.02
    contrast = gradients(partial(conditional_nce, sigma=sigma, n_noise=200), rbm, x, 100) * 2 / sigma**2
    (wanted,) = torch.autograd.grad(score_matching(rbm, x), rbm.weight)
    z = (contrast.mean(0) - wanted.flatten()) / (contrast.std(0) / 10)
    assert z.abs().max() < 5
    assert conditional_nce(rbm, x, sigma, n_noise=200).item() == pytest.approx(2 * math.log(2), abs=0.01)


# use


def test_images_and_vectors_agree():
    net, x = MLPEnergy(9, (8,)), torch.randn(20, 9)
    for objective in DATA_ONLY.values():
        torch.manual_seed(3)
        flat = objective(net, x)
        torch.manual_seed(3)
        torch.testing.assert_close(objective(net, x.view(20, 1, 3, 3)), flat)


def test_values_can_be_had_without_gradients(objective):
    net, x = MLPEnergy(3, (8,)), torch.randn(20, 3)
    torch.manual_seed(3)
    wanted = objective(net, x)
    torch.manual_seed(3)
    with torch.no_grad():
        torch.testing.assert_close(objective(net, x), wanted.detach())


def test_no_gradient_is_left_in_the_data(objective):
    x = torch.randn(20, 3, requires_grad=True)
    objective(MLPEnergy(3, (8,)), x).backward()
    assert x.grad is None


@pytest.mark.parametrize("f", [score_matching, sliced_score_matching])
class TestKinks:
    def test_a_net_with_kinks_is_refused(self, f):
        with pytest.raises(ValueError, match=r"contains LeakyReLU, .* smooth activation such as nn.SiLU"):
            f(MLPEnergy(2, (8,), activation=nn.LeakyReLU, reference_std=1.0), torch.randn(5, 2))

    def test_a_function_with_kinks_and_no_curvature_is_refused(self, f):
        weight = torch.randn(2, 8, requires_grad=True)
        with pytest.raises(ValueError, match=r"second derivative of the energy is zero at every datum"):
            f(lambda x: torch.relu(x @ weight).sum(1), torch.randn(5, 2))
        with pytest.raises(ValueError, match=r"second derivative of the energy is zero at every datum"):
            f(lambda x: x @ weight[:, 0], torch.randn(5, 2))

    def test_kinks_are_fine_where_no_second_derivative_is_taken(self, f):
        net = MLPEnergy(2, (8,), activation=nn.ReLU)
        denoising_score_matching(net, torch.randn(5, 2), 0.1).backward()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda e, x: sliced_score_matching(e, x, projection="gauss"),
            "projection is 'gauss'; expected one of 'rademacher', 'normal'",
        ),
        (
            lambda e, x: sliced_score_matching(e, x, n_projections=0),
            "n_projections is 0; expected a whole number >= 1",
        ),
        (lambda e, x: denoising_score_matching(e, x, 0.0), "sigma is 0.0; expected a number > 0"),
        (lambda e, x: conditional_nce(e, x, -1.0), "sigma is -1.0; expected a number > 0"),
        (lambda e, x: conditional_nce(e, x, 1.0, n_noise=0), "n_noise is 0; expected a whole number >= 1"),
        (
            lambda e, x: multiscale_denoising(e, x, (1.0, 0.1), 0.1),
            r"sigmas is \(1.0, 0.1\); expected two numbers, 0 < low <= high",
        ),
        (lambda e, x: multiscale_denoising(e, x, (0.1, 1.0), 0.0), "reference is 0.0; expected a number > 0"),
        (lambda e, x: multiscale_denoising(e, x[:1], (0.1, 1.0), 0.1), "one datum cannot get"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(Precision(), torch.randn(4, 2))
