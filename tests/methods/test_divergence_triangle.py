"""The divergence triangle against its three divergences in closed form: all three laws Gaussian.

Mutants tried, each red: the sign of the entropy, of the contrast in line 1, or of the energy in line 2; the
entropy left out; the reconstruction dropped in line 2 or 3; the weight on all of line 2, or left out of line
3; the energy's term left out of line 3, or the loss of line 1 added to it; the generator's optimiser with the
energy's weights too; latents of line 2 without a gradient, or those of line 1 kept for it.
"""

import copy
import itertools
import math

import pytest
import torch
from exact_noise import Draws, Scripted, ScriptedPosterior
from methods import recorder
from torch import nn

from ebmlearn import seed
from ebmlearn.methods import VAE, DivergenceTriangle
from ebmlearn.nets import JointMLPEnergy, JointNet, MLPGenerator
from ebmlearn.posteriors import GaussianPosterior
from ebmlearn.train import fit

V, TAU = 1.7, 0.6
NAMES = ("energy", "generator", "posterior")
SIGNS = {"paper": -1, "cooperative": 1, "none": 0}


class Quadratic(JointNet):
    """``E(x, z) = ½ (a x² + 2 c x z + d z²)`` of two numbers, with ``theta = (a, c, d)``."""

    def __init__(self, theta=(0.8, -0.3, 1.5)):
        super().__init__((1,), 1)
        self.theta = nn.Parameter(torch.tensor(theta))

    def joint(self, v, h):
        x, z = v[:, 0], h[:, 0]
        return 0.5 * torch.stack([x * x, 2 * x * z, z * z], 1) @ self.theta


def kl(p, q):
    """KL of two Gaussians of mean 0, by their covariances."""
    return 0.5 * (torch.linalg.solve(q, p).trace() - len(p) + q.logdet() - p.logdet())


def matrix(a, b, c):
    return torch.stack([torch.stack([a, b]), torch.stack([b, c])])


def divergences(theta, b, bias, w, log_s):
    """KL(Q ‖ P), KL(P ‖ Π) and KL(Q ‖ Π); x first, z second. The generator's bias is 0 and stays so."""
    v, one = torch.tensor(V).double(), torch.ones(()).double()
    q = matrix(v, w * v, w * w * v + (2 * log_s).exp())
    p = matrix(b * b + TAU**2 + bias * bias, b, one)
    pi = torch.linalg.inv(matrix(*theta))
    return kl(q, p), kl(p, pi), kl(q, pi)


def objectives(parameters, weight, sign):
    """What each net descends."""
    qp, p_pi, q_pi = divergences(*parameters)
    return {
        "energy": q_pi - p_pi,
        "posterior": weight * qp + SIGNS[sign] * q_pi,
        "generator": weight * qp + p_pi,
    }


def triangle(kind=DivergenceTriangle, **settings):
    """The method on the line, with noise whose sample moments are exact; and its data."""
    draws = Draws(12)
    generator, posterior = Scripted(1, (1,), (), std=TAU).double(), ScriptedPosterior().double()
    generator.draws = posterior.draws = draws
    with torch.no_grad():
        generator.net[0].weight.fill_(0.9)
        generator.net[0].bias.zero_()
        posterior.net.weight.fill_(0.4)
        posterior.net.log_std.fill_(-0.7)
    method = kind(Quadratic().double(), generator, posterior, optimizer=torch.optim.SGD, **settings)
    return method, math.sqrt(V) * draws.first, draws


def parameters_of(method):
    g, q = method.generator.net[0], method.posterior.net
    return [
        p.detach().clone().squeeze() for p in (method.energy.theta, g.weight, g.bias, q.weight, q.log_std)
    ]


OWN = {"energy": (0,), "generator": (1, 2), "posterior": (3, 4)}
RATES = {"lr_energy": 0.05, "lr_generator": 0.03, "lr_posterior": 0.02}


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("weight", [0.5, 1.0, 3.0])
def test_each_net_descends_its_part_of_the_triangle(weight, sign):
    """All five numbers after each of 30 updates, by gradient descent on divergences of Gaussians in closed
    form: each net in its turn, with the others as they are, and nothing else moved."""
    method, x, draws = triangle(weight=weight, encoder_sign=sign, **RATES)
    wanted = parameters_of(method)
    for _ in range(30):
        draws.restart()
        method.step(x)
        for name in ("energy", "posterior", "generator"):
            found = [p.clone().requires_grad_() for p in wanted]
            slopes = torch.autograd.grad(objectives(found, weight, sign)[name], [found[i] for i in OWN[name]])
            for i, slope in zip(OWN[name], slopes, strict=True):
                wanted[i] = wanted[i] - RATES[f"lr_{name}"] * slope
        for a, b in zip(parameters_of(method), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)
    first = parameters_of(triangle()[0])
    assert all(
        (a - b).abs().max() > 1e-3 for i, (a, b) in enumerate(zip(first, wanted, strict=True)) if i != 2
    )


