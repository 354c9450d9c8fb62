"""Generators: shapes, the joint density and its posterior, and the marginal by quadrature."""

import math

import pytest
import torch

from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact, linear
from ebmlearn.nets import ConvGenerator, ConvLadderGenerator, LadderGenerator, MLPGenerator
from ebmlearn.sample import mala, run


def affine(weight, std=0.5):
    """x = W z + 1 + τ ε."""
    net = MLPGenerator(weight.shape[1], weight.shape[:1], (), std=std)
    with torch.no_grad():
        net.net[0].weight.copy_(weight)
        net.net[0].bias.fill_(1.0)
    return net.requires_grad_(False)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (lambda: MLPGenerator(3, (2,)), (2,)),
        (lambda: MLPGenerator(3, (1, 8, 8), (16,), bounded=True), (1, 8, 8)),
        (lambda: ConvGenerator(3, 1, 28, (16, 8)), (1, 28, 28)),
        (lambda: ConvGenerator(3, 3, 8, (8,)), (3, 8, 8)),
        (lambda: ConvGenerator(3, 1, 28, (16, 8, 4), doublings=2), (1, 28, 28)),
        (lambda: ConvGenerator(3, 3, 8, (8,), doublings=0), (3, 8, 8)),
        (lambda: LadderGenerator((1, 2), (1, 8, 8), 16), (1, 8, 8)),
        (lambda: ConvLadderGenerator((1, 2), 3, 10, 4, side=5), (3, 10, 10)),
        (lambda: ConvLadderGenerator((1, 1, 1), 1, 20, 4, side=5), (1, 20, 20)),
    ],
)
def test_one_example_for_each_latent_of_its_own(net, shape):
    """Batch normalisation would let z[0] change the other examples."""
    net = net()
    z = net.latent(6)
    x = net(z)
    assert z.shape == (6, 3) and x.shape == (6, *shape) and net.draw(z).shape == x.shape
    changed = z.clone()
    changed[0] += 1
    new = net(changed)
    assert not torch.equal(new[0], x[0])
    torch.testing.assert_close(new[1:], x[1:])
    x.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize(
    "net",
    [
        lambda: MLPGenerator(2, (64,), bounded=True),
        lambda: ConvGenerator(2, 1, 8),
        lambda: ConvGenerator(2, 1, 8, doublings=1),
        lambda: ConvLadderGenerator((1, 1), 1, 10, 8, side=5),
    ],
)
def test_images_stay_in_their_range(net):
    net = net()
    x = net(1e3 * net.latent(20))
    assert 0.5 < x.abs().max() <= 1


@pytest.mark.statistical
def test_draws_have_the_moments_of_factor_analysis(generator):
    net, n = affine(torch.tensor([[2.0], [0.0]])), 100_000
    x = net.draw(net.latent(n, generator), generator)
    for mean, variance, column in zip((1, 1), (4.25, 0.25), x.T, strict=True):
        assert abs(column.mean().item() - mean) < 5 * math.sqrt(variance / n)
        assert abs(column.var().item() / variance - 1) < 5 * math.sqrt(2 / n)


def test_the_joint_is_minus_the_log_density():
    net = affine(torch.randn(3, 2))
    z, other, x = net.latent(5), net.latent(5), torch.randn(5, 3)

    def log_joint(z):
        normal = torch.distributions.Normal
        return normal(0, 1).log_prob(z).sum(1) + normal(net(z), 0.5).log_prob(x).sum(1)

    torch.testing.assert_close(net.joint(x, z) - net.joint(x, other), log_joint(other) - log_joint(z))
    torch.testing.assert_close(net.joint(x, z) - net.reconstruction(x, z), 0.5 * z.square().sum(1))


@pytest.mark.statistical
def test_a_chain_on_the_joint_finds_the_posterior():
    """Of x = b z + 1 + τ ε it is N(b (x - 1)/(b² + τ²), τ²/(b² + τ²))."""
    net, b, n = affine(torch.tensor([[0.8]])), 0.8, 20_000
    x = torch.full((n, 1), 2.0)
    z = run(mala(lambda z: net.joint(x, z), step_size=0.8), net.latent(n), 60)
    variance = 0.25 / (b**2 + 0.25)
    assert abs(z.mean().item() - b / (b**2 + 0.25)) < 5 * math.sqrt(variance / n)
    assert abs(z.var().item() / variance - 1) < 5 * math.sqrt(2 / n)


