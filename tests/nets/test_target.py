"""Nets as functions of their weights, and their gauge.

Bugs that they are for, each tried and seen to fail: weights of another net; the first net's inputs for all; a
gauge without its outgoing weights; one that forgets the bias, in the scale or in what is divided; outgoing
weights of a convolution scaled by pixel in place of channel; the mean of the last biases alone; a mean taken
for a regression; a scale without a gradient; a filter of the residual net that passes its scale on; the
shortcut of a stage left out; statistics over all images.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from ebmlearn.nets import ReLUTarget, ResNetTarget

TARGETS = {
    "points": lambda: ReLUTarget((3,), 4, (5, 6)),
    "regression": lambda: ReLUTarget((3,), 2, (5, 6), softmax=False),
    "linear": lambda: ReLUTarget((3,), 1, (), softmax=False),
    "images": lambda: ReLUTarget((2, 9, 8), 3, ((3, 3), (4, 5), 5)),
    "convolutions alone": lambda: ReLUTarget((1, 4, 4), 3, ((3, 1),)),
    "residual": lambda: ResNetTarget(2, 16, 3, width=2, n_blocks=(2, 1)),
}


@pytest.fixture(params=TARGETS)
def target(request):
    return TARGETS[request.param]()


def nets(target, n, seed=0):
    """Weights of which none is 0, biases neither."""
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(n, target.n_weights, generator=gen, dtype=torch.float64) * 0.5


def inputs(target, *n, seed=1):
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(*n, *target.event_shape, generator=gen, dtype=torch.float64)


def means(target, outputs):
    """What a net says: outputs, up to a number for all classes where they are logits."""
    return outputs.log_softmax(-1) if getattr(target, "softmax", True) else outputs


def by_modules(target, theta, x):
    """One net, made of modules of torch, which read the vector front to back."""
    theta = theta.clone()
    for i, layer in enumerate(target.layers):
        part, theta = theta[: layer.n_units * layer.length], theta[layer.n_units * layer.length :]
        rows = part.view(layer.n_units, layer.length)
        if layer.kernel:
            module = nn.Conv2d(x.shape[1], layer.n_units, layer.kernel, padding="same").double()
        else:
            x = x.reshape(len(x), -1)
            module = nn.Linear(x.shape[1], layer.n_units).double()
        with torch.no_grad():
            module.weight.copy_(rows[:, :-1].view_as(module.weight))
            module.bias.copy_(rows[:, -1])
        x = module(x)
        if i < len(target.layers) - 1:
            x = nn.MaxPool2d(2)(x.relu()) if layer.kernel else x.relu()
    assert not len(theta)
    return x


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "residual"])
def test_a_batch_of_nets_is_each_by_itself(name):
    target = TARGETS[name]()
    theta, x = nets(target, 3), inputs(target, 7)
    wanted = torch.stack([by_modules(target, one, x) for one in theta])
    torch.testing.assert_close(target(theta, x), wanted.detach())


def test_each_net_may_have_inputs_of_its_own(target):
    theta, x = nets(target, 3), inputs(target, 3, 4)
    wanted = torch.stack([target(theta[i : i + 1], x[i])[0] for i in range(3)])
    torch.testing.assert_close(target(theta, x), wanted)
    torch.testing.assert_close(target(theta, x[0])[0], wanted[0])


def test_no_image_is_seen_beside_others(target):
    theta, x = nets(target, 2), inputs(target, 5)
    torch.testing.assert_close(target(theta, x)[:, 2:3], target(theta, x[2:3]))


def test_the_papers_nets_have_their_weights():
    mnist = ReLUTarget((1, 28, 28), 10, ((32, 5), (16, 5), 8))
    sizes = [(layer.n_units, layer.length) for layer in mnist.layers]
    assert sizes == [(32, 26), (16, 801), (8, 785), (10, 9)] and mnist.n_weights == 20_018
    cifar = ResNetTarget()
    first, stages = 3 * 9 * 16, [2 * 5 * 9 * 16**2]
    stages += [9 * n * 2 * n + 9 * 9 * (2 * n) ** 2 + n * 2 * n for n in (16, 32)]  # and a 1 x 1 beside
    assert cifar.n_weights == first + sum(stages) + 65 * 10 == 464_442
    assert len([layer for layer in cifar.layers if layer.kernel != 1]) == 32


def test_the_canonical_net_is_the_same_net(target):
    theta, x = nets(target, 3), inputs(target, 7)
    found = target.canonical(theta)
    near = {"rtol": 0, "atol": 2e-4 if isinstance(target, ResNetTarget) else 1e-11}  # 10⁻⁵ under its roots
    before, after = means(target, target(theta, x)), means(target, target(found, x))
    torch.testing.assert_close(after, before, **near)
    torch.testing.assert_close(target.canonical(found), found)
    *hidden, last = target.rows(found)
    for rows in hidden:
        torch.testing.assert_close(rows.square().mean(2), torch.ones_like(rows[..., 0]))
    if getattr(target, "softmax", True):
        torch.testing.assert_close(last.mean(1), torch.zeros_like(last[:, 0]), rtol=0, atol=1e-12)


def test_the_gauge_keeps_logits_in_float32():
    target = ReLUTarget((1, 28, 28), 10, ((32, 5), (16, 5), 8))
    gen = torch.Generator().manual_seed(0)
    theta, x = target.initial(4, gen), torch.rand(20, 1, 28, 28, generator=gen) * 2 - 1
    before, after = target(theta, x), target(target.canonical(theta), x)
    before, after = before - before.mean(2, keepdim=True), after - after.mean(2, keepdim=True)
    assert (after - before).abs().max() < 1e-5


def moved(target, theta, seed=3):
    """Another net of the same function: units at other scales, and a row added to all of the last layer."""
    gen = torch.Generator().manual_seed(seed)
    rows = [row.clone() for row in target.rows(theta)]
    for i in range(len(rows) - 1):
        scale = torch.rand(rows[i].shape[:2], generator=gen, dtype=torch.float64) * 3 + 0.2
        rows[i] = rows[i] * scale[..., None]
        if isinstance(target, ReLUTarget):
            n = target.layers[i + 1].fan_in // target.layers[i].n_units  # weights that see a unit
            rows[i + 1][..., :-1] /= scale.repeat_interleave(n, 1)[:, None]
    if getattr(target, "softmax", True):
        rows[-1] = rows[-1] + torch.randn(rows[-1][:, :1].shape, generator=gen, dtype=torch.float64)
    return torch.cat([row.flatten(1) for row in rows], 1)


def test_all_nets_of_one_function_have_one_canonical_form(target):
    theta = nets(target, 3)
    other = moved(target, theta)
    assert target.n_gauge == 0 or not torch.allclose(other, theta, rtol=0.1)
    torch.testing.assert_close(target.canonical(other), target.canonical(theta))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ReLUTarget((2,), 3, (3, 2)),
        lambda: ReLUTarget((2,), 2, (3,), softmax=False),
        lambda: ReLUTarget((1, 4, 4), 2, ((2, 1), 3)),
        lambda: ResNetTarget(1, 8, 2, width=2, n_blocks=(1,)),
    ],
)
def test_the_gauge_takes_as_many_directions_as_is_said(make):
    target = make()
    theta = nets(target, 1)
    jacobian = torch.autograd.functional.jacobian(target.canonical, theta)[0, :, 0]
    rank = torch.linalg.matrix_rank(jacobian, rtol=1e-9).item()
    assert rank == target.n_weights - target.n_gauge < target.n_weights or target.n_gauge == 0
    assert torch.autograd.gradcheck(target.canonical, theta.requires_grad_())


def test_a_unit_without_weights_has_no_scale():
    target = ReLUTarget((2,), 3, (4,))
    theta = nets(target, 2)
    theta[1, 3:6] = 0  # the second unit's row
    with pytest.raises(ValueError, match="unit 1 of layer 0 of net 1 has no weight in theta but 0"):
        target.canonical(theta)


def residual(target, theta, x):
    """One residual net, written out, with the normalisation of torch."""
    kernels = iter(target.rows(theta[None]))

    def convolved(x, stride):
        row = next(kernels)[0]
        side = math.isqrt(row.shape[1] // x.shape[1])
        out = functional.conv2d(
            x, row.view(len(row), x.shape[1], side, side), stride=stride, padding=side // 2
        )
        return functional.instance_norm(out)

    x = functional.max_pool2d(convolved(x, 2).relu(), 3, 2, padding=1)
    for stage, blocks in enumerate(target.n_blocks):
        for block in range(blocks):
            stride = 1 + (stage > 0 and block == 0)
            change = convolved(convolved(x, stride).relu(), 1)
            x = (change + (convolved(x, 2) if stride == 2 else x)).relu()
    (last,) = next(kernels)
    return x.mean((2, 3)) @ last[:, :-1].T + last[:, -1]


def test_a_residual_net_is_what_it_says():
    target = ResNetTarget(3, 32, 4, width=2, n_blocks=(2, 1, 2))
    theta, x = nets(target, 2), inputs(target, 3)
    wanted = torch.stack([residual(target, one, x) for one in theta])
    torch.testing.assert_close(target(theta, x), wanted)


def test_first_nets_are_as_he_has_them():
    target = ReLUTarget((200,), 100, (300,))
    theta = target.initial(2, torch.Generator().manual_seed(0))
    first, last = target.rows(theta)
    assert not first[..., -1].any() and not last[..., -1].any()
    assert first[..., :-1].std().item() == pytest.approx(math.sqrt(2 / 200), rel=0.02)
    assert last[..., :-1].std().item() == pytest.approx(math.sqrt(1 / 300), rel=0.02)
    assert target.initial(0).shape == (0, target.n_weights)