def test_the_metrics_are_terms_of_the_divergences():
    method, x, draws = triangle(lr_energy=0.0, lr_generator=0.0, lr_posterior=0.0)
    draws.restart()
    found = method.step(x)
    theta, b, _, w, log_s = parameters_of(method)
    s2 = (2 * log_s).exp()
    moments_q = torch.stack([0 * s2 + V, w * V, w * w * V + s2])
    moments_p = torch.stack([b * b + TAU**2, b, 0 * b + 1])
    half = torch.tensor([0.5, 1.0, 0.5]).double()
    lost = ((1 - b * w) ** 2 * V + b * b * s2) / (2 * TAU**2)
    assert found["energy_gap"].item() == pytest.approx(((moments_q - moments_p) @ (half * theta)).item())
    assert found["reconstruction"].item() == pytest.approx(lost.item())
    assert found["kl"].item() == pytest.approx((0.5 * (w * w * V + s2 - 1) - log_s).item())
    assert found["posterior_std"].item() == pytest.approx(s2.sqrt().item())


def slope_in_log_std(log_s, energy=(0.0, 0.0, 0.0), **settings):
    """Of line 2's loss, exactly."""
    method, x, draws = triangle(lr_energy=0.0, lr_generator=0.0, lr_posterior=0.0, **settings)
    with torch.no_grad():
        method.energy.theta.copy_(torch.tensor(energy))
        method.posterior.net.log_std.fill_(log_s)
    draws.restart()
    method.step(x)
    return method.posterior.net.log_std.grad.item()


@pytest.mark.parametrize("log_s", [1.0, 0.0, -2.0, -10.0])
def test_at_weight_one_the_entropies_cancel(log_s):
    """The slope in log s is that of the mean energy alone, s² times a curvature: no constant pushes back
    when s is small."""
    s2, curvature = math.exp(2 * log_s), 0.9**2 / TAU**2 + 1
    assert slope_in_log_std(log_s) == pytest.approx(s2 * curvature, rel=1e-6)
    bent = slope_in_log_std(log_s, (0.0, 0.0, 0.4))
    assert bent == pytest.approx(s2 * (curvature - 0.4), rel=1e-6)
    assert slope_in_log_std(log_s, weight=3.0) == pytest.approx(3 * s2 * curvature - 2, rel=1e-6)
    assert slope_in_log_std(log_s, weight=0.5) == pytest.approx(0.5 * s2 * curvature + 0.5, rel=1e-6)
    cooperative = slope_in_log_std(log_s, encoder_sign="cooperative")
    assert cooperative == pytest.approx(s2 * curvature - 2, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "ratio"),
    [
        ({"encoder_sign": "none"}, 1.0),
        ({"weight": 2.0}, 0.5),
        ({"weight": 5.0}, 0.8),
        ({"encoder_sign": "cooperative"}, 2.0),
        ({"encoder_sign": "cooperative", "weight": 4.0}, 1.25),
    ],
)
def test_where_the_encoder_rests_at_a_flat_energy(settings, ratio):
    """Its variance over that of the exact posterior is (λ - c) / λ, with c = 1, 0, -1."""
    exact = 1 / (0.9**2 / TAU**2 + 1)
    assert slope_in_log_std(0.5 * math.log(ratio * exact), **settings) == pytest.approx(0, abs=1e-6)


def test_without_the_energy_it_is_the_vae():
    """A flat energy that does not learn, and an encoder that does not see it: both nets are those of `VAE`.
    Only the generator's latents are others, since it has a turn of its own."""
    method, x, draws = triangle(encoder_sign="none", lr_energy=0.0, lr_generator=0.01, lr_posterior=0.0)
    nn.init.zeros_(method.energy.theta)
    vae = VAE(*copy.deepcopy((method.generator, method.posterior)), lr=0.01, optimizer=torch.optim.SGD)
    draws.restart()
    method.step(x)
    vae.generator.draws.restart()
    vae.posterior.draws = vae.generator.draws
    vae.step(x)
    torch.testing.assert_close(method.generator.net[0].weight, vae.generator.net[0].weight)
    torch.testing.assert_close(method.posterior.net.log_std.grad, vae.posterior.net.log_std.grad)


# at the optimum of the energy


def test_an_energy_rests_where_the_two_laws_have_equal_moments():
    """Q = P: the encoder is the exact posterior and the generator has the data's variance."""
    method, x, draws = triangle(lr_energy=1.0, lr_generator=0.0, lr_posterior=0.0)
    before = method.energy.theta.detach().clone()
    b = math.sqrt(V - TAU**2)
    with torch.no_grad():
        method.generator.net[0].weight.fill_(b)
        method.posterior.net.weight.fill_(b / V)
        method.posterior.net.log_std.fill_(0.5 * math.log(TAU**2 / V))
    draws.restart()
    method.step(x)
    torch.testing.assert_close(method.energy.theta.detach(), before, rtol=0, atol=1e-12)


