"""The perceptron's gradient in closed form is that of automatic differentiation, or is not used.

Mutants tried: the way back of each activation (slope of ELU without its alpha, GELU and Softplus without
their settings, Tanh and Sigmoid from their input); sine and cosine exchanged, and their sign; the reference
subtracted, or left out of the energy or of the gradient; each condition of `MLPEnergy._layers_as_built` and
of `calls_forward_only` left out; the look through an average, and what it asks of hooks; ``create_graph``
ignored; the gradient a view of the weights; the check of a compiled chain by the closed form; the cast of the
last layer's weights in bfloat16.
"""

import copy
from functools import partial
from weakref import WeakKeyDictionary

import pytest
import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)

from ebmlearn.energy import grad
from ebmlearn.nets import MLPEnergy
from ebmlearn.sample import _compiled, hmc, langevin, mala, run, ula
from ebmlearn.speed import Speed
from ebmlearn.train.averages import weight_average

ACTIVATIONS = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "leaky relu": partial(nn.LeakyReLU, 0.2),
    "elu": partial(nn.ELU, 0.7),
    "gelu": nn.GELU,
    "gelu, tanh": partial(nn.GELU, "tanh"),
    "softplus": partial(nn.Softplus, 2.0, 0.5),  # the threshold is passed by half of the units
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
EVENTS = {"vector": (4,), "image": (1, 2, 2)}


def perceptron(**settings):
    """Its slopes are of the order of 1: two numbers near zero would be close whatever they are."""
    net = MLPEnergy(4, (16, 8), **settings)
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(3)
    return net


def by_autograd(energy, x):
    """A lambda offers no closed form."""
    return grad(lambda x: energy(x), x)


@pytest.fixture
def no_autograd(monkeypatch):
    """From the call on, automatic differentiation is an error."""

    def refuse(*args, **kwargs):
        raise AssertionError("automatic differentiation was used")

    return lambda: monkeypatch.setattr(torch.autograd, "grad", refuse)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
@pytest.mark.parametrize("reference_std", [None, 1.5])
@pytest.mark.parametrize("n_fourier", [0, 3])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_closed_form_is_the_gradient(name, n_fourier, reference_std, event, dtype, no_autograd):
    """A wrong derivative, sine for cosine, a lost sign or factor: each is far above rounding."""
    net = perceptron(activation=ACTIVATIONS[name], n_fourier=n_fourier, reference_std=reference_std).to(dtype)
    x = torch.randn(30, *event, dtype=dtype)
    value, slope = by_autograd(net, x)
    assert slope.abs().mean() > 0.03
    no_autograd()
    found = grad(net, x)
    torch.testing.assert_close(
        found, (value, slope), rtol=2e-5 if dtype == torch.float32 else 1e-10, atol=2e-6
    )
    assert found[0].shape == (30,) and found[1].shape == x.shape


def test_the_closed_form_leaves_no_trace(no_autograd):
    """Neither a graph, nor a gradient, nor a change of ``x``."""
    net, x = perceptron(n_fourier=3, reference_std=1.5), torch.randn(5, 4, requires_grad=True)
    before = x.detach().clone()
    no_autograd()
    value, slope = grad(net, x)
    with torch.no_grad():
        torch.testing.assert_close(grad(net, x), (value, slope), rtol=0, atol=0)
    assert not value.requires_grad and not slope.requires_grad
    assert torch.equal(x, before) and x.grad is None and all(p.grad is None for p in net.parameters())
    assert [t.shape for t in grad(net, x[:0])] == [(0,), (0, 4)]


@pytest.mark.parametrize("widths", [(), (3,)])
def test_the_gradient_stays_when_weights_move(widths):
    """Without a hidden layer the closed form would be the weights themselves."""
    net = MLPEnergy(4, widths)
    slope = grad(net, torch.randn(5, 4))[1]
    kept = slope.clone()
    nn.init.zeros_(net.net[-1].weight)
    assert torch.equal(slope, kept) and kept.abs().max() > 0


def test_layers_may_be_the_same_module():
    """One activation for all: a list of children would have it once."""
    shared = nn.SiLU()
    net, x = perceptron(activation=lambda: shared), torch.randn(30, 4)
    torch.testing.assert_close(grad(net, x), by_autograd(net, x))


def test_a_graph_is_made_where_one_is_wanted():
    net, x = perceptron(reference_std=1.5), torch.randn(5, 4)
    found = []
    for energy in (net, lambda x: net(x)):
        slope = grad(energy, x, create_graph=True)[1]
        found.append(torch.autograd.grad(slope.square().sum(), list(net.parameters())))
    torch.testing.assert_close(*found)


class Twice(MLPEnergy):
    def forward(self, x):
        return 2 * super().forward(x)


class TwiceCalled(MLPEnergy):
    def __call__(self, x):
        return 2 * super().__call__(x)


class TwiceSiLU(nn.SiLU):
    def forward(self, x):
        return 2 * super().forward(x)


class Norm(nn.Module):
    def forward(self, x):
        return x.norm(dim=1)


