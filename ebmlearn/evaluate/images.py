"""Distances between two sets of images, by features: Fréchet and kernel. `ebmlearn.evaluate.features` has
features.

Both compare laws of features, and are blind to what the features do not see. A value belongs to its features
and to its numbers of samples: compare only values that agree in both.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ebmlearn import check
from ebmlearn.evaluate.twosample import check_samples
from ebmlearn.sample import evaluation_mode

Features = Callable[[Tensor], Tensor]
"""A callable from images ``(B, C, H, W)`` to ``(B, d)``."""


class ImageDistances(NamedTuple):
    """What `image_distances` gives.

    Attributes:
        frechet: Fréchet distance of the Gaussians fitted to the features, in (units of the features)². With
            Inception features, and only with them, this is the FID.
        kid: Estimate of the squared kernel distance, unbiased, and so at times negative. With Inception
            features this is the KID.
        kid_error: Its standard error, from the blocks; NaN if there is one block.
        n_x: Number of images in the first set.
        n_y: Number of images in the second set.
        features: Which features.
    """

    frechet: float
    kid: float
    kid_error: float
    n_x: int
    n_y: int
    features: str


def image_distances(
    x: Tensor,
    y: Tensor,
    features: Features | None = None,
    *,
    batch_size: int = 256,
    n_blocks: int = 10,
    generator: torch.Generator | None = None,
) -> ImageDistances:
    """Fréchet and kernel distance between two sets of images.

    **Fréchet** (Heusel et al. 2017, "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NeurIPS, arXiv:1706.08500): the squared 2-Wasserstein distance
    ``‖m_x - m_y‖² + tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½)`` of two Gaussians with the means and covariances of the
    features. It is zero where these agree, whatever else differs. With finite samples it is biased upwards:
    for two samples of one normal law ``N(0, I_d)`` it is ``(1/n + 1/m) (d + d(d + 1)/4)`` on average, to
    first order. The bias depends on the laws (Bińkowski et al. 2018), so it cannot be taken off: give all
    models equally many samples, many more than ``d²``, and print the distance of the training set to as many
    test images beside theirs.

    The trace of the root is the sum of the singular values of ``R_x R_yᵀ``, with ``Σ = RᵀR`` from the QR
    decomposition of the centred features. Hence no covariance is multiplied and no matrix root taken, whose
    small eigenvalues would be rounding errors.

    **Kernel** (Bińkowski, Sutherland, Arbel, Gretton 2018, "Demystifying MMD GANs", ICLR, arXiv:1801.01401):
    the unbiased estimate of the squared maximum mean discrepancy, as in `ebmlearn.evaluate.twosample.mmd`,
    with the kernel ``k(a, b) = (a·b / d + 1)³``. Each set is split at random into ``n_blocks`` disjoint
    blocks, and the value is the mean over pairs of blocks. They are independent if the images are, so that
    the standard error is an honest one. (The paper and most code draw subsets that overlap, and report the
    standard deviation over them.)

    Args:
        x: First set, shape ``(n, C, H, W)``.
        y: Second set, shape ``(m, C, H, W)``.
        features: From images to ``(B, d)``, on the device of the images. Nets in it are in evaluation mode
            while it runs, and no graph is built. None: the pixels themselves, which are weak features: they
            see contrast and blur better than content.
        batch_size: Images in one call of ``features``.
        n_blocks: Number of blocks of the kernel distance.
        generator: Source of the blocks, on the device of the features; torch's global one if None.

    Raises:
        ValueError: If the shapes differ or are not those of images; a value is not finite; a set has not more
            images than there are features; there are fewer than two images in a block; ``features`` does not
            give ``(B, d)``; or a number is out of its range.

    Example:
        >>> x, y = torch.randn(2, 4000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
        >>> found = image_distances(x, 2 * y)
        >>> round(found.frechet, 1), found.n_x, found.features  # 4 (2 - 1)² between the laws
        (3.9, 4000, 'pixels')
    """
    check.tensor("x", x)
    check.count("batch_size", batch_size, 0)
    check.count("n_blocks", n_blocks, 0)
    check.generator(generator)
    if features is not None:
        check.function("features", features)
    if x.ndim != 4 or batch_size < 1 or n_blocks < 1:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, batch_size is {batch_size} and n_blocks {n_blocks}; expected "
            "images (n, C, H, W) and numbers >= 1"
        )
    check_samples(x, y, 2 * n_blocks)
    a, b = (_features(images, features, batch_size) for images in (x, y))
    n_features = a.shape[1]
    if min(len(x), len(y)) <= n_features:
        raise ValueError(
            f"x holds {len(x)} images and y {len(y)}, with {n_features} features each; expected at least "
            f"{n_features + 1} of each, better many times more: with fewer the covariances are singular and "
            "the Fréchet distance is mostly bias. Draw more samples or use fewer features"
        )
    kid, error = _kernel_distance(a, b, n_blocks, generator)
    return ImageDistances(_frechet(a, b), kid, error, len(x), len(y), _name(features))


@torch.no_grad()
def _features(x: Tensor, features: Features | None, batch_size: int) -> Tensor:
    """All features in float64, shape ``(n, d)``."""
    if features is None:
        return x.detach().flatten(1).double()
    found = []
    with evaluation_mode():
        for batch in x.split(batch_size):
            value = features(batch)
            check.tensor("what features returned", value)
            found.append(value.double())
            if found[-1].ndim != 2 or len(found[-1]) != len(batch):
                raise ValueError(
                    f"features maps shape {tuple(batch.shape)} to {tuple(found[-1].shape)}; expected "
                    f"({len(batch)}, d): flatten it or average over positions"
                )
    out = torch.cat(found)
    if not out.isfinite().all():
        raise ValueError(f"{_name(features)} gives features that are NaN or infinite on finite images")
    return out


def _name(features: Features | None) -> str:
    if features is None:
        return "pixels"
    return str(getattr(features, "name", getattr(features, "__name__", type(features).__name__)))


def _frechet(a: Tensor, b: Tensor) -> float:
    roots = []
    for sample in (a, b):
        centred = sample - sample.mean(0)
        roots.append(torch.linalg.qr(centred, mode="r").R / math.sqrt(len(sample) - 1))
    overlap = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    spread = roots[0].square().sum() + roots[1].square().sum() - 2 * overlap
    return ((a.mean(0) - b.mean(0)).square().sum() + spread).item()


def _kernel_distance(
    a: Tensor, b: Tensor, n_blocks: int, generator: torch.Generator | None
) -> tuple[float, float]:
    """Mean over pairs of disjoint blocks, and its standard error."""
    # at random: a data set may be sorted by class
    order = [torch.randperm(len(s), generator=generator, device=s.device) for s in (a, b)]
    blocks = zip(a[order[0]].tensor_split(n_blocks), b[order[1]].tensor_split(n_blocks), strict=True)
    values = []
    for p, q in blocks:
        within = sum(
            _kernel(s, s).fill_diagonal_(0).sum() / (len(s) * (len(s) - 1))  # without k(a_i, a_i): unbiased
            for s in (p, q)
        )
        values.append(within - 2 * _kernel(p, q).mean())
    value = torch.stack(values)
    error = value.std().item() / math.sqrt(n_blocks) if n_blocks > 1 else math.nan
    return value.mean().item(), error


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    return (a @ b.T / a.shape[1] + 1) ** 3
