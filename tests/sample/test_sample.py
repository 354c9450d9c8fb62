"""Kernels against their own stationary laws, and the loop against what it promises."""

import math
from functools import partial

import pytest
import torch
from scipy import stats

from ebmlearn.diagnostics import acceptance, squared_jump
from ebmlearn.energy import GRBM, Gaussian
from ebmlearn.sample import gibbs, hmc, langevin, mala, positions, run, ula
from ebmlearn.speed import Speed

N = 200_000
SHAPES = [(4,), (1, 2, 2)]


def standard(x):
    """Energy of N(0, 1) in every coordinate, any event shape."""
    return 0.5 * x.square().flatten(1).sum(1)


def z_of_variance(x, variance):
    """How many standard errors the mean square of Gaussian x (mean 0) lies from ``variance``."""
    return (x.square().mean().item() / variance - 1) / math.sqrt(2 / x.numel())


@pytest.mark.statistical
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


@pytest.mark.statistical
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("step", [0.5, 1.0])
def test_mala_keeps_the_exact_law(shape, step):
    x = run(mala(standard, step_size=step), torch.randn(N // 4, *shape), 20)
    assert abs(z_of_variance(x, 1.0)) < 5
    assert stats.kstest(x.flatten().numpy()[:20_000], "norm").pvalue > 1e-6


@pytest.mark.statistical
def test_mala_satisfies_detailed_balance():
    """In equilibrium a move and its reverse are equally likely: skewness of x' - x given the pair is 0."""
    target = lambda x: 0.25 * x.pow(4).sum(1)  # noqa: E731
    x = run(mala(target, step_size=0.7), torch.randn(N, 1), 100)
    y = run(mala(target, step_size=0.7), x, 1)
    moved = (x != y).flatten()
    antisymmetric = (x**3 * y - x * y**3)[moved].flatten()
    assert abs(antisymmetric.mean().item()) / (antisymmetric.std().item() / math.sqrt(len(antisymmetric))) < 5


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", [ula, mala])
def test_temperature_is_what_the_chain_samples(kernel):
    """Noise 1.5 times the step: exp(-E/2.25). MALA is exact; the bias of ULA at s = 0.2 is 1 %."""
    k = kernel(standard, step_size=0.2, noise_scale=0.3)
    assert k.temperature(0) == pytest.approx(2.25)
    x = run(k, 1.5 * torch.randn(N // 4, 4), 30)
    variance = 2.25 / (1 - 0.01) if kernel is ula else 2.25
    assert abs(z_of_variance(x, variance)) < 5


@pytest.mark.statistical
def test_hmc_is_exact_far_from_gaussian():
    """E = x⁴/4 with half of the proposals rejected: E[x²] = 2 Γ(3/4)/Γ(1/4), E[x⁴] = 1.

    With a persistent momentum the law is kept only if a rejected chain turns round, and only if the momentum
    is refreshed at the right rate.
    """
    quartic = lambda x: 0.25 * x.pow(4).sum(1)  # noqa: E731
    moment = 2 * math.gamma(0.75) / math.gamma(0.25)
    # exact samples: far out, long steps are rejected for ever, and a wider start would stay there
    exact = (4 * torch.distributions.Gamma(0.25, 1.0).sample((N, 1))) ** 0.25 * torch.randn(N, 1).sign()
    for settings in ({"n_leapfrog": 3}, {"n_leapfrog": 1, "persistence": 0.9}):
        x, rate = run(hmc(quartic, step_size=1.3, **settings), exact, 50, keep=acceptance)
        assert 0.4 < rate.mean() < 0.7
        for power, wanted in ((2, moment), (4, 1.0)):
            value = x.double().pow(power)
            assert abs(value.mean() - wanted) / (value.std() / math.sqrt(N)) < 5


def test_hmc_with_one_leapfrog_step_is_mala():
    x = torch.randn(1000, 3)
    a, b = (
        run(kernel(standard, step_size=1.3, generator=torch.Generator().manual_seed(4)), x, 20)
        for kernel in (mala, partial(hmc, n_leapfrog=1))
    )
    torch.testing.assert_close(a, b)


def test_hmc_conserves_energy_to_second_order():
    """Halve the step at the same length of the trajectory: the error of H, and so 1 - acceptance, falls."""
    x = torch.randn(N // 10, 4)
    losses = []
    for s, n in ((0.4, 4), (0.2, 8)):
        _, rate = run(hmc(standard, step_size=s, n_leapfrog=n), x, 1, keep=acceptance)
        losses.append(1 - rate.item())
    assert 3.5 < losses[0] / losses[1] < 4.5


@pytest.mark.statistical
def test_gibbs_of_a_correlated_pair_forgets_by_the_square_of_the_correlation():
    """One sweep over two coordinates: x₂' given x₂ has mean ρ² x₂."""
    rho = 0.8
    target = Gaussian(torch.zeros(2), torch.tensor([[1.0, rho], [rho, 1.0]]))
    x = target.sample(N)
    y = run(gibbs(target), x, 1)
    covariance = (x[:, 1] * y[:, 1]).mean().item()
    assert abs(covariance - rho**2) < 5 * math.sqrt((1 + rho**4) / N)


def test_gibbs_needs_conditionals():
    with pytest.raises(TypeError, match=r"function has no method gibbs_sweep.*Use ula, mala or hmc"):
        gibbs(standard)


def test_schedules_follow_the_step_number():
    seen = []
    kernel = ula(standard, step_size=lambda t: 0.1 * (t + 1), noise_scale=lambda t: seen.append(t) or 0.0)
    x, kept = run(kernel, torch.ones(1, 1), 3, keep=lambda state, info: torch.tensor(info.step_size))
    assert kept.tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert x.item() == pytest.approx((1 - 0.005) * (1 - 0.02) * (1 - 0.045))
    assert seen == [0, 1, 2]
    assert ula(standard, step_size=lambda t: 0.5**t, noise_scale=1.0).temperature(2) == pytest.approx(16)


def test_ula_takes_the_noise_that_is_given():
    """x ← x - (s²/2) x + s ε with ε = 1, 2, 3, ... on a normal energy; normal noise is the default."""
    numbers = iter(range(1, 10))
    kernel = ula(standard, step_size=0.5, noise=lambda x: torch.full_like(x, next(numbers)))
    x, wanted = run(kernel, torch.tensor([[1.0, -2.0]]), 3), torch.tensor([[1.0, -2.0]])
    for k in (1, 2, 3):
        wanted = 0.875 * wanted + 0.5 * k
    torch.testing.assert_close(x, wanted)
    chains = []
    for noise in (None, torch.randn_like):
        torch.manual_seed(4)
        chains.append(run(ula(standard, step_size=0.5, noise=noise), torch.zeros(5, 3), 4))
    torch.testing.assert_close(*chains)


def test_given_noise_is_not_compiled_and_has_no_generator():
    kernel = ula(standard, step_size=0.5, noise=torch.rand_like)
    with pytest.raises(ValueError, match="only ula with normal noise, mala and hmc say"):
        run(kernel, torch.zeros(2, 2), 4, speed=Speed(compile=2))
    with pytest.raises(ValueError, match="got noise and a generator, which only normal noise uses"):
        ula(standard, step_size=0.5, noise=torch.rand_like, generator=torch.Generator())


def test_ula_reflects_where_clamping_would_pile_up():
    """N(0, 1) within [-1, 1]: the variance is 0.291."""
    x = run(ula(standard, step_size=0.1, bounds=(-1, 1)), 2 * torch.rand(N // 4, 1) - 1, 400)
    density = stats.truncnorm(-1, 1)
    assert x.abs().max() <= 1
    # a step of 0.1 is not exact at the wall: 1 % of tolerance on the variance, ten times below clamping's
    # error
    assert x.var().item() == pytest.approx(density.var(), rel=0.02)
    assert (x.abs() > 0.999).float().mean().item() < 0.005


def test_ula_clamps_only_when_told():
    """N(0, 1) clamped to [-1, 1] with steps of variance 0.2: 18 % sits on the edge, the variance is 0.407."""
    x = run(ula(standard, step_size=math.sqrt(0.2), clamp=(-1, 1)), 2 * torch.rand(N // 4, 1) - 1, 100)
    assert x.abs().max() == 1
    assert x.var().item() == pytest.approx(0.407, abs=0.01)
    assert (x.abs() == 1).float().mean().item() == pytest.approx(0.18, abs=0.01)
    with pytest.raises(ValueError, match="reflected or clamped, not both"):
        ula(standard, step_size=0.1, clamp=(-1, 1), bounds=(-1, 1))
    with pytest.raises(ValueError, match="clamp bounds are"):
        ula(standard, step_size=0.1, clamp=(1, -1))


EXACT_KERNELS = [partial(mala, step_size=0.8), partial(hmc, step_size=0.5, n_leapfrog=3)]


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", EXACT_KERNELS)
def test_metropolis_is_exact_within_bounds(kernel):
    x = run(kernel(standard, bounds=(-1, 1)), 2 * torch.rand(N // 4, 1) - 1, 100)
    assert stats.kstest(x.flatten().numpy(), stats.truncnorm(-1, 1).cdf).pvalue > 1e-6


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", EXACT_KERNELS)
def test_metropolis_never_enters_infinite_energy(kernel):
    half = lambda x: torch.where(x[:, 0] > 0, standard(x), torch.inf)  # noqa: E731
    x = run(kernel(half), torch.rand(50_000, 1), 80)
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
    calls.clear()
    run(hmc(energy, step_size=0.1, n_leapfrog=7), torch.randn(3, 2), 10)
    assert len(calls) == 71


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_leapfrog": 0}, "n_leapfrog is 0; expected a whole number >= 1"),
        ({"persistence": 1.0}, r"persistence is 1.0; expected a number in \[0, 1\)"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a number > 0"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"bounds": (1.0, -1.0)}, "expected \\(low, high\\)"),
    ],
)
def test_bad_settings_of_hmc_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        hmc(standard, **{"step_size": 0.1, "n_leapfrog": 2, **settings})


def test_a_bad_schedule_is_refused_at_its_step():
    with pytest.raises(ValueError, match=r"step_size is 0\.0 at step 1"):
        langevin(standard, torch.randn(3, 2), n_steps=5, step_size=lambda t: 1.0 - t)


def test_mala_without_noise_is_refused():
    with pytest.raises(ValueError, match="mala needs a positive noise_scale"):
        run(mala(standard, step_size=0.1, noise_scale=0.0), torch.randn(3, 2), 1)


def test_run_refuses_what_it_cannot_do():
    kernel = ula(standard, step_size=0.1)
    with pytest.raises(ValueError, match="n_steps is -1; expected a whole number >= 0"):
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


@pytest.mark.parametrize("make", [mala, partial(hmc, n_leapfrog=2)])
def test_a_chain_that_runs_ahead_looks_at_no_number_before_its_end(make, monkeypatch):
    """As on a GPU, where a look waits for all that was begun: the same chains, the same refusal."""
    looks = []
    for name in ("item", "__bool__", "__float__", "__int__", "tolist"):
        plain = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda x, plain=plain: looks.append(x) or plain(x))

    def chain(n_steps, start=1.0, energy=standard):
        looks.clear()
        torch.manual_seed(0)
        kernel = make(energy, step_size=1.5)
        return run(kernel, torch.full((50, 2), start), n_steps), len(looks)

    waiting = chain(20)[0]
    monkeypatch.setattr("ebmlearn.sample._run.runs_ahead", lambda x: True)
    ahead, n_looks = chain(20)
    assert torch.equal(ahead, waiting) and not torch.equal(ahead, chain(5)[0])
    assert chain(5)[1] == n_looks > 0
    with pytest.raises(FloatingPointError, match=r"of (mala|hmc) has an undefined.*\(50 of 50 chains"):
        chain(3, -1.0, lambda x: x.sum(1).log())


def test_an_energy_with_a_trailing_dimension_is_refused():
    with pytest.raises(ValueError, match="squeeze"):
        langevin(lambda x: x.square().sum(1, keepdim=True), torch.randn(4, 2), n_steps=1, step_size=0.1)


# what no chain can start from, or end at


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kernel", [ula, mala, partial(hmc, n_leapfrog=2)])
def test_half_precision_is_refused_since_chains_drift_in_it(kernel, dtype):
    """A step of .05 for 3,000 steps on N(0, 1) had mean 1.90 and variance 7.59 in bfloat16."""
    with pytest.raises(ValueError, match=r"x is torch\.\w*float16, in which a chain drifts.*start at x"):
        run(kernel(standard, step_size=0.05), torch.zeros(4, 2, dtype=dtype), 2)


@pytest.mark.parametrize("kernel", [ula, mala, partial(hmc, n_leapfrog=2)])
def test_single_numbers_move_as_vectors_of_one_do(kernel):
    """Events of shape (): with the same noise, so that the law of one is that of the other."""
    start, ends = torch.linspace(-3, 3, 50), []
    for shape, energy in (((50,), lambda x: 0.5 * x.square()), ((50, 1), standard)):
        torch.manual_seed(1)
        ends.append(
            run(
                kernel(energy, step_size=0.7, bounds=(-2.5, 2.5)),
                start.clamp(-2, 2).view(shape),
                20,
                keep=squared_jump,
            )
        )
    (a, jumps_a), (b, jumps_b) = ends
    torch.testing.assert_close(a, b[:, 0])
    torch.testing.assert_close(jumps_a, jumps_b)
    assert a.shape == (50,) and not torch.equal(a, start)


@pytest.mark.parametrize("kernel", [ula, mala, partial(hmc, n_leapfrog=2)])
def test_a_step_size_whose_square_overflows_is_refused(kernel):
    with pytest.raises(ValueError, match=r"step_size is 1e\+20, whose square float32 cannot hold"):
        kernel(standard, step_size=1e20)
    with pytest.raises(ValueError, match=r"step_size is 1e\+20 at step 0; expected a number > 0, below"):
        run(kernel(standard, step_size=lambda t: 1e20), torch.zeros(3, 2), 1)


@pytest.mark.parametrize("kernel", [mala, partial(hmc, n_leapfrog=2)])
def test_chains_that_end_where_there_is_no_density_are_told(kernel):
    """Two of four start far inside a region of energy +inf, and no proposal leaves it."""

    def walled(x):
        return standard(x).masked_fill(x[:, 0] > 50, torch.inf)

    x = torch.tensor([[0.0, 0.0], [100.0, 0.0], [1.0, 0.0], [100.0, 1.0]])
    with pytest.warns(UserWarning, match=r"2 of 4 chains end where the energy is \+inf") as seen:
        run(kernel(walled, step_size=0.1), x, 5)
    assert seen[0].filename == __file__


@pytest.mark.parametrize("kernel", [mala, partial(hmc, n_leapfrog=2)])
def test_an_undefined_slope_is_no_proposal_outside_the_bounds(kernel):
    """A comparison with NaN is false: the proposal would be rejected for ever, in silence."""
    with pytest.raises(FloatingPointError, match="undefined acceptance probability"):
        run(kernel(lambda x: standard(x) * torch.nan, step_size=0.1, bounds=(-5, 5)), torch.zeros(3, 2), 3)


def test_gibbs_does_not_draw_over_what_is_not_finite():
    with pytest.raises(FloatingPointError, match=r"gibbs starts at values that are not finite \(1 of 2 ch"):
        run(gibbs(GRBM(2, 3)), torch.tensor([[0.0, torch.nan], [0.0, 0.0]]), 3)


def test_a_kernel_says_what_it_is():
    assert repr(ula(standard, step_size=0.1, noise_scale=0.2)) == "Kernel(ula, temperature=4, exact=False)"
    assert repr(mala(standard, step_size=0.1)) == "Kernel(mala, temperature=1, exact=True)"
    assert repr(gibbs(GRBM(2, 3))) == "Kernel(gibbs, temperature=1, exact=True)"
