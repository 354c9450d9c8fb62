"""Features and encoders of images.

Mutants tried, each red: halving by every second pixel, no shortcut, a block too few, no activation between.
"""

import pytest
import torch

from ebmlearn.nets import ConvEncoder, ResidualFeatures


@pytest.mark.parametrize(
    ("net", "shape", "n"),
    [
        (lambda: ResidualFeatures(1, 8, (4, 8), 1), (1, 8, 8), 8 * 4 * 4),
        (lambda: ResidualFeatures(3, 14, (4, 6, 8), 2), (3, 14, 14), 8 * 3 * 3),
        (lambda: ConvEncoder(3, 14, 6, (4, 8)), (3, 14, 14), 6),
        (lambda: ConvEncoder(1, 5, 2, (4, 4, 4)), (1, 5, 5), 2),
    ],
)
def test_features_of_each_image_of_its_own(net, shape, n):
    net = net()
    x = torch.randn(6, *shape)
    out = net(x)
    assert out.shape == (6, n) and getattr(net, "n_features", n) == n
    changed = x.clone()
    changed[0] += 1
    new = net(changed)
    assert not torch.equal(new[0], out[0])
    torch.testing.assert_close(new[1:], out[1:])
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_a_stage_halves_by_averaging_and_its_blocks_add_to_a_shortcut():
    """With the nets of all blocks silent and all else the identity, an image is averaged and no more."""
    net = ResidualFeatures(1, 8, (1, 1), 2).requires_grad_(False)
    first, *blocks, _ = net.net
    for conv in (first, *(b.shortcut for b in blocks)):
        conv.weight.zero_()
        conv.weight[0, 0, conv.kernel_size[0] // 2, conv.kernel_size[0] // 2] = 1
        conv.bias.zero_()
    for block in blocks:
        block.net[-1].weight.zero_()
        block.net[-1].bias.zero_()
    x = torch.randn(3, 1, 8, 8)
    averages = x.view(3, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    assert len(blocks) == 2
    torch.testing.assert_close(net(x), averages)
    blocks[1].net[-1].bias.fill_(0.5)
    torch.testing.assert_close(net(x), averages + 0.5)
    blocks[0].net[-1].weight[0, 0, 1, 1] = 1  # elu of its first convolution, averaged, joins
    hidden = torch.nn.functional.elu(x)
    hidden = torch.nn.functional.conv2d(hidden, blocks[0].net[1].weight, padding=1)
    joined = torch.nn.functional.elu(hidden).view(3, 4, 2, 4, 2).mean((2, 4)).flatten(1)
    torch.testing.assert_close(net(x), averages + joined + 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ResidualFeatures(1, 3, (4, 4, 4)),
            "size is 3 and n_blocks 2; 2 halvings need .* at least 4",
        ),
        (lambda: ResidualFeatures(1, 8, (4, 4), 0), "n_blocks is 0; expected a whole number >= 1"),
        (
            lambda: ResidualFeatures(1, 8, (4, 4))(torch.zeros(2, 1, 9, 9)),
            r"x has shape \(2, 1, 9, 9\); this net",
        ),
        (lambda: ConvEncoder(1, 8, 2)(torch.zeros(2, 3, 8, 8)), r"x has shape \(2, 3, 8, 8\); this net"),
    ],
)
def test_bad_shapes_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
