"""Two metrics of a training run, side by side."""

from torch import Tensor

from ebmlearn import check
from ebmlearn.diagnostics._chains import lagged_products


def cross_correlation(x: Tensor, y: Tensor, n_lags: int) -> Tensor:
    """Correlation of one series with another some steps later, at lags ``-(n_lags - 1) … n_lags - 1``.

    Entry ``k + n_lags - 1`` belongs to lag ``k`` and correlates ``x_t`` with ``y_{t + k}``: at positive lags
    ``x`` leads. Of two metrics of a run it says which moves first (arXiv:1903.12370, section 3, uses it for
    `energy_gap` and `displacement`).

    Args:
        x: First series, shape ``(n,)``.
        y: Second series, shape ``(n,)``.
        n_lags: Number of lags on one side, lag 0 included, in ``[1, n]``.

    Returns:
        Correlations in [-1, 1], shape ``(2 n_lags - 1,)``, in float64. Both series are centred; sums run over
        the pairs that exist and are divided by ``n``, as in `autocorrelation`.

    Raises:
        ValueError: If the shapes differ or are not ``(n,)``, ``n_lags`` is out of its range, or a series is
            constant or not finite.

    Example:
        >>> import torch
        >>> x = torch.randn(1000, generator=torch.Generator().manual_seed(0))
        >>> cross_correlation(x, x.roll(2), 4).argmax() - 3  # the second follows the first by two steps
        tensor(2)
    """
    for name, series in (("x", x), ("y", y)):
        check.tensor(name, series)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(
            f"got series of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected (n,) for both"
        )
    n = len(x)
    if not 1 <= check.count("n_lags", n_lags, 0) <= n:
        raise ValueError(f"n_lags is {n_lags}; expected 1 to {n}, the length of the series")
    for series in (x, y):
        if not series.isfinite().all() or (series == series[0]).all():
            raise ValueError("a series is constant or not finite, so it has no correlation with another")
    x, y = (series.double() - series.double().mean() for series in (x, y))
    lagged = lagged_products(x, y) / (x.norm() * y.norm())
    return lagged.roll(n_lags - 1)[: 2 * n_lags - 1]
