"""Two-sample tests: are two sets of samples draws from the same law? For any event shape, which is flattened.

A test sees samples, not energies: a sampler can pass while the density behind it is wrong.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ebmlearn import check


class MMD(NamedTuple):
    """Result of the test by kernels.

    ``p_value`` is that of the whole test. ``bandwidth`` is the one at which the samples differ most, in the
    units of ``x``, and ``value`` the estimate of the squared discrepancy there.
    """

    value: float
    p_value: float
    bandwidth: float


class C2ST(NamedTuple):
    """Held-out accuracy of a classifier that tells the samples apart, and its p-value."""

    accuracy: float
    p_value: float


def check_samples(x: Tensor, y: Tensor, least: int) -> None:
    """Refuse samples that cannot be compared.

    Args:
        x: First sample, shape ``(n, *event)``.
        y: Second sample, shape ``(m, *event)``.
        least: How many elements each must have.

    Raises:
        ValueError: If the event shapes differ, or a sample has fewer elements or a non-finite one.
    """
    check.floats("x", x)
    check.floats("y", y)
    if x.shape[1:] != y.shape[1:] or x.ndim < 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; expected (n, *event) and (m, *event) "
            "with the same event, at least one axis"
        )
    if min(len(x), len(y)) < least:
        raise ValueError(f"x holds {len(x)} samples and y {len(y)}; expected at least {least} of each")
    for name, sample in (("x", x), ("y", y)):
        bad = int((~sample.isfinite()).flatten(1).any(1).sum())
        if bad:
            raise ValueError(
                f"{bad} of {len(sample)} samples in {name} are NaN or infinite; did the chain diverge?"
            )


def _flat(x: Tensor, y: Tensor, least: int) -> tuple[Tensor, Tensor]:
    check_samples(x, y, least)
    return x.detach().flatten(1).double(), y.detach().flatten(1).double()


SCALES = tuple(2.0**k for k in range(-5, 2))
"""Bandwidths of `mmd`, in median distances: from a thirty-second to twice."""


def _median_distance(x: Tensor) -> float:
    """Median of ``|x_i - x_j|`` over all pairs ``i < j``, the usual bandwidth (the median heuristic)."""
    return torch.pdist(x).median().item()


def _check_bandwidths(bandwidths: tuple[float, ...]) -> None:
    if not bandwidths or not all(isinstance(h, float | int) and 0 < h < math.inf for h in bandwidths):
        raise ValueError(
            f"bandwidths = {bandwidths}; expected positive numbers "
            "(the median heuristic gives 0 if most samples coincide: pass one)"
        )


def _gaussian_kernel(distance: Tensor, bandwidth: float) -> Tensor:
    """``exp(-d² / (2 h²))`` of distances ``(n, n)``, with zeros on the diagonal: no sample meets itself."""
    return (-0.5 * (distance / bandwidth).square()).exp().fill_diagonal_(0)


def _estimates(kernel: Tensor, is_x: Tensor) -> Tensor:
    """Unbiased squared discrepancy of each labelling.

    Args:
        kernel: Kernel of the pooled sample, shape ``(n + m, n + m)``, zero on the diagonal.
        is_x: Labellings, shape ``(n + m, labellings)``: 1 where an element counts as ``x``, 0 elsewhere.

    Returns:
        Estimates, shape ``(labellings,)``.
    """
    n = int(is_x[:, 0].sum())
    m = len(kernel) - n
    # a constant added to every pair changes the rounding only, and sums of numbers around 0 are exact enough
    kernel = (kernel - kernel.mean()).fill_diagonal_(0)
    within_x = (is_x * (kernel @ is_x)).sum(0)
    between = kernel.sum(1) @ is_x - within_x
    within_y = kernel.sum() - within_x - 2 * between
    return within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)


def squared_mmd(x: Tensor, y: Tensor, *, bandwidth: float | None = None) -> float:
    """Squared maximum mean discrepancy between two samples (Gretton et al., 2012), a number without a test.

    The kernel is ``k(a, b) = exp(-|a - b|² / (2 h²))``, and the estimate is the unbiased one (their Lemma 6),
    which leaves out ``k(x_i, x_i)`` and so can be negative:
    ``mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)``.

    Args:
        x: First sample, shape ``(n, *event)``.
        y: Second sample, shape ``(m, *event)``.
        bandwidth: ``h`` > 0, in the units of ``x``. None: the median of ``|z_i - z_j|`` over all pairs of the
            pooled sample. Values are comparable only at the same bandwidth.

    Raises:
        ValueError: If the event shapes differ, a sample has fewer than 2 elements or a non-finite one, or the
            bandwidth is not positive.
    """
    a, b = _flat(x, y, 2)
    if bandwidth is not None:
        check.number("bandwidth", bandwidth)
    pooled = torch.cat([a, b])
    h = _median_distance(pooled) if bandwidth is None else bandwidth
    _check_bandwidths((h,))
    labels = (torch.arange(len(pooled), device=x.device) < len(a)).double()[:, None]
    return _estimates(_gaussian_kernel(torch.cdist(pooled, pooled), h), labels).item()


def mmd(
    x: Tensor,
    y: Tensor,
    *,
    level: float = 0.01,
    bandwidths: tuple[float, ...] | None = None,
    n_permutations: int | None = None,
    generator: torch.Generator | None = None,
) -> MMD:
    """Test by kernels of several bandwidths whether two samples have one law, with one valid p-value.

    A kernel sees differences of the size of its bandwidth. With the median distance alone, the usual choice,
    a test passes modes that are too wide or rings that are too thin, because most pairs are far apart. So
    `squared_mmd` is computed at several bandwidths, each divided by its standard deviation over relabellings
    of the pooled sample. The largest of them is the statistic, and its p-value is
    ``(1 + #{permuted >= observed}) / (1 + n_permutations)``. This is exact, since the maximum is taken within
    each relabelling: if the laws agree, all relabellings, the observed one included, are equally likely
    (Gretton et al., 2012; the aggregation is a simple form of Schrab et al., 2023, arXiv 2110.15073).

    Time is of order ``(n + m)² n_permutations`` for each bandwidth, a few seconds for 1,000 of each; memory
    is quadratic in ``n + m``.

    Args:
        x: First sample, shape ``(n, *event)``.
        y: Second sample, shape ``(m, *event)``.
        level: The level at which you will judge, in (0, 1). It sets the number of permutations.
        bandwidths: Several ``h`` > 0, in the units of ``x``; None: the median distance of the pooled sample
            times `SCALES`.
        n_permutations: Relabellings; None: ``10 / level - 1``, so that about ten of them exceed a statistic
            that just rejects.
        generator: Source of the permutations, on the device of ``x``.

    Raises:
        ValueError: If the event shapes differ, a sample has fewer than 2 elements or a non-finite one, a
            bandwidth is not positive, ``level`` is not in (0, 1), or ``n_permutations`` cannot reach it: no
            p-value is below ``1 / (1 + n_permutations)``.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 200, 2, generator=g)
        >>> mmd(x, y, generator=g).p_value > 0.01, mmd(x, y + 1, generator=g).p_value
        (True, 0.001)
    """
    a, b = _flat(x, y, 2)
    check.number("level", level, "in (0, 1)", hint=", such as 0.01")
    check.generator(generator)
    if n_permutations is not None:
        check.count("n_permutations", n_permutations, 0)
    if bandwidths is not None and not isinstance(bandwidths, tuple | list):
        raise ValueError(f"bandwidths = {check.shown(bandwidths)}; expected several positive numbers")
    if n_permutations is None:
        n_permutations = math.ceil(10 / level) - 1
    if n_permutations < 1 or 1 / (1 + n_permutations) > level:
        raise ValueError(
            f"with n_permutations = {n_permutations} no p-value is below 1 / {1 + n_permutations}, so a test "
            f"at level {level} could not reject; expected at least {math.ceil(1 / level) - 1}"
        )
    pooled = torch.cat([a, b])
    if bandwidths is None:
        bandwidths = tuple(s * _median_distance(pooled) for s in SCALES)
    _check_bandwidths(bandwidths)

    # a column each: 1 where an element is labelled x; the first is the observed labelling
    order = torch.rand(n_permutations, len(pooled), generator=generator, device=x.device).argsort(1)
    observed = torch.arange(len(pooled), device=x.device)[None]
    # single precision from here on: twice as fast, and errors are below a thousandth of the spread
    is_x = (torch.cat([observed, order]) < len(a)).float().T
    distance = torch.cdist(pooled, pooled).float()
    values = torch.stack([_estimates(_gaussian_kernel(distance, h), is_x) for h in bandwidths])
    # over all labellings, the observed one among them: only so are they exchangeable
    spread = values.std(1, keepdim=True)
    # a kernel so narrow that every pair looks infinitely far tells nothing
    standard = torch.where(spread > 0, values / spread, 0.0)
    largest, which = standard.max(0)
    p_value = (1 + int((largest[1:] >= largest[0]).sum())) / (1 + n_permutations)
    best = int(which[0])
    return MMD(values[best, 0].item(), p_value, bandwidths[best])


def c2st(x: Tensor, y: Tensor, *, classifier: Any = None, generator: torch.Generator | None = None) -> C2ST:
    """Classifier two-sample test (Lopez-Paz & Oquab, 2017).

    A random half of each sample trains a classifier; its accuracy on the other half is 1/2 if the laws agree.
    A test is as strong as its classifier: an accuracy near 1/2 is no evidence of equality if the classifier
    is weak.

    The default is a k-nearest-neighbour classifier, ``k = √n`` made odd (``n`` training points, as in the
    paper): nothing to train or tune, deterministic given the split, consistent, and strong in the plane. On
    pixels it is weak: neighbours are near by content, not by quality. A random forest is stronger there.

    The p-value is exact: given the predictions, all ways to label the held-out half are equally likely if the
    laws agree, so the number of correct predictions is hypergeometric (Fisher's exact test, one-sided).

    Args:
        x: First sample, shape ``(n, *event)``.
        y: Second sample, shape ``(n, *event)``: equally many, so that guessing gives 1/2.
        classifier: An unfitted scikit-learn classifier; nearest neighbours if None.
        generator: Source of the split, on the CPU.

    Raises:
        ValueError: If the event shapes or the numbers of samples differ, or a sample has fewer than 10
            elements or a non-finite one.
        ImportError: If scikit-learn is not installed.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 1000, 2, generator=g)
        >>> c2st(x, y, generator=g).p_value > 0.05
        True
        >>> round(c2st(x, y + 4, generator=g).accuracy, 2)
        1.0
    """
    a, b = _flat(x, y, 10)
    check.generator(generator)
    if classifier is not None and not (hasattr(classifier, "fit") and hasattr(classifier, "predict")):
        raise TypeError(
            f"classifier is {check.shown(classifier)}; expected one of scikit-learn, with fit and predict"
        )
    if len(a) != len(b):
        raise ValueError(
            f"x holds {len(a)} samples and y {len(b)}; expected equally many: take x[:n] and y[:n]"
        )
    try:
        from scipy.stats import hypergeom
        from sklearn.neighbors import KNeighborsClassifier
    except ImportError as error:
        raise ImportError("c2st needs scikit-learn: pip install 'ebmlearn[data]'") from error

    half = len(a) // 2
    a, b = (sample.cpu()[torch.randperm(len(sample), generator=generator)] for sample in (a, b))
    if classifier is None:
        classifier = KNeighborsClassifier(n_neighbors=math.isqrt(2 * half) | 1)
    classifier.fit(torch.cat([a[:half], b[:half]]).numpy(), [1] * half + [0] * half)
    # number of held-out x and y taken for x
    hits, misses = (int(classifier.predict(sample[half:].numpy()).sum()) for sample in (a, b))
    size = len(a) - half
    return C2ST(
        accuracy=(hits + size - misses) / (2 * size),
        p_value=float(hypergeom.sf(hits - 1, 2 * size, size, hits + misses)),
    )