def nets(**settings):
    energy = JointMLPEnergy((2,), 2, (16,), joint_widths=(16,), **settings)
    net = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 4))
    return energy, MLPGenerator(2, (2,), (8,), std=0.3), GaussianPosterior(net, 2)


@pytest.mark.slow
def test_a_bounded_energy_learns_until_the_expectations_of_its_gradient_agree():
    """Generator and encoder stand still: the difference of the two expectations falls far below its start."""
    seed(3)
    frozen = {"lr_generator": 0.0, "lr_posterior": 0.0}
    method = DivergenceTriangle(*nets(spectral_norm=True), lr_energy=2e-3, **frozen)

    def slopes(n=20_000):
        x = 1.5 + torch.randn(n, 2)
        pairs = (x, method.infer(x)), method.draw(n)
        means = [method.energy.joint(*pair).mean() for pair in pairs]
        grads = [torch.autograd.grad(mean, list(method.energy.parameters())) for mean in means]
        return [torch.cat([g.flatten() for g in grad]) for grad in grads]

    def difference():
        of_q, of_p = slopes()
        return ((of_q - of_p).norm() / (of_q.norm() + of_p.norm())).item()

    before = difference()
    history = fit(method, lambda n: 1.5 + torch.randn(n, 2), steps=400, batch_size=100, progress=False)
    assert before > 0.2 and difference() < 0.2 * before
    assert history["energy_gap"][-50:].mean() < -0.5  # the two laws differ, and the energy sees it


# the rest of the contract


def test_no_line_leaves_a_way_to_the_others_latents():
    """Latents are constants but for the encoder's own line, and so are the model's draws in line 1."""
    method = recorder(DivergenceTriangle)(*nets())
    method.step(torch.randn(16, 2))
    assert method.order == ["energy", "posterior", "generator"]
    for loss, net in (("energy", "generator"), ("energy", "posterior"), ("generator", "posterior")):
        weights = list(getattr(method, net).parameters())
        found = torch.autograd.grad(method.recorded[loss], weights, retain_graph=True, allow_unused=True)
        assert found == (None,) * len(weights), (loss, net)


def test_latents_are_drawn_anew_for_each_line():
    energy, generator, posterior = nets()
    drawn = []
    sample = posterior.rsample
    posterior.rsample = lambda v, *rest: drawn.append(sample(v, *rest)) or drawn[-1]
    DivergenceTriangle(energy, generator, posterior, lr_posterior=0.0).step(torch.randn(16, 2))
    assert len(drawn) == 3
    assert all((a - b).abs().min() > 0 for a, b in itertools.combinations(drawn, 2))


def test_what_it_samples_reconstructs_and_finds_anomalous():
    method = DivergenceTriangle(*nets(spectral_norm=True, bounded=True))
    x = torch.randn(6, 2)
    mean = method.posterior.net(x).chunk(2, 1)[0]
    torch.testing.assert_close(method.reconstruct(x), method.generator(mean).detach())
    before = copy.deepcopy(list(method.energy.buffers()))
    found = method.anomaly(x)
    assert all(torch.equal(a, b) for a, b in zip(before, method.energy.buffers(), strict=True)) and before
    torch.testing.assert_close(found, method.energy.joint(x, mean).detach())
    for result in (found, method.reconstruct(x), method.sample(5), method.infer(x)):
        assert not result.requires_grad
    assert method.sample(5).shape == (5, 2) and method.infer(x).shape == (6, 2)
    assert (method.infer(x) - method.infer(x)).abs().min() > 0


def test_draws_of_the_model_carry_its_noise_or_not():
    for noise, spread in ((True, 0.3), (False, 0.0)):
        method = DivergenceTriangle(*nets(), noise=noise)
        x, z = method.draw(20_000)
        assert x.requires_grad and z.shape == (20_000, 2)
        assert (x - method.generator(z)).std().item() == pytest.approx(spread, rel=0.03, abs=1e-7)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"energy": nn.Linear(4, 1)}, TypeError, "energy is Linear.*; expected a JointNet"),
        (
            {"energy": JointMLPEnergy((3,), 2)},
            ValueError,
            r"of x \(3,\) and 2 latents, the generator of x \(2,\)",
        ),
        ({"energy": JointMLPEnergy((2,), 3)}, ValueError, "and 3 latents, the generator of .* and 2 latents"),
        ({"posterior": GaussianPosterior(nn.Linear(2, 6), 3)}, ValueError, "2 latents, the posterior 3"),
        ({"weight": -1.0}, ValueError, "weight is -1.0; expected a number >= 0"),
        ({"weight": math.nan}, ValueError, "weight is nan"),
        (
            {"encoder_sign": "minus"},
            ValueError,
            "encoder_sign is 'minus'; expected one of 'paper', 'cooperative'",
        ),
        ({"noise": 0.3}, ValueError, "noise is 0.3; expected one of True, False"),
    ],
)
def test_bad_arguments_are_refused(change, error, message):
    arguments = dict(zip(NAMES, nets(), strict=True)) | change
    with pytest.raises(error, match=message):
        DivergenceTriangle(**arguments)
