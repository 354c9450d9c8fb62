"""Bi-level doubly variational learning against its closed form on a line, and against quadrature.

Mutants tried, each red: a sign of the contrast, or of the energy in line 2; the encoder's weights moved by
the reconstruction of h, or no gradient of it by x̂; κ or λ dropped, or exchanged; the encoder's own s in place
of ``latent_std``, and the reverse; no divergence in line 3; the draws of line 1 again in line 2; ``noise``
not heeded; a hinge on the wrong side.
"""

import math

import pytest
import torch
from exact_noise import Draws, Scripted, ScriptedPosterior
from methods import recorder
from torch import nn

from ebmlearn import seed
from ebmlearn.energy import Gaussian
from ebmlearn.evaluate import exact
from ebmlearn.methods import BiDVL
from ebmlearn.nets import ConvGenerator, LinearEnergy, MLPEnergy, MLPGenerator
from ebmlearn.posteriors import BernoulliPosterior, GaussianPosterior

V, TAU = 1.5, 0.5


def on_the_line(a=0.7, b=0.9, w=0.6, s=0.8, **settings):
    """``E = a x²/2``, ``g(h) = b h``, ``q(h|x) = N(w x, s²)``, with noise of exact moments."""
    energy = LinearEnergy(lambda x: 0.5 * x.square(), torch.tensor([a])).double()
    generator, posterior = Scripted(1, (1,), (), std=TAU).double(), ScriptedPosterior().double()
    generator.draws = posterior.draws = Draws(8)
    with torch.no_grad():
        generator.net[0].weight.fill_(b)
        generator.net[0].bias.zero_()
        posterior.net.weight.fill_(w)
        posterior.net.log_std.fill_(math.log(s))
    return BiDVL(energy, generator, posterior, optimizer=torch.optim.SGD, **settings)


def lower_slopes(a, b, w, s, weight, latent_weight, precision):
    """Of the loss of line 4 by b, w and log s. The reconstruction of h is κ/σ² · ½[(wb - 1)² + w²τ²], with w
    held constant; a VAE has ½[(1 - bw)² V + b² s²]/τ² + ½(w² V + s² - 1) - log s."""
    by_b = a * b + latent_weight * precision * w * (w * b - 1)
    by_b += weight * (-w * (1 - b * w) * V + b * s**2) / TAU**2
    by_w = weight * (-b * (1 - b * w) * V / TAU**2 + w * V)
    by_log_s = weight * (b**2 * s**2 / TAU**2 + s**2 - 1)
    return by_b, by_w, by_log_s


SETTINGS = [
    {},
    {"data_weight": 0.3, "latent_weight": 2.0},
    {"data_weight": 0.3, "latent_std": 0.2},
    {"data_weight": 0.3, "latent_weight": 2.0, "latent_std": 1.0},
    {"latent_weight": 0.0},
    {"data_weight": 0.0},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_learning_on_a_line_follows_its_closed_form(settings):
    """All four parameters through 40 updates: at each the energy's gradient is half the difference of second
    moments, and those of generator and encoder are `lower_slopes`."""
    a, b, w, s = 0.7, 0.9, 0.6, 0.8
    method = on_the_line(a, b, w, s, lr_energy=0.2, lr_autoencoder=0.03, **settings)
    weight, latent_weight = settings.get("data_weight", 1.0), settings.get("latent_weight", 1.0)
    sigma = settings.get("latent_std")
    for _ in range(40):
        method.generator.draws.restart()
        method.step(math.sqrt(V) * method.generator.draws.first)
        a -= 0.2 * 0.5 * (V - b**2 - TAU**2)
        precision = s**-2 if sigma is None else sigma**-2
        by_b, by_w, by_log_s = lower_slopes(a, b, w, s, weight, latent_weight, precision)
        b, w, s = b - 0.03 * by_b, w - 0.03 * by_w, s * math.exp(-0.03 * by_log_s)
        assert method.energy.theta.item() == pytest.approx(a, rel=1e-6, abs=1e-6)
        assert method.generator.net[0].weight.item() == pytest.approx(b, rel=1e-6)
        assert method.posterior.net.weight.item() == pytest.approx(w, rel=1e-6)
        assert method.posterior.net.log_std.item() == pytest.approx(math.log(s), abs=1e-6)
    assert abs(a - 0.7) > 0.01 and abs(b - 0.9) > 0.01


@pytest.mark.parametrize("precision", [1.0, 25.0, None])
def test_the_energy_rests_at_its_share_of_the_right_one(precision):
    """Data N(0, V): the right precision is 1/V. At rest b² + τ² = V, the encoder is exact, and a is κ s²/ς²
    of it, with s² = τ²/V: right with the encoder's own s, and for every λ."""
    rest = (1 / V if precision is None else precision * TAU**2 / V**2), math.sqrt(V - TAU**2)
    a, b = rest
    w, s = b / V, TAU / math.sqrt(V)
    sigma = None if precision is None else precision**-0.5
    method = on_the_line(a, b, w, s, latent_std=sigma, lr_energy=0.1, lr_autoencoder=0.1)
    before = [p.item() for p in method.parameters()]
    for _ in range(3):
        method.generator.draws.restart()
        method.step(math.sqrt(V) * method.generator.draws.first)
    assert [p.item() for p in method.parameters()] == pytest.approx(before, abs=1e-6)
    # and nowhere near: with a tenth more, the generator moves
    assert abs(lower_slopes(1.1 * a, b, w, s, 1.0, 1.0, precision or s**-2)[0]) > 0.01


def test_the_gradient_of_the_energy_is_that_of_the_upper_level():
    """KL(data ‖ p_θ) - KL(generator ‖ p_θ) of Gaussians in closed form, by automatic differentiation."""
    theta = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)

    def kl(variance):
        return 0.5 * (theta * variance - 1 - torch.log(theta * variance))

    (kl(torch.tensor(V)) - kl(torch.tensor(0.9**2 + TAU**2))).backward()
    method = on_the_line(lr_energy=1.0, lr_autoencoder=0.0)
    method.step(math.sqrt(V) * method.generator.draws.first)
    assert 0.7 - method.energy.theta.item() == pytest.approx(theta.grad.item(), rel=1e-6)