def test_the_mask_leaves_what_is_seen():
    """As if x had no other elements; and what is hidden may be NaN, without a trace in the gradient."""
    net = affine(torch.randn(3, 2))
    z, x, seen = net.latent(5).requires_grad_(), torch.randn(5, 3), torch.rand(5, 3) < 0.5
    residual = (x - net(z)) * seen
    wanted = residual.square().sum(1) / (2 * 0.25)
    slope = torch.autograd.grad(wanted.sum(), z)[0]
    found = net.reconstruction(torch.where(seen, x, torch.nan), z, mask=seen)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), z)[0], slope)
    torch.testing.assert_close(net.joint(x, z, mask=seen), wanted + 0.5 * z.square().sum(1))
    one = torch.tensor([True, False, True])
    torch.testing.assert_close(
        net.reconstruction(x, z, mask=one), net.reconstruction(x, z, mask=one.expand(5, 3))
    )


# layers of latents


def test_every_layer_is_gaussian_given_the_one_above():
    """Mean and spread of x given the layers above, read off the layers; each z part feeds its own layer."""
    net = LadderGenerator((2, 3), (3,), 8, n_hidden=0).requires_grad_(False)
    with torch.no_grad():
        net.net[0].weight.copy_(torch.eye(3))
        net.net[0].bias.zero_()
    top, noise = torch.randn(4, 2), torch.randn(4, 3)
    mean, spread = net.layers[0](top).chunk(2, 1)
    wanted = mean + torch.log1p(spread.exp()) * noise
    torch.testing.assert_close(net(torch.cat([top, noise], 1)), wanted)
    assert net.latent_dim == 5 and net.latent_dims == (2, 3)


def test_linear_layers_compose_to_factor_analysis():
    """With constant spreads: x = W₁(W₂ ε₂ + D ε₁) + ..., covariance W₁(W₂W₂ᵀ + D²)W₁ᵀ + τ² I."""
    net = LadderGenerator((2, 3), (4,), 8, n_hidden=0, std=0.5, activation=torch.nn.Identity).double()
    with torch.no_grad():
        net.layers[0][2].weight[3:] = 0.0
    first, _, second = net.layers[0]
    upper = second.weight[:3] @ first.weight
    spread = torch.log1p((second.weight[3:] @ first.bias + second.bias[3:]).exp()).diag()
    lower = net.net[0].weight
    cov = lower @ (upper @ upper.T + spread**2) @ lower.T + 0.25 * torch.eye(4)
    found = linear.marginal(linear.from_generator(net))
    torch.testing.assert_close(found.precision, cov.inverse())


def test_one_layer_is_a_plain_generator():
    torch.manual_seed(1)
    ladder = LadderGenerator((3,), (2,), 8, n_hidden=1)
    torch.manual_seed(1)
    plain = MLPGenerator(3, (2,), (8,))
    z = plain.latent(4)
    torch.testing.assert_close(ladder(z), plain(z))


def test_maps_of_all_layers_meet_in_the_image():
    """The maps of a layer are added to those above it, off which its mean and its spread are read."""
    net = ConvLadderGenerator((2, 3, 2), 1, 12, 4, side=6).requires_grad_(False)
    z = net.latent(4)
    maps, noises = net.projections[0](z[:, :2]), (z[:, 2:5], z[:, 5:])
    for read, project, noise in zip(net.layers, net.projections[1:], noises, strict=True):
        mean, spread = read.mean(maps), read.spread(maps)
        maps = maps + project(mean + torch.log1p(spread.exp()) * noise)
    torch.testing.assert_close(net(z), net.net(maps))
    assert net.latent_dim == 7 and net.latent_dims == (2, 3, 2)


