"""Nets and settings of the recipes of energies and their companions: what they compute, and that their full
sizes are those of the released nets, counted with their code.

Broken on purpose and seen to fail: the reference left out, or with the variance for the standard deviation;
the readout with 10 or without 100; attention over the wrong axis, values not weighted by it, no shortcut; a
generator's odd kernel without its output padding; the bank changed by sampling, or sampled without steps;
noise scale and step of the other anatomy recipe; the warm-up's rate kept in the game.
"""

import math

import pytest
import torch
from torch import nn

from ebmlearn.nets import ConvGenerator, DescriptorEnergy, NonLocalEnergy
from ebmlearn.nets.attention import NonLocalBlock
from ebmlearn.recipes import RECIPES, anatomy


def count(net):
    return sum(p.numel() for p in net.parameters())


# nets


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        (lambda: NonLocalEnergy(1, 16, (4, 8), 16), (1, 16, 16)),
        (lambda: NonLocalEnergy(3, 10, (4,), 16), (3, 10, 10)),
        (lambda: DescriptorEnergy(3, 32), (3, 32, 32)),
        (lambda: DescriptorEnergy(1, 28, ((8, 4, 2), (8, 4, 2), (8, 4, 2))), (1, 28, 28)),
        (lambda: DescriptorEnergy(1, 7, ((8, 5, 2), (8, 3, 1)), reference_std=2.0), (1, 7, 7)),
    ],
)
def test_one_energy_for_each_image_of_its_own_in_another_shape_none(net, shape):
    net = net()
    for block in net.modules():
        if isinstance(block, NonLocalBlock):
            nn.init.normal_(block.out.weight)
    x = torch.randn(4, *shape)
    energy = net(x)
    assert energy.shape == (4,)
    changed = x.clone()
    changed[0] += 1
    assert not torch.equal(net(changed)[0], energy[0])
    torch.testing.assert_close(net(changed)[1:], energy[1:])
    energy.sum().backward()
    for name, p in net.named_parameters():
        if not name.endswith("key.0.bias"):  # it shifts all scores of a softmax alike
            assert p.grad is not None and p.grad.abs().sum() > 0
    with pytest.raises(ValueError, match=r"x has shape \(4, 2, 5, 5\); this net was built for"):
        net(torch.randn(4, 2, 5, 5))


def test_a_block_adds_what_each_position_finds_by_attention():
    """By a loop over positions."""
    block = NonLocalBlock(4)
    x = torch.randn(2, 4, 6, 4)
    assert torch.equal(block(x), x)  # at first
    nn.init.normal_(block.out.weight)
    nn.init.normal_(block.out.bias)
    query, keys, values = block.query(x), block.key(x), block.value(x)
    assert keys.shape == values.shape == (2, 2, 3, 2)
    wanted = x.clone()
    for b in range(2):
        for i in range(6):
            for j in range(4):
                scores = torch.einsum("c,chw->hw", query[b, :, i, j], keys[b])
                weight = scores.exp() / scores.exp().sum()
                found = torch.einsum("hw,chw->c", weight, values[b])
                wanted[b, :, i, j] += block.out.weight[:, :, 0, 0] @ found + block.out.bias
    torch.testing.assert_close(block(x), wanted)


def test_a_descriptor_is_a_gaussian_and_the_sum_of_a_hundred_outputs():
    net = DescriptorEnergy(1, 8, ((4, 5, 2), (6, 3, 1)), reference_std=0.5)
    x = torch.randn(5, 1, 8, 8)
    features = net.net[:-1](x)
    assert features.shape == (5, 6 * 4 * 4)
    outputs = features @ net.net[-1].weight.expand(100, -1).T
    torch.testing.assert_close(net(x), 2 * x.square().sum((1, 2, 3)) + outputs.sum(1))
    nn.init.zeros_(net.net[-1].weight)
    torch.testing.assert_close(net(x), 2 * x.square().sum((1, 2, 3)))