def test_the_reconstruction_of_h_bounds_the_entropy_of_the_draws():
    """``H(x̂) >= H(x̂|h) + H(h) + E[log r(h|x̂)]`` by quadrature for a bent generator; with a linear one and its
    posterior they are equal, and else the divergence of the posteriors apart."""
    generator = MLPGenerator(1, (1,), (8,), std=TAU).double()
    with torch.no_grad():
        for p in generator.parameters():
            p.mul_(2)
    posterior = GaussianPosterior(nn.Linear(1, 2), 1).double()
    h, x = (torch.linspace(-9, 9, 721, dtype=torch.float64)[:, None] for _ in range(2))
    dh = dx = 18 / 720
    unit = 0.5 * math.log(2 * math.pi * math.e)

    def entropy_and_bound(generator, posterior, sigma):
        method = BiDVL(MLPEnergy(1, (4,)).double(), generator, posterior, latent_std=sigma)
        with torch.no_grad():
            log_p_h = -0.5 * h[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
            square = (x[None, :, 0] - generator(h)) ** 2 / (2 * TAU**2)
            joint = (log_p_h[:, None] - square - math.log(TAU * math.sqrt(2 * math.pi))).exp() * dh * dx
            p_x = joint.sum(0) / dx
            entropy = -(p_x * p_x.clamp_min(1e-300).log()).sum().item() * dx
            pairs = torch.cartesian_prod(h[:, 0], x[:, 0])
            nll = method.latent_nll(pairs[:, 1:], pairs[:, :1]).view(721, 721)
        assert joint.sum().item() == pytest.approx(1, abs=1e-6)
        return entropy, unit + math.log(TAU) + unit - (joint * nll).sum().item()

    for sigma in (None, 1.0, 0.3):
        entropy, bound = entropy_and_bound(generator, posterior, sigma)
        assert bound < entropy - 0.01
    line = on_the_line(b=0.9, w=0.9 / (0.9**2 + TAU**2), s=TAU / math.sqrt(0.9**2 + TAU**2))
    entropy, bound = entropy_and_bound(line.generator, line.posterior, None)
    assert entropy == pytest.approx(unit + 0.5 * math.log(0.9**2 + TAU**2), abs=1e-6)
    assert bound == pytest.approx(entropy, abs=1e-6)
    off = on_the_line(b=0.9, w=0.9 / (0.9**2 + TAU**2) + 0.2, s=TAU / math.sqrt(0.9**2 + TAU**2))
    _, lower = entropy_and_bound(off.generator, off.posterior, None)
    assert entropy - lower == pytest.approx(0.5 * 0.2**2 * (0.9**2 + TAU**2) ** 2 / TAU**2, abs=1e-6)


def nets():
    return MLPEnergy(2, (8,)), MLPGenerator(3, (2,), (8,)), GaussianPosterior(nn.Linear(2, 6), 3)


@pytest.mark.parametrize("noise", [True, False])
def test_each_gradient_reaches_its_own_nets(noise):
    """Of one step with nets of other shapes, written out: energy, then generator and encoder together."""
    energy, generator, posterior = nets()
    settings = {"data_weight": 0.4, "latent_weight": 3.0, "latent_std": 0.5}
    rates = {"lr_energy": 0.0, "lr_autoencoder": 0.0}
    method = BiDVL(energy, generator, posterior, noise=noise, optimizer=torch.optim.SGD, **settings, **rates)
    x_data = torch.randn(16, 2)

    def draw():
        h = torch.randn(16, 3)
        x = generator(h)
        return (x + 0.3 * torch.randn(16, 2) if noise else x), h

    seed(1)
    x, _ = draw()
    upper = torch.autograd.grad(energy(x_data).mean() - energy(x.detach()).mean(), list(energy.parameters()))
    x, h = draw()
    mean, log_std = posterior.net(x_data).chunk(2, 1)
    code = mean + log_std.exp() * torch.randn(16, 3)
    frozen = x @ posterior.net.weight[:3].detach().T + posterior.net.bias[:3].detach()
    lower = energy(x).mean() + 3.0 * (h - frozen).square().sum(1).mean() / (2 * 0.5**2)
    bound = (x_data - generator(code)).square().sum(1) / (2 * 0.3**2)
    bound = bound + (0.5 * (mean**2 + (2 * log_std).exp() - 1) - log_std).sum(1)
    both = [*generator.parameters(), *posterior.parameters()]
    wanted = [*upper, *torch.autograd.grad(lower + 0.4 * bound.mean(), both)]
    seed(1)
    method.step(x_data)
    for parameter, slope in zip([*energy.parameters(), *both], wanted, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-4, atol=1e-6)
    assert all(p.requires_grad for p in method.parameters())


def test_the_hinge_stops_where_both_sides_are_far_enough():
    """max(0, 1 + E) at data, max(0, 1 - E) at draws: zero below -1 and above 1, with slope where between."""
    method = BiDVL(*nets(), loss="hinge")
    method.energy.forward = lambda x: x[:, 0]
    low, high = torch.tensor([[-3.0, 0.0], [-0.5, 0.0]]), torch.tensor([[2.0, 0.0], [0.25, 0.0]])
    assert method.upper(low, high).item() == pytest.approx(0.5 / 2 + 0.75 / 2)
    assert method.upper(low[:1], high[:1]).item() == 0
    assert method.upper(high, low).item() == pytest.approx((3 + 1.25) / 2 + (4 + 1.5) / 2)


def test_what_the_method_says_of_examples():
    seed(0)
    energy, generator, posterior = nets()
    method = BiDVL(energy, generator, posterior)
    x = torch.randn(5, 2)
    assert torch.equal(method.anomaly(x), energy(x))
    assert torch.equal(method.reconstruct(x), generator(posterior.net(x)[:, :3]))
    z = torch.stack([method.infer(x) for _ in range(4000)])
    mean, log_std = posterior.net(x).chunk(2, 1)
    assert ((z.mean(0) - mean) / log_std.exp()).abs().max() < 5 / math.sqrt(4000)
    sample = method.sample(6000)
    assert (sample - method.generator(method.generator.latent(6000))).var(0).min() > 0.3**2
    for found in (method.anomaly(x), method.reconstruct(x), method.infer(x), sample):
        assert not found.requires_grad
    method = recorder(BiDVL)(*nets())
    method.step(x)
    assert method.order == ["energy", "autoencoder"]


@pytest.mark.slow
def test_learns_a_gaussian_in_the_plane_with_the_encoders_own_scale():
    """Nets are affine and free: KL(data ‖ energy) falls below a hundredth, and with unit ``latent_std`` the
    energy stays nearly flat, as the rest on the line says."""
    target, found = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 1.0]])), {}
    for sigma in (None, 1.0):
        seed(0)
        energy = LinearEnergy(
            lambda x: torch.stack([0.5 * x[:, 0] ** 2, 0.5 * x[:, 1] ** 2, x[:, 0] * x[:, 1]], 1),
            torch.tensor([0.5, 0.5, 0.0]),
        )
        posterior = GaussianPosterior(nn.Linear(2, 4), 2)
        method = BiDVL(
            energy,
            MLPGenerator(2, (2,), (), std=TAU),
            posterior,
            latent_std=sigma,
            lr_energy=0.05,
            lr_autoencoder=0.05,
            optimizer=torch.optim.SGD,
        )
        for _ in range(600):
            method.step(target.sample(500))
        found[sigma] = exact.kl(target, energy, exact.Grid((-12, 12), n=90)).value
    assert found[None] < 0.01 < 0.2 < found[1.0]


def test_nets_that_do_not_fit_are_refused():
    energy, generator, posterior = nets()
    with pytest.raises(ValueError, match="3 latents, the posterior 2"):
        BiDVL(energy, generator, GaussianPosterior(nn.Linear(2, 4), 2))
    with pytest.raises(TypeError, match="posterior is BernoulliPosterior"):
        BiDVL(energy, generator, BernoulliPosterior(nn.Linear(2, 3), 3))
    with pytest.raises(ValueError, match="loss is 'wgan'; expected"):
        BiDVL(energy, generator, posterior, loss="wgan")
    with pytest.raises(ValueError, match=r"latent_std is 0\.0; expected a number > 0, or None"):
        BiDVL(energy, generator, posterior, latent_std=0.0)
    with pytest.raises(ValueError, match="event shape"):
        BiDVL(energy, ConvGenerator(3, 1, 8), posterior).step(torch.randn(4, 2))
