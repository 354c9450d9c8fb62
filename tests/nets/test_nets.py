"""Nets: shapes, the Gaussian reference, and independence of the elements of a batch."""

import pytest
import torch
from torch import nn

from ebmlearn.nets import ConvEnergy, LinearEnergy, MLPEnergy


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (lambda: MLPEnergy(2), (2,)),
        (lambda: MLPEnergy(64, (32,)), (1, 8, 8)),
        (lambda: MLPEnergy(2, n_fourier=16), (2,)),
        (lambda: ConvEnergy(1, 14), (1, 14, 14)),
        (lambda: ConvEnergy(3, 32, (8, 16)), (3, 32, 32)),
    ],
)
def test_one_energy_for_each_element_of_its_own(net, shape):
    net = net()
    x = torch.randn(6, *shape)
    energy = net(x)
    assert energy.shape == (6,)
    changed = x.clone()
    changed[0] += 1
    new = net(changed)
    assert not torch.equal(new[0], energy[0])
    torch.testing.assert_close(new[1:], energy[1:])
    energy.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_reference_is_a_gaussian_energy():
    net = MLPEnergy(2, reference_std=2.5)
    torch.nn.init.zeros_(net.net[-1].weight)
    x = torch.randn(5, 2)
    torch.testing.assert_close(net(x), x.square().sum(1) / 12.5)


def test_fourier_frequencies_have_their_scale_and_are_saved():
    net = MLPEnergy(2, n_fourier=5000, fourier_scale=3.0)
    assert net.frequencies.std().item() == pytest.approx(3.0, rel=0.05)
    assert "frequencies" in net.state_dict()
    assert not any(p.shape == net.frequencies.shape for p in net.parameters())


@pytest.mark.parametrize("net", [MLPEnergy(2), ConvEnergy(1, 8)])
def test_the_last_layer_has_no_bias(net):
    assert net.net[-1].bias is None


def test_a_linear_energy_has_its_features_as_gradient():
    net = LinearEnergy(lambda x: torch.stack([x[:, 0], x[:, 1] ** 2], 1), torch.tensor([2.0, -1.0]))
    x = torch.tensor([[1.0, 3.0], [0.5, 1.0]])
    assert net(x).tolist() == [2 - 9, 1 - 1]
    net(x).mean().backward()
    assert net.theta.grad.tolist() == [0.75, 5.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLPEnergy(2, reference_std=0.0), "reference_std is 0.0"),
        (lambda: MLPEnergy(2)(torch.zeros(4, 3)), "x has 3 elements an event; this net was built for dim=2"),
        (lambda: LinearEnergy(lambda x: x, torch.zeros(3))(torch.zeros(4, 2)), r"expected \(4, 3\)"),
        (lambda: ConvEnergy(1, 4), "size is 4; 3 halvings need at least 8"),
        (lambda: ConvEnergy(1, 8)(torch.zeros(4, 3, 8, 8)), r"built for \(B, \(1, 8, 8\)\)"),
    ],
)
def test_bad_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_stem_of_a_convolutional_energy_keeps_the_size():
    """The net of the released short-run code, built by hand: with the same weights, the same energies."""
    leaky = nn.LeakyReLU(0.2)
    theirs = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 1, 1), leaky, nn.Conv2d(4, 8, 4, 2, 1), leaky, nn.Conv2d(8, 16, 4, 2, 1), leaky),
        *(nn.Conv2d(16, 32, 4, 2, 1), leaky, nn.Conv2d(32, 1, 4, 1, 0, bias=False)),
    )
    ours = ConvEnergy(3, 32, [8, 16, 32], stem=4, activation=lambda: nn.LeakyReLU(0.2))
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        a.data.copy_(b.data.view_as(a))
    x = torch.randn(5, 3, 32, 32)
    torch.testing.assert_close(ours(x), theirs(x).flatten())
