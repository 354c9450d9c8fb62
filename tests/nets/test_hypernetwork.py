"""Hypernetworks: what is shared, and counted; the law of z; how the plain one begins.

Bugs that they are for, each tried and seen to fail: codes of one unit given to another; codes of a net's unit
mixed with another net's; no ``std``; a whole layer counted by its units; uniform latents from 0 to 1; the
perceptron in place of its sum with the affine map.
"""

import math

import pytest
import torch

from ebmlearn.nets import MLPHypernetwork, ReLUTarget, SharedHypernetwork

TARGET = ReLUTarget((2,), 3, (4, 5))


def shared(**settings):
    torch.manual_seed(0)
    settings = {
        "extractor": (8,),
        "code_dims": (2, 3, 4),
        "widths": ((5,), (), (6, 7)),
        "whole": (2,),
    } | settings
    return SharedHypernetwork(TARGET, 3, **settings).double()


def test_a_units_weights_are_made_of_its_own_code():
    net = shared()
    z = torch.randn(6, 3, dtype=torch.float64)
    codes = net.extractor(z)
    assert codes.shape == (6, 4 * 2 + 5 * 3 + 4)
    first, second, last = TARGET.rows(net(z))
    for b in range(6):
        for unit in range(4):
            code = codes[b, 2 * unit : 2 * unit + 2]
            torch.testing.assert_close(first[b, unit], net.nets[0](code[None])[0] * math.sqrt(2 / 2))
        for unit in range(5):
            code = codes[b, 8 + 3 * unit : 11 + 3 * unit]
            torch.testing.assert_close(second[b, unit], net.nets[1](code[None])[0] * math.sqrt(2 / 4))
        whole = net.nets[2](codes[b, None, 23:])[0].view(3, 6)
        torch.testing.assert_close(last[b], whole * math.sqrt(1 / 5))


def test_parameters_are_counted():
    """Of the paper's net for MNIST, by hand; and as many nets as units where nothing is shared."""
    target = ReLUTarget((1, 28, 28), 10, ((32, 5), (16, 5), 8))
    widths = ((40, 40), (100, 100), (100, 100), (60, 60))
    net = SharedHypernetwork(target, 300, widths=widths, whole=(3,))
    extractor = 2 * 300 * 301 + 301 * (32 + 16 + 8 + 1) * 15
    own = [16 * a + a * (a + 1) + (a + 1) * n for (a, _), n in zip(widths, (26, 801, 785, 90), strict=True)]
    assert net.n_parameters == sum(p.numel() for p in net.parameters()) == extractor + sum(own) == 634_997
    assert net.n_unshared == extractor + 32 * own[0] + 16 * own[1] + 8 * own[2] + own[3] == 2_764_633


def test_first_nets_are_as_different_as_those_of_hes_rule():
    torch.manual_seed(0)
    target = ReLUTarget((64,), 10, (16,))
    net = SharedHypernetwork(target, 20)
    generated, drawn = net(net.latent(500)), target.initial(500)
    for ours, his in zip(target.rows(generated), target.rows(drawn), strict=True):
        ratio = ours.std(0).square().mean() / his[..., :-1].std(0).square().mean()
        assert 0.05 < ratio < 3


@pytest.mark.parametrize("law", ["uniform", "normal"])
@pytest.mark.parametrize("make", [lambda law: MLPHypernetwork(4, 3, law=law), lambda law: shared(law=law)])
def test_latents_have_their_law(law, make):
    net = make(law)
    z = net.latent(20_000, torch.Generator().manual_seed(0))
    assert z.shape == (20_000, 3) and z.dtype == next(net.parameters()).dtype
    assert torch.equal(z, net.latent(20_000, torch.Generator().manual_seed(0)))
    assert (z.mean(0) * math.sqrt(20_000 * 3)).abs().max() < 5 * math.sqrt(3)
    variance, fourth = (1.0, 3.0) if law == "normal" else (1 / 3, 1 / 5)
    error = math.sqrt((fourth - variance**2) / z.numel())
    assert abs(z.square().mean().item() - variance) < 5 * error
    assert law == "normal" or (-1 <= z.min() < -0.99 and 0.99 < z.max() <= 1)


def test_the_plain_one_begins_nearly_as_a_rotation():
    torch.manual_seed(0)
    net = MLPHypernetwork(3, 3, (64, 64)).double()
    z = net.latent(200)
    torch.testing.assert_close(net.affine.weight @ net.affine.weight.T, torch.eye(3).double())
    torch.testing.assert_close(net(z), z @ net.affine.weight.T + net.affine.bias + net.net(z))
    slopes = torch.func.vmap(torch.func.jacrev(lambda z: net(z[None])[0]))(z)
    singular = torch.linalg.svdvals(slopes)
    assert singular.min() > 0.8 and singular.max() < 1.2


def test_without_hidden_layers_it_is_affine():
    net = MLPHypernetwork(4, 3, ()).double()
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(net(0.3 * a + 0.7 * b), 0.3 * net(a) + 0.7 * net(b))
    assert net.n_parameters == 16
