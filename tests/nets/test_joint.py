"""Joint energies of two towers against their formula, and the spectral norm against the singular values.

Mutants tried, each red: a tower left out; softplus left out, or put on the reference too; the reference of x
alone; the bias divided by the norm; a gradient that takes the norm for a constant; an estimate that moves in
evaluation, or without gradients; no estimate at the start.
"""

import pytest
import torch
from torch import nn
from torch.nn.functional import softplus

from ebmlearn.nets import ConvEnergy, JointConvEnergy, JointMLPEnergy
from ebmlearn.nets._layers import SpectralNorm


def mlp(**settings):
    return JointMLPEnergy((2,), 3, (8,), latent_widths=(6,), joint_widths=(5,), **settings)


def conv(**settings):
    return JointConvEnergy(1, 8, 3, (4, 8), latent_widths=(6,), joint_widths=(5,), **settings)


CASES = {"points": (mlp, (2,)), "images": (conv, (1, 8, 8))}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def silu(a):
    return a * a.sigmoid()


@pytest.mark.parametrize("bounded", [False, True])
def test_it_is_its_formula(bounded):
    net = mlp(bounded=bounded, reference_std=1.5)
    x, z = torch.randn(7, 2), torch.randn(7, 3)
    w, v, both = net.tower[1], net.latent_tower[0], net.net[0]
    features = torch.cat([silu(x @ w.weight.T + w.bias), silu(z @ v.weight.T + v.bias)], 1)
    d = silu(features @ both.weight.T + both.bias) @ net.net[2].weight[0]
    wanted = (softplus(d) if bounded else d) + (x.square().sum(1) + z.square().sum(1)) / 4.5
    torch.testing.assert_close(net.joint(x, z), wanted)
    assert len(list(net.parameters())) == 7  # three layers with biases and a last one without


def test_without_hidden_layers_the_variables_themselves_are_joined():
    net = JointMLPEnergy((1, 2, 2), 3, (), joint_widths=())
    x, z = torch.randn(5, 1, 2, 2), torch.randn(5, 3)
    torch.testing.assert_close(net.joint(x, z), net.stack(x, z) @ net.net[0].weight[0])


def test_images_go_through_the_convolutions_of_a_conv_energy():
    net, energy = conv(stem=3), ConvEnergy(1, 8, (4, 8), stem=3)
    energy.load_state_dict({f"net.{k}": v for k, v in net.tower.state_dict().items()}, strict=False)
    x, z = torch.rand(5, 1, 8, 8), torch.randn(5, 3)
    features = torch.cat([energy.net[:-1](x), net.latent_tower(z)], 1)
    torch.testing.assert_close(net.joint(x, z), net.net(features))


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_one_energy_for_each_pair_of_its_own(case, spectral_norm):
    make, shape = case
    net = make(spectral_norm=spectral_norm).eval()
    x, z = torch.randn(6, *shape), torch.randn(6, 3)
    energy = net.joint(x, z)
    assert energy.shape == (6,)
    torch.testing.assert_close(net(net.stack(x, z)), energy)
    for changed in ((x + torch.eye(6)[0].view(-1, *[1] * len(shape)), z), (x, z + torch.eye(6)[0][:, None])):
        new = net.joint(*changed)
        assert not torch.equal(new[0], energy[0])
        torch.testing.assert_close(new[1:], energy[1:])
    energy.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_a_bounded_energy_is_positive(case):
    make, shape = case
    net = make(bounded=True)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(10)
    x, z = 10 * torch.randn(50, *shape), 10 * torch.randn(50, 3)
    assert net.joint(x, z).min() >= 0


@pytest.mark.parametrize("bounded", [False, True])
def test_a_convolutional_energy_has_the_same_two_choices(bounded):
    """Layer by layer, each divided by its norm, and softplus of the last."""
    plain, net = (
        ConvEnergy(1, 8, (4, 8), stem=3),
        ConvEnergy(1, 8, (4, 8), stem=3, spectral_norm=True, bounded=bounded),
    )
    assert ("bounded=True" in repr(net)) is bounded  # a run that goes on must have the same
    layers = [m.layer for m in net.net if isinstance(m, SpectralNorm)]
    assert len(layers) == 4 and sum(map(len, (m.weight for m in layers))) == 3 + 4 + 8 + 1
    for mine, other in zip(layers, (m for m in plain.net if hasattr(m, "weight")), strict=True):
        mine.load_state_dict(other.state_dict())
    for m in net.modules():
        if isinstance(m, SpectralNorm):
            for _ in range(200):
                m._norm()
    x = torch.randn(5, 1, 8, 8)
    found = net(x)
    with torch.no_grad():
        for layer in (m for m in plain.net if hasattr(m, "weight")):
            layer.weight /= singular(layer)
    torch.testing.assert_close(found, softplus(plain(x)) if bounded else plain(x), rtol=1e-4, atol=1e-4)