def test_a_descriptor_takes_the_steps_of_the_hundred_outputs_under_adam():
    """Against the released form: a hundred rows of weights, summed."""
    torch.manual_seed(0)
    net = DescriptorEnergy(1, 8, ((4, 5, 2),)).double()
    ours = net.net[-1].weight
    rows = nn.Parameter(torch.randn(100, ours.shape[1], dtype=torch.float64))
    with torch.no_grad():
        ours.copy_(rows.mean(0, keepdim=True))
    x = torch.randn(6, 1, 8, 8, dtype=torch.float64)
    features = net.net[:-1](x).detach()
    sign = torch.tensor([1.0, 1, 1, -1, -1, -1], dtype=torch.float64)
    a, b = torch.optim.Adam([ours], lr=0.01), torch.optim.Adam([rows], lr=0.01)
    for _ in range(3):
        for optimizer, output in ((a, lambda: net(x)), (b, lambda: (features @ rows.T).sum(1))):
            optimizer.zero_grad()
            (sign * output()).sum().backward()
            optimizer.step()
    torch.testing.assert_close(100 * ours[0], rows.sum(0), rtol=1e-4, atol=1e-4)


def test_the_readout_of_a_descriptor_starts_as_wide_as_the_mean_of_a_hundred_rows():
    net = DescriptorEnergy(3, 32)
    weight = net.net[-1].weight
    assert weight.shape == (1, 256 * 8 * 8)
    one_row = 1 / math.sqrt(3 * weight.shape[1])  # uniform between ± 1/√n
    assert weight.std().item() == pytest.approx(one_row / 10, rel=0.02)


@pytest.mark.parametrize("kernel", [3, 4, 5])
def test_a_generator_doubles_with_any_kernel(kernel):
    net = ConvGenerator(2, 3, 8, (4, 6), kernel=kernel)
    assert net(torch.randn(5, 2)).shape == (5, 3, 8, 8)
    assert [layer.kernel_size for layer in net.net if isinstance(layer, nn.ConvTranspose2d)] == [
        (kernel, kernel)
    ] * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NonLocalEnergy(1, 4), r"size is 4 and widths are \(32, 64, 128\).*to the power of"),
        (lambda: NonLocalEnergy(1, 4, ()), r"widths is \(\); expected whole numbers >= 1, at least one"),
        (lambda: DescriptorEnergy(1, 8, reference_std=0.0), "reference_std is 0.0; expected a number > 0"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# recipes

NAMES = [name for name in RECIPES if name.startswith(("anatomy", "coopnets", "fce"))]


@pytest.mark.parametrize(
    ("name", "epsilon"), [("anatomy-convergent-mnist", 0.0075), ("anatomy-nonconvergent-cifar10", 0.01)]
)
def test_the_step_of_anatomy_is_that_of_the_released_code(name, epsilon):
    """``x - ∇f + ε Z``: with the noise known, the rest is the plain gradient."""
    recipe = RECIPES[name](smoke=True)
    method = recipe.method((1, 16, 16))
    kernel = method.chain.kernel(method.energy)
    x = torch.rand(3, 1, 16, 16)
    x.requires_grad_()
    (slope,) = torch.autograd.grad(method.energy(x).sum(), x)
    torch.manual_seed(1)
    state, _ = kernel.step(kernel.init(x))
    torch.manual_seed(1)
    torch.testing.assert_close(state.x, x - slope + epsilon * torch.randn_like(x))
    assert kernel.temperature(0) == pytest.approx(epsilon**2 / 2)
    assert method.data_noise == pytest.approx({0.0075: 2, 0.01: 3}[epsilon] * epsilon)


def test_sampling_from_the_bank_leaves_it_as_it_is():
    recipe = RECIPES["anatomy-convergent-mnist"](smoke=True)
    method = recipe.method((1, 16, 16))
    before = {name: value.clone() for name, value in method.start.state_dict().items()}
    x = recipe.images(method, 100)
    assert all(torch.equal(value, before[name]) for name, value in method.start.state_dict().items())
    nearest = torch.cdist(x.flatten(1), before["x"].flatten(1)).min(1).values
    assert nearest.min() > 0 and nearest.max() < 1.5  # ten small steps from some chain
    assert len(torch.cdist(x.flatten(1), before["x"].flatten(1)).argmin(1).unique()) > 30


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("coopnets")])
def test_chains_of_coopnets_run_at_temperature_one_and_start_near_the_generator(name):
    recipe = RECIPES[name](smoke=True)
    method = recipe.method((1, 16, 16))
    kernel = method.chain.kernel(method.energy)
    assert kernel.temperature(0) == 1 and method.generator.std == 0.002
    z = method.generator.latent(200)
    noise = method.generator.draw(z) - method.generator(z)
    assert noise.std().item() == pytest.approx(0.002, rel=0.02)


