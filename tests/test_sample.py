"""Kernels against their own stationary laws, and the loop against what it promises."""

import math

import pytest
import torch
from scipy import stats

from ebmlearn.diagnostics import acceptance, displacement, energy_gap, mean_energy
from ebmlearn.energy import Gaussian
from ebmlearn.sample import langevin, mala, positions, run, ula

N = 200_000
SHAPES = [(4,), (1, 2, 2)]


def standard(x):
    """Energy of N(0, 1) in every coordinate, any event shape."""
    return 0.5 * x.square().flatten(1).sum(1)


def z_of_variance(x, variance):
    """How many standard errors the mean square of Gaussian x (mean 0) lies from ``variance``."""
    return (x.square().mean().item() / variance - 1) / math.sqrt(2 / x.numel())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.3, 1.0, 1.6])
def test_ula_keeps_its_own_stationary_law(shape, step):
    """Its variance on N(0, 1) is 1/(1 - s²/4): a missing ½, a noise √2 too large or a wrong sign moves it."""
    variance = 1 / (1 - step**2 / 4)
    x = math.sqrt(variance) * torch.randn(N // 4, *shape)
    x = run(ula(standard, step_size=step), x, 3)
    assert abs(z_of_variance(x, variance)) < 5
    assert abs(x.mean().item()) * math.sqrt(x.numel() / variance) < 5
    assert stats.kstest(x.flatten().numpy()[:20_000] / math.sqrt(variance), "norm").pvalue > 1e-6
    assert abs(z_of_variance(x, 1.0)) > 5, "the test could not tell the biased law from the exact one"


@pytest.mark.parametrize("shape", SHAPES)
def test_ula_reaches_its_stationary_law(shape):
    x = run(ula(standard, step_size=1.0), torch.full((N // 4, *shape), 3.0), 40)
    assert abs(z_of_variance(x, 4 / 3)) < 5


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.5, 1.0])
def test_mala_keeps_the_exact_law(shape, step):
    x = run(mala(standard, step_size=step), torch.randn(N // 4, *shape), 20)
    assert abs(z_of_variance(x, 1.0)) < 5
    assert stats.kstest(x.flatten().numpy()[:20_000], "norm").pvalue > 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_mala_reaches_the_exact_law(shape):
    x = run(mala(standard, step_size=1.0), torch.full((N // 4, *shape), 3.0), 60)
    assert abs(z_of_variance(x, 1.0)) < 5


def test_mala_satisfies_detailed_balance():
    """In equilibrium a move and its reverse are equally likely: skewness of x' - x given the pair is 0."""
    target = lambda x: 0.25 * x.pow(4).sum(1)  # noqa: E731
    x = run(mala(target, step_size=0.7), torch.randn(N, 1), 100)
    y = run(mala(target, step_size=0.7), x, 1)
    moved = (x != y).flatten()
    antisymmetric = (x**3 * y - x * y**3)[moved].flatten()
    assert abs(antisymmetric.mean().item()) / (antisymmetric.std().item() / math.sqrt(len(antisymmetric))) < 5


@pytest.mark.parametrize("kernel", [ula, mala])
def test_temperature_is_what_the_chain_samples(kernel):
    """Noise 1.5 times the step: exp(-E/2.25). MALA is exact; the bias of ULA at s = 0.2 is 1 %."""
    k = kernel(standard, step_size=0.2, noise_scale=0.3)
    assert k.temperature(0) == pytest.approx(2.25)
    x = run(k, 1.5 * torch.randn(N // 4, 4), 30)
    variance = 2.25 / (1 - 0.01) if kernel is ula else 2.25
    assert abs(z_of_variance(x, variance)) < 5


def test_schedules_follow_the_step_number():
    seen = []
    kernel = ula(standard, step_size=lambda t: 0.1 * (t + 1), noise_scale=lambda t: seen.append(t) or 0.0)
    x, kept = run(kernel, torch.ones(1, 1), 3, keep=lambda state, info: torch.tensor(info.step_size))
    assert kept.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert x.item() == pytest.approx((1 - 0.005) * (1 - 0.02) * (1 - 0.045))
    assert seen == [0, 1, 2]
    assert ula(standard, step_size=lambda t: 0.5**t, noise_scale=1.0).temperature(2) == pytest.approx(16)


def test_ula_reflects_where_clamping_would_pile_up():
    """N(0, 1) within [-1, 1]: the variance is 0.291; clamping would give about 0.41 and 18 % on the edge."""
    x = run(ula(standard, step_size=0.1, bounds=(-1, 1)), 2 * torch.rand(N // 4, 1) - 1, 400)
    density = stats.truncnorm(-1, 1)
    assert x.abs().max() <= 1
    # a step of 0.1 is not exact at the wall: 1 % of tolerance on the variance, ten times below clamping's
    # error
    assert x.var().item() == pytest.approx(density.var(), rel=0.02)
    assert (x.abs() > 0.999).float().mean().item() < 0.005


def test_mala_is_exact_within_bounds():
    x = run(mala(standard, step_size=0.8, bounds=(-1, 1)), 2 * torch.rand(N // 4, 1) - 1, 100)
    assert stats.kstest(x.flatten().numpy(), stats.truncnorm(-1, 1).cdf).pvalue > 1e-6


def test_mala_never_enters_infinite_energy():
    half = lambda x: torch.where(x[:, 0] > 0, standard(x), torch.inf)  # noqa: E731
    x = run(mala(half, step_size=1.0), torch.rand(50_000, 1), 60)
    assert x.min() > 0
    assert stats.kstest(x.flatten().numpy()[:20_000], "halfnorm").pvalue > 1e-6


def test_kernels_agree_with_one_step_by_hand():
    x = torch.tensor([[1.0, -2.0]])
    noise = torch.randn(1, 2, generator=torch.Generator().manual_seed(5))
    state, info = ula(standard, step_size=0.4, generator=torch.Generator().manual_seed(5)).step(
        ula(standard, step_size=0.4).init(x)
    )
    torch.testing.assert_close(state.x, x - 0.08 * x + 0.4 * noise)
    torch.testing.assert_close(info.energy, torch.tensor([2.5]))
    torch.testing.assert_close(info.grad, x)
    assert state.t == 1


def test_one_gradient_a_step():
    calls = []

    def energy(x):
        calls.append(1)
        return standard(x)

    run(ula(energy, step_size=0.1), torch.randn(3, 2), 10)
    assert len(calls) == 10
    calls.clear()
    run(mala(energy, step_size=0.1), torch.randn(3, 2), 10)
    assert len(calls) == 11


@pytest.mark.parametrize("kernel", [ula, mala])
def test_zero_steps_return_the_start_and_no_step_changes_it(kernel):
    x = torch.randn(3, 2)
    before = x.clone()
    assert torch.equal(run(kernel(standard, step_size=0.1), x, 0), x)
    out = run(kernel(standard, step_size=0.1), x, 5)
    assert torch.equal(x, before) and not out.requires_grad
    assert not torch.equal(out, before)


@pytest.mark.parametrize("kernel", [ula, mala])
def test_a_generator_makes_chains_reproducible(kernel):
    x = torch.randn(3, 2)
    a, b = (
        run(kernel(standard, step_size=0.5, generator=torch.Generator().manual_seed(1)), x, 9) for _ in "ab"
    )
    assert torch.equal(a, b)


def test_chains_leave_no_gradients_in_the_net():
    net = torch.nn.Linear(2, 1)
    langevin(lambda x: net(x).squeeze(1), torch.randn(4, 2), n_steps=3, step_size=0.1)
    assert all(p.grad is None for p in net.parameters())


def test_create_graph_differentiates_through_the_chain():
    z = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    x = langevin(standard, z, n_steps=5, step_size=0.5, noise_scale=0.0, create_graph=True)
    (slope,) = torch.autograd.grad(x.sum(), z)
    torch.testing.assert_close(slope, torch.full_like(z, (1 - 0.125) ** 5))


def test_keep_records_on_a_stride():
    x, kept = run(ula(standard, step_size=0.1), torch.randn(3, 2), 10, keep=positions, every=5)
    assert kept.shape == (2, 3, 2) and torch.equal(kept[-1], x)


def test_diagnostics_of_a_step():
    """On N(0, I) in 2-D the mean length of the gradient in equilibrium is √(π/2)."""
    x = torch.randn(N, 2)
    kernel = mala(standard, step_size=0.4)
    _, r = run(kernel, x, 5, keep=displacement)
    assert r.shape == (5,)
    assert abs(r[0].item() / 0.08 - math.sqrt(math.pi / 2)) < 5 * math.sqrt((2 - math.pi / 2) / N)
    _, energies = run(kernel, x, 5, keep=mean_energy)
    assert abs(energies[0].item() - 1) < 5 / math.sqrt(N)
    _, rate = run(kernel, x, 5, keep=acceptance)
    assert ((rate > 0.9) & (rate < 1)).all()
    with pytest.raises(ValueError, match="no acceptance rate; use mala"):
        run(ula(standard, step_size=0.4), x, 1, keep=acceptance)


def test_acceptance_rate_is_the_share_of_moves():
    x = torch.randn(N, 2)
    y, rate = run(mala(standard, step_size=1.5), x, 1, keep=acceptance)
    moved = (x != y).any(1).double().mean().item()
    assert abs(moved - rate.item()) < 5 * 0.5 / math.sqrt(N)
    assert 0.3 < moved < 0.95


def test_energy_gap_is_in_units_of_the_temperature():
    data, chains = torch.full((3, 1), 2.0), torch.full((5, 1), 1.0)
    assert energy_gap(standard, data, chains).item() == pytest.approx(1.5)
    assert energy_gap(standard, data, chains, temperature=0.5).item() == pytest.approx(3.0)
    with pytest.raises(ValueError, match="temperature is 0"):
        energy_gap(standard, data, chains, temperature=0.0)


@pytest.mark.parametrize("kernel", [ula, mala])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": -0.1}, "step_size is -0.1; expected a number > 0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"step_size": float("nan")}, "step_size is nan"),
        ({"step_size": float("inf")}, "step_size is inf"),
        ({"step_size": 0.1, "noise_scale": -1.0}, "noise_scale is -1.0; expected a number >= 0"),
        ({"step_size": 0.1, "bounds": (1.0, -1.0)}, "expected \\(low, high\\)"),
    ],
)
def test_bad_settings_are_refused(kernel, settings, message):
    with pytest.raises(ValueError, match=message):
        kernel(standard, **settings)


def test_a_bad_schedule_is_refused_at_its_step():
    with pytest.raises(ValueError, match=r"step_size is 0\.0 at step 1"):
        langevin(standard, torch.randn(3, 2), n_steps=5, step_size=lambda t: 1.0 - t)


def test_mala_without_noise_is_refused():
    with pytest.raises(ValueError, match="mala needs a positive noise_scale"):
        run(mala(standard, step_size=0.1, noise_scale=0.0), torch.randn(3, 2), 1)


def test_run_refuses_what_it_cannot_do():
    kernel = ula(standard, step_size=0.1)
    with pytest.raises(ValueError, match="n_steps >= 0"):
        run(kernel, torch.randn(3, 2), -1)
    with pytest.raises(ValueError, match="shape"):
        run(kernel, torch.tensor(1.0), 1)
    with pytest.raises(ValueError, match="records nothing"):
        run(kernel, torch.randn(3, 2), 3, keep=positions, every=4)


def test_a_chain_that_explodes_is_an_error_with_advice():
    with pytest.raises(FloatingPointError, match=r"2 of 3 chains.*lower step_size"):
        run(ula(standard, step_size=0.1), torch.tensor([[1.0], [float("nan")], [float("inf")]]), 2)
    with pytest.raises(FloatingPointError, match="undefined acceptance"):
        run(mala(lambda x: x.sum(1).log(), step_size=0.1), torch.full((4, 1), -1.0), 1)


def test_an_energy_with_a_trailing_dimension_is_refused():
    with pytest.raises(ValueError, match="squeeze"):
        langevin(lambda x: x.square().sum(1, keepdim=True), torch.randn(4, 2), n_steps=1, step_size=0.1)


def test_any_event_shape_and_dtype():
    target = Gaussian(torch.zeros(1, 3, 3, dtype=torch.float64), torch.eye(9, dtype=torch.float64))
    for kernel in (ula, mala):
        x = run(kernel(target, step_size=0.1), target.sample(6), 2)
        assert x.shape == (6, 1, 3, 3) and x.dtype == torch.float64