def double(module, args, out):
    return 2 * out


def double_input(module, args):
    return (2 * args[0],)


def double_gradient(module, grad_in, grad_out):
    return tuple(None if g is None else 2 * g for g in grad_in)


def double_before(module, grad_out):
    return tuple(2 * g for g in grad_out)


def of_class(net, kind):
    net.__class__ = kind


def in_instance(net, module):
    forward = module.forward
    module.forward = lambda x: 2 * forward(x)


def exchanged(net, i, layer):
    net.net[i] = layer


def spectral(net, norm):
    with torch.no_grad():
        norm(net.net[2])


ALTERED = {
    "a subclass": lambda net: of_class(net, Twice),
    "a subclass that is called in another way": lambda net: of_class(net, TwiceCalled),
    "another forward of the energy": lambda net: in_instance(net, net),
    "another forward of the net": lambda net: in_instance(net, net.net),
    "another forward of a layer": lambda net: in_instance(net, net.net[0]),
    "another forward of the last": lambda net: in_instance(net, net.net[-1]),
    "a hook of the energy": lambda net: net.register_forward_hook(double),
    "a hook of the net": lambda net: net.net.register_forward_hook(double),
    "a hook of an activation": lambda net: net.net[1].register_forward_hook(double),
    "a hook of the last layer": lambda net: net.net[-1].register_forward_hook(double),
    "a hook before the energy": lambda net: net.register_forward_pre_hook(double_input),
    "a hook before a layer": lambda net: net.net[2].register_forward_pre_hook(double_input),
    "a hook on the way back": lambda net: net.net[2].register_full_backward_hook(double_gradient),
    "a hook before the way back": lambda net: net.net[2].register_full_backward_pre_hook(double_before),
    "spectral norm by a hook": lambda net: spectral(net, nn.utils.spectral_norm),
    "spectral norm of the weights": lambda net: spectral(net, nn.utils.parametrizations.spectral_norm),
    "batch normalisation": lambda net: exchanged(net, 1, nn.BatchNorm1d(16)),
    "dropout": lambda net: exchanged(net, 1, nn.Dropout(0.5)),
    "no activation": lambda net: exchanged(net, 1, nn.Identity()),
    "an activation of one's own": lambda net: exchanged(net, 1, TwiceSiLU()),
    "another net": lambda net: setattr(net, "net", nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))),
    "not a sequence": lambda net: setattr(net, "net", Norm()),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_perceptron_is_differentiated_as_it_is(name):
    """Each alteration makes another energy: the closed form of the old one would be wrong in silence."""
    net, x = perceptron(), torch.randn(30, 4)
    old = grad(net, x)
    ALTERED[name](net)
    net.train(name in ("batch normalisation", "dropout"))  # spectral norm moves at each call in training
    found = []
    for differentiate in (grad, by_autograd):
        torch.manual_seed(3)
        found.append(differentiate(net, x))
    torch.testing.assert_close(*found)
    assert (found[0][1] - old[1]).abs().max() > 0.01


@pytest.mark.parametrize(
    ("register", "hook"),
    [
        (register_module_forward_hook, double),
        (register_module_full_backward_hook, double_gradient),
        (register_module_full_backward_pre_hook, double_before),
    ],
)
def test_hooks_of_all_modules_are_heeded(register, hook):
    net, x = perceptron(), torch.randn(30, 4)
    old = grad(net, x)[1]
    handle = register(hook)
    try:
        found, wanted = grad(net, x), by_autograd(net, x)
    finally:
        handle.remove()
    torch.testing.assert_close(found, wanted)
    assert (found[1] - old).abs().max() > 0.01


def test_an_activation_in_place_is_differentiated_where_it_was():
    """It overwrites what the closed form would look at on its way back."""
    net, x = perceptron(activation=partial(nn.SiLU, inplace=True)), torch.randn(30, 4)
    plain = perceptron()
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(grad(net, x), grad(plain, x))


