"""The image flow: its inverse, its Jacobian and its samples, each against a computation that does not share
its code.

Broken on purpose and seen to fail: the sign of the log-determinant of a coupling, of actnorm or of the
matrices, and its factor of pixels; a split without its prior, in either direction; scales without bound;
actnorm set at the first call, with mean and deviation exchanged; autocast left on.
"""

import math

import pytest
import torch
from flows import check_inverse, check_log_det
from torch import nn

from ebmlearn.energy import Gaussian
from ebmlearn.methods import ExactLikelihood
from ebmlearn.nets import Glow
from ebmlearn.schedules import inverse
from ebmlearn.train import fit

# one level, two, and three, whose splits meet 1, 2 and 3 channels
CASES = {"1x4x4": (1, 4, 1), "2x4x4": (2, 4, 2), "3x8x8": (3, 8, 3)}


def curved(channels=1, size=4, n_levels=2, **settings):
    """A flow with random weights, far from the identity, in float64."""
    flow = Glow(channels, size, n_levels=n_levels, n_steps=2, width=8, **settings).double()
    for level in flow.levels:
        nn.init.normal_(level.mean, std=0.5)
        nn.init.normal_(level.log_std, std=0.3)
        level.weight.data += 0.1 * torch.randn_like(level.weight)
    for part in [*flow.splits, *(affine for level in flow.levels for affine in level.affines)]:
        nn.init.normal_(part.net[-1].weight, std=0.3)
        nn.init.normal_(part.net[-1].bias, std=0.3)
    return flow.requires_grad_(False)


@pytest.fixture(params=CASES.values(), ids=CASES)
def flow(request):
    return curved(*request.param)


def test_each_direction_undoes_the_other(flow):
    check_inverse(flow, torch.randn(20, *flow.event_shape, dtype=torch.float64))


def test_the_log_determinant_is_that_of_the_jacobian(flow):
    check_log_det(flow, torch.randn(3, *flow.event_shape, dtype=torch.float64))


def test_a_sample_comes_with_the_log_density_that_log_prob_gives_it(flow):
    x, log_q = flow.rsample_with_log_prob(100)
    assert x.shape == (100, *flow.event_shape) and log_q.shape == (100,)
    torch.testing.assert_close(flow.log_prob(x), log_q)


@pytest.mark.statistical
def test_its_density_integrates_to_one():
    """By importance sampling with its own noise widened, a law that shares no code with the sampler."""
    flow = curved(1, 2, 1, max_log_scale=0.5)
    centre = flow.sample(4000)
    wide = Gaussian(centre.mean(0), 1.5 * torch.cov(centre.flatten(1).T))
    x = wide.double().sample(100_000)
    weight = (flow.log_prob(x) - wide.log_prob(x)).exp()
    error = weight.std() / math.sqrt(len(weight))
    assert error < 0.03 and abs(weight.mean() - 1) < 5 * error


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_starts_as_a_rotation_with_a_normal_density(case):
    channels, size, n_levels = case
    flow = Glow(channels, size, n_levels=n_levels, n_steps=2, width=8).double()
    z = torch.randn(20, channels, size, size, dtype=torch.float64)
    x, log_det = flow.generate(z)
    # orthogonal_ worked in float32: its matrices are orthogonal to its rounding
    torch.testing.assert_close(log_det, torch.zeros_like(log_det), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.square().sum((1, 2, 3)), z.square().sum((1, 2, 3)), rtol=1e-5, atol=0)
    assert (x - z).abs().mean() > 0.3
    normal = Gaussian(torch.zeros(z.shape[1:]), torch.eye(z[0].numel())).double()
    torch.testing.assert_close(flow.log_prob(z), normal.log_prob(z), rtol=1e-5, atol=0)


