"""Distances between sets of images: closed forms, a plain double loop, other codes' formulas, real digits."""

import hashlib
import math
import sys
import types
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.linalg import sqrtm
from torch import nn

from ebmlearn.data import load
from ebmlearn.evaluate import features as features_module
from ebmlearn.evaluate.features import inception
from ebmlearn.evaluate.images import image_distances
from ebmlearn.methods.classifier import train_classifier
from ebmlearn.nets import Classifier


def z_score(values, expected):
    values = torch.tensor(values, dtype=torch.float64)
    return ((values.mean() - expected) / (values.std() / math.sqrt(len(values)))).item()


def as_images(x):
    """Vectors ``(n, d)`` as images of ``d`` channels and one pixel."""
    return x[:, :, None, None]


def exact_sample(n, mean, factor, generator):
    """A sample whose mean and covariance (divisor n - 1) are exactly ``mean`` and ``factor factorᵀ``."""
    x = torch.randn(n, len(mean), generator=generator, dtype=torch.float64)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / (n - 1)), x.T, upper=False)
    return as_images(mean + (factor @ white).T)


def frechet(x, y, **settings):
    return image_distances(x, y, n_blocks=1, **settings).frechet


@pytest.fixture
def gaussians(generator):
    """Samples with exact moments of two Gaussians in general position, and these moments."""
    means = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    factors = torch.randn(2, 5, 5, generator=generator, dtype=torch.float64)
    samples = [exact_sample(n, m, f, generator) for n, m, f in zip((20, 31), means, factors, strict=True)]
    return samples, means, factors @ factors.mT


def test_frechet_of_gaussians_that_differ_by_a_shift(generator):
    mean, shift = torch.zeros(4, dtype=torch.float64), torch.tensor([1.0, -2.0, 0.0, 0.5]).double()
    factor = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    x, y = (exact_sample(n, m, factor, generator) for n, m in ((30, mean), (17, mean + shift)))
    assert frechet(x, y) == pytest.approx(5.25, abs=1e-10)


def test_frechet_of_gaussians_that_differ_by_scales(generator):
    mean, s, t = torch.zeros(3).double(), torch.tensor([1.0, 2.0, 0.5]).double(), torch.ones(3).double()
    x, y = (exact_sample(n, mean, c.diag(), generator) for n, c in ((9, s), (25, t)))
    assert frechet(x, y) == pytest.approx((s - t).square().sum().item(), abs=1e-10)


def test_frechet_is_the_formula_with_a_matrix_root(gaussians):
    (x, y), means, (p, q) = gaussians
    root = sqrtm((p @ q).numpy()).real
    expected = (means[0] - means[1]).square().sum() + (p + q).trace() - 2 * root.trace()
    assert frechet(x, y) == pytest.approx(expected.item(), rel=1e-10)
    # the order of the product matters to the root, not to its trace
    eigenvalues = torch.linalg.eigvals(q @ p).real
    again = (means[0] - means[1]).square().sum() + (p + q).trace() - 2 * eigenvalues.sqrt().sum()
    assert frechet(x, y) == pytest.approx(again.item(), rel=1e-10)


def test_frechet_is_symmetric_zero_on_itself_and_invariant_under_motions(gaussians, generator):
    (x, y), _, _ = gaussians
    value = frechet(x, y)
    assert frechet(y, x) == pytest.approx(value, rel=1e-12)
    assert abs(frechet(x, x)) < 1e-12
    motion = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q

    def moved(images):
        return images.flatten(1) @ motion + 3

    assert frechet(x, y, features=moved) == pytest.approx(value, rel=1e-10)
    assert frechet(x, y, features=lambda images: 2 * images.flatten(1)) == pytest.approx(4 * value, rel=1e-10)


def test_frechet_survives_features_that_never_vary(generator):
    """A dead unit: its covariance is singular, where roots of products give NaN or noise of 1e-8."""
    x, y = torch.randn(2, 50, 3, 1, 1, generator=generator, dtype=torch.float64)
    dead = torch.zeros(50, 2, dtype=torch.float64)
    value = frechet(x, y, features=lambda images: torch.cat([images.flatten(1), dead[: len(images)]], 1))
    assert value == pytest.approx(frechet(x, y), rel=1e-12)


@pytest.mark.statistical
def test_the_bias_of_frechet_is_the_one_documented(generator):
    d, n, m = 4, 400, 800
    values = []
    for _ in range(300):
        x, y = torch.randn(n, d, generator=generator), torch.randn(m, d, generator=generator)
        values.append(image_distances(as_images(x), as_images(y), n_blocks=20).frechet)
    expected = (1 / n + 1 / m) * (d + d * (d + 1) / 4)
    assert abs(z_score(values, expected)) < 5
    # and it can tell a bias that is a quarter off
    assert abs(z_score(values, 1.25 * expected)) > 5


