"""The flow: its inverse, its Jacobian, its mass and its samples, each against a computation that does not
share its code."""

import math

import pytest
import torch
from flows import check_inverse, check_log_det
from models import curved
from torch import nn

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.methods import ExactLikelihood
from ebmlearn.nets import RealNVP
from ebmlearn.schedules import inverse
from ebmlearn.targets import correlated_gaussian
from ebmlearn.train import fit

SHAPES = [(2,), (3,), (1, 2, 4)]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_direction_undoes_the_other(shape):
    check_inverse(curved(shape), 2 * torch.randn(50, *shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_log_determinant_is_that_of_the_jacobian(shape):
    signs = check_log_det(curved(shape), torch.randn(5, *shape, dtype=torch.float64))
    assert (signs == 1).all()


def test_its_density_integrates_to_one():
    estimate = exact.log_z(curved(), exact.Grid((-25, 25), n=600, dtype=torch.float64))
    assert abs(estimate.value) < 1e-5 and estimate.error < 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sample_comes_with_the_log_density_that_log_prob_gives_it(shape):
    flow = curved(shape)
    x, log_q = flow.rsample_with_log_prob(100)
    assert x.shape == (100, *shape) and log_q.shape == (100,)
    torch.testing.assert_close(flow.log_prob(x), log_q)
    torch.testing.assert_close(flow(x), -log_q)


@pytest.mark.statistical
def test_samples_follow_the_density():
    """Means under quadrature of the density and over samples: a sampler of another law has other moments."""
    flow = curved()
    grid = exact.Grid((-25, 25), n=600, dtype=torch.float64)
    x = flow.sample(100_000)

    def features(x):
        return torch.stack([x[:, 0], x[:, 1], x[:, 0] * x[:, 1], x[:, 0] ** 2, (2 * x[:, 1]).sin()], 1)

    wanted, found = exact.expectation(features, flow, grid).value, features(x)
    z = (found.mean(0) - wanted) / found.std(0) * math.sqrt(len(x))
    assert z.abs().max() < 5


@pytest.mark.parametrize("shape", SHAPES)
def test_it_starts_as_the_identity(shape):
    flow = RealNVP(shape)
    z = torch.randn(20, *shape)
    x, log_det = flow.generate(z)
    assert torch.equal(x, z) and not log_det.any()
    dim = z[0].numel()
    normal = Gaussian(torch.zeros(shape), torch.eye(dim))
    torch.testing.assert_close(flow.log_prob(z), normal.log_prob(z))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_element_is_kept_in_every_other_layer_and_moved_in_the_rest(shape):
    flow = RealNVP(shape, 6)
    pairs = flow.masks.unflatten(0, (3, 2))
    assert (pairs.sum(1) == 1).all() and ((flow.masks == 0) | (flow.masks == 1)).all()
    assert (flow.masks.sum(1) > 0).all()
    assert "masks" in flow.state_dict()


def test_scales_are_bounded_whatever_the_weights():
    flow = curved(scale=1e6)
    z = torch.randn(100, 2, dtype=torch.float64)
    assert flow.generate(z)[1].abs().max() <= 4 * 2.0 + 1e-9
    narrow = RealNVP((2,), 2, max_log_scale=0.1)
    nn.init.constant_(narrow.nets[0][-1].bias, 1e6)
    nn.init.constant_(narrow.nets[1][-1].bias, -1e6)
    assert narrow.generate(torch.zeros(1, 2))[1].item() == pytest.approx(0.0, abs=1e-6)
    assert narrow.masks.shape == (2, 2)


def test_samples_are_differentiable_where_asked_for_and_reproducible():
    flow = RealNVP((2,), 2, 8)
    x, log_q = flow.rsample_with_log_prob(5, torch.Generator().manual_seed(1))
    assert x.requires_grad and log_q.requires_grad
    again = flow.sample(5, torch.Generator().manual_seed(1))
    assert torch.equal(x, again) and not again.requires_grad


@pytest.mark.statistical
def test_exact_likelihood_fits_a_correlated_gaussian():
    """The same fit and the same method as for an energy with a known partition function."""
    target = correlated_gaussian(correlation=0.8)
    flow = RealNVP((2,), 2, 16)
    grid = exact.Grid(target.box, n=120)
    assert exact.kl(target, flow, grid).value == pytest.approx(-0.5 * math.log(1 - 0.8**2), abs=1e-4)
    method = ExactLikelihood(flow, lambda q: q.log_z, lr=inverse(0.02, 50))
    fit(method, target.sample, steps=200, batch_size=500)
    assert exact.kl(target, flow, grid).value < 0.01


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RealNVP((1,)), r"event_shape is \(1,\).*at least 2 elements"),
        (lambda: RealNVP((2,), 3), "n_layers 3.*an even number of layers"),
        (lambda: RealNVP((2,), max_log_scale=0.0), "max_log_scale is 0.0; expected a number > 0"),
        (
            lambda: RealNVP((2,))(torch.zeros(4, 3)),
            r"x has shape \(4, 3\); this flow was built for .* \(2,\)",
        ),
        (lambda: RealNVP((1, 2, 2)).generate(torch.zeros(3, 4)), r"built for events of shape \(1, 2, 2\)"),
    ],
)
def test_bad_settings_and_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