# spectral norm


def singular(layer):
    return torch.linalg.svdvals(layer.weight.detach().flatten(1))[0]


@pytest.mark.parametrize("layer", [lambda: nn.Linear(5, 7), lambda: nn.Conv2d(2, 6, 3, padding=1)])
def test_a_layer_is_divided_by_its_largest_singular_value_and_its_bias_is_not(layer):
    """With its gradient, against the singular value decomposition."""
    normed = SpectralNorm(layer().double()).double()
    for _ in range(300):
        normed._norm()
    layer = normed.layer
    x = torch.randn(4, 5).double() if isinstance(layer, nn.Linear) else torch.randn(4, 2, 5, 5).double()
    norm = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    weights = {"weight": layer.weight / norm, "bias": layer.bias}
    wanted = torch.func.functional_call(layer, weights, (x,))
    found = normed(x)
    torch.testing.assert_close(found, wanted)
    pull = torch.randn_like(found)
    slopes = [torch.autograd.grad((y * pull).sum(), list(layer.parameters())) for y in (found, wanted)]
    for a, b in zip(*slopes, strict=True):
        torch.testing.assert_close(a, b)


def test_the_estimate_is_near_at_the_start_and_follows_the_weights():
    normed = SpectralNorm(nn.Linear(20, 30))
    assert normed._norm().item() == pytest.approx(singular(normed.layer).item(), rel=0.1)
    nn.init.normal_(normed.layer.weight, std=3.0)
    for _ in range(200):
        normed(torch.zeros(1, 20))
    assert normed._norm().item() == pytest.approx(singular(normed.layer).item(), rel=1e-3)


def test_the_estimate_moves_in_training_with_gradients_only():
    normed, x = SpectralNorm(nn.Linear(20, 30)), torch.zeros(1, 20)
    nn.init.normal_(normed.layer.weight)
    before = normed.left.clone()
    with torch.no_grad():
        normed(x)
    normed.eval()
    normed(x)
    assert torch.equal(normed.left, before)
    normed.train()
    normed(x)
    assert not torch.equal(normed.left, before)


def test_under_autocast_the_norm_is_in_float32():
    normed = SpectralNorm(nn.Linear(20, 30)).eval()
    plain = normed._norm()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(normed._norm(), plain)


def test_the_slope_of_a_normed_energy_is_bounded():
    """Each layer stretches by 1 at most, SiLU by less than 1.1: with two of them on the way, and two towers
    side by side, no slope is above 1.1² but for the error of the estimate."""
    net = mlp(spectral_norm=True)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(30 if p.ndim > 1 else 1)
    for _ in range(300):
        net(torch.randn(1, 5))
    x = (3 * torch.randn(2000, 5)).requires_grad_()
    (slope,) = torch.autograd.grad(net(x).sum(), x)
    assert 0.1 < slope.norm(dim=1).max() < 1.21


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: JointMLPEnergy((2,), 0), "latent_dim is 0"),
        (lambda: JointMLPEnergy((), 2), "event_shape"),
        (lambda: mlp(reference_std=0.0), "reference_std is 0.0; expected a number > 0, or None"),
        (lambda: mlp(spectral_norm=2), "spectral_norm is 2; expected one of True, False"),
        (lambda: mlp(bounded="yes"), "bounded is 'yes'; expected one of True, False"),
        (lambda: JointConvEnergy(1, 3, 2, (4, 8)), "2 halvings need at least 4"),
        (
            lambda: mlp().joint(torch.zeros(5, 3), torch.zeros(5, 3)),
            r"v has shape \(5, 3\); expected \(B, 2\)",
        ),
        (
            lambda: mlp().joint(torch.zeros(5, 2), torch.zeros(5, 2)),
            r"h has shape \(5, 2\); expected \(B, 3\)",
        ),
        (lambda: mlp().joint(torch.zeros(5, 2), torch.zeros(1, 3)), "v has 5 rows, h 1; expected one h for"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