def test_kid_is_the_double_loop(generator):
    x, y = torch.randn(6, 3, generator=generator), torch.randn(4, 3, generator=generator)

    def k(a, b):
        return ((a * b).sum().item() / 3 + 1) ** 3

    within_x = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (6 * 5)
    within_y = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (4 * 3)
    between = sum(k(a, b) for a in x for b in y) / (6 * 4)
    found = image_distances(as_images(x), as_images(y), n_blocks=1)
    assert found.kid == pytest.approx(within_x + within_y - 2 * between, rel=1e-5)
    assert math.isnan(found.kid_error)


@pytest.mark.statistical
def test_kid_is_unbiased_and_its_error_is_honest_under_the_null(generator):
    values, squares = [], []
    for _ in range(400):
        x, y = torch.randn(2, 60, 2, 1, 1, generator=generator)
        found = image_distances(x, y, n_blocks=6, generator=generator)
        values.append(found.kid)
        squares.append(found.kid_error**2)
    assert abs(z_score(values, 0.0)) < 5
    assert min(values) < 0
    # the mean squared error bar is the variance of the value
    assert abs(z_score(squares, np.var(values, ddof=1))) < 5


@pytest.mark.statistical
def test_kid_estimates_the_closed_form_of_two_gaussians(generator):
    """On the line ``E k(a, b) = Σ_j C(3, j) E[a^j] E[b^j]``, with the moments of a normal law."""

    def moments(m, s):
        return [1, m, m**2 + s**2, m**3 + 3 * m * s**2]

    def expected_kernel(p, q):
        return sum(math.comb(3, j) * a * b for j, (a, b) in enumerate(zip(p, q, strict=True)))

    p, q = moments(0.3, 0.8), moments(-0.2, 1.2)
    expected = expected_kernel(p, p) + expected_kernel(q, q) - 2 * expected_kernel(p, q)
    values = []
    for _ in range(400):
        x = 0.3 + 0.8 * torch.randn(300, 1, 1, 1, generator=generator)
        y = -0.2 + 1.2 * torch.randn(250, 1, 1, 1, generator=generator)
        values.append(image_distances(x, y, n_blocks=5, generator=generator).kid)
    assert abs(z_score(values, expected)) < 5
    assert abs(z_score(values, 1.2 * expected)) > 5


