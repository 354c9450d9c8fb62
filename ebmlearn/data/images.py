"""Images as tensors: their scale, their size, and which of many."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class Images(NamedTuple):
    """Images and their labels.

    Attributes:
        x: (N, C, H, W) float32 in [-1, 1].
        y: (N,) int64 class labels, all 0 where there are none; CelebA: (N, 40) int64, 1 where
            ``CELEBA_ATTRIBUTES[j]`` holds, else 0.
    """

    x: Tensor
    y: Tensor


def to_unit(levels: Tensor, max_level: int = 255) -> Tensor:
    """Turn integer levels u in {0, ..., max_level} into float32 in [-1, 1]: 2 u / max_level - 1.

    >>> to_unit(torch.tensor([0, 51, 255]))
    tensor([-1.0000, -0.6000,  1.0000])
    """
    return levels.to(torch.float32, copy=True).mul_(2).div_(max_level).sub_(1)


def area_average(x: Tensor, side: int) -> Tensor:
    """Square images (N, C, S, S) at another size, (N, C, side, side), float32.

    A new pixel is the mean of the old image over the square that the new pixel covers; an old pixel that is
    covered in part counts with the covered part of its area. No filter, no rounding; where S is a multiple
    of ``side`` this is the mean of blocks, where ``side`` is a multiple of S each pixel becomes a block.
    Computed in float64: a constant image stays exactly constant.
    """
    ratio = x.shape[-1] / side
    low = torch.arange(side, dtype=torch.float64)[:, None] * ratio
    old = torch.arange(x.shape[-1], dtype=torch.float64)
    weight = (torch.minimum(low + ratio, old + 1) - torch.maximum(low, old)).clamp(min=0) / ratio
    return torch.cat([(weight @ part.double() @ weight.T).float() for part in x.split(500)])


def central_square(x: Tensor) -> Tensor:
    """The central square of images (..., H, W): (..., S, S) with S = min(H, W), odd rests below and right."""
    side = min(x.shape[-2:])
    top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
    return x[..., top : top + side, left : left + side]


def check_size(
    size: int | None, channels: int | None, n: int | None, background: float | None = None
) -> None:
    """Refuse what no images can have; None passes.

    Raises:
        ValueError: If ``size`` or ``n`` is no whole number >= 1, ``channels`` is not 1 or 3, or
            ``background`` not in [-1, 1].
    """
    if background is not None and not -1 <= background <= 1:
        raise ValueError(
            f"background is {background!r}; expected a level from -1 (black) to 1 (white), or None"
        )
    for name, value in (("size", size), ("n", n)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(f"{name} is {value!r}; expected a whole number >= 1, or None")
    if channels not in (None, 1, 3) or isinstance(channels, bool):
        raise ValueError(
            f"channels is {channels!r}; expected 1 (grey), 3 (red, green, blue) or None (as given)"
        )


def spread(total: int, n: int | None) -> np.ndarray:
    """The indices of n of ``total`` images, spread evenly, so that sorted classes keep their shares.

    >>> spread(10, 5).tolist(), spread(3, None).tolist()
    ([0, 2, 4, 6, 8], [0, 1, 2])

    Raises:
        ValueError: If there are fewer than n.
    """
    if n is not None and n > total:
        raise ValueError(f"n is {n:,}, but there are only {total:,} images")
    return np.arange(total) if n is None else np.arange(n) * total // n


def warn_enlarged(names: list[str], total: int, size: int) -> None:
    """Say which images were smaller than the size that they have now."""
    if names:
        warnings.warn(
            f"{len(names):,} of {total:,} images are smaller than {size} x {size} and were enlarged, each"
            f" pixel to the area that it covers; the first is {names[0]}",
            stacklevel=3,
        )
