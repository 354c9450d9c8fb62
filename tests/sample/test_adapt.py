"""The step size that is found has the acceptance that was asked for."""

import math
from functools import partial

import pytest
import torch

from ebmlearn import adapt_step_size
from ebmlearn.diagnostics import acceptance
from ebmlearn.energy import Gaussian
from ebmlearn.sample import hmc, mala, run, ula
from ebmlearn.targets import eight_gaussians

TARGETS = {"Gaussian": Gaussian(torch.zeros(10), torch.eye(10)), "eight": eight_gaussians()}


def normal():
    return Gaussian(torch.zeros(1), torch.eye(1))


@pytest.mark.statistical
def test_mala_on_a_normal_reaches_the_step_of_the_closed_form():
    """On N(0, 1), MALA accepts the share 1 - (2/π) arctan(s³/8) of its proposals.

    The ratio is exp(-(s²/8)(x'² - x²)). By detailed balance, the share is 2 P(|x'| < |x|), with x and x'
    jointly normal: an angle.
    """
    target = normal()
    share = lambda s: 1 - 2 / math.pi * math.atan(s**3 / 8)  # noqa: E731
    for s in (0.7, 1.5, 2.5):
        _, rate = run(mala(target, step_size=s), target.sample(200_000), 1, keep=acceptance)
        assert abs(rate.item() - share(s)) < 5 * 0.5 / math.sqrt(200_000)
    for wanted in (0.6, 0.8, 0.95):
        exact = 2 * math.tan(math.pi / 2 * (1 - wanted)) ** (1 / 3)
        s, _ = adapt_step_size(partial(mala, target), target.sample(1000), step_size=1.0, target=wanted)
        assert s == pytest.approx(exact, rel=0.06)


@pytest.mark.parametrize("kernel", [mala, partial(hmc, n_leapfrog=5)], ids=["mala", "hmc"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("guess", [0.003, 0.3, 30.0])
def test_the_rate_is_that_of_an_independent_run(kernel, name, guess):
    target = TARGETS[name]
    s, x = adapt_step_size(
        partial(kernel, target), target.sample(100), step_size=guess, target=0.8, n_steps=400
    )
    assert x.shape == (100, *target.event_shape)
    _, rate = run(kernel(target, step_size=s), target.sample(3000), 10, keep=acceptance)
    assert rate.mean().item() == pytest.approx(0.8, abs=0.03)


def test_a_guess_at_which_the_chain_overflows_is_survived():
    target = eight_gaussians()
    kernel = partial(hmc, target, n_leapfrog=5)
    with pytest.raises(FloatingPointError, match="undefined acceptance"):
        run(kernel(step_size=100.0), target.sample(100), 1)
    s, _ = adapt_step_size(kernel, target.sample(100), step_size=100.0, target=0.8, n_steps=300)
    _, rate = run(kernel(step_size=s), target.sample(3000), 10, keep=acceptance)
    assert rate.mean().item() == pytest.approx(0.8, abs=0.05)


def test_an_energy_that_is_never_finite_is_an_error():
    kernel = partial(mala, lambda x: x.sum(1).log())
    with pytest.raises(FloatingPointError, match="undefined acceptance"):
        adapt_step_size(kernel, torch.full((4, 1), -1.0), step_size=0.1, target=0.8, n_steps=20)


def test_it_is_reproducible_and_leaves_the_start_alone():
    x = normal().sample(50)
    before = x.clone()
    (a, x_a), (b, x_b) = (
        adapt_step_size(
            partial(mala, normal(), generator=torch.Generator().manual_seed(1)), x, step_size=1.0, target=0.6
        )
        for _ in "ab"
    )
    assert a == b and torch.equal(x_a, x_b)
    assert torch.equal(x, before) and not torch.equal(x_a, x)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"target": 1.0}, r"target is 1.0; expected a number in \(0, 1\)"),
        ({"target": 0.0}, r"target is 0.0; expected a number in \(0, 1\)"),
        ({"step_size": -1.0}, "step_size is -1.0; expected a number > 0"),
        ({"step_size": math.inf}, "step_size is inf; expected a finite number > 0"),
        ({"n_steps": 0}, "n_steps is 0; expected a whole number >= 1"),
    ],
)
def test_bad_settings_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        adapt_step_size(
            partial(mala, normal()), torch.zeros(3, 1), **{"step_size": 0.5, "target": 0.8} | settings
        )


def test_an_unadjusted_kernel_is_refused():
    with pytest.raises(ValueError, match="an unadjusted kernel accepts every move"):
        adapt_step_size(partial(ula, normal()), torch.zeros(3, 1), step_size=0.5, target=0.8)


def test_a_step_size_that_has_not_settled_is_told():
    """From 1e-30 it returned 2e-22 in silence."""
    with pytest.warns(UserWarning, match=r"has not settled after 50 steps: it is at .*, its average at 1"):
        adapt_step_size(partial(mala, normal()), torch.zeros(30, 1), step_size=1e-30, target=0.8, n_steps=50)