def test_what_forward_refuses_is_refused():
    with pytest.raises(ValueError, match="x has 3 elements an event; this net was built for dim=4"):
        grad(perceptron(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"x has dtype torch\.float64, but the weights"):
        grad(perceptron(), torch.zeros(2, 4, dtype=torch.float64))
    net = perceptron()
    net.net[-1] = nn.Linear(8, 1)
    with pytest.raises(ValueError, match=r"the energy returned shape \(2, 1\)"):
        grad(net, torch.zeros(2, 4))
    net.net = nn.Sequential()
    with pytest.raises(ValueError, match=r"the energy returned shape \(2, 4\)"):
        grad(net, torch.zeros(2, 4))


def test_an_energy_of_ones_own_may_offer_a_closed_form():
    """Its answer is taken and held to the shape of an energy; None means automatic differentiation."""

    class Parabola:
        offer = staticmethod(lambda x: (0.5 * x.square().sum(1), x))

        def __call__(self, x):
            return 3 * x.square().sum(1)

        def value_and_slope(self, x):
            return self.offer(x)

    energy, x = Parabola(), torch.randn(5, 2, requires_grad=True)
    value, slope = grad(energy, x)
    assert torch.equal(slope, x) and not slope.requires_grad
    torch.testing.assert_close(value, 0.5 * x.detach().square().sum(1))
    torch.testing.assert_close(grad(energy, x, create_graph=True)[1], 6 * x)
    energy.offer = lambda x: (x.sum(1, keepdim=True), x)
    with pytest.raises(ValueError, match=r"returned shape \(5, 1\)"):
        grad(energy, x)
    energy.offer = lambda x: (x.sum(1), x.sum(1, keepdim=True))
    with pytest.raises(ValueError, match=r"a gradient of shape \(5, 1\) for x of shape \(5, 2\)"):
        grad(energy, x)
    energy.offer = lambda x: (x.sum(1).bfloat16(), x)
    with pytest.raises(ValueError, match="in bfloat16"), Speed(precision="bf16").active(x.device):
        grad(energy, x)
    energy.offer = lambda x: None
    torch.testing.assert_close(grad(energy, x)[1], 6 * x.detach())


def test_an_average_of_weights_has_the_closed_form_of_its_net(no_autograd):
    """Its own weights, not those of the net that it follows; and what it does to a call counts."""
    net, x = perceptron(), torch.randn(30, 4)
    average = weight_average(net, 0.9)
    average.update_parameters(net)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.5)
    average.update_parameters(net)
    wanted = by_autograd(average, x)
    handle = average.register_forward_hook(double)
    torch.testing.assert_close(grad(average, x), (2 * wanted[0], 2 * wanted[1]))
    handle.remove()
    no_autograd()
    found = grad(average, x)
    torch.testing.assert_close(found, wanted)
    assert (found[1] - grad(net, x)[1]).abs().max() > 0.01


@pytest.mark.parametrize(
    "kernel",
    [
        partial(ula, step_size=0.3, bounds=(-1.0, 2.0)),
        partial(mala, step_size=0.3),
        partial(hmc, step_size=0.2, n_leapfrog=3),
    ],
    ids=["ula", "mala", "hmc"],
)
def test_a_chain_is_that_of_automatic_differentiation(kernel):
    """With the same noise: the closed form draws nothing and leaves nothing behind from step to step."""
    net, ends = perceptron(n_fourier=3, reference_std=1.5).double(), []
    for energy in (net, lambda x: net(x)):
        generator = torch.Generator().manual_seed(3)
        start = torch.zeros(20, 1, 2, 2, dtype=torch.float64)
        ends.append((run(kernel(energy, generator=generator), start, 20), generator.get_state()))
    torch.testing.assert_close(*ends)
    assert ends[0][0].abs().min() > 1e-6


def test_dropout_in_a_perceptron_is_off_in_a_chain():
    """With dropout there is no closed form, and a chain must still find the layer when it is called."""
    net = perceptron()
    net.net[1] = nn.Dropout(0.5)
    frozen = copy.deepcopy(net).eval()
    ends = []
    for energy in (net, frozen):
        torch.manual_seed(3)
        ends.append(langevin(energy, torch.zeros(5, 4), n_steps=3, step_size=0.1))
    torch.testing.assert_close(*ends)
    assert net.net[1].training


@pytest.mark.parametrize("settings", [{}, {"n_fourier": 3, "reference_std": 1.5}], ids=["plain", "whole"])
@pytest.mark.parametrize("own", [False, True], ids=["speed", "autocast of one's own"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_in_bf16_it_is_what_automatic_differentiation_gives(name, own, settings, no_autograd):
    """To the rounding of bfloat16, whose 8 bits are 0.4 %: it is taken, computes in them, ends in float32."""
    net = perceptron(activation=ACTIVATIONS[name], **settings)
    x, cpu = torch.randn(200, 4), torch.device("cpu")
    exact = grad(net, x)
    with torch.autocast("cpu", torch.bfloat16) if own else Speed(precision="bf16").active(cpu):
        wanted = by_autograd(net, x)
        no_autograd()
        found = grad(net, x)
    for a, b, c in zip(found, wanted, exact, strict=True):
        assert a.dtype == torch.float32 and not torch.equal(a, c)
        assert (a - b).norm() < 0.004 * b.norm()


class Damped(nn.Module):
    """Its closed form knows that dropout is off in a chain."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(x.square()).sum(1)

    def value_and_slope(self, x):
        return x.square().sum(1), 2 * x


def test_a_compiled_chain_sees_the_nets_that_it_calls(monkeypatch):
    """The graph calls them, so they must be called before it is made: a closed form that answered instead
    would leave them in training mode."""
    monkeypatch.setattr(_compiled, "_graphs", WeakKeyDictionary())
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for net in (Damped(), perceptron(reference_std=1.5)):
        ends = []
        for speed in (Speed(compile=2), None):
            torch.manual_seed(3)
            ends.append(langevin(net, torch.ones(5, 4), n_steps=4, step_size=0.1, speed=speed))
        torch.testing.assert_close(*ends)
        assert all(module.training for module in net.modules())