def test_one_layer_of_maps_is_a_plain_generator():
    net = ConvLadderGenerator((3,), 1, 12, 4, side=6)
    z = net.latent(4)
    torch.testing.assert_close(net(z), net.net(net.projections[0](z)))


@pytest.mark.parametrize("weight", [torch.tensor([[1.0, 0.5], [-0.3, 0.8]]), torch.tensor([[1.0], [0.7]])])
def test_the_marginal_of_factor_analysis_is_a_gaussian(weight):
    net = affine(weight)
    truth = Gaussian(torch.ones(2), weight @ weight.T + 0.25 * torch.eye(2))
    found = exact.marginal(net, exact.Grid((-5, 5), n=60, dim=weight.shape[1]))
    x = truth.sample(1000)
    torch.testing.assert_close(found.log_prob(x), truth.log_prob(x), atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLPGenerator(0, (2,)), "latent_dim is 0; expected a whole number >= 1"),
        (lambda: MLPGenerator(2, (2,), std=0.0), r"std is 0.0; expected a number > 0"),
        (lambda: MLPGenerator(2, (2,))(torch.zeros(4, 3)), r"z has shape \(4, 3\); expected \(B, 2\)"),
        (lambda: ConvGenerator(2, 1, 8)(torch.zeros(4)), r"z has shape \(4,\); expected \(B, 2\)"),
        (lambda: ConvGenerator(2, 1, 10), "size is 10; 2 doublings make multiples of 4"),
        (lambda: ConvGenerator(2, 1, 8, ()), r"widths is \(\); expected whole numbers >= 1, at least one"),
        (lambda: ConvGenerator(2, 1, 10, (8, 8), doublings=2), "size is 10; 2 doublings make multiples of 4"),
        (
            lambda: ConvGenerator(2, 1, 8, (8,), doublings=2),
            "doublings is 2; expected at most one .* 1 widths",
        ),
        (lambda: ConvGenerator(2, 1, 8, (8,), doublings=-1), "doublings is -1"),
        (
            lambda: MLPGenerator(2, (2,)).joint(torch.zeros(4, 1), torch.zeros(4, 2)),
            r"x has shape \(4, 1\); these latents generate \(4, 2\)",
        ),
        (
            lambda: MLPGenerator(2, (2,)).joint(torch.zeros(4, 2), torch.zeros(4, 2), mask=torch.ones(4, 2)),
            r"mask is torch.float32 of shape \(4, 2\); expected torch.bool, broadcastable to \(4, 2\)",
        ),
        (
            lambda: MLPGenerator(2, (2,)).reconstruction(
                torch.zeros(4, 2), torch.zeros(4, 2), mask=torch.ones(3, 4, 2).bool()
            ),
            r"mask is torch.bool of shape \(3, 4, 2\)",
        ),
        (
            lambda: LadderGenerator((), (2,)),
            r"latent_dims is \(\); expected whole numbers >= 1",
        ),
        (lambda: LadderGenerator((2, 0), (2,)), r"latent_dims is \(2, 0\)"),
        (lambda: LadderGenerator((2, 1), (2,))(torch.zeros(4, 2)), r"z has shape \(4, 2\)"),
        (lambda: ConvLadderGenerator((), 1, 32), r"latent_dims is \(\)"),
        (lambda: ConvLadderGenerator((2,), 1, 28), r"size is 28 and side 16; expected size = side \* 2"),
        (lambda: ConvLadderGenerator((2,), 1, 16), "size is 16 and side 16"),
        (lambda: ConvLadderGenerator((2,), 1, 8, side=4), "side 4; .* side >= 5"),
        (lambda: ConvLadderGenerator((2, 1), 1, 32)(torch.zeros(4, 2)), r"z has shape \(4, 2\)"),
        (
            lambda: exact.marginal(MLPGenerator(1, (2,)), exact.Grid((-5, 5))),
            r"a grid of dim=2 and a generator of \(2,\) from 1 latents",
        ),
        (
            lambda: exact.marginal(MLPGenerator(2, (1, 2, 2)), exact.Grid((-5, 5))),
            r"x of shape \(d,\)",
        ),
    ],
)
def test_bad_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
