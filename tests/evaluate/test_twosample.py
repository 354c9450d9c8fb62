"""Two-sample tests: closed forms and a plain double loop, null p-values, power, bad input."""

import math
import sys

import pytest
import torch
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from ebmlearn.evaluate.twosample import c2st, mmd, squared_mmd


def z_score(values, expected):
    values = torch.tensor(values, dtype=torch.float64)
    return ((values.mean() - expected) / (values.std() / math.sqrt(len(values)))).item()


def gaussian_mmd(mean, s, t, h, d=2):
    """Squared MMD of N(0, s² I) and N(mean, t² I) for an RBF kernel."""

    def expected_kernel(variance, distance):
        return (h**2 / (h**2 + variance)) ** (d / 2) * math.exp(-(distance**2) / (2 * (h**2 + variance)))

    same = expected_kernel(2 * s**2, 0) + expected_kernel(2 * t**2, 0)
    return same - 2 * expected_kernel(s**2 + t**2, mean.norm().item())


def test_mmd_is_the_double_loop(generator):
    x, y = torch.randn(6, 3, generator=generator), torch.randn(4, 3, generator=generator)

    def k(a, b):
        return math.exp(-(a - b).square().sum().item() / (2 * 1.3**2))

    within_x = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (6 * 5)
    within_y = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (4 * 3)
    between = sum(k(a, b) for a in x for b in y) / (6 * 4)
    value = squared_mmd(x, y, bandwidth=1.3)
    assert value == pytest.approx(within_x + within_y - 2 * between, abs=1e-7)


@pytest.mark.statistical
def test_mmd_is_unbiased_under_the_null(generator):
    draws = [torch.randn(50, 2, generator=generator) for _ in range(400)]
    values = [squared_mmd(x[:30], x[30:], bandwidth=1.0) for x in draws]
    assert abs(z_score(values, 0.0)) < 5
    assert min(values) < 0


@pytest.mark.statistical
def test_mmd_estimates_the_closed_form_of_two_gaussians(generator):
    mean = torch.tensor([0.7, -0.4])
    values = []
    for _ in range(200):
        x = 0.8 * torch.randn(100, 2, generator=generator)
        y = mean + 1.3 * torch.randn(80, 2, generator=generator)
        values.append(squared_mmd(x, y, bandwidth=0.9))
    expected = gaussian_mmd(mean, 0.8, 1.3, 0.9)
    assert abs(z_score(values, expected)) < 5
    # and it can tell a value that is 20 % off
    assert abs(z_score(values, 1.2 * expected)) > 5