def test_a_split_predicts_the_half_that_leaves():
    """At first it calls it N(0, I); its own weights alone then give that half a mean and a scale."""
    flow = Glow(1, 4, n_levels=2, n_steps=1, width=8)
    x = torch.randn(5, 1, 4, 4)
    z, log_det = flow.invert(x)
    with torch.no_grad():
        flow.splits[0].net[-1].bias.copy_(torch.tensor([0.5, 0.5, 3.0, 3.0]))
    moved, moved_log_det = flow.invert(x)
    scale = 2.0 * math.tanh(0.25)
    gone, kept = z.flatten(1).split(8, 1)
    torch.testing.assert_close(moved.flatten(1), torch.cat([(gone - 3) / math.exp(scale), kept], 1))
    torch.testing.assert_close(moved_log_det, log_det - 8 * scale)


def test_actnorm_is_set_from_data_only_when_told():
    flow = Glow(2, 8, n_levels=2, n_steps=3, width=8)
    x = 5 + 0.1 * torch.randn(200, 2, 8, 8)
    flow.invert(x)
    assert not any(level.mean.any() or level.log_std.any() for level in flow.levels)
    flow.initialise(x)
    z, log_det = flow.invert(x)
    # rotations keep the variance; the second actnorm sees what the first made
    assert z.mean().abs() < 0.02 and abs(z.square().mean() - 1) < 0.03
    assert all((level.log_std != 0).all() for level in flow.levels)
    assert log_det.mean().item() == pytest.approx(128 * math.log(10), rel=0.01)
    torch.testing.assert_close(flow.generate(z)[0], x)
    with pytest.raises(ValueError, match=r"constant over the batch.*dequantise"):
        flow.initialise(torch.zeros(4, 2, 8, 8))


def test_scales_are_bounded_whatever_the_weights():
    flow = Glow(1, 4, n_levels=2, n_steps=2, width=8, max_log_scale=0.1)
    for part in [*flow.splits, *(affine for level in flow.levels for affine in level.affines)]:
        nn.init.constant_(part.net[-1].bias, 1e6)
    # level 1: 8 moved elements in each of 2 steps; its split: 8; level 2: 4 in each of 2 steps
    assert flow.generate(torch.zeros(1, 1, 4, 4))[1].item() == pytest.approx(0.1 * (16 + 8 + 8), rel=1e-4)


def test_it_is_computed_in_float32_under_autocast():
    flow = Glow(1, 4, n_levels=1, n_steps=2, width=8)
    x = torch.randn(3, 1, 4, 4)
    wanted = flow(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(flow(x), wanted)
        assert flow.rsample_with_log_prob(2)[0].dtype == torch.float32


def test_exact_likelihood_fits_neighbours_that_agree():
    """Images whose two columns are equal up to noise: a Gaussian with a known entropy, which no rotation and
    scaling of channels alone could reach across pixels of different squares."""
    cov = 0.95 * torch.ones(4, 4) + 0.05 * torch.eye(4)
    data = Gaussian(torch.zeros(1, 2, 2), cov)
    entropy = 0.5 * torch.logdet(2 * math.pi * math.e * cov).item()
    flow = Glow(1, 2, n_levels=1, n_steps=2, width=8)
    method = ExactLikelihood(flow, lambda q: q.log_z, lr=inverse(0.03, 30))
    fit(method, data.sample, steps=120, batch_size=256)
    nll = flow(data.sample(20_000)).mean().item()
    assert 0.5 * 4 * (1 + math.log(2 * math.pi)) - entropy > 2
    assert nll - entropy == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Glow(1, 28, n_levels=3), "size is 28; 3 levels halve multiples of 8.*fewer levels"),
        (lambda: Glow(1, 8, n_levels=0), "n_levels is 0; expected a whole number >= 1"),
        (lambda: Glow(1, 8, max_log_scale=-1.0), "max_log_scale is -1.0; expected a number > 0"),
        (
            lambda: Glow(1, 8, n_steps=1, width=4)(torch.zeros(2, 3, 8, 8)),
            r"x has shape \(2, 3, 8, 8\); this flow was built for events of shape \(1, 8, 8\)",
        ),
        (lambda: Glow(1, 8, n_steps=1, width=4).generate(torch.zeros(2, 64)), "x has shape"),
    ],
)
def test_bad_settings_and_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