@pytest.mark.statistical
def test_blocks_are_random_lest_the_order_of_the_images_matters(generator):
    """Two sets of the same law, sorted by class in opposite orders."""
    x, y = torch.randn(2, 400, 1, 1, 1, generator=generator)
    error = image_distances(x, y, generator=generator).kid_error
    x, y = x.sort(0).values, y.sort(0, descending=True).values
    for a, b in ((x, y), (x, y[torch.randperm(400)]), (x[torch.randperm(400)], y)):
        found = image_distances(a, b, generator=generator)
        assert abs(found.kid) < 5 * error and found.kid_error < 2 * error
    repeated = [image_distances(x, y, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert repeated[0] == repeated[1] != repeated[2]


class Dropout(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(2), nn.Dropout(0.5)

    def forward(self, x):
        assert not torch.is_grad_enabled()
        return self.dropout(self.norm(x)).flatten(1)


@pytest.mark.parametrize("wrap", [lambda net: net, lambda net: lambda x: net(x)])
def test_nets_are_in_evaluation_mode_inside_and_as_before_after(wrap, generator):
    net = Dropout()
    net.dropout.eval()
    net.weight = nn.Parameter(torch.ones(()))
    modes = [m.training for m in net.modules()]
    x, y = torch.randn(2, 40, 2, 1, 1, generator=generator)
    first, second = (image_distances(x, y, wrap(net), n_blocks=1, batch_size=b) for b in (7, 40))
    # dropout or batch statistics would make the batches matter
    assert first.frechet == pytest.approx(second.frechet, rel=1e-6)
    assert first.frechet == pytest.approx(frechet(x, y), rel=1e-3)
    assert [m.training for m in net.modules()] == modes
    assert torch.equal(net.norm.running_mean, torch.zeros(2))


def test_the_result_says_what_was_compared(generator):
    x, y = torch.randn(30, 1, 2, 2, generator=generator), torch.randn(25, 1, 2, 2, generator=generator)
    found = image_distances(x, y)
    assert (found.n_x, found.n_y, found.features) == (30, 25, "pixels")

    def corners(images):
        return images.flatten(1)[:, ::3]

    assert image_distances(x, y, corners).features == "corners"
    assert image_distances(x, y, nn.Flatten()).features == "Flatten"
    net = Classifier((1, 2, 2), 3, n_features=5)
    net.accuracy = 0.5
    assert image_distances(x, y, net).features == "5 of a classifier with test accuracy 0.500"


@pytest.mark.parametrize(
    ("x", "y", "settings", "match"),
    [
        (torch.zeros(50, 4), torch.zeros(50, 4), {}, r"x has shape \(50, 4\).*expected images"),
        (torch.zeros(50, 1, 2, 2), torch.zeros(50, 3, 2, 2), {}, "the same event"),
        (
            torch.zeros(50, 1, 2, 2),
            torch.zeros(19, 1, 2, 2),
            {},
            "x holds 50 samples and y 19; .* 20 of each",
        ),
        (torch.full((50, 1, 2, 2), math.nan), torch.zeros(50, 1, 2, 2), {}, "50 of 50 samples in x are NaN"),
        (torch.zeros(50, 1, 2, 2), torch.zeros(50, 1, 2, 2), {"n_blocks": 0}, "n_blocks 0; expected"),
        (torch.zeros(50, 1, 2, 2), torch.zeros(50, 1, 2, 2), {"batch_size": 0}, "batch_size is 0"),
        (torch.zeros(50, 1, 7, 7), torch.zeros(50, 1, 7, 7), {"n_blocks": 25}, None),
        (torch.zeros(49, 1, 7, 7), torch.zeros(50, 1, 7, 7), {}, "49 images and y 50, with 49 .* least 50"),
        (torch.zeros(50, 1, 7, 7), torch.zeros(49, 1, 7, 7), {}, "50 images and y 49, with 49 .* least 50"),
        (
            torch.zeros(50, 1, 2, 2),
            torch.zeros(50, 1, 2, 2),
            {"features": lambda x: x},
            r"expected \(50, d\)",
        ),
        (
            torch.zeros(50, 1, 2, 2),
            torch.zeros(50, 1, 2, 2),
            {"features": lambda x: x.flatten(1).log() - math.inf},
            "<lambda> gives features that are NaN or infinite",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(x, y, settings, match):
    if match is None:  # one image more than features: the least that is allowed
        assert image_distances(x, y, **settings).frechet == 0
        return
    with pytest.raises(ValueError, match=match):
        image_distances(x, y, **settings)


@pytest.fixture(scope="module")
def digits():
    return load("digits"), load("digits", "test")


@pytest.fixture(scope="module")
def classifier(digits):
    return train_classifier(*digits[0], *digits[1], steps=200, progress=False)


def test_distances_order_real_blurred_and_noise(digits, classifier, generator):
    train, test = digits
    blurred = torch.from_numpy(ndimage.gaussian_filter(test.x.numpy(), (0, 0, 0.7, 0.7)))
    more = torch.from_numpy(ndimage.gaussian_filter(test.x.numpy(), (0, 0, 1.2, 1.2)))
    noise = 2 * torch.rand(test.x.shape, generator=generator) - 1
    for features in (None, classifier):
        sets = (test.x, blurred, more, noise)
        found = [image_distances(train.x, x, features, generator=generator) for x in sets]
        for nearer, farther in pairwise(found):
            assert 1.2 * nearer.frechet < farther.frechet
            assert nearer.kid + 5 * farther.kid_error < farther.kid


def test_the_classifier_sees_what_pixels_do_not(digits, classifier):
    """A missing class moves the classifier's features far more, in units of the distance to the test set."""
    train, test = digits
    part = test.x[test.y != 1]
    ratios = {}
    for name, features in (("pixels", None), ("classifier", classifier)):
        whole, missing = (image_distances(train.x, x, features).frechet for x in (test.x, part))
        ratios[name] = missing / whole
    assert ratios["classifier"] > 1.5 * ratios["pixels"] > 1.5


def test_the_classifier_is_good_in_evaluation_mode_and_measures_itself(digits, classifier):
    test = digits[1]
    assert classifier.accuracy > 0.95 and not classifier.training
    with torch.no_grad():
        right = [classifier.logits(classifier(x[None])).argmax() == y for x, y in zip(*test, strict=True)]
    assert classifier.accuracy == pytest.approx(torch.stack(right).double().mean().item())
    assert classifier(test.x[:3]).shape == (3, 64)


def test_a_seed_decides_the_classifier_and_nothing_else_is_touched(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train, test = digits
    nets, settings = [], {"steps": 3, "n_features": 8, "progress": False}
    for seed, state in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        nets.append(train_classifier(*train, *test, seed=seed, **settings))
        assert torch.equal(torch.get_rng_state(), before)
    weights = [torch.cat([p.flatten() for p in net.parameters()]) for net in nets]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert list(tmp_path.iterdir()) == []


def test_attributes_are_learned_with_their_labels(generator):
    """Two attributes at once: the left half is bright, the top half is. Shuffled labels would give 1/2."""
    y = torch.randint(2, (600, 2), generator=generator)
    x = 0.3 * torch.randn(600, 1, 6, 6, generator=generator)
    x[..., :3] += y[:, :1, None, None]
    x[:, :, :3] += y[:, 1:, None, None]
    net = train_classifier(x[:500], y[:500], x[500:], y[500:], steps=60, batch_size=64, progress=False)
    assert net.accuracy > 0.95
    assert net.logits.out_features == 2


@pytest.mark.parametrize("side", [2, 5, 8, 14, 28, 32, 64])
def test_the_classifier_fits_images_of_any_size(side):
    net = Classifier((3, side, side), 10, n_features=7, width=2).eval()
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 7)
    with pytest.raises(ValueError, match="built for"):
        net(torch.zeros(2, 1, side, side))


def test_bad_training_sets_are_refused():
    x, y = torch.zeros(8, 1, 4, 4), torch.arange(8) % 2
    for args, match in (
        ((x, y[:7], x, y), r"training images .* their labels \(7,\)"),
        ((x, y, x[:, :, :3], y), r"test images have shape \(8, 1, 3, 4\)"),
        ((x.flatten(1), y, x.flatten(1), y), r"training images have shape \(8, 16\)"),
        ((x, y.float(), x, y), "training labels .* dtype torch.float32"),
        ((x, y, x, y[:, None]), r"test labels have shape \(8, 1\)"),
        ((x, y - 1, x, y), "training labels go from -1 to 0"),
        ((x, y, x, y + 1), "test labels go from 1 to 2; expected 0 to 1"),
        ((x, 2 * y[:, None], x, y[:, None]), r"training labels go from 0 to 2; .* \(attributes: 0 or 1\)"),
    ):
        with pytest.raises(ValueError, match=match):
            train_classifier(*args, steps=1, progress=False)
    with pytest.raises(ValueError, match=r"image_shape is \(1, 1, 4\)"):
        Classifier((1, 1, 4), 2)


class Extractor(nn.Module):
    """Stands in for the network of torch-fidelity: gives back the levels it was shown."""

    def __init__(self, name, features_list, feature_extractor_weights_path):
        super().__init__()
        assert features_list == ["2048"]
        self.path = feature_extractor_weights_path

    def forward(self, x):
        assert x.dtype == torch.uint8
        return (x.flatten(1).float(),)


@pytest.fixture
def fidelity(monkeypatch, tmp_path):
    """torch-fidelity with a network of our own, and a folder for its weights."""
    name = "torch_fidelity.feature_extractor_inceptionv3"
    monkeypatch.setitem(sys.modules, "torch_fidelity", types.ModuleType("torch_fidelity"))
    module = types.ModuleType(name)
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints" / features_module.INCEPTION_FILE


def test_inception_without_its_package_or_weights_says_what_to_do(monkeypatch, fidelity, tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no Inception weights at {fidelity}; download https://.*"):
        inception()
    with pytest.raises(FileNotFoundError, match=r"elsewhere\.pth; download"):
        inception(tmp_path / "elsewhere.pth")
    fidelity.write_bytes(b"half a download")
    with pytest.raises(ValueError, match="damaged or another file: its SHA-256 begins with"):
        inception()
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    with pytest.raises(ImportError, match=r"pip install torch-fidelity.*train_classifier"):
        inception()


def test_inception_sees_three_channels_of_256_levels(monkeypatch, fidelity):
    fidelity.write_bytes(b"weights")

    class Published:
        def hexdigest(self):
            return "6726825d" + "0" * 56

    monkeypatch.setattr(hashlib, "sha256", lambda content: Published())
    features = inception()
    grey = torch.tensor([-1.0, 1.0, 0.0, -3.0, 1.004, 2 * 37 / 255 - 1])[None, None, None]
    levels = [0, 255, 128, 0, 255, 37]
    assert features(grey).tolist() == [3 * levels]
    colour = torch.stack([grey[0, 0], -grey[0, 0], grey[0, 0]])[None]
    assert features(colour).tolist()[0][6:8] == [255, 0]
    with pytest.raises(ValueError, match="one or three channels"):
        features(grey.expand(-1, 2, -1, -1))
    assert (
        image_distances(grey.expand(30, 1, 1, 6), grey.expand(30, 1, 1, 6), features).features == "Inception"
    )