def test_without_a_bandwidth_it_is_the_median_distance(generator):
    x, y = torch.randn(30, 2, generator=generator), 2 * torch.randn(20, 2, generator=generator)
    pooled = torch.cat([x, y])
    distances = sorted((pooled[i] - pooled[j]).norm().item() for i in range(50) for j in range(i))
    median = distances[(len(distances) - 1) // 2]
    assert squared_mmd(x, y) == pytest.approx(squared_mmd(x, y, bandwidth=median), abs=1e-6)
    found = mmd(x, y + 5, generator=generator)
    assert min(abs(found.bandwidth / median / 2.0**k - 1) for k in range(-5, 7)) < 0.5


@pytest.mark.statistical
@pytest.mark.parametrize("bandwidths", [None, (1.0,)])
def test_mmd_p_values_are_uniform_under_the_null(bandwidths, generator):
    p = []
    for _ in range(300):
        x, y = torch.randn(40, 2, generator=generator), torch.randn(25, 2, generator=generator)
        p.append(mmd(x, y, level=0.1, bandwidths=bandwidths, n_permutations=99, generator=generator).p_value)
    assert stats.kstest(p, "uniform").pvalue > 1e-6
    assert min(p) >= 0.01


def modes(n, spread, generator):
    """Four modes on a circle of radius 3."""
    angle = torch.randint(4, (n,), generator=generator) * (math.pi / 2)
    centre = 3 * torch.stack([angle.cos(), angle.sin()], 1)
    return centre + spread * torch.randn(n, 2, generator=generator)


@pytest.mark.statistical
def test_the_size_is_the_level_and_narrow_kernels_see_what_wide_ones_pass(generator):
    """Modes 1.6 times as wide: the median distance alone, of 4.2, does not see it, the aggregate does."""

    def rejections(spread, bandwidths):
        return sum(
            mmd(
                modes(150, 0.4, generator),
                modes(150, spread, generator),
                level=0.05,
                bandwidths=bandwidths,
                generator=generator,
            ).p_value
            <= 0.05
            for _ in range(60)
        )

    # binomial(60, 0.05) exceeds 13 with a probability of 1e-6
    assert rejections(0.4, None) <= 13
    # 0.93 and 0.05 in a run of 60
    assert rejections(0.65, None) > 40
    assert rejections(0.65, (4.2,)) < 20


def test_the_statistic_is_the_largest_of_its_bandwidths(generator):
    x, y = torch.randn(60, 2, generator=generator), torch.randn(60, 2, generator=generator) * 1.6
    alone = {h: mmd(x, y, bandwidths=(h,), generator=torch.Generator().manual_seed(3)) for h in (0.01, 1.0)}
    both = mmd(x, y, bandwidths=(0.01, 1.0), generator=torch.Generator().manual_seed(3))
    assert both.bandwidth == 1.0
    assert both.value == pytest.approx(squared_mmd(x, y, bandwidth=1.0))
    # what a second bandwidth costs: more relabellings are large somewhere
    assert both.p_value >= alone[1.0].p_value
    # no pair is near enough for a kernel of this width, and the test goes on without it
    assert mmd(x, y + 9, bandwidths=(1e-9, 1.0), generator=generator).p_value == 1e-3


@pytest.mark.statistical
def test_c2st_p_values_are_uniform_and_accuracy_is_a_half_under_the_null(generator):
    results = []
    for _ in range(200):
        x, y = torch.randn(2, 400, 2, generator=generator)
        results.append(c2st(x, y, generator=generator))
    assert stats.kstest([r.p_value for r in results], "uniform").pvalue > 1e-6
    assert abs(z_score([r.accuracy for r in results], 0.5)) < 5


def test_c2st_p_value_is_the_exact_tail_of_its_accuracy(monkeypatch):
    # A classifier that calls the first coordinate's sign: 16 of 20 held-out x and 6 of 20 y are called x.
    monkeypatch.setattr(KNeighborsClassifier, "fit", lambda self, x, y: self)
    monkeypatch.setattr(KNeighborsClassifier, "predict", lambda self, x: x[:, 0] > 0)
    monkeypatch.setattr(torch, "randperm", lambda n, generator: torch.arange(n))
    x = torch.cat([torch.ones(20), torch.ones(16), -torch.ones(4)])[:, None]
    y = torch.cat([-torch.ones(20), torch.ones(6), -torch.ones(14)])[:, None]
    accuracy, p_value = c2st(x, y)
    assert accuracy == pytest.approx(30 / 40)
    fisher = stats.fisher_exact([[16, 4], [6, 14]], alternative="greater")
    assert p_value == pytest.approx(fisher.pvalue)


def test_c2st_accuracy_is_near_the_best_possible(generator):
    x, y = torch.randn(2, 3000, 2, generator=generator)
    accuracy, p_value = c2st(x, y + torch.tensor([2.0, 0.0]), generator=generator)
    assert accuracy == pytest.approx(stats.norm.cdf(1.0), abs=0.03)
    assert p_value < 1e-12


@pytest.mark.parametrize("test", [mmd, c2st])
def test_a_shift_is_detected_and_a_generator_repeats_the_result(test, generator):
    x, y = torch.randn(2, 300, 1, 4, 4, generator=generator)
    before = torch.get_rng_state()
    first, second, third = (test(x, y + 0.4, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert first == second
    assert first.p_value < 0.01
    # images are compared as vectors
    assert first == test(x.flatten(1), y.flatten(1) + 0.4, generator=torch.Generator().manual_seed(1))
    if test is c2st:
        assert first != third
    assert torch.equal(torch.get_rng_state(), before)


def test_the_order_of_the_samples_does_not_matter_to_c2st(generator):
    # a chain that drifts: the first half must not train and the second half test
    x = torch.linspace(0, 10, 1000)[:, None]
    assert c2st(x, x + 5, generator=generator).accuracy > 0.7


@pytest.mark.parametrize("test", [mmd, c2st])
@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (torch.zeros(20, 2), torch.zeros(20, 3), "the same event"),
        (torch.zeros(20), torch.zeros(20), "at least one axis"),
        (torch.zeros(1, 2), torch.zeros(20, 2), "x holds 1 samples"),
        (torch.full((20, 2), math.nan), torch.zeros(20, 2), "20 of 20 samples in x are NaN"),
        (torch.zeros(20, 2), torch.tensor([[0.0, math.inf]]).expand(20, 2), "in y are NaN or infinite"),
    ],
)
def test_bad_samples_are_refused(test, x, y, match):
    with pytest.raises(ValueError, match=match):
        test(x, y)


def test_bad_settings_are_refused(monkeypatch):
    x = torch.randn(20, 2)
    for bandwidth in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match=r"bandwidth is .*; expected a number > 0"):
            squared_mmd(x, x, bandwidth=bandwidth)
    for bandwidths in ((), (1.0, math.nan)):
        with pytest.raises(ValueError, match="expected positive numbers"):
            mmd(x, x, bandwidths=bandwidths)
    with pytest.raises(ValueError, match="most samples coincide"):
        mmd(torch.zeros(20, 2), torch.zeros(20, 2))
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"expected a number in \(0, 1\)"):
            mmd(x, x, level=level)
    with pytest.raises(ValueError, match="could not reject; expected at least 999"):
        mmd(x, x, level=1e-3, n_permutations=500)
    with pytest.raises(ValueError, match="n_permutations = 0"):
        mmd(x, x, n_permutations=0)
    with pytest.raises(ValueError, match="equally many"):
        c2st(x, x[:15])
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(ImportError, match=r"pip install 'ebmlearn\[data\]'"):
        c2st(x, x)


def test_c2st_is_as_strong_as_its_classifier(generator):
    """Ten patterns with noise 0.3 or 0.7: neighbours see the pattern, a support vector machine the noise."""
    from sklearn.svm import SVC

    patterns = torch.randn(10, 64, generator=generator)
    x, y = patterns[torch.randint(10, (2, 400), generator=generator)]
    x = x + 0.3 * torch.randn(x.shape, generator=generator)
    y = y + 0.7 * torch.randn(y.shape, generator=generator)
    weak = c2st(x, y, generator=torch.Generator().manual_seed(1))
    strong = c2st(x, y, classifier=SVC(), generator=torch.Generator().manual_seed(1))
    assert weak.accuracy < 0.6
    assert strong.accuracy > 0.85
