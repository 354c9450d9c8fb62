"""Two-sample tests: are two sets of samples draws from the same law? For any event shape, which is flattened.

A test sees samples, not energies: a sampler can pass while the density behind it is wrong.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor


class MMD(NamedTuple):
    """Estimate of the squared maximum mean discrepancy, and the p-value of its permutation test."""

    value: float
    p_value: float


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


def mmd(
    x: Tensor,
    y: Tensor,
    *,
    bandwidth: float | tuple[float, ...] | None = None,
    n_permutations: int = 500,
    generator: torch.Generator | None = None,
) -> MMD:
    """Squared maximum mean discrepancy between two samples, with a permutation test (Gretton et al., 2012).

    The kernel is ``k(a, b) = Σ_h exp(-|a - b|² / (2 h²))`` over the bandwidths ``h``, and the estimate is the
    unbiased one (their Lemma 6), which leaves out ``k(x_i, x_i)`` and so can be negative:
    ``mean_{i≠j} k(x_i, x_j) + mean_{i≠j} k(y_i, y_j) - 2 mean_{i,j} k(x_i, y_j)``. It estimates the *squared*
    discrepancy. Time and memory are quadratic in ``n + m``: 2,000 of each take half a gigabyte.

    Args:
        x: First sample, shape ``(n, *event)``.
        y: Second sample, shape ``(m, *event)``.
        bandwidth: One or several ``h`` > 0, in the units of ``x``. None: the median of ``|z_i - z_j|`` over
            all pairs ``i < j`` of the pooled sample (the median heuristic). Values are comparable only at the
            same bandwidth.
        n_permutations: Relabellings of the pooled sample for the p-value ``(1 + #{permuted >= observed}) /
            (1 + n_permutations)``; with 0 there is no test and the p-value is NaN.
        generator: Source of the permutations, on the device of ``x``.

    Raises:
        ValueError: If the event shapes differ, a sample has fewer than 2 elements or a non-finite one, a
            bandwidth is not positive, or ``n_permutations`` is negative.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 200, 2, generator=g)
        >>> mmd(x, y, generator=g).p_value > 0.05, mmd(x, y + 1, generator=g).p_value < 0.01
        (True, True)
    """
    a, b = _flat(x, y, 2)
    if n_permutations < 0:
        raise ValueError(f"n_permutations = {n_permutations}; expected 0 or more")
    n, m = len(a), len(b)
    pooled = torch.cat([a, b])
    distance = torch.cdist(pooled, pooled)
    if bandwidth is None:
        bandwidth = torch.pdist(pooled).median().item()
    scales = bandwidth if isinstance(bandwidth, tuple) else (bandwidth,)
    if not scales or not all(0 < h < math.inf for h in scales):
        raise ValueError(
            f"bandwidth = {bandwidth}; expected positive numbers "
            "(the median heuristic gives 0 if most samples coincide: pass one)"
        )
    kernel = torch.stack([(-0.5 * (distance / h).square()).exp() for h in scales]).sum(0).fill_diagonal_(0)

    # a column each: 1 where an element is labelled x; the first is the observed labelling
    order = torch.rand(n_permutations, n + m, generator=generator, device=x.device).argsort(1)
    observed = torch.arange(n + m, device=x.device)[None]
    is_x = (torch.cat([observed, order]) < n).double().T
    row_sums = kernel.sum(1) @ is_x
    within_x = (is_x * (kernel @ is_x)).sum(0)
    between = row_sums - within_x
    within_y = kernel.sum() - within_x - 2 * between
    value = within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
    p_value = math.nan
    if n_permutations:
        p_value = (1 + int((value[1:] >= value[0]).sum())) / (1 + n_permutations)
    return MMD(value[0].item(), p_value)


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