def test_fce_begins_its_game_with_a_lower_rate():
    method = RECIPES["fce-mnist"]().method((1, 32, 32))
    rate = method.lr_schedules["flow"]
    assert [rate(t) for t in (0, 3999, 8000, 199_999, 200_000)] == pytest.approx(
        [1e-3 / 8000, 5e-4, 1e-3, 1e-3, 1e-4]
    )


# The nets of ebm-anatomy have one weight more, their last bias. The CIFAR-10 port of CoopNets has 2,012,388:
# a hundred rows of 16,384 weights with biases in place of one without. Of FCE only totals are known, rounded:
# 44.2 million for the Glow, 44.9 with the energy.
WEIGHTS = {
    "anatomy-convergent-cifar10": 628_529 - 1,
    "anatomy-nonconvergent-cifar10": 693_569 - 1,
    "coopnets-cifar10": 2_012_388 - 99 * 16_384 - 100,
    "fce-cifar10": 693_568,
    # the released code of CoopVAEBM: kernels of 3, 4, 4, 4 and one over the whole of what is left
    "variational-teaching-cifar10": 3 * 9 * 64 + 64 * 16 * 128 + 128 * 16 * 256 + 256 * 16 * 256 + 4096 + 704,
}
COMPANIONS = [name for name in RECIPES if name.startswith(("variational", "dual-mcmc", "neural-transport"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, *COMPANIONS])
def test_full_size(name, monkeypatch):
    """The nets fit the data's shape and each other, and have the weights of the released ones."""
    recipe = RECIPES[name]()
    shape = recipe.shape()
    assert shape == {"mnist": (1, 32, 32), "cifar10": (3, 32, 32), "celeba": (3, 64, 64)}[recipe.data]
    monkeypatch.setitem(anatomy.CONVERGENT, recipe.data, (1, 10))  # the chains would weigh half a gigabyte
    method = RECIPES[name]().method(shape)
    x = torch.rand(2, *shape) * 2 - 1
    assert method.energy(x).shape == (2,)
    energy = method.tilt if name.startswith("neural") else method.energy
    assert count(energy) == WEIGHTS.get(name, count(energy))
    if name.startswith(("coopnets", "variational", "dual")):
        assert method.generator(method.generator.latent(2)).shape == x.shape
    if name.startswith(("variational", "dual")):
        assert method.posterior.sample(x).shape == (1, 2, method.generator.latent_dim)
    if name == "neural-transport-cifar10":  # a twentieth fewer than are reported of the authors' model
        assert 0.93 * 23.8e6 < count(method.flow) + count(energy) < 23.8e6
    if name.startswith("fce"):
        assert method.flow.log_prob(x).isfinite().all() and recipe.sample(method, 2).shape == x.shape
    if name == "fce-cifar10":
        assert count(method.flow) == pytest.approx(44.2e6, rel=0.01)
        assert count(method.flow) + count(method.energy) == pytest.approx(44.9e6, rel=0.01)
